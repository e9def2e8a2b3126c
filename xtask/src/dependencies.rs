//! What we build on: licences, sources, and a reason for each in docs/dependencies.md.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use fs_err as fs;
use serde_json::Value;

use crate::{process, workspace};

/// Licences that ask for no more than ours do.
const LICENCES: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "CC0-1.0",
    "Unlicense",
    "Unicode-3.0",
    "0BSD",
];

/// Fails for a dependency with another licence, from elsewhere than the registry, or without its reason.
pub fn check() -> Result<()> {
    let metadata = process::output(&mut process::cargo(["metadata", "--format-version=1", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let reasons = fs::read_to_string(workspace::file("docs/dependencies.md"))?;
    let mut found = BTreeSet::new();
    for package in packages {
        let name = package["name"].as_str().context("a package without a name")?;
        let licence = package["license"].as_str().unwrap_or("no licence");
        if !is_permitted(licence) {
            found.insert(format!("{name} has the licence {licence}"));
        }
        match package["source"].as_str() {
            Some(source) if source.starts_with("registry+") => {}
            Some(source) => drop(found.insert(format!("{name} comes from {source}"))),
            None => found.extend(without_reason(package, &reasons)),
        }
    }
    if !found.is_empty() {
        bail!("{}", found.into_iter().collect::<Vec<_>>().join("; "));
    }
    Ok(())
}

/// Can the expression be satisfied with [`LICENCES`]? "/" is the old spelling of "OR".
fn is_permitted(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], "").replace('/', " OR ");
    let one_of = |choices: &str| choices.split(" OR ").any(|licence| LICENCES.contains(&licence.trim()));
    flat.split(" AND ").all(one_of)
}

/// Direct dependencies of one of our crates that the page gives no reason for.
fn without_reason(package: &Value, reasons: &str) -> Vec<String> {
    let used = package["dependencies"].as_array().into_iter().flatten();
    let foreign =
        used.filter(|dependency| dependency["path"].is_null()).filter_map(|dependency| dependency["name"].as_str());
    let unexplained = foreign.filter(|name| !reasons.contains(&format!("`{name}`")));
    unexplained.map(|name| format!("docs/dependencies.md does not say why {name} is used")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_needs_one_permitted_licence() {
        assert!(is_permitted("MIT OR Apache-2.0 OR LGPL-2.1-or-later"));
        assert!(is_permitted("MIT/Apache-2.0"));
    }

    #[test]
    fn a_sum_needs_all_of_its_licences() {
        assert!(is_permitted("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!is_permitted("MIT AND GPL-3.0-only"));
    }

    #[test]
    fn copyleft_and_silence_are_not_permitted() {
        assert!(!is_permitted("GPL-2.0-or-later"));
        assert!(!is_permitted("no licence"));
    }
}
