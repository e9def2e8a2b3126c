//! What differs between two closures of derivations: which is which on the other side, which changed by themselves and
//! which only because something below them did, and what packages that makes.
//!
//! Derivations that are in both closures are never read: equal paths have equal closures.

mod called;
mod name;
mod packages;
mod pairing;
mod side;
mod tell;
#[cfg(test)]
mod tests;
mod translate;

pub use name::parse_name;
pub use packages::{PackageChange, packages};
pub use side::Side;
pub use tell::{Field, Kind, Kinds};

use std::{collections::HashMap, io};
use translate::Translation;

/// A derivation of the old side and the one that took its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Number in the old side.
    pub old: usize,
    /// Number in the new side.
    pub new: usize,
    /// Whether its own text changed; else only its inputs did.
    pub own: bool,
}

/// The difference of two sides.
pub struct Difference<'a> {
    /// What was.
    pub old: &'a Side<'a>,
    /// What comes.
    pub new: &'a Side<'a>,
    /// Derivations that are not the same, by their number in the new side.
    pub pairs: Vec<Pair>,
    /// Numbers of those that only the old side has.
    pub removed: Vec<usize>,
    /// Numbers of those that only the new side has.
    pub added: Vec<usize>,
    translation: Translation,
}

impl<'a> Difference<'a> {
    /// Compares two sides.
    pub fn new(old: &'a Side<'a>, new: &'a Side<'a>) -> io::Result<Self> {
        let found = pairing::pair(old, new)?;
        let translation = Translation::new(old, new, &found)?;
        let mut pairs = Vec::with_capacity(found.len());
        for (a, b) in &found {
            let own = translation.own_text_differs(&old.text(*a)?, &new.text(*b)?);
            pairs.push(Pair { old: *a, new: *b, own });
        }
        pairs.sort_by_key(|pair| pair.new);
        let lonely = |side: &Side<'_>, other: &Side<'_>, paired: Vec<usize>| {
            let mut free = vec![true; side.len()];
            paired.into_iter().for_each(|number| free[number] = false);
            (0..side.len()).filter(|n| free[*n] && other.number(side.path(*n)).is_none()).collect()
        };
        let removed = lonely(old, new, pairs.iter().map(|pair| pair.old).collect());
        let added = lonely(new, old, pairs.iter().map(|pair| pair.new).collect());
        Ok(Self { old, new, pairs, removed, added, translation })
    }

    /// Number of derivations that are the same on both sides.
    pub fn same(&self) -> usize {
        self.new.len() - self.pairs.len() - self.added.len()
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty() && self.added.is_empty() && self.removed.is_empty()
    }

    /// What of a derivation's own text changed, paths of the old side translated to those that took their place.
    pub fn fields(&self, pair: &Pair) -> io::Result<Vec<Field>> {
        Ok(tell::fields(&self.translation, &self.old.text(pair.old)?, &self.new.text(pair.new)?))
    }

    /// The root causes: pairs whose own text changed, those first that change most others, and how many those are.
    pub fn causes(&self) -> Vec<(Pair, usize)> {
        let referrers = self.new.referrers();
        let mut seen = vec![usize::MAX; self.new.len()];
        let mut causes = Vec::new();
        for (turn, pair) in self.pairs.iter().filter(|pair| pair.own).enumerate() {
            let mut stack = vec![pair.new];
            let mut count = 0;
            while let Some(number) = stack.pop() {
                for above in &referrers[number] {
                    if seen[*above] != turn {
                        seen[*above] = turn;
                        count += 1;
                        stack.push(*above);
                    }
                }
            }
            causes.push((*pair, count));
        }
        causes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| self.new.name(a.0.new).cmp(self.new.name(b.0.new))));
        causes
    }

    /// By number in the new side: the pair that it is in, where it changed.
    pub fn by_new(&self) -> HashMap<usize, Pair> {
        self.pairs.iter().map(|pair| (pair.new, *pair)).collect()
    }

    /// Sources that only the old side has, and those that only the new side has.
    pub fn sources(&self) -> (Vec<&'a str>, Vec<&'a str>) {
        let only = |side: &'a Side<'a>, other: &Side<'_>| {
            side.sources()
                .iter()
                .filter(|path| !other.sources().contains(*path))
                .map(crate::StorePath::as_str)
                .collect()
        };
        (only(self.old, self.new), only(self.new, self.old))
    }
}
