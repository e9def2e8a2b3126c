//! Packed bytes of a filtered frame back to its raw ones.

use super::{
    Filter, HASHES_CODEC, WORDS_CODEC,
    hashes::HashReader,
    take_blob, take_varint,
    words::{MAX_DICTIONARY, WordReader},
};
use crate::codec::{Codec, CodecError, Dictionary, Unpacker};
use std::io::{self, BufReader, Read};

/// Reads the raw bytes of one frame, its filter undone: exactly the declared number of them, as [`Unpacker`] does.
pub struct FilterReader<'a> {
    stage: Stage<'a>,
    left: u64,
}

type Stream<'a> = BufReader<Unpacker<'a>>;

enum Stage<'a> {
    Plain(Unpacker<'a>),
    Hashes(HashReader<'a, Stream<'a>>),
    Words(WordReader<Stream<'a>>),
    Both(HashReader<'a, BufReader<WordReader<Stream<'a>>>>),
}

/// Bytes between two stages.
const BUFFER: usize = 16 << 10;

impl<'a> FilterReader<'a> {
    /// Takes the memory that codec and filter declare: check [`Codec::memory_bytes`] and [`Filter::memory_bytes`] first.
    pub fn new(
        codec: Codec,
        filter: Filter,
        packed: &'a [u8],
        raw_bytes: u64,
        dictionaries: &[Dictionary<'a>],
    ) -> Result<Self, CodecError> {
        if filter == Filter::NONE {
            let unpacker = Unpacker::new(codec, packed, raw_bytes, dictionaries)?;
            return Ok(Self { stage: Stage::Plain(unpacker), left: raw_bytes });
        }
        let mut rest = packed;
        let side = filter.hashes.then(|| take_blob(&mut rest, HASHES_CODEC, raw_bytes)).transpose()?;
        let words = if filter.words {
            let pages = take_varint(&mut rest)?;
            Some((pages, take_blob(&mut rest, WORDS_CODEC, MAX_DICTIONARY as u64)?))
        } else {
            None
        };
        // Every two bytes of a stream give one or more.
        let stream_bytes = take_varint(&mut rest)?;
        if stream_bytes > raw_bytes.saturating_mul(4) {
            return Err(CodecError::Filtered("the stream is too long"));
        }
        let stream = Unpacker::new(codec, rest, stream_bytes, dictionaries)?;
        let stream = BufReader::with_capacity(BUFFER, stream);
        let stage = match (side, words) {
            (Some(side), Some((pages, words))) => {
                let words = WordReader::new(stream, pages, words)?;
                Stage::Both(HashReader::new(BufReader::with_capacity(BUFFER, words), side))
            }
            (Some(side), None) => Stage::Hashes(HashReader::new(stream, side)),
            (None, Some((pages, words))) => Stage::Words(WordReader::new(stream, pages, words)?),
            (None, None) => return Err(CodecError::Filtered("there is no filter")),
        };
        let mut reader = Self { stage, left: raw_bytes };
        if raw_bytes == 0 {
            reader.finish()?;
        }
        Ok(reader)
    }

    fn fill(&mut self, buf: &mut [u8]) -> Result<usize, CodecError> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if wanted == 0 {
            return Ok(0);
        }
        let n = self.stage.read(&mut buf[..wanted]).map_err(CodecError::from_io)?;
        if n == 0 {
            return Err(CodecError::Ends { missing: self.left });
        }
        self.left -= n as u64;
        if self.left == 0 {
            self.finish()?;
        }
        Ok(n)
    }

    /// All raw bytes are out: nothing may be left of any part.
    fn finish(&mut self) -> Result<(), CodecError> {
        let done = self.stage.read(&mut [0]).and_then(|n| Ok(n == 0 && self.stage.side_is_at_end()?));
        if done.map_err(CodecError::from_io)? { Ok(()) } else { Err(CodecError::GoesOn) }
    }
}

impl Read for FilterReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.fill(buf)?)
    }
}

impl Read for Stage<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(buf),
            Self::Hashes(reader) => reader.read(buf),
            Self::Words(reader) => reader.read(buf),
            Self::Both(reader) => reader.read(buf),
        }
    }
}

impl Stage<'_> {
    fn side_is_at_end(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) | Self::Words(_) => Ok(true),
            Self::Hashes(reader) => reader.side_is_at_end(),
            Self::Both(reader) => reader.side_is_at_end(),
        }
    }
}
