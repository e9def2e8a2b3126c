//! The difference as data: what a person wants to know of it.

use super::lines::{Line, difference};
use firn_core::difference::{Difference, Field, Kind, Kinds, PackageChange, Pair, packages};
use firn_core::{StoreDir, StorePath};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

/// Everything that `firn diff` says. The fields are those of its JSON.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Version of this JSON: goes up when a field changes its meaning or goes away.
    pub version: u32,
    /// What was.
    pub old: Named,
    /// What comes.
    pub new: Named,
    /// Whether the roots are the same.
    pub equal: bool,
    /// Packages whose versions are not the same, by name.
    pub packages: Vec<Package>,
    /// Units of systemd whose own text changed, or that come or go.
    pub units: Vec<Item>,
    /// Files of /etc, likewise.
    pub files: Vec<Item>,
    /// Other derivations without a version, likewise.
    pub parts: Vec<Item>,
    /// Sources, by name.
    pub sources: Vec<SourceChange>,
    /// How many derivations change, and how.
    pub totals: Totals,
    /// Derivations whose own text changed, those first that change most others.
    pub causes: Vec<Causes>,
}

/// An end of the difference.
#[derive(Debug, Clone, Serialize)]
pub struct Named {
    /// As it was named.
    pub source: String,
    /// Its roots.
    pub roots: Vec<String>,
    /// Name of the first.
    pub name: String,
}

/// A package.
#[derive(Debug, Clone, Serialize)]
pub struct Package {
    /// Name without version.
    pub name: String,
    /// Versions that were; none for one that is added.
    pub old: Vec<String>,
    /// Versions that come; none for one that is removed.
    pub new: Vec<String>,
    /// Whether the system was asked for it by name.
    pub selected: bool,
}

/// A derivation whose text changed, or that comes or goes.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    /// Its name, for a unit or a file of /etc that of the unit or file.
    pub name: String,
    /// `changed`, `added` or `removed`.
    pub change: &'static str,
    /// What of its text changed.
    pub fields: Vec<FieldLines>,
}

/// A field that changed.
#[derive(Debug, Clone, Serialize)]
pub struct FieldLines {
    /// A variable, or `args`, `inputs`, `sources`.
    pub name: String,
    /// Lines with their mark.
    pub lines: Vec<Line>,
}

/// A source by its name.
#[derive(Debug, Clone, Serialize)]
pub struct SourceChange {
    /// Its name.
    pub name: String,
    /// Paths that were.
    pub old: Vec<String>,
    /// Paths that come.
    pub new: Vec<String>,
}

/// Numbers of derivations.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Totals {
    /// Of the new side.
    pub derivations: usize,
    /// The same on both sides.
    pub same: usize,
    /// Changed only by their inputs.
    pub by_inputs: usize,
    /// Units among these: a switch restarts them.
    pub units_by_inputs: usize,
    /// Whose own text changed.
    pub own: usize,
    /// That come.
    pub added: usize,
    /// That go.
    pub removed: usize,
}

/// A root cause.
#[derive(Debug, Clone, Serialize)]
pub struct Causes {
    /// Name that was.
    pub old: String,
    /// Name that comes.
    pub new: String,
    /// How many derivations change because of it.
    pub affects: usize,
    /// Fields of it that changed.
    pub fields: Vec<String>,
    /// Whether it only fetches, for something that is a cause itself.
    pub fetched: bool,
}

impl Report {
    /// Of two ends that were compared.
    pub(crate) fn new(ends: [Named; 2], difference: &Difference<'_>) -> io::Result<Self> {
        let (old_kinds, new_kinds) = (Kinds::new(difference.old)?, Kinds::new(difference.new)?);
        let mut items: BTreeMap<Kind, Vec<Item>> = BTreeMap::new();
        let mut add = |kinds: &Kinds<'_>, number, change, pair: Option<&Pair>| {
            let kind = kinds.of(number)?;
            if matches!(kind, Kind::Unit | Kind::File | Kind::Part) {
                let fields = pair.map_or(Ok(Vec::new()), |pair| difference.fields(pair))?;
                items.entry(kind).or_default().push(item(kinds.called(number)?, change, fields));
            }
            Ok::<_, io::Error>(())
        };
        for pair in difference.pairs.iter().filter(|pair| pair.own) {
            add(&new_kinds, pair.new, "changed", Some(pair))?;
        }
        for number in &difference.added {
            add(&new_kinds, *number, "added", None)?;
        }
        for number in &difference.removed {
            add(&old_kinds, *number, "removed", None)?;
        }
        let mut take = |kind| {
            let mut items: Vec<Item> = items.remove(&kind).unwrap_or_default();
            items.sort_by(|a, b| (&a.name, a.change).cmp(&(&b.name, b.change)));
            items
        };
        let own = difference.pairs.iter().filter(|pair| pair.own).count();
        let by_inputs = difference.pairs.iter().filter(|pair| !pair.own);
        let totals = Totals {
            derivations: difference.new.len(),
            same: difference.same(),
            by_inputs: difference.pairs.len() - own,
            units_by_inputs: by_inputs.filter(|pair| difference.new.name(pair.new).starts_with("unit-")).count(),
            own,
            added: difference.added.len(),
            removed: difference.removed.len(),
        };
        let [old, new] = ends;
        Ok(Self {
            version: 1,
            equal: old.roots == new.roots,
            old,
            new,
            packages: packages(difference)?.into_iter().map(Package::from).collect(),
            units: take(Kind::Unit),
            files: take(Kind::File),
            parts: take(Kind::Part),
            sources: source_changes(difference),
            causes: causes(difference, &new_kinds)?,
            totals,
        })
    }
}

impl From<PackageChange> for Package {
    fn from(change: PackageChange) -> Self {
        let PackageChange { name, old, new, selected } = change;
        Self { name, old, new, selected }
    }
}

impl Named {
    /// Of something with these roots.
    pub(crate) fn new(source: String, store_dir: &StoreDir, roots: &[StorePath]) -> Self {
        let name = roots.first().map_or("", |root| root.name());
        let name = name.strip_suffix(".drv").unwrap_or(name).to_owned();
        Self { source, roots: roots.iter().map(|root| store_dir.display(root)).collect(), name }
    }
}

/// Fields that say no more than others of the same derivation.
const REPEATED: [&str; 2] = ["inputs", "name"];

fn item(name: String, change: &'static str, mut fields: Vec<Field>) -> Item {
    if fields.iter().any(|field| !REPEATED.contains(&field.name.as_str())) {
        fields.retain(|field| !REPEATED.contains(&field.name.as_str()));
    }
    let lines = |field: Field| {
        let lines = difference(&field.old.unwrap_or_default(), &field.new.unwrap_or_default());
        FieldLines { name: field.name, lines }
    };
    Item { name, change, fields: fields.into_iter().map(lines).collect() }
}

fn source_changes(difference: &Difference<'_>) -> Vec<SourceChange> {
    let (old, new) = difference.sources();
    let mut names: BTreeMap<&str, [Vec<String>; 2]> = BTreeMap::new();
    for (place, side, paths) in [(0, difference.old, old), (1, difference.new, new)] {
        for path in paths {
            let name = path.get(firn_core::HASH_CHARS + 1..).unwrap_or(path);
            names.entry(name).or_default()[place].push(format!("{}/{path}", side.store_dir()));
        }
    }
    names.into_iter().map(|(name, [old, new])| SourceChange { name: name.to_owned(), old, new }).collect()
}

fn causes(difference: &Difference<'_>, kinds: &Kinds<'_>) -> io::Result<Vec<Causes>> {
    let (old, new) = (difference.old, difference.new);
    let own: BTreeSet<usize> = difference.pairs.iter().filter(|pair| pair.own).map(|pair| pair.new).collect();
    let for_another: BTreeSet<usize> = own.iter().flat_map(|number| new.inputs(*number)).copied().collect();
    let cause = |(pair, affects): (Pair, usize)| {
        Ok(Causes {
            old: old.name(pair.old).to_owned(),
            new: new.name(pair.new).to_owned(),
            affects,
            fields: difference.fields(&pair)?.into_iter().map(|field| field.name).collect(),
            fetched: for_another.contains(&pair.new) && kinds.of(pair.new)? == Kind::Fetched,
        })
    };
    difference.causes().into_iter().map(cause).collect()
}
