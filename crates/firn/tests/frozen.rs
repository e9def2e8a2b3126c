//! Files of each format version, written once and never again: they stay readable, to the same paths and contents.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use firn_core::hash::{hex, sha256};
use std::{ffi::OsStr, fs, path::Path, process::Command};

/// SHA-256 of the stream of `nix-store --export` that a file becomes: paths, contents, references and their order.
fn export_digest(file: &Path, base: Option<&Path>) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_firn"))
        .args(["-q", "convert", "--to", "export"])
        .args(base.iter().flat_map(|base| [OsStr::new("--base"), base.as_os_str()]))
        .arg(file)
        .arg("-")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    hex(&sha256(&output.stdout))
}

/// Files of firn in a folder, sorted by name.
fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".firn")).collect();
    names.sort();
    names
}

#[test]
fn files_of_version_1_stay_readable_and_mean_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/v1");
    let listed = fs::read_to_string(folder.join("exports.sha256")).unwrap();
    let row = |name: &String| format!("{}  {name}\n", export_digest(&folder.join(name), None));
    assert_eq!(files(&folder).iter().map(row).collect::<String>(), listed);
}

#[test]
fn deltas_of_version_1_stay_readable_and_mean_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/v1");
    let listed = fs::read_to_string(folder.join("deltas/exports.sha256")).unwrap();
    let mut named = Vec::new();
    for line in listed.lines() {
        let [digest, delta, base] = line.split("  ").collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert_eq!(export_digest(&folder.join("deltas").join(delta), Some(&folder.join(base))), digest, "{delta}");
        named.push(delta.to_owned());
    }
    assert_eq!(files(&folder.join("deltas")), named);
}
