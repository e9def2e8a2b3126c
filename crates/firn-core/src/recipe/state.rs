//! What reader and writer both know between two records.

use super::{keys::KEYS, token};
use crate::{
    derivation::InputHash,
    hash::Sha256,
    store_path::{StoreDir, StorePath},
};
use foldhash::HashMap;

/// A derivation that was read.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) path: StorePath,
    /// Sorted by name.
    pub(super) outputs: Vec<KnownOutput>,
    /// What stands for it in the hash of a referrer; `None` for one with floating outputs.
    pub(super) input_hash: Option<InputHash>,
}

#[derive(Debug, Clone)]
pub(super) struct KnownOutput {
    pub(super) name: Box<[u8]>,
    /// Absent where only the build tells it.
    pub(super) path: Option<StorePath>,
}

/// A reference found in a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Reference {
    /// Output by derivation id and index.
    Output(u32, u32),
    /// The derivation itself.
    Derivation(u32),
    /// A source by id.
    Source(u32),
}

/// A value and what it refers to.
#[derive(Debug, Clone, Default)]
pub(super) struct Value {
    pub(super) bytes: Vec<u8>,
    pub(super) references: Vec<Reference>,
}

/// Bytes of values that are remembered for repetition, all keys together. Part of the format.
const MAX_REMEMBERED: usize = 16 << 20;
/// Longest key that gets a number. Part of the format.
const MAX_KEY: usize = 255;

/// Number of the pseudo keys of system, builder and arguments.
pub(super) const SYSTEM: usize = 0;
pub(super) const BUILDER: usize = 1;
pub(super) const ARGS: usize = 2;
/// Number of the first real key.
pub(super) const FIRST_KEY: usize = 3;

pub(super) struct State {
    pub(super) store_dir: StoreDir,
    /// The directory with a slash.
    pub(super) prefix: Vec<u8>,
    pub(super) known: Vec<Known>,
    /// Ids by path.
    pub(super) numbers: HashMap<StorePath, u32>,
    pub(super) sources: Vec<StorePath>,
    /// Sources referred to so far.
    pub(super) used_sources: u32,
    /// Derivations that no record refers to yet.
    pub(super) stack: Vec<u32>,
    pub(super) keys: Vec<Box<[u8]>>,
    pub(super) key_numbers: HashMap<Box<[u8]>, usize>,
    /// By key number; see [`State::remember`].
    pub(super) last: Vec<Option<Value>>,
    /// Bytes of all values in `last` together.
    remembered: usize,
    /// Separate from `last`: the arguments one by one.
    pub(super) last_args: (Vec<Vec<u8>>, Vec<Reference>),
    pub(super) hashes: Vec<Box<[u8]>>,
}

impl State {
    pub(super) fn new(store_dir: &StoreDir, sources: Vec<StorePath>) -> Self {
        let mut keys: Vec<Box<[u8]>> = vec![Box::default(); FIRST_KEY];
        keys.extend(KEYS.iter().map(|k| k.as_bytes().into()));
        let key_numbers = keys.iter().enumerate().skip(FIRST_KEY).map(|(i, k)| (k.clone(), i)).collect();
        Self {
            store_dir: store_dir.clone(),
            prefix: format!("{store_dir}/").into_bytes(),
            known: Vec::new(),
            numbers: HashMap::default(),
            sources,
            used_sources: 0,
            stack: Vec::new(),
            last: vec![None; keys.len()],
            remembered: 0,
            last_args: Default::default(),
            keys,
            key_numbers,
            hashes: Vec::new(),
        }
    }

    /// Keeps a value as the last one of its key, unless all that are kept would be too long; then the key has none.
    pub(super) fn remember(&mut self, key: usize, value: &Value) {
        let Some(last) = self.last.get_mut(key) else { return };
        self.remembered -= last.take().map_or(0, |old| old.bytes.len());
        if self.remembered + value.bytes.len() <= MAX_REMEMBERED {
            self.remembered += value.bytes.len();
            *last = Some(value.clone());
        }
    }

    /// Adds a key, unless it is long or the table is full; its number.
    pub(super) fn add_key(&mut self, key: &[u8]) -> usize {
        if key.len() > MAX_KEY || self.keys.len() - FIRST_KEY >= token::SHORT_KEYS + token::LONG_KEYS {
            return usize::MAX;
        }
        self.keys.push(key.into());
        self.key_numbers.insert(key.into(), self.keys.len() - 1);
        self.last.push(None);
        self.keys.len() - 1
    }

    /// Store path that a reference stands for.
    pub(super) fn path_of(&self, reference: Reference) -> Option<&StorePath> {
        match reference {
            Reference::Output(id, output) => self.known.get(id as usize)?.outputs.get(output as usize)?.path.as_ref(),
            Reference::Derivation(id) => Some(&self.known.get(id as usize)?.path),
            Reference::Source(id) => self.sources.get(id as usize),
        }
    }

    pub(super) fn input_hash(&self, id: u32) -> Option<Sha256> {
        self.known.get(id as usize)?.input_hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_for_repetition_has_a_limit() {
        let mut state = State::new(&StoreDir::default(), Vec::new());
        let value = Value { bytes: vec![b'x'; MAX_REMEMBERED / 2], references: Vec::new() };
        (SYSTEM..FIRST_KEY + 4).for_each(|key| state.remember(key, &value));
        assert_eq!(state.last.iter().flatten().count(), 2);
        assert!(state.last[SYSTEM].is_some());
        state.remember(SYSTEM, &Value::default());
        state.remember(FIRST_KEY, &value);
        assert_eq!((state.last.iter().flatten().count(), state.remembered), (3, MAX_REMEMBERED));
        assert_eq!(state.add_key(&[b'k'; MAX_KEY + 1]), usize::MAX);
    }
}
