//! The command as a person runs it, on two real systems of one release.

use crate::{CommandError, ExitCode, Session, Silent, cli::Cli};
use clap::Parser;
use serde_json::Value;
use std::path::Path;

fn diff(arguments: &[&str]) -> Result<(ExitCode, String), CommandError> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let file = |name: &str| checkout.join(name).display().to_string();
    let old = file("examples/nixos-19.09-minimal-2019-12.export.zst");
    let new = file("tests/closures/nixos-19.09-web-2019-12.export.zst");
    let cli = Cli::try_parse_from([&["firn", "--color", "never", "diff", &old, &new], arguments].concat());
    let cli = cli.expect("arguments");
    let mut results = Vec::new();
    let session = Session::new(cli.globals, &Silent, &mut results);
    let code = cli.command.run(&session)?;
    drop(session);
    let text = String::from_utf8_lossy(&results).into_owned();
    Ok((code, text.replace(&format!("{}/", checkout.display()), "")))
}

#[test]
fn the_first_screen_is_packages_and_the_last_lines_are_counts() {
    insta::assert_snapshot!(diff(&[]).unwrap().1);
}

#[test]
fn json_has_all_of_it_and_the_code_tells_a_difference_when_asked() {
    let (code, text) = diff(&["--json", "--exit-code"]).unwrap();
    assert_eq!(code, ExitCode::Failure);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&report["version"], &report["equal"]), (&1.into(), &false.into()));
    let nginx = report["packages"].as_array().unwrap().iter().find(|package| package["name"] == "nginx").unwrap();
    assert_eq!((&nginx["old"], &nginx["new"]), (&serde_json::json!([]), &serde_json::json!(["1.16.1"])));
    let totals = &report["totals"];
    let sum: u64 = ["same", "by_inputs", "own", "added"].iter().filter_map(|key| totals[key].as_u64()).sum();
    assert_eq!(totals["derivations"], sum);
}

#[test]
fn why_is_the_way_from_the_root_and_says_what_changed_on_it() {
    insta::assert_snapshot!(diff(&["--why", "nginx-1.16.1.drv"]).unwrap().1);
    assert_eq!(diff(&["--why", "no-such-thing"]).unwrap_err().code(), ExitCode::Absent);
}

#[test]
fn sources_are_compared_file_by_file() {
    let (_, text) = diff(&["--source", "*"]).unwrap();
    assert!(text.lines().last().unwrap().ends_with(" files changed"), "{text}");
    assert_eq!(diff(&["--source", "no-such-thing"]).unwrap_err().code(), ExitCode::Absent);
}
