//! Control bytes inside values, and the small codings that go with them.

/// Ends a string; at the place of a key it ends a record.
pub(super) const END: u8 = 0x00;
/// First reference to the derivation on top of the stack, which it leaves.
pub(super) const NEW: u8 = 0x01;
/// An earlier derivation by id.
pub(super) const DRV: u8 = 0x02;
/// The next source in order of first use.
pub(super) const NEW_SOURCE: u8 = 0x03;
/// An earlier source by id.
pub(super) const SOURCE: u8 = 0x04;
/// The derivation of the token that follows, not an output of it.
pub(super) const DRV_FILE: u8 = 0x05;
/// A text that is a hash, as the next new entry of the section `hashes`.
pub(super) const NEW_HASH: u8 = 0x06;
/// The byte that follows, less 64.
pub(super) const ESCAPE: u8 = 0x07;
/// First reference to the derivation so many places below the top of the stack.
pub(super) const NEW_BELOW: u8 = 0x08;
/// The derivation's name.
pub(super) const NAME: u8 = 0x0B;
/// The version in the name.
pub(super) const VERSION: u8 = 0x0C;
/// A text that is a hash, as an earlier entry.
pub(super) const OLD_HASH: u8 = 0x0E;
/// The whole value is the previous one of this key.
pub(super) const SAME: u8 = 0x0F;
/// The name without extensions.
pub(super) const STEM: u8 = 0x10;
/// The name without version.
pub(super) const PNAME: u8 = 0x11;
/// Separates arguments.
pub(super) const NEXT_ARG: u8 = 0x12;
/// There are no arguments.
pub(super) const NO_ARGS: u8 = 0x13;
/// The store directory and a slash.
pub(super) const STORE: u8 = 0x14;
/// At the place of a name: the record is a text that could not be taken apart.
pub(super) const RAW: u8 = 0x15;

/// At the place of a key: the record ends with exceptions.
pub(super) const EXCEPTIONS: u8 = 0x01;
/// First of the one-byte keys.
pub(super) const KEY: u8 = 0x80;
/// How many keys cost one byte.
pub(super) const SHORT_KEYS: usize = 0x70;
/// First of the two-byte keys.
pub(super) const LONG_KEY: u8 = 0xF0;
/// How many keys cost two bytes.
pub(super) const LONG_KEYS: usize = 14 * 256;
/// A key that is not known yet, as text.
pub(super) const NEW_KEY: u8 = 0xFE;

/// Whether a byte of text must be escaped.
pub(super) fn is_control(byte: u8) -> bool {
    byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')
}

/// Ids: two bytes, high first, up to 0xEFFF; else four with the high nibble of the first set.
pub(super) const SHORT_IDS: u32 = 0xF000;
/// One more than the largest id.
pub(super) const MAX_IDS: u32 = 0x0FFF_FFFF;

/// Appends an id.
pub(super) fn push_id(out: &mut Vec<u8>, id: u32) {
    if id < SHORT_IDS {
        out.extend_from_slice(&(id as u16).to_be_bytes());
    } else {
        out.extend_from_slice(&(id | 0xF000_0000).to_be_bytes());
    }
}

/// The parts of a derivation's name that its values repeat.
#[derive(Debug, Default, Clone)]
pub(super) struct NameParts {
    /// All of it.
    pub(super) name: Vec<u8>,
    /// Length of the stem: without extensions.
    pub(super) stem: usize,
    /// Length of the part before the version.
    pub(super) pname: usize,
}

impl NameParts {
    pub(super) fn new(name: Vec<u8>) -> Self {
        let stem = stem_len(&name);
        // As Nix splits names: the version begins after the first dash that no letter follows.
        let pname = (0..stem)
            .find(|i| name[*i] == b'-' && name.get(i + 1).is_some_and(|b| !b.is_ascii_alphabetic()))
            .unwrap_or(stem);
        Self { name, stem, pname }
    }

    pub(super) fn stem(&self) -> &[u8] {
        &self.name[..self.stem]
    }

    pub(super) fn pname(&self) -> &[u8] {
        &self.name[..self.pname]
    }

    pub(super) fn version(&self) -> &[u8] {
        self.name.get(self.pname + 1..self.stem).unwrap_or_default()
    }
}

/// Length of a name without its extensions: letters first, at most six characters each.
pub(super) fn stem_len(name: &[u8]) -> usize {
    let mut len = name.len();
    while let Some(dot) = name[..len].iter().rposition(|b| *b == b'.') {
        let extension = &name[dot + 1..len];
        let plausible = (1..=6).contains(&extension.len())
            && extension[0].is_ascii_alphabetic()
            && extension.iter().all(u8::is_ascii_alphanumeric);
        if !plausible || dot == 0 {
            break;
        }
        len = dot;
    }
    len
}
