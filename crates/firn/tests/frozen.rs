//! Files of each format version, written once and never again: they stay readable, to the same paths and contents.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use firn_core::hash::{hex, sha256};
use std::{fs, path::Path, process::Command};

/// SHA-256 of the stream of `nix-store --export` that a file becomes: paths, contents, references and their order.
fn export_digest(file: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_firn"))
        .args(["-q", "convert", "--to", "export"])
        .arg(file)
        .arg("-")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    hex(&sha256(&output.stdout))
}

#[test]
fn files_of_version_1_stay_readable_and_mean_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/v1");
    let listed = fs::read_to_string(folder.join("exports.sha256")).unwrap();
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "firn"));
    files.sort();
    let found: String = files
        .iter()
        .map(|file| format!("{}  {}\n", export_digest(file), file.file_name().unwrap().to_str().unwrap()))
        .collect();
    assert_eq!(found, listed);
}
