//! Texts of the old side with every path replaced by the one that took its place, so that texts can be compared.

use super::side::Side;
use crate::{HASH_CHARS, derivation::Front};
use memchr::memmem::{Finder, FinderBuilder};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
};

/// Old paths and what took their place.
pub(super) struct Translation {
    /// `/nix/store/` of the old side.
    prefix: Finder<'static>,
    /// By the hash part of an old path: the whole of it, and the new one.
    paths: HashMap<[u8; HASH_CHARS], Replaced>,
}

/// An old path and the new one.
type Replaced = (Box<[u8]>, Box<[u8]>);

impl Translation {
    /// Reads the outputs of all pairs.
    pub(super) fn new(old: &Side<'_>, new: &Side<'_>, pairs: &[(usize, usize)]) -> io::Result<Self> {
        let prefix = format!("{}/", old.store_dir()).into_bytes();
        let mut paths = HashMap::with_capacity(pairs.len() * 2);
        let mut add = |from: &[u8], to: &[u8]| {
            if let Some(hash) = from.strip_prefix(prefix.as_slice()).and_then(|base| base.first_chunk()) {
                paths.insert(*hash, (from.into(), to.into()));
            }
        };
        for (a, b) in pairs {
            let full = |side: &Side<'_>, number| side.store_dir().display(side.path(number)).into_bytes();
            add(&full(old, *a), &full(new, *b));
            let (a, b) = (old.text(*a)?, new.text(*b)?);
            let (Some(a), Some(b)) = (Front::parse(&a), Front::parse(&b)) else { continue };
            for (name, from) in &a.outputs {
                if let Some((_, to)) = b.outputs.iter().find(|(other, _)| other == name) {
                    add(from, to);
                }
            }
        }
        Ok(Self { prefix: FinderBuilder::new().build_forward(&prefix).into_owned(), paths })
    }

    /// Replaces every old path in a text.
    pub(super) fn text(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut done = 0;
        for at in self.prefix.find_iter(text) {
            let hash = text[at + self.prefix.needle().len()..].first_chunk::<HASH_CHARS>();
            let Some((from, to)) = hash.and_then(|hash| self.paths.get(hash)) else { continue };
            if at >= done && text[at..].starts_with(from) {
                out.extend_from_slice(&text[done..at]);
                out.extend_from_slice(to);
                done = at + from.len();
            }
        }
        out.extend_from_slice(&text[done..]);
        out
    }

    /// Whether two derivations differ in more than the paths that took the place of others.
    pub(super) fn own_text_differs(&self, old: &[u8], new: &[u8]) -> bool {
        let (Some(a), Some(b)) = (Front::parse(old), Front::parse(new)) else { return self.text(old) != new };
        let names = |front: &Front<'_>| front.outputs.iter().map(|(name, _)| name.to_vec()).collect::<Vec<_>>();
        // The path of a fixed output says what is in it.
        let other_contents = (is_fixed(old) || is_fixed(new)) && a.outputs != b.outputs;
        other_contents
            || names(&a) != names(&b)
            || a.sources != b.sources
            || self.text(a.rest) != b.rest
            || inputs(&a, |path| self.text(path)) != inputs(&b, <[u8]>::to_vec)
    }
}

/// Wanted outputs by input: the order in the text is that of hashes.
fn inputs<'t>(front: &Front<'t>, path: impl Fn(&[u8]) -> Vec<u8>) -> BTreeMap<Vec<u8>, BTreeSet<&'t [u8]>> {
    let mut wanted = front.wanted.iter().copied();
    let mut inputs: BTreeMap<Vec<u8>, BTreeSet<&[u8]>> = BTreeMap::new();
    for (input, count) in &front.inputs {
        inputs.entry(path(input)).or_default().extend(wanted.by_ref().take(*count));
    }
    inputs
}

/// Whether the output of a derivation is fixed: the last field of it has a hash.
pub(super) fn is_fixed(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"],[").is_some_and(|end| !text[..end].ends_with(b",\"\")"))
}
