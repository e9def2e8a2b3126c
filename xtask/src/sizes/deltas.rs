//! Rows of deltas: pairs of closures, what they may cost, and what stock tools make of the same two streams.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use fs_err as fs;

use super::{Row, commas, numbers};
use crate::{install, process};

pub(super) const TITLE: &str = "## Deltas";
const XDELTA3: &str = "xdelta3 -e -c -9 -S lzma -B 134217728 -W 16777216 -I 0 -s OLD NEW";
const ZSTD: &str = "zstd -c -q --ultra -22 --long=31 --single-thread --patch-from=OLD NEW";

/// What stands before the rows.
pub(super) fn head() -> String {
    format!(
        "
{TITLE}

`firn convert --base OLD NEW` of pairs of these closures; *part* is whole / delta. `cargo xtask sizes` fails where a delta has more
bytes than its budget, or than the whole file. Budgets with an aim are of single pairs, the others a part of the whole file: 1/13 for
one to three months of a branch, 1/25 within it for a web server, 1/10 for another host of the release, 1/2 across releases. The last two
columns are of the streams of `nix-store --export` themselves (– has yet to be measured):

    {XDELTA3}
    {ZSTD}

| from | to | whole | delta | part | budget | aim | xdelta3 | zstd |
|---|---|---|---|---|---|---|---|---|
"
    )
}

/// What a delta may cost.
#[derive(Clone, Copy)]
enum Budget {
    /// Bytes at most, and what is aimed at.
    Bytes(u64, u64),
    /// The whole file divided by this.
    Part(u64),
    None,
}

const WEB: &str = "nixos-19.09-web-2019-12";
const WEB_OLD: &str = "nixos-19.09-web-2019-10";
const WEB_RENAMED: &str = "nixos-19.09-web-2019-12-renamed";
const WEB_JQ: &str = "nixos-19.09-web-2019-12-plus-jq";
const MINIMAL: &str = "nixos-19.09-minimal-2019-12";
const MINIMAL_OLD: &str = "nixos-19.09-minimal-2019-10";
const FLAKE: &str = "nixos-19.09-flake-web-2019-12";
const FLAKE_OLD: &str = "nixos-19.09-flake-web-2019-10";
const DESKTOP: &str = "nixos-19.09-desktop-2019-12";
const EKAOS: &str = "ekaos-minimal-2026-08";

const PAIRS: [(&str, &str, Budget); 16] = [
    (WEB, WEB_RENAMED, Budget::Bytes(1_000, 500)),
    (WEB, WEB_JQ, Budget::Bytes(1_700, 1_200)),
    (WEB_OLD, WEB, Budget::Bytes(25_500, 22_000)),
    (MINIMAL_OLD, MINIMAL, Budget::Bytes(14_500, 12_500)),
    (FLAKE_OLD, FLAKE, Budget::Bytes(310_000, 250_000)),
    // Within a branch.
    (WEB_JQ, WEB_RENAMED, Budget::Part(25)),
    (WEB_OLD, WEB_JQ, Budget::Part(13)),
    (WEB, WEB_OLD, Budget::Part(13)),
    // Another host of the release.
    (WEB, MINIMAL, Budget::Part(10)),
    (DESKTOP, WEB, Budget::Part(10)),
    (FLAKE, WEB, Budget::Part(10)),
    // With much that the base has not.
    (MINIMAL, WEB, Budget::None),
    (WEB, DESKTOP, Budget::None),
    // Across releases, and systems that are relatives.
    (MINIMAL, EKAOS, Budget::None),
    (EKAOS, MINIMAL, Budget::None),
    (DESKTOP, EKAOS, Budget::None),
];

/// Rows of the pairs that are at hand, in the order of all.
pub(super) fn rows(
    firn: &Path,
    files: &HashMap<String, PathBuf>,
    folder: &Path,
    old: &str,
    check: bool,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (number, (from, to, budget)) in PAIRS.into_iter().enumerate() {
        let key = format!("| {from} | {to} |");
        let (Some(base), Some(new)) = (files.get(from), files.get(to)) else { continue };
        let delta = folder.join("delta.firn");
        process::quiet(process::command(firn, ["convert", "--quiet", "--base"]).args([base, new, &delta]))?;
        let bytes = fs::metadata(&delta)?.len();
        let whole = fs::metadata(folder.join(format!("{to}.firn")))?.len();
        // As for whole files: only measured where the page does not have it.
        let known = old.lines().find(|line| line.starts_with(&key)).map(numbers).unwrap_or_default();
        let [xdelta3, zstd] = match known.as_slice() {
            [.., Some(xdelta3), Some(zstd)] => [commas(*xdelta3), commas(*zstd)],
            // Not measured yet.
            _ if check => ["–", "–"].map(str::to_owned),
            _ => stock(firn, base, new, folder)?.map(commas),
        };
        let (most, aim) = match budget {
            Budget::Bytes(most, aim) => (commas(most), commas(aim)),
            Budget::Part(part) => (commas(whole / part), String::new()),
            Budget::None => Default::default(),
        };
        let part = format!("{:.1}", whole as f64 / bytes as f64);
        let text = format!(
            "{key} {} | **{}** | {part} | {most} | {aim} | {} | {} |",
            commas(whole),
            commas(bytes),
            xdelta3,
            zstd
        );
        println!("{text}");
        rows.push(Row { order: format!("{number:02}"), key, text });
    }
    Ok(rows)
}

/// Where the row of a pair that is not at hand belongs; `None` where the pair is no longer one.
pub(super) fn order(line: &str) -> Option<String> {
    let place = PAIRS.iter().position(|(from, to, _)| line.starts_with(&format!("| {from} | {to} |")));
    place.map(|number| format!("{number:02}"))
}

/// Fails where a row has more bytes than its budget, or than the whole file.
pub(super) fn check_budgets(rows: &[Row]) -> Result<()> {
    let passed = rows.iter().filter_map(|row| {
        let numbers = numbers(&row.text);
        let [_, _, Some(whole), Some(bytes), _, budget, ..] = numbers.as_slice() else {
            return Some(row.text.as_str());
        };
        (*bytes > budget.unwrap_or(*whole)).then_some(row.text.as_str())
    });
    let passed: Vec<&str> = passed.collect();
    ensure!(passed.is_empty(), "deltas have more bytes than their budgets:\n{}", passed.join("\n"));
    Ok(())
}

/// Bytes that xdelta3 and zstd need for one export against the other.
fn stock(firn: &Path, base: &Path, new: &Path, folder: &Path) -> Result<[u64; 2]> {
    let need = |program| install::Need { program, package: program, why: "to compare deltas with what it makes" };
    install::provide(&[need("xdelta3"), need("zstd")])?;
    let export = |file: &Path, name: &str| -> Result<String> {
        let export = folder.join(name);
        process::quiet(process::command(firn, ["convert", "--quiet"]).args([file, &export]))?;
        Ok(export.display().to_string())
    };
    let (old, new) = (export(base, "old.export")?, export(new, "new.export")?);
    let count = |line: &str| -> Result<u64> {
        let line = line.replace("OLD", &old).replace("NEW", &new) + " | wc -c";
        Ok(process::output(&mut process::command("sh", ["-c", &line]))?.trim().parse()?)
    };
    Ok([count(XDELTA3)?, count(ZSTD)?])
}
