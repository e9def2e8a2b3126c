//! Pages that are made by a program, and the check that none of them is stale.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use fs_err as fs;

use crate::suites::survival;
use crate::{boundaries, process, workspace};

/// Gives files as path below the checkout and text. A page that is only partly generated is read first.
type Generator = fn() -> Result<Vec<(String, String)>>;

/// All generators. What they give must depend on the checkout alone.
const GENERATORS: &[(&str, Generator)] = &[
    ("crate picture", boundaries::page),
    ("table of what survives what", survival::page),
    ("pages of the command line", command_line),
];

/// Writes every generated page that differs from the one in the checkout; with `check`, fails instead.
pub fn generate(check: bool) -> Result<()> {
    let mut stale = Vec::new();
    for (name, generator) in GENERATORS {
        for (path, text) in generator().with_context(|| format!("generate the {name}"))? {
            let file = workspace::file(&path);
            if fs::read_to_string(&file).is_ok_and(|current| current == text) {
                continue;
            }
            if !check {
                fs::create_dir_all(file.parent().unwrap_or(&file))?;
                fs::write(&file, text)?;
                eprintln!("wrote {path}");
            }
            stale.push(path);
        }
    }
    if check && !stale.is_empty() {
        bail!("stale, run `cargo xtask generate`: {}", stale.join(", "));
    }
    Ok(())
}

/// docs/cli.md, man pages and completions, from the command line as the firn crate has it.
fn command_line() -> Result<Vec<(String, String)>> {
    let pages = process::output(&mut process::cargo([
        "run",
        "--quiet",
        "--locked",
        "--package",
        "firn",
        "--example",
        "pages",
    ]))?;
    let pages: BTreeMap<String, String> = serde_json::from_str(&pages)?;
    Ok(pages.into_iter().collect())
}
