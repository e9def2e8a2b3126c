//! The program itself: what goes to which stream, and how it ends.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    io::Read,
    path::Path,
    process::{Command, Output, Stdio},
};

fn firn(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firn"));
    command.args(arguments).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/injuries"));
    command.env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = firn(arguments).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn results_go_to_standard_output_and_all_else_to_standard_error() {
    let (code, out, err) = run(&["--version"]);
    assert_eq!((code, out, err), (0, format!("firn {}\n", env!("CARGO_PKG_VERSION")), String::new()));
    let (code, out, err) = run(&["verify", "good-plain"]);
    assert_eq!((code, out.lines().count()), (0, 1));
    assert!(out.ends_with("-nixos-system-web-1.drv\n") && err.contains("3 derivations"), "{out}{err}");
    let (code, out, err) = run(&["-q", "verify", "good-plain"]);
    assert_eq!((code, out.lines().count(), err), (0, 1, String::new()));
    let (code, out, err) = run(&["verify", "text"]);
    assert_eq!((code, out), (4, String::new()));
    assert!(err.starts_with("error: text is a text"), "{err}");
    assert_eq!(run(&["verify"]).0, 2);
    assert_eq!(run(&["verify", "no-such-file"]).0, 3);
}

#[test]
fn json_is_json_on_both_streams() {
    let (_, out, _) = run(&["--json", "verify", "good-plain"]);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&value["version"], &value["derivations"]), (&1.into(), &3.into()));
    let (code, out, err) = run(&["--json", "verify", "stream-cut-in-the-middle"]);
    assert_eq!((code, out), (5, String::new()));
    let lines: Vec<serde_json::Value> = err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let error = lines.last().unwrap();
    assert_eq!((&error["event"], &error["code"]), (&"error".into(), &5.into()));
}

#[test]
fn a_mistake_in_the_command_line_is_json_too_when_json_is_wanted() {
    for arguments in [&["--json", "verify"][..], &["verify", "--json", "--no-such-flag", "x"], &["--json", "no-such"]] {
        let (code, out, err) = run(arguments);
        assert_eq!((code, out.as_str()), (2, ""));
        let error: serde_json::Value = serde_json::from_str(&err).unwrap();
        assert_eq!((&error["event"], &error["code"]), (&"error".into(), &2.into()));
        let text = error["text"].as_str().unwrap();
        assert!(!text.is_empty() && !text.starts_with("error:"), "{text}");
        assert!(error["hints"].to_string().contains("Usage: firn"), "{err}");
    }
    assert!(run(&["verify", "--", "--json", "x"]).2.starts_with("error: unexpected argument"));
}

#[test]
fn a_limit_of_256_mb_of_address_space_is_kept() {
    let firn = firn(&[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -v 262144; exec \"$0\" verify ../v1/minimal.firn"]).arg(firn.get_program());
    shell.current_dir(firn.get_current_dir().unwrap());
    let Output { status, stderr, .. } = shell.output().unwrap();
    assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&stderr));
}

#[test]
fn colours_come_when_asked_for_and_not_into_a_pipe() {
    assert!(!run(&["verify", "text"]).2.contains('\x1b'));
    assert!(run(&["--color", "always", "verify", "text"]).2.contains('\x1b'));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = firn(&["convert", "--to", "export", "stream-of-an-output", "-"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said), (Some(0), String::new()));
}

#[test]
fn a_difference_is_an_exit_code_only_where_it_is_asked_for() {
    let (code, out, _) = run(&["diff", "--exit-code", "good-plain", "good-plain"]);
    assert_eq!(code, 0);
    assert!(out.ends_with("no difference\n"), "{out}");
    let other = "../../../examples/nixos-19.09-minimal-2019-12.export.zst";
    assert_eq!(run(&["diff", "good-plain", other]).0, 0);
    assert_eq!(run(&["diff", "--exit-code", "good-plain", other]).0, 1);
    let (code, _, err) = run(&["diff", "good-plain", "no-such-file"]);
    assert_eq!(code, 3);
    assert!(err.starts_with("error: no-such-file"), "{err}");
}
