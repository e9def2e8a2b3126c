//! One of the two closures: its derivations, and how they refer to each other.

use super::name::parse_name;
use crate::{Blob, Node, ProvenPath, Spool, StoreDir, StorePath};
use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    io,
};

/// Derivations of one closure, numbered.
pub struct Side<'a> {
    store_dir: StoreDir,
    spool: &'a dyn Spool,
    derivations: Vec<Entry>,
    index: HashMap<StorePath, usize>,
    roots: Vec<usize>,
    sources: BTreeSet<StorePath>,
}

struct Entry {
    path: StorePath,
    text: Blob,
    inputs: Vec<usize>,
}

/// The derivations, from the roots down by names: two systems that are much alike have them in much the same order, so that
/// of several that are as likely the one at the same place is taken.
fn from_the_roots<'p>(roots: &[StorePath], paths: &'p [ProvenPath]) -> Vec<&'p ProvenPath> {
    let derivations = paths.iter().filter(|path| path.is_derivation());
    let by_path: HashMap<&StorePath, &ProvenPath> = derivations.map(|path| (path.path(), path)).collect();
    let by_name = |path: &&'p ProvenPath| (path.path().name(), path.path());
    let mut rest: Vec<&ProvenPath> = by_path.values().copied().collect();
    rest.sort_by_key(by_name);
    rest.reverse();
    rest.extend(roots.iter().rev().filter_map(|root| by_path.get(root)));
    let (mut seen, mut order) = (HashSet::with_capacity(rest.len()), Vec::with_capacity(rest.len()));
    while let Some(path) = rest.pop() {
        if !seen.insert(path.path()) {
            continue;
        }
        order.push(path);
        let mut inputs: Vec<&ProvenPath> =
            path.references().iter().filter_map(|input| by_path.get(input).copied()).collect();
        inputs.sort_by_key(by_name);
        rest.extend(inputs.into_iter().rev());
    }
    order
}

impl<'a> Side<'a> {
    /// Takes the derivations among `paths`, whose order means nothing; what they refer to and is no derivation counts as a source.
    pub fn new(store_dir: &StoreDir, roots: &[StorePath], paths: &[ProvenPath], spool: &'a dyn Spool) -> Self {
        let mut derivations = Vec::new();
        let mut references: Vec<&[StorePath]> = Vec::new();
        for path in from_the_roots(roots, paths) {
            let Node::Regular { contents, .. } = path.content() else { continue };
            derivations.push(Entry { path: path.path().clone(), text: *contents, inputs: Vec::new() });
            references.push(path.references());
        }
        let index: HashMap<StorePath, usize> =
            derivations.iter().enumerate().map(|(number, entry)| (entry.path.clone(), number)).collect();
        let mut sources = BTreeSet::new();
        for (entry, references) in derivations.iter_mut().zip(references) {
            for reference in references {
                match index.get(reference) {
                    Some(number) => entry.inputs.push(*number),
                    None => _ = sources.insert(reference.clone()),
                }
            }
        }
        let roots = roots.iter().filter_map(|root| index.get(root).copied()).collect();
        Self { store_dir: store_dir.clone(), spool, derivations, index, roots, sources }
    }

    /// The directory of all paths.
    pub fn store_dir(&self) -> &StoreDir {
        &self.store_dir
    }

    /// Number of derivations.
    pub fn len(&self) -> usize {
        self.derivations.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.derivations.is_empty()
    }

    /// Numbers of the roots.
    pub fn roots(&self) -> &[usize] {
        &self.roots
    }

    /// Paths that derivations refer to and that are none.
    pub fn sources(&self) -> &BTreeSet<StorePath> {
        &self.sources
    }

    /// Path of a derivation.
    pub fn path(&self, number: usize) -> &StorePath {
        &self.derivations[number].path
    }

    /// Its name without `.drv`.
    pub fn name(&self, number: usize) -> &str {
        let name = self.path(number).name();
        name.strip_suffix(".drv").unwrap_or(name)
    }

    /// Its name without version.
    pub fn family(&self, number: usize) -> &str {
        parse_name(self.name(number)).0
    }

    /// Its text.
    pub fn text(&self, number: usize) -> io::Result<Vec<u8>> {
        self.spool.get(self.derivations[number].text)
    }

    /// Derivations that it refers to.
    pub fn inputs(&self, number: usize) -> &[usize] {
        &self.derivations[number].inputs
    }

    /// The number of a path.
    pub fn number(&self, path: &StorePath) -> Option<usize> {
        self.index.get(path).copied()
    }

    /// By number: who refers to it.
    pub fn referrers(&self) -> Vec<Vec<usize>> {
        let mut referrers = vec![Vec::new(); self.len()];
        for (number, entry) in self.derivations.iter().enumerate() {
            entry.inputs.iter().for_each(|input| referrers[*input].push(number));
        }
        referrers
    }

    /// The shortest way from a root to a derivation, both included; empty where none leads there.
    pub fn way(&self, to: usize) -> Vec<usize> {
        let mut before = vec![usize::MAX; self.len()];
        let mut queue: VecDeque<usize> = self.roots.iter().copied().collect();
        self.roots.iter().for_each(|root| before[*root] = *root);
        while let Some(from) = queue.pop_front() {
            for input in self.inputs(from) {
                if before[*input] == usize::MAX {
                    before[*input] = from;
                    queue.push_back(*input);
                }
            }
        }
        let mut way = Vec::new();
        let mut at = to;
        while before[at] != usize::MAX {
            way.push(at);
            if before[at] == at {
                way.reverse();
                return way;
            }
            at = before[at];
        }
        Vec::new()
    }
}
