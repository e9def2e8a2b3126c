//! Deltas on the command line: written, made whole, and refused without their base.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/v1").join(name)
}

fn convert(bases: &[&Path], input: &Path, output: &Path) -> Output {
    let mut firn = Command::new(env!("CARGO_BIN_EXE_firn"));
    firn.args(["-q", "convert"]).arg(input).arg(output);
    bases.iter().for_each(|base| _ = firn.arg("--base").arg(base));
    firn.output().unwrap()
}

/// Runs firn in a folder, with no Nix to be found.
fn firn(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_firn")).current_dir(dir).env("PATH", "").args(arguments).output().unwrap()
}

/// The root of a file.
fn root(file: &Path) -> String {
    let output = firn(Path::new("."), &["inspect", "--json", file.to_str().unwrap()]);
    serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["root"].as_str().unwrap().to_owned()
}

/// What firn keeps it as.
fn name_of(root: &str) -> &str {
    root.split_once('-').unwrap().1.trim_end_matches(".drv")
}

/// Two files of version 1 that hold different closures, written by this release.
fn pair(dir: &Path) -> [PathBuf; 2] {
    let mut files: Vec<PathBuf> = fs::read_dir(file("")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "firn"));
    files.sort_by_key(|file| fs::metadata(file).unwrap().len());
    ["a", "b"].map(|name| {
        let whole = dir.join(name).with_extension("firn");
        let input = if name == "a" { &files[0] } else { &files[1] };
        assert!(convert(&[], input, &whole).status.success());
        whole
    })
}

#[test]
fn a_delta_and_its_base_make_the_whole_file() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = pair(dir.path());
    let (delta, whole) = (dir.path().join("delta.firn"), dir.path().join("whole.firn"));
    for (base, new) in [(&a, &b), (&b, &a), (&a, &a)] {
        assert!(convert(&[base], new, &delta).status.success());
        assert!(convert(&[base], &delta, &whole).status.success());
        assert!(fs::read(&whole).unwrap() == fs::read(new).unwrap());
    }
    assert!(fs::metadata(&delta).unwrap().len() < 300);
}

#[test]
fn a_delta_without_its_base_or_with_another_says_which_it_needs_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = pair(dir.path());
    let (delta, whole) = (dir.path().join("delta.firn"), dir.path().join("whole.firn"));
    assert!(convert(&[&a], &b, &delta).status.success());
    for bases in [&[][..], &[b.as_path()]] {
        let output = convert(bases, &delta, &whole);
        assert_eq!(output.status.code(), Some(8));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("is missing") && said.contains("--base FILE"), "{said}");
        assert!(!whole.exists());
    }
}

#[test]
fn a_store_folder_that_has_the_base_takes_a_delta_without_nix() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = pair(dir.path());
    let delta = dir.path().join("delta.firn");
    assert!(convert(&[&a], &b, &delta).status.success());
    let import = |what: &Path| {
        let mut firn = Command::new(env!("CARGO_BIN_EXE_firn"));
        firn.current_dir(dir.path()).env("PATH", "").args(["-q", "import", "--root", "host"]).arg(what);
        firn.output().unwrap()
    };
    let before = import(&delta);
    let said = String::from_utf8(before.stderr).unwrap();
    assert_eq!(before.status.code(), Some(8));
    assert!(said.contains("the store has not got it") && !said.contains("nix-store -qR"), "{said}");
    assert!(!dir.path().join("host").exists());
    for what in [&a, &delta] {
        let output = import(what);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_missing_base_is_told_with_what_is_there_instead() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = pair(dir.path());
    let delta = dir.path().join("delta.firn");
    assert!(convert(&[&a], &b, &delta).status.success());
    assert!(firn(dir.path(), &["import", "--root", "host", "b.firn"]).status.success());
    fs::create_dir(dir.path().join("old")).unwrap();
    fs::rename(&b, dir.path().join("old/b.firn")).unwrap();
    let output = firn(dir.path(), &["import", "--root", "host", "--base-dir", "old", "delta.firn"]);
    assert_eq!(output.status.code(), Some(8));
    let said = String::from_utf8(output.stderr).unwrap();
    let (base, other) = (root(&a), root(&dir.path().join("old/b.firn")));
    assert!(said.contains(&format!("its base {base} is missing")), "{said}");
    assert!(said.contains(&format!("old/b.firn is of {other}")), "{said}");
    assert!(said.contains(&format!("where firn keeps {} ({other})", name_of(&other))), "{said}");
    assert_eq!(said.matches("\nhint: ").count(), 2, "{said}");
}

#[test]
fn a_damaged_file_in_a_folder_of_bases_hides_no_good_one() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = pair(dir.path());
    assert!(convert(&[&a], &b, &dir.path().join("delta.firn")).status.success());
    let old = dir.path().join("old");
    fs::create_dir(&old).unwrap();
    let bytes = fs::read(&a).unwrap();
    fs::write(old.join("a-cut.firn"), &bytes[..bytes.len() - 10]).unwrap();
    let verify = || firn(dir.path(), &["verify", "--base-dir", "old", "delta.firn"]);
    let output = verify();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.contains("old/a-cut.firn: the file is cut"), "{said}");
    fs::write(old.join("a-good.firn"), bytes).unwrap();
    let output = verify();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn deltas_that_lead_back_to_what_they_are_of_are_passed_by() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = pair(dir.path());
    let (bases, delta) = (dir.path().join("bases"), dir.path().join("delta.firn"));
    fs::create_dir(&bases).unwrap();
    assert!(convert(&[&a], &b, &delta).status.success());
    // Tried one inside the other there are more ways through them than anybody could wait for.
    for n in 0..24 {
        assert!(convert(&[&a], &a, &bases.join(format!("{n}.firn"))).status.success());
    }
    let verify = |arguments: &[&str]| firn(dir.path(), &[&["verify", "-q"], arguments].concat());
    let output = verify(&["--base-dir", "bases", "delta.firn"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert!(said.contains("is a delta of the same base"), "{said}");
    assert!(convert(&[&b], &a, &bases.join("back.firn")).status.success());
    assert_eq!(verify(&["--base-dir", "bases", "delta.firn"]).status.code(), Some(8));
    let output = verify(&["--base", "bases/1.firn", "bases/1.firn"]);
    assert_eq!(output.status.code(), Some(8), "{}", String::from_utf8_lossy(&output.stderr));
    // Behind them, as a stream of stock Nix, is what is looked for.
    assert!(convert(&[], &a, &bases.join("whole.export")).status.success());
    assert!(verify(&["--base-dir", "bases", "delta.firn"]).status.success());
    let output = verify(&["--base-dir", "nowhere", "delta.firn"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3) && said.contains("nowhere: "), "{said}");
}

#[test]
fn a_base_may_come_through_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = pair(dir.path());
    let delta = dir.path().join("delta.firn");
    assert!(convert(&[&a], &b, &delta).status.success());
    let mut verify = Command::new(env!("CARGO_BIN_EXE_firn"));
    verify.args(["verify", "-q", "--base", "/dev/stdin"]).arg(&delta).stdin(Stdio::piped());
    let mut verify = verify.spawn().unwrap();
    verify.stdin.take().unwrap().write_all(&fs::read(&a).unwrap()).unwrap();
    assert!(verify.wait().unwrap().success());
}

#[test]
fn a_base_that_is_damaged_in_the_store_is_told_to_be_repaired_there() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = pair(dir.path());
    let delta = dir.path().join("delta.firn");
    assert!(convert(&[&a], &b, &delta).status.success());
    assert!(firn(dir.path(), &["import", "--root", "host", "a.firn"]).status.success());
    let base = root(&a);
    let file = dir.path().join("host").join(&base[1..]);
    let text = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let import = || firn(dir.path(), &["import", "--root", "host", "delta.firn"]);
    for damage in [None, Some(text[1..].to_vec())] {
        damage.into_iter().for_each(|text| fs::write(&file, text).unwrap());
        let output = import();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(5), "{said}");
        assert!(said.contains(&format!("nix-store --repair-path {base}")) && !said.contains("get it again"), "{said}");
    }
    fs::write(&file, text).unwrap();
    assert!(import().status.success());
}

#[test]
fn what_is_kept_under_a_name_is_a_base_and_what_is_not_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let [_, b] = pair(dir.path());
    assert!(firn(dir.path(), &["import", "--root", "host", "b.firn"]).status.success());
    let store = format!("local?root={}", dir.path().join("host").display());
    let root = root(&b);
    let pack =
        |name: &str| firn(dir.path(), &["pack", "--store", &store, "--base-name", name, &root, "-o", "delta.firn"]);
    let output = pack("absent");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert!(said.contains("nothing is kept here as \"absent\"") && said.contains("--keep absent"), "{said}");
    assert!(said.contains(&format!("kept are {}", name_of(&root))), "{said}");
    assert!(!dir.path().join("delta.firn").exists());

    let output = pack(name_of(&root));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8(output.stdout).unwrap().ends_with(&format!(", a delta of {root}\n")));
    let whole = dir.path().join("whole.firn");
    assert!(convert(&[&b], &dir.path().join("delta.firn"), &whole).status.success());
    assert!(fs::read(&whole).unwrap() == fs::read(&b).unwrap());
}

#[test]
fn what_a_host_runs_is_a_base_where_the_store_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = pair(dir.path());
    assert!(firn(dir.path(), &["import", "--root", "host", "b.firn"]).status.success());
    let store = format!("local?root={}", dir.path().join("host").display());
    let (old, new) = (root(&a), root(&b));
    // What comes after `--` is the host and the command for its shell.
    let ssh = |said: &str| {
        let text = format!(
            "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\n[ $# = 3 ] && [ $2 = me@web ] || exit 9\n{said}\n"
        );
        let path = dir.path().join("ssh");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    let pack = || {
        let mut firn = Command::new(env!("CARGO_BIN_EXE_firn"));
        firn.current_dir(dir.path()).env("PATH", dir.path()).env_remove("NIX_SSHOPTS");
        firn.args(["pack", "--store", &store, "--base-host", "me@web", &new, "-o", "delta.firn"]).output().unwrap()
    };
    let runs = |what: &str| format!("echo firn-system /nix/store/x; echo {what}");
    for (said, code, expected) in [
        (runs(&format!("firn-derivation {old}")), 8, format!("nix-copy-closure --from me@web {old}")),
        (runs(&format!("firn-deriver {old}")), 8, format!("has not got {old}, which made it")),
        (runs("firn-deriver unknown-deriver"), 8, "does not know which .drv made it".to_owned()),
        ("echo hello".to_owned(), 8, "it is no NixOS".to_owned()),
        ("echo no way >&2; exit 255".to_owned(), 11, "does not say what it runs: no way".to_owned()),
    ] {
        ssh(&said);
        let output = pack();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(&expected), "{text}");
        assert!(!dir.path().join("delta.firn").exists());
    }
    ssh(&runs(&format!("firn-derivation {new}")));
    let output = pack();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8(output.stdout).unwrap().ends_with(&format!(", a delta of {new}\n")));
}

#[test]
fn diff_takes_one_end_as_the_base_of_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = pair(dir.path());
    let delta = dir.path().join("delta.firn");
    assert!(convert(&[&a], &b, &delta).status.success());
    let diff = |ends: [&str; 2], stdin: Option<&Path>| {
        let mut firn = Command::new(env!("CARGO_BIN_EXE_firn"));
        firn.current_dir(dir.path()).args(["diff", "--json"]).args(ends);
        if let Some(stdin) = stdin {
            firn.stdin(fs::File::open(stdin).unwrap());
        }
        let output = firn.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut report = serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap();
        for end in ["old", "new"] {
            report[end].as_object_mut().unwrap().remove("source");
        }
        report
    };
    let there = diff(["a.firn", "b.firn"], None);
    let back = diff(["b.firn", "a.firn"], None);
    assert_ne!(there["totals"], back["totals"]);
    assert_eq!(diff(["a.firn", "delta.firn"], None), there);
    assert_eq!(diff(["delta.firn", "a.firn"], None), back);
    assert_eq!(diff(["a.firn", "-"], Some(&delta)), there);
    assert_eq!(diff(["-", "a.firn"], Some(&delta)), back);
    assert_eq!(diff(["-", "delta.firn"], Some(&a)), there);
}

#[test]
fn what_is_in_a_delta_is_shown_with_its_base_and_without_it_what_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = pair(dir.path());
    let delta = dir.path().join("delta.firn");
    assert!(convert(&[&a], &b, &delta).status.success());
    let views: [&[&str]; 5] = [
        &["--sources"],
        &["--source", "*", "--json"],
        &["--source", "*", "--cat"],
        &["--tree", "*"],
        &["--derivation", "*"],
    ];
    for view in views {
        let inspect = |more: &[&str]| firn(dir.path(), &[&["inspect"], view, more].concat());
        let whole = inspect(&["b.firn"]);
        assert!(whole.status.success(), "{view:?}: {}", String::from_utf8_lossy(&whole.stderr));
        assert!(inspect(&["delta.firn", "--base", "a.firn"]).stdout == whole.stdout, "{view:?}");
        assert!(inspect(&["delta.firn", "--base-dir", "."]).stdout == whole.stdout, "{view:?}");
        let alone = inspect(&["delta.firn"]);
        let said = String::from_utf8(alone.stderr).unwrap();
        assert_eq!(alone.status.code(), Some(8), "{view:?}: {said}");
        assert!(said.contains(&root(&a)) && said.contains("hand that base over: --base FILE"), "{said}");
    }
    let summary = |arguments: &[&str]| {
        let output = firn(dir.path(), &[&["inspect", "--json"], arguments].concat());
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let (whole, alone) = (summary(&["b.firn"]), summary(&["delta.firn"]));
    let with_base = summary(&["delta.firn", "--base", "a.firn"]);
    for field in ["root", "name", "host", "derivations", "sources", "files", "text_bytes", "trusted"] {
        assert_eq!((&alone[field], &with_base[field]), (&whole[field], &whole[field]), "{field}");
    }
    for field in ["system", "toplevel", "needing_trust"] {
        assert_eq!(with_base[field], whole[field], "{field}");
    }
}

#[test]
fn inspect_says_what_a_delta_is_made_against() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = pair(dir.path());
    let delta = dir.path().join("delta.firn");
    assert!(convert(&[&a], &b, &delta).status.success());
    let inspect = |what: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_firn")).args(["inspect", "--json"]).arg(what).output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    assert_eq!(inspect(&delta)["base"], inspect(&a)["roots"]);
    assert!(inspect(&b).get("base").is_none());
}
