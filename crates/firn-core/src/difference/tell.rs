//! What a derivation is to a person, and what of its text changed.

use super::{
    called,
    name::parse_name,
    side::Side,
    translate::{Translation, is_fixed},
};
use crate::derivation::Derivation;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    io,
};

/// What a derivation is to a person, judged by its name and place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A unit of systemd: `unit-NAME`.
    Unit,
    /// A file of /etc: what the derivation `etc` refers to.
    File,
    /// Something with a version that is built.
    Package,
    /// Something with a fixed output: a source, a patch.
    Fetched,
    /// The rest: scripts, wrappers, parts of the system.
    Part,
}

/// Tells kinds of derivations.
pub struct Kinds<'a> {
    side: &'a Side<'a>,
    files: HashSet<usize>,
    /// Paths below /etc, where they are told.
    targets: HashMap<usize, Vec<String>>,
}

impl<'a> Kinds<'a> {
    /// Looks for what `etc` refers to; that of a specialisation is no /etc of the system itself.
    pub fn new(side: &'a Side<'a>) -> io::Result<Self> {
        let mut kinds = Self { side, files: HashSet::new(), targets: HashMap::new() };
        let own = own(side);
        for etc in own.into_iter().filter(|number| side.name(*number) == "etc") {
            let told = called::files_of_etc(&Derivation::parse(&side.text(etc)?).unwrap_or_default());
            // The path in the store, without what of it is taken.
            let start = side.store_dir().as_str().len() + 1;
            let mut targets: HashMap<Vec<u8>, Vec<String>> = HashMap::new();
            for (mut source, target) in told {
                let end = source.iter().skip(start).position(|byte| *byte == b'/');
                source.truncate(end.map_or(usize::MAX, |end| start + end));
                targets.entry(source).or_default().push(target);
            }
            for number in side.inputs(etc) {
                kinds.files.insert(*number);
                let drv = Derivation::parse(&side.text(*number)?).unwrap_or_default();
                for output in drv.outputs {
                    kinds.targets.entry(*number).or_default().extend(targets.remove(&output.path).unwrap_or_default());
                }
            }
        }
        Ok(kinds)
    }

    /// What people call a derivation: a unit as systemd does, a file of /etc by its path there.
    pub fn called(&self, number: usize) -> io::Result<String> {
        /// Paths of one derivation that are named.
        const MOST: usize = 3;
        let name = self.side.name(number);
        let targets = self.targets.get(&number).map_or(&[][..], Vec::as_slice);
        Ok(match self.of(number)? {
            Kind::Unit => {
                let drv = Derivation::parse(&self.side.text(number)?).unwrap_or_default();
                let plain = name.strip_prefix("unit-").unwrap_or(name);
                match called::unit(&drv) {
                    Some(unit) if plain.ends_with("-disabled") => format!("{unit} (disabled)"),
                    Some(unit) => unit,
                    None => plain.to_owned(),
                }
            }
            Kind::File if targets.len() > MOST => {
                format!("{} and {} more", targets[..MOST].join(", "), targets.len() - MOST)
            }
            Kind::File if !targets.is_empty() => targets.join(", "),
            Kind::File => name.strip_prefix("etc-").unwrap_or(name).to_owned(),
            _ => name.to_owned(),
        })
    }

    /// The kind of a derivation.
    pub fn of(&self, number: usize) -> io::Result<Kind> {
        let name = self.side.name(number);
        Ok(if name.starts_with("unit-") && !name.starts_with("unit-script-") {
            Kind::Unit
        } else if is_fixed(&self.side.text(number)?) {
            Kind::Fetched
        } else if !self.side.roots().contains(&number) && is_package(name) {
            Kind::Package
        } else if self.files.contains(&number)
            && !name.starts_with("stdenv")
            && !name.ends_with("-units")
            && name != "system-path"
        {
            Kind::File
        } else {
            Kind::Part
        })
    }
}

/// What the roots lead to, in order of numbers, but not through another system.
fn own(side: &Side<'_>) -> BTreeSet<usize> {
    let (mut stack, mut own) = (side.roots().to_vec(), BTreeSet::new());
    while let Some(number) = stack.pop() {
        if own.insert(number) {
            let inputs = side.inputs(number).iter();
            stack.extend(inputs.filter(|input| !side.name(**input).starts_with("nixos-system-")));
        }
    }
    own
}

/// Whether a name is that of a package: it has a version, and is neither a step to the compiler nor a hook of builds.
pub(super) fn is_package(name: &str) -> bool {
    let (family, version) = parse_name(name);
    version.starts_with(|c: char| c.is_ascii_digit())
        && !["unit-", "etc-", "bootstrap-", "nixos-system-"].iter().any(|start| name.starts_with(start))
        && ![".drv", ".patch", ".diff", ".conf", ".service", ".rules", ".sh"].iter().any(|end| name.ends_with(end))
        && !family.ends_with("-hook")
        && !family.ends_with("-stage")
        && !family.contains("-bootstrap")
}

/// A part of a derivation's text that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Name of a variable, or `system`, `builder`, `args`, `sources`, `inputs`, `outputs`.
    pub name: String,
    /// As it was, paths translated; absent where it is new.
    pub old: Option<Vec<u8>>,
    /// As it comes; absent where it is gone.
    pub new: Option<Vec<u8>>,
}

/// Compares two texts, the first translated, field by field.
pub(super) fn fields(translation: &Translation, old: &[u8], new: &[u8]) -> Vec<Field> {
    let field = |name: &str, old: Option<Vec<u8>>, new: Option<Vec<u8>>| Field { name: name.to_owned(), old, new };
    let (Ok(a), Ok(b)) = (Derivation::parse(&translation.text(old)), Derivation::parse(new)) else {
        return vec![field("text", Some(translation.text(old)), Some(new.to_vec()))];
    };
    let (a, b) = (Parts::new(a), Parts::new(b));
    let mut names: Vec<&String> = a.0.keys().chain(b.0.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter(|name| a.0.get(*name) != b.0.get(*name))
        .map(|name| field(name, a.0.get(name).cloned(), b.0.get(name).cloned()))
        .collect()
}

/// A derivation by fields, each as lines.
struct Parts(BTreeMap<String, Vec<u8>>);

impl Parts {
    fn new(drv: Derivation) -> Self {
        let outputs: Vec<Vec<u8>> =
            drv.outputs.iter().map(|o| [&o.name, &o.algorithm, &o.hash].map(|f| f.as_slice()).join(&b' ')).collect();
        let mut inputs: Vec<Vec<u8>> = drv.inputs.into_iter().map(|input| input.path).collect();
        inputs.sort();
        let own: Vec<Vec<u8>> = drv.outputs.into_iter().map(|output| output.name).collect();
        let mut parts = BTreeMap::new();
        for (name, lines) in [("inputs", inputs), ("sources", drv.sources), ("args", drv.args), ("outputs", outputs)] {
            parts.insert(name.to_owned(), lines.join(&b'\n'));
        }
        parts.insert("system".to_owned(), drv.system);
        parts.insert("builder".to_owned(), drv.builder);
        for (key, value) in drv.env.into_iter().filter(|(key, _)| !own.contains(key)) {
            let key = String::from_utf8_lossy(&key).into_owned();
            // Variables that repeat a field of this name.
            if parts.get(&key) != Some(&value) {
                parts.insert(if parts.contains_key(&key) { format!("env.{key}") } else { key }, value);
            }
        }
        Self(parts)
    }
}
