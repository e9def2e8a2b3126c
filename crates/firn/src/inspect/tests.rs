//! The command as a person runs it, on a closure that real Nix made.

use super::load::front_summary;
use crate::{CommandError, ExitCode, Input, Session, Silent, Source, cli::Cli};
use clap::Parser;
use serde_json::Value;
use std::{fs, io::Cursor, path::Path};

const EXPORT: &[u8] = include_bytes!("fixtures/small.export");
const JSON: &str = include_str!("fixtures/small.json");

fn run(arguments: &[&str]) -> Result<Vec<u8>, CommandError> {
    let cli = Cli::try_parse_from([&["firn", "--color", "never"], arguments].concat()).expect("arguments");
    let mut results = Vec::new();
    let session = Session::new(cli.globals, &Silent, &mut results);
    cli.command.run(&session)?;
    drop(session);
    Ok(results)
}

/// Inspects the stream and the firn file that is made of it; both must give the same, which is returned.
fn inspect(arguments: &[&str]) -> Result<String, CommandError> {
    let folder = tempfile::tempdir()?;
    let (stream, file) = files(folder.path())?;
    let of = |path: &str| run(&[&["inspect", path], arguments].concat());
    let (of_stream, of_file) = (of(&stream), of(&file));
    if let (Ok(of_stream), Ok(of_file)) = (&of_stream, &of_file) {
        assert_eq!(String::from_utf8_lossy(of_stream), String::from_utf8_lossy(of_file));
    }
    of_stream.and(of_file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn files(folder: &Path) -> Result<(String, String), CommandError> {
    let path = |name: &str| folder.join(name).display().to_string();
    let (stream, file) = (path("small.export"), path("small.firn"));
    fs::write(&stream, EXPORT)?;
    run(&["convert", &stream, &file])?;
    Ok((stream, file))
}

#[test]
fn derivations_as_json_are_byte_for_byte_what_nix_prints() {
    assert_eq!(inspect(&["--derivation", "*", "--json"]).unwrap(), JSON);
}

#[test]
fn a_derivation_is_laid_out_and_its_text_given_as_it_is() {
    insta::assert_snapshot!(inspect(&["--derivation", "nixos-system-tiny-24.05"]).unwrap());
    let text = inspect(&["--derivation", "lib-2.1", "--cat"]).unwrap();
    assert!(
        text.starts_with("Derive([(\"dev\",\"/nix/store/") && text.ends_with("(\"system\",\"x86_64-linux\")])"),
        "{text}"
    );
}

#[test]
fn a_derivation_is_found_by_the_path_of_an_output() {
    let shown = inspect(&["--derivation", "q1101lvyrhjx1l2m9119nmdsccalc0jc-lib-2.1-dev", "--json"]).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown.as_object().unwrap().len(), 1);
}

#[test]
fn a_tree_is_the_shortest_way_from_the_root() {
    insta::assert_snapshot!(inspect(&["--tree", "*"]).unwrap());
    insta::assert_snapshot!(inspect(&["--tree", "fetched", "--json"]).unwrap());
}

#[test]
fn sources_are_listed_with_sizes_and_printed_as_they_are() {
    insta::assert_snapshot!(inspect(&["--sources"]).unwrap());
    insta::assert_snapshot!(inspect(&["--source", "tree", "--json", "--cat"]).unwrap());
    assert_eq!(inspect(&["--source", "readme", "--cat"]).unwrap(), "hello\n");
    assert_eq!(inspect(&["--source", "builder.sh", "--cat"]).unwrap(), "source $stdenv/setup\n\"quoted\"\ttab\n");
    insta::assert_snapshot!(inspect(&["--source", "tree/bin", "--cat"]).unwrap());
}

#[test]
fn what_is_not_there_has_its_own_code_and_says_what_is_near() {
    for look in ["--derivation", "--source", "--tree"] {
        assert_eq!(inspect(&[look, "absent"]).unwrap_err().code(), ExitCode::Absent);
    }
    let error = inspect(&["--derivation", "TINY"]).unwrap_err();
    assert_eq!(error.hints(), ["these are near it: nixos-system-tiny-24.05.drv"]);
}

#[test]
fn a_summary_of_a_stream_and_of_its_file_agree_but_for_the_sections() {
    let folder = tempfile::tempdir().unwrap();
    let (stream, file) = files(folder.path()).unwrap();
    let summary =
        |path: &str| -> Value { serde_json::from_slice(&run(&["inspect", path, "--json"]).unwrap()).unwrap() };
    let (of_stream, of_file) = (summary(&stream), summary(&file));
    for key in [
        "version",
        "contents",
        "root",
        "roots",
        "name",
        "host",
        "system",
        "toplevel",
        "derivations",
        "sources",
        "files",
        "text_bytes",
        "trusted",
    ] {
        assert_eq!(of_stream[key], of_file[key], "{key}");
        assert!(!of_file[key].is_null(), "{key}");
    }
    assert_eq!(of_stream["file_bytes"], EXPORT.len());
    assert_eq!(of_file["file_bytes"], fs::metadata(&file).unwrap().len());
    let sections = of_file["sections"].as_array().unwrap();
    let packed: u64 = sections.iter().map(|s| s["bytes"].as_u64().unwrap()).sum();
    assert!(packed + of_file["header_bytes"].as_u64().unwrap() < of_file["file_bytes"].as_u64().unwrap());
    assert!(sections.iter().all(|s| s["name"].is_string() && s["codec"].is_string()));
    assert!(sections.iter().all(|s| s["raw_bytes"].is_u64() && s["memory_bytes"].is_u64()));
    insta::assert_snapshot!(String::from_utf8(run(&["inspect", &stream]).unwrap()).unwrap());
}

#[test]
fn a_pipe_is_read_no_further_than_the_front_and_a_cut_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_, file) = files(folder.path()).unwrap();
    let whole: Value = serde_json::from_slice(&run(&["inspect", &file, "--json"]).unwrap()).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    bytes.truncate(whole["header_bytes"].as_u64().unwrap() as usize);
    let input = Input::from_reader(Source::Stdin, Box::new(Cursor::new(bytes.clone())), 1 << 20).unwrap();
    let of_pipe = serde_json::to_value(front_summary(input).unwrap()).unwrap();
    assert_eq!(of_pipe, whole);
    fs::write(&file, &bytes).unwrap();
    assert_eq!(run(&["inspect", &file]).unwrap_err().code(), ExitCode::Damaged);
}

#[test]
fn one_system_of_several_is_inspected_verified_and_converted() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (stream, file, one) = (path("two.export"), path("two.firn"), path("one.firn"));
    let two = include_bytes!("../../../../tests/fixtures/injuries/good-two-whole-systems");
    fs::write(&stream, two).unwrap();
    run(&["convert", &stream, &file]).unwrap();
    let json = |arguments: &[&str]| -> Value {
        serde_json::from_slice(&run(&[arguments, &["--json"]].concat()).unwrap()).unwrap()
    };
    let whole = json(&["inspect", &file]);
    let names: Vec<&str> = whole["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let roots = whole["roots"].as_array().unwrap();
    assert_eq!((names.len(), roots.len()), (2, 2));
    let text = String::from_utf8(run(&["inspect", &file]).unwrap()).unwrap();
    assert!(text.starts_with("recipe of 2 systems\n") && text.contains(&names.join(", ")), "{text}");
    for (name, root) in names.iter().zip(roots) {
        let named = format!("{file}#{name}");
        let part = json(&["inspect", &named]);
        assert_eq!((&part["root"], &part["sections"]), (root, &whole["sections"]));
        assert_eq!((&part["digest"], &part["file_bytes"]), (&whole["digest"], &whole["file_bytes"]));
        assert_eq!(&json(&["verify", &named])["root"], root);
        let converted = json(&["convert", &named, &one]);
        assert_eq!((&converted["root"], &converted["file_bytes"]), (root, &fs::metadata(&one).unwrap().len().into()));
        assert_eq!(json(&["inspect", &one])["names"], serde_json::json!([name]));
    }
}
