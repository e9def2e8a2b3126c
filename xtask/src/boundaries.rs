//! Which crate may depend on which, and the picture of it in docs/architecture.md.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;
use serde_json::Value;

use crate::{process, workspace};

const PAGE: &str = "docs/architecture.md";
const BEGIN: &str = "<!-- drawn by `cargo xtask generate` -->\n";
const END: &str = "<!-- end of the drawing -->\n";

/// Each crate and the crates of ours that it may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("firn-core", &[]),
    ("firn-store", &["firn-core"]),
    ("firn-activate", &["firn-core"]),
    ("firn", &["firn-core", "firn-store", "firn-activate"]),
    ("xtask", &["firn"]),
];

/// Crates that reach a file, a network, a process, a clock or a terminal: firn-core gets its readers and
/// writers from outside.
const IMPURE: &[&str] = &["fs-err", "rustix", "tempfile", "rusqlite", "clap", "indicatif", "tracing", "time", "tokio"];

/// The crates of the workspace, each with everything that it depends on outside of tests.
type Graph = BTreeMap<String, BTreeSet<String>>;

fn graph() -> Result<Graph> {
    let metadata = process::output(&mut process::cargo(["metadata", "--format-version=1", "--no-deps", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let name = |value: &Value| value["name"].as_str().map(str::to_owned).context("a package without a name");
    let mut graph = Graph::new();
    for package in packages {
        let dependencies = package["dependencies"].as_array().context("a package without dependencies")?;
        let used = dependencies.iter().filter(|dependency| dependency["kind"] != "dev");
        graph.insert(name(package)?, used.map(name).collect::<Result<_>>()?);
    }
    Ok(graph)
}

/// Fails if a crate depends on one that it must not know.
pub fn check() -> Result<()> {
    violations(&graph()?).map_or(Ok(()), |found| bail!("{found}"))
}

fn violations(graph: &Graph) -> Option<String> {
    let mut found = Vec::new();
    for (name, dependencies) in graph {
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| known == name) else {
            found.push(format!("{name} is a new crate: say in xtask/src/boundaries.rs what it may depend on"));
            continue;
        };
        let ours = dependencies.iter().filter(|other| graph.contains_key(*other));
        found.extend(
            ours.filter(|other| !allowed.contains(&other.as_str()))
                .map(|other| format!("{name} must not depend on {other}")),
        );
        if name == "firn-core" {
            let impure = dependencies.iter().filter(|other| IMPURE.contains(&other.as_str()));
            found.extend(impure.map(|other| format!("{name} is pure and must not depend on {other}")));
        }
    }
    (!found.is_empty()).then(|| found.join("; "))
}

/// The page with the picture as the manifests have it now.
pub fn page() -> Result<Vec<(String, String)>> {
    let page = fs::read_to_string(workspace::file(PAGE))?;
    let begin =
        page.find(BEGIN).map(|at| at + BEGIN.len()).context("docs/architecture.md has lost its drawing marks")?;
    let end = page.find(END).context("docs/architecture.md has lost its drawing marks")?;
    ensure!(begin <= end, "docs/architecture.md has its drawing marks in the wrong order");
    let (before, after) = (page.get(..begin).unwrap_or_default(), page.get(end..).unwrap_or_default());
    Ok(vec![(PAGE.to_owned(), format!("{before}{}{after}", picture(&graph()?)))])
}

fn picture(graph: &Graph) -> String {
    let mut lines = vec!["```mermaid".to_owned(), "graph TD".to_owned()];
    for (name, dependencies) in graph {
        lines.push(format!("    {name}"));
        let ours = dependencies.iter().filter(|other| graph.contains_key(*other));
        lines.extend(ours.map(|other| format!("    {name} --> {other}")));
    }
    lines.push("```\n".to_owned());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &[&str])]) -> Graph {
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        edges.iter().map(|(name, uses)| (name.to_string(), owned(uses))).collect()
    }

    #[test]
    fn a_core_that_knows_the_store_is_a_violation() {
        let found = violations(&graph(&[("firn-core", &["firn-store"]), ("firn-store", &[])]));
        assert_eq!(found.as_deref(), Some("firn-core must not depend on firn-store"));
    }

    #[test]
    fn a_core_that_reads_files_is_a_violation() {
        let found = violations(&graph(&[("firn-core", &["fs-err", "sha2"])]));
        assert_eq!(found.as_deref(), Some("firn-core is pure and must not depend on fs-err"));
    }

    #[test]
    fn an_unknown_crate_has_to_be_placed() {
        assert!(
            violations(&graph(&[("firn-extra", &[])])).is_some_and(|found| found.contains("firn-extra is a new crate"))
        );
    }

    #[test]
    fn the_picture_shows_only_our_own_crates() {
        let drawn = picture(&graph(&[("firn-core", &["sha2"]), ("firn-store", &["firn-core"])]));
        assert_eq!(drawn, "```mermaid\ngraph TD\n    firn-core\n    firn-store\n    firn-store --> firn-core\n```\n");
    }
}
