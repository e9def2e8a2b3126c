//! Deltas on the command line: written, made whole, and refused without their base.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
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
