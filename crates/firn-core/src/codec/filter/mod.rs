//! Filters: what is done to the raw bytes of a frame before its codec sees them.
//!
//! Hashes in a text do not compress and disturb what surrounds them: they travel beside the stream, as bytes. Frequent words
//! become codes of one or two bytes: the codec sees a shorter stream. Both are undone while reading, in bounded memory.
//! The bytes are described in docs/format.md.

mod hashes;
mod reader;
mod runs;
mod vocabulary;
mod words;

#[cfg(test)]
mod tests;

pub use reader::FilterReader;
pub(super) use vocabulary::Tokens;

use super::{Codec, CodecError, Encoding, MIB, Unpacker};
use crate::leb128::{self, Partial};
use std::borrow::Cow;

/// What stands before the packed bytes of a frame, and how its raw bytes were changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Filter {
    /// Hashes travel beside the stream.
    pub hashes: bool,
    /// Words are codes; after the hashes were taken out.
    pub words: bool,
}

/// Codec of the hashes: they compress only where one is repeated.
const HASHES_CODEC: Codec = Codec::Zstd { window_log: 21 };
/// Codec of the dictionary of words.
const WORDS_CODEC: Codec = Codec::Ppmd7 { order: 4, memory_mib: 1 };

impl Filter {
    /// The stream is the raw bytes.
    pub const NONE: Self = Self { hashes: false, words: false };

    /// As the frame table has it.
    pub fn bits(self) -> u64 {
        u64::from(self.hashes) | u64::from(self.words) << 1
    }

    /// Reverse of [`Filter::bits`].
    pub fn from_bits(bits: u64) -> Option<Self> {
        (bits < 4).then_some(Self { hashes: bits & 1 != 0, words: bits & 2 != 0 })
    }

    /// Bytes of memory that undoing it takes.
    pub fn memory_bytes(self) -> u64 {
        let hashes = if self.hashes { HASHES_CODEC.memory_bytes() + MIB / 16 } else { 0 };
        let words = if self.words { WORDS_CODEC.memory_bytes() + 2 * words::MAX_DICTIONARY as u64 } else { 0 };
        hashes + words
    }

    /// Name in reports; empty for none.
    pub fn name(self) -> &'static str {
        match (self.hashes, self.words) {
            (false, false) => "",
            (true, false) => "hashes",
            (false, true) => "words",
            (true, true) => "hashes+words",
        }
    }
}

/// Which words a writer looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WordPlan {
    pub(super) tokens: Tokens,
    /// How many of the 127 codes begin one of two bytes.
    pub(super) pages: u8,
    /// Words are left alone unless they shorten the stream to this many eighths.
    pub(super) eighths: usize,
}

/// A stream for a codec, and what has to stand before its packed bytes.
pub(super) struct Filtered<'a> {
    pub(super) filter: Filter,
    pub(super) stream: Cow<'a, [u8]>,
    prefix: Vec<u8>,
}

impl<'a> Filtered<'a> {
    /// Not filtered yet.
    pub(super) fn new(raw: &'a [u8]) -> Self {
        Self { filter: Filter::NONE, stream: Cow::Borrowed(raw), prefix: Vec::new() }
    }

    /// Takes hashes out if that pays. Comes before the words.
    pub(super) fn take_hashes(&mut self) -> Result<(), CodecError> {
        let (stream, side) = hashes::take_out(&self.stream);
        if stream.len() + side.len() < self.stream.len() {
            self.filter.hashes = true;
            put_blob(&mut self.prefix, &side, Encoding::Zstd { level: 19, window_log: 21 })?;
            self.stream = Cow::Owned(stream);
        }
        Ok(())
    }

    /// Replaces words if the plan says that it pays, and tells so.
    pub(super) fn replace_words(&mut self, plan: WordPlan) -> Result<bool, CodecError> {
        let words = words::replace(&self.stream, plan.tokens, plan.pages);
        let pays = words.stream.len() + words.dictionary.len() <= self.stream.len() / 8 * plan.eighths;
        if pays {
            self.filter.words = true;
            leb128::put(&mut self.prefix, words.pages.into());
            put_blob(&mut self.prefix, &words.dictionary, Encoding::Ppmd7 { order: 4, memory_mib: 1 })?;
            self.stream = Cow::Owned(words.stream);
        }
        Ok(pays)
    }

    /// All packed bytes but those of the stream.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = self.prefix.clone();
        if self.filter != Filter::NONE {
            leb128::put(&mut head, self.stream.len() as u64);
        }
        head
    }
}

/// Two lengths, raw and packed, and the packed bytes; stored when the lengths are equal.
pub(super) fn put_blob(out: &mut Vec<u8>, raw: &[u8], encoding: Encoding) -> Result<(), CodecError> {
    let (_, packed) = encoding.pack(raw, None)?;
    let packed = if packed.len() < raw.len() { &packed } else { raw };
    leb128::put(out, raw.len() as u64);
    leb128::put(out, packed.len() as u64);
    out.extend_from_slice(packed);
    Ok(())
}

pub(super) fn take_blob<'a>(input: &mut &'a [u8], codec: Codec, max: u64) -> Result<Unpacker<'a>, CodecError> {
    let raw = take_varint(input)?;
    let packed = take_varint(input)?;
    if raw > max || packed > raw {
        return Err(CodecError::Filtered("a part is too long"));
    }
    let taken = usize::try_from(packed).ok().and_then(|n| input.split_at_checked(n));
    let (bytes, rest) = taken.ok_or(CodecError::Filtered("a part is beyond its end"))?;
    *input = rest;
    Unpacker::new(if packed == raw { Codec::Stored } else { codec }, bytes, raw, &[])
}

/// Takes a number from the front.
pub(super) fn take_varint(input: &mut &[u8]) -> Result<u64, CodecError> {
    let mut number = Partial::default();
    loop {
        let (byte, rest) = input.split_first().ok_or(CodecError::Filtered("a number is beyond its end"))?;
        *input = rest;
        if let Some(value) = number.push(*byte).map_err(CodecError::Filtered)? {
            return Ok(value);
        }
    }
}
