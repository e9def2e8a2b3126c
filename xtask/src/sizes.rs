//! The size ledger: bytes of firn files against today's way, committed, so that a change of ratio shows in review.

mod deltas;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;
use serde_json::Value;

use crate::{install, process, workspace};

const PAGE: &str = "docs/sizes.md";
/// Folders of the checkout that hold closures.
const FOLDERS: [&str; 2] = ["tests/closures", "examples"];
const HEAD: &str = "# Sizes

Whole files in bytes, of real closures of `.drv` files with all their sources. `cargo xtask sizes` writes this page, with
`--closures DIR` for more than those of the checkout, whose rows `cargo xtask test` compares. *gzip* is `gzip -9` and *xz*
`xz -9e` of the stream of `nix-store --export`; B/drv is what the sections `derivations` and `hashes` cost a derivation.
Dictionary 1 was made from two of these closures, ekaos and minimal-2019-12; [what it gives strangers](design/dictionary.md).

| closure | export | gzip | xz | firn | gzip / firn | xz / firn | names | sources | hashes | derivations | B/drv |
|---|---|---|---|---|---|---|---|---|---|---|---|
";

/// Builds the developer's firn for [`run`].
pub fn build() -> Result<PathBuf> {
    process::quiet(&mut process::cargo(["build", "--release", "--locked", "--quiet", "--package", "firn"]))?;
    Ok(workspace::file("target/release/firn"))
}

/// One line of a table.
struct Row {
    /// Where in the table it stands.
    order: String,
    /// What the line begins with: what was measured.
    key: String,
    text: String,
}

/// Writes the ledger by any firn of this checkout, or only compares the rows of the checkout's own closures.
pub fn run(firn: &Path, closures: Option<&Path>, check: bool) -> Result<()> {
    let old = fs::read_to_string(workspace::file(PAGE)).unwrap_or_default();
    let (old_wholes, old_deltas) = old.split_once(deltas::TITLE).unwrap_or((&old, ""));
    let mut files: HashMap<String, PathBuf> = HashMap::new();
    for folder in FOLDERS.map(workspace::file).iter().map(PathBuf::as_path).chain(closures) {
        files.extend(exports(folder)?.into_iter().map(|file| (name(&file), file)));
    }
    let folder = workspace::file("target/sizes");
    fs::create_dir_all(&folder)?;
    let mut names: Vec<&String> = files.keys().collect();
    names.sort();
    let mut wholes = Vec::new();
    for name in names {
        let key = format!("| {name} |");
        let known = old_wholes.lines().find(|line| line.starts_with(&key));
        let text = row(firn, &files[name], name, known, &folder, check)?;
        println!("{text}");
        wholes.push(Row { order: name.clone(), key, text });
    }
    let mut deltas = deltas::rows(firn, &files, &folder, old_deltas, check)?;
    if check {
        let stale = wholes.iter().chain(&deltas).filter(|row| !old.lines().any(|line| line == row.text));
        let stale: Vec<_> = stale.map(|row| row.key.trim_matches([' ', '|'])).collect();
        ensure!(stale.is_empty(), "{PAGE} is stale for {}: run `cargo xtask sizes`", stale.join(", "));
    }
    // Rows of closures that are not at hand stay.
    keep(&mut wholes, old_wholes, |line| line.split(" | ").next().map(|name| name.trim_start_matches("| ").to_owned()));
    keep(&mut deltas, old_deltas, deltas::order);
    if !check {
        let lines = |rows: &[Row]| rows.iter().map(|row| format!("{}\n", row.text)).collect::<String>();
        let text = [HEAD, &lines(&wholes), &deltas::head(), &lines(&deltas)].concat();
        fs::write(workspace::file(PAGE), text)?;
    }
    deltas::check_budgets(&deltas)
}

/// Adds the old rows that were not made again.
fn keep(rows: &mut Vec<Row>, old: &str, order: impl Fn(&str) -> Option<String>) {
    for line in old.lines().filter(|line| line.starts_with("| ") && line.contains("**")) {
        if !rows.iter().any(|row| line.starts_with(&row.key))
            && let Some(order) = order(line)
        {
            rows.push(Row { order, key: line.to_owned(), text: line.to_owned() });
        }
    }
    rows.sort_by(|a, b| a.order.cmp(&b.order));
}

/// The numbers in the cells of a row.
fn numbers(line: &str) -> Vec<Option<u64>> {
    let cells = line.trim_matches('|').split('|');
    cells.map(|cell| cell.trim().trim_matches('*').replace(',', "").parse().ok()).collect()
}

fn exports(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".export.zst") {
            files.push(path);
        }
    }
    Ok(files)
}

fn name(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.trim_end_matches(".export.zst").to_owned()
}

fn row(firn: &Path, file: &Path, name: &str, old: Option<&str>, folder: &Path, check: bool) -> Result<String> {
    let packed = folder.join(format!("{name}.firn"));
    process::quiet(process::command(firn, ["convert", "--quiet"]).args([file, packed.as_path()]))?;
    let report = process::output(process::command(firn, ["inspect", "--json"]).arg(&packed))?;
    let report: Value = serde_json::from_str(&report)?;
    let bytes = fs::metadata(&packed)?.len();
    let section = |wanted: &str| -> u64 {
        let sections = report["sections"].as_array().map(Vec::as_slice).unwrap_or_default();
        sections.iter().find(|s| s["name"] == wanted).and_then(|s| s["bytes"].as_u64()).unwrap_or(0)
    };
    let derivations = report["derivations"].as_u64().context("inspect --json has no count of derivations")?;
    // What stock tools give does not change: only measured where the page does not have it.
    let known = old.map(numbers).unwrap_or_default();
    let [export, gzip, xz] = match known.as_slice() {
        [_, Some(export), Some(gzip), Some(xz), ..] => [*export, *gzip, *xz],
        _ if check => bail!("{PAGE} has no row for {name}: run `cargo xtask sizes`"),
        _ => stock(firn, file, folder)?,
    };
    let ratio = |stock: u64| format!("{:.2}", stock as f64 / bytes as f64);
    let coded = section("derivations") + section("hashes");
    Ok(format!(
        "| {name} | {} | {} | {} | **{}** | {} | {} | {} | {} | {} | {} | {:.1} |",
        commas(export),
        commas(gzip),
        commas(xz),
        commas(bytes),
        ratio(gzip),
        ratio(xz),
        commas(section("source-names")),
        commas(section("sources")),
        commas(section("hashes")),
        commas(section("derivations")),
        coded as f64 / derivations.max(1) as f64,
    ))
}

/// Bytes of the export, and of it under gzip -9 and xz -9e.
fn stock(firn: &Path, file: &Path, folder: &Path) -> Result<[u64; 3]> {
    install::provide(&[install::Need { program: "xz", package: "xz-utils", why: "to compare sizes with it" }])?;
    let export = folder.join("stock.export");
    process::quiet(process::command(firn, ["convert", "--quiet"]).args([file, export.as_path()]))?;
    let count = |program: &str| -> Result<u64> {
        let line = format!("{program} -c {} | wc -c", export.display());
        Ok(process::output(&mut process::command("sh", ["-c", &line]))?.trim().parse()?)
    };
    Ok([fs::metadata(&export)?.len(), count("gzip -9n")?, count("xz -9e -T1")?])
}

fn commas(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
