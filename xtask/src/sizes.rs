//! The size ledger: bytes of firn files against today's way, committed, so that a change of ratio shows in review.

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

/// Writes the ledger by any firn of this checkout, or only compares the rows of the checkout's own closures.
pub fn run(firn: &Path, closures: Option<&Path>, check: bool) -> Result<()> {
    let old = fs::read_to_string(workspace::file(PAGE)).unwrap_or_default();
    let mut files: Vec<PathBuf> =
        FOLDERS.iter().map(|f| exports(&workspace::file(f))).collect::<Result<Vec<_>>>()?.concat();
    files.extend(closures.map(exports).transpose()?.unwrap_or_default());
    files.sort_by_key(|file| name(file));
    files.dedup_by_key(|file| name(file));
    let mut rows: Vec<(String, String)> = Vec::new();
    for file in &files {
        let name = name(file);
        let row = row(firn, file, &name, old.lines().find(|line| line.starts_with(&format!("| {name} |"))), check)?;
        println!("{row}");
        rows.push((name, row));
    }
    if check {
        let stale: Vec<_> =
            rows.iter().filter(|(_, row)| !old.lines().any(|line| line == row)).map(|(n, _)| n.as_str()).collect();
        ensure!(stale.is_empty(), "{PAGE} is stale for {}: run `cargo xtask sizes`", stale.join(", "));
        return Ok(());
    }
    // Rows of closures that are not at hand stay.
    for line in old.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| closure")) {
        let name = line.split('|').nth(1).unwrap_or_default().trim().to_owned();
        if !rows.iter().any(|(other, _)| *other == name) {
            rows.push((name, line.to_owned()));
        }
    }
    rows.sort();
    let text = HEAD.to_owned() + &rows.iter().map(|(_, row)| format!("{row}\n")).collect::<String>();
    fs::write(workspace::file(PAGE), text)?;
    Ok(())
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

fn row(firn: &Path, file: &Path, name: &str, old: Option<&str>, check: bool) -> Result<String> {
    let folder = workspace::file("target/sizes");
    fs::create_dir_all(&folder)?;
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
    let cells: Vec<u64> = old
        .map(|line| {
            line.split('|').skip(2).take(3).filter_map(|cell| cell.trim().replace(',', "").parse().ok()).collect()
        })
        .unwrap_or_default();
    let [export, gzip, xz] = match cells.as_slice() {
        [export, gzip, xz] => [*export, *gzip, *xz],
        _ if check => bail!("{PAGE} has no row for {name}: run `cargo xtask sizes`"),
        _ => stock(firn, file, &folder)?,
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
