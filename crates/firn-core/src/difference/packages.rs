//! Packages and their versions, as nvd and dix made them known.

use super::{Difference, name::parse_name, side::Side, tell::is_package, translate::is_fixed};
use crate::derivation::Derivation;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io,
};

/// A package whose versions are not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackageChange {
    /// Name without version.
    pub name: String,
    /// Versions that were, oldest first; none for a package that is added.
    pub old: Vec<String>,
    /// Versions that come; none for one that is removed.
    pub new: Vec<String>,
    /// Whether the system was asked for it by name: `environment.systemPackages`.
    pub selected: bool,
}

/// Packages that change, by name. What reaches the running system cannot be told from derivations: those with a version
/// are listed that are built, outputs taken together, without fetched sources and patches, hooks, and the steps to the
/// compiler. Those that the system was asked for are marked.
pub fn packages(difference: &Difference<'_>) -> io::Result<Vec<PackageChange>> {
    let (old, new) = (difference.old, difference.new);
    let paired = |of: fn(&super::Pair) -> usize| difference.pairs.iter().map(of);
    let changed_old = paired(|pair| pair.old).chain(difference.removed.iter().copied()).map(|n| old.name(n));
    let changed_new = paired(|pair| pair.new).chain(difference.added.iter().copied()).map(|n| new.name(n));
    let names: HashSet<&str> = changed_old.chain(changed_new).collect();
    // Where a name with its version is on both sides, no version came or went.
    let families: HashSet<&str> =
        names.into_iter().filter(|name| is_package(name)).map(|name| parse_name(name).0).collect();
    let mut found: BTreeMap<&str, [BTreeSet<Version<'_>>; 2]> = BTreeMap::new();
    for (place, side) in [old, new].into_iter().enumerate() {
        for number in (0..side.len()).filter(|n| !side.roots().contains(n)) {
            let name = side.name(number);
            let (family, version) = parse_name(name);
            if families.contains(family) && is_package(name) && !is_fixed(&side.text(number)?) {
                found.entry(family).or_default()[place].insert(Version(version));
            }
        }
    }
    let selected: HashSet<String> = selected(old)?.into_iter().chain(selected(new)?).collect();
    Ok(found
        .into_iter()
        .map(|(name, [old, new])| (name, whole(&old), whole(&new)))
        .filter(|(_, old, new)| old != new)
        .map(|(name, old, new)| PackageChange { name: name.to_owned(), old, new, selected: selected.contains(name) })
        .collect())
}

/// Versions without those of parts: `4.19.76-modules` beside `4.19.76`.
fn whole(versions: &BTreeSet<Version<'_>>) -> Vec<String> {
    let is_part = |version: &str| {
        let dashes = version.match_indices('-').map(|(at, _)| at);
        let mut of_word = dashes.filter(|at| version[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic()));
        of_word.any(|at| versions.contains(&Version(&version[..at])))
    };
    versions.iter().map(|version| version.0).filter(|version| !is_part(version)).map(str::to_owned).collect()
}

/// Names without version of what `system-path` is made of.
fn selected(side: &Side<'_>) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for number in (0..side.len()).filter(|n| side.name(*n) == "system-path") {
        let drv = Derivation::parse(&side.text(number)?).unwrap_or_default();
        let listed = [b"pkgs".as_slice(), b"chosenOutputs", b"paths", b"__json"].iter().find_map(|key| drv.env(key));
        let text = String::from_utf8_lossy(listed.unwrap_or_default());
        for path in text.split(['"', ' ', '\n']) {
            if let Ok(path) = side.store_dir().parse(path.as_bytes()) {
                names.push(parse_name(path.name()).0.to_owned());
            }
        }
    }
    Ok(names)
}

/// A version, ordered as Nix does it where that matters here: by its numbers.
#[derive(PartialEq, Eq)]
struct Version<'a>(&'a str);

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let parts = |text: &'_ str| -> Vec<(u64, String)> {
            text.split(['.', '-', '_', '+'])
                .map(|part| {
                    let digits = part.bytes().take_while(u8::is_ascii_digit).count();
                    (part[..digits].parse().unwrap_or(0), part[digits..].to_owned())
                })
                .collect()
        };
        parts(self.0).cmp(&parts(other.0)).then_with(|| self.0.cmp(other.0))
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
