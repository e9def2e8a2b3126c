//! Priming: a frame is coded as if a known text had gone before it, and the bytes of that text are not stored.

use super::{Codec, CodecError, Encoding, Unpacker};
use std::io::Read;

/// A text that frames may be primed with, kept as the PPMd7 stream that [`Dictionary::pack`] makes.
///
/// The order is fixed for all frames primed with it, so that a reader carries and decodes one stream and never needs
/// the text itself; the memory may be any that holds the text, because a model that never fills its memory codes alike in
/// any size of it.
#[derive(Debug, Clone, Copy)]
pub struct Dictionary<'a> {
    /// Its number in the format; 0 is never used.
    pub id: u32,
    /// Longest context of the model.
    pub order: u8,
    /// Length of the text in bytes.
    pub raw_bytes: u64,
    /// The text packed with this order.
    pub packed: &'a [u8],
}

/// All dictionaries of this release, in the order of their numbers. None ever changes: files name them.
pub const DICTIONARIES: &[Dictionary<'static>] = &[Dictionary {
    id: 1,
    order: 16,
    raw_bytes: 684_466,
    // Records of derivations, made by examples/make_dictionary.rs from closures of tests/closures and examples.
    packed: include_bytes!("dictionary/1.ppmd"),
}];

impl<'a> Dictionary<'a> {
    /// Packs a text for embedding. Memory is what the model had; frames primed with it take as much or more.
    pub fn pack(raw: &[u8], order: u8, memory_mib: u16) -> Result<Vec<u8>, CodecError> {
        Ok(Encoding::Ppmd7 { order, memory_mib }.pack(raw, None)?.1)
    }

    /// The text.
    pub fn raw(&self, memory_mib: u16) -> Result<Vec<u8>, CodecError> {
        let codec = Codec::Ppmd7 { order: self.order, memory_mib };
        let mut raw = Vec::new();
        Unpacker::new(codec, self.packed, self.raw_bytes, &[])?.read_to_end(&mut raw).map_err(CodecError::from_io)?;
        Ok(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{hex, sha256};

    #[test]
    fn the_dictionary_is_the_frozen_one() {
        let raw = DICTIONARIES[0].raw(64).unwrap();
        assert_eq!(hex(&sha256(&raw)), "d6b559e6e054ece7240b05fbf1211b4dbc36c853ce13e0ee0e6c87b3d681dd1b");
    }
}
