//! Frames: the unit that is packed, checked and unpacked by itself.

use super::{FormatError, FramePosition, Limits, Section, wire::Cursor};
use crate::{
    codec::{
        Codec, CodecError, Dictionary, Edit, EditOf, Filter, FilterReader, FramePolicy, LzmaWindow, Packed, PatchOf,
        pack_edit, pack_patch, unpack_edit, unpack_patch,
    },
    hash::{Sha256, sha256},
    leb128,
};
use std::io::{self, Read};

/// Bytes of a frame's digest that the frame table keeps.
pub(super) const CHECK_BYTES: usize = 8;

/// What the frame table says of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Section it belongs to.
    pub section: Section,
    /// How it is packed.
    pub codec: Codec,
    /// What was done to its raw bytes before.
    pub filter: Filter,
    /// Length unpacked, in bytes; at least 1.
    pub raw_bytes: u64,
    /// Length packed, in bytes; at least 1.
    pub packed_bytes: u64,
    /// First bytes of the SHA-256 of the packed bytes.
    pub check: [u8; CHECK_BYTES],
}

impl FrameHeader {
    /// Bytes of memory that unpacking takes, its packed bytes included.
    pub fn memory_bytes(&self) -> u64 {
        let engine = self.codec.memory_bytes().saturating_add(self.filter.memory_bytes());
        // What is made from a run is not unpacked as a stream; an edit has a list of its copies beside that.
        let times = match self.codec {
            Codec::Patch { .. } => 1,
            Codec::Edit { .. } => 3,
            _ => 0,
        };
        let engine = engine.saturating_add(self.raw_bytes.saturating_mul(times));
        engine.saturating_add(self.packed_bytes)
    }
}

/// A frame with its packed bytes; they have the digest.
#[derive(Debug, Clone)]
pub struct PackedFrame {
    /// What the frame table says of it.
    pub header: FrameHeader,
    /// SHA-256 of the packed bytes.
    pub digest: Sha256,
    /// Where it was read from; for one that was just packed, offset 0.
    pub position: FramePosition,
    /// The packed bytes.
    pub bytes: Vec<u8>,
}

/// Packs one frame. Any thread may do it; the same raw bytes and policy give the same frame.
pub fn pack_frame(
    section: Section,
    raw: &[u8],
    policy: &FramePolicy,
    dictionary: Option<&Dictionary<'_>>,
) -> Result<PackedFrame, CodecError> {
    Ok(PackedFrame::new(section, raw.len() as u64, policy.pack(raw, dictionary)?))
}

impl PackedFrame {
    /// A frame of so many raw bytes that were packed elsewhere.
    pub fn new(section: Section, raw_bytes: u64, packed: Packed) -> Self {
        let Packed { codec, filter, bytes } = packed;
        let digest = sha256(&bytes);
        let packed_bytes = bytes.len() as u64;
        let header = FrameHeader { section, codec, filter, raw_bytes, packed_bytes, check: check_of(&digest) };
        let position = FramePosition { section: Some(section), index: 0, offset: 0 };
        Self { header, digest, position, bytes }
    }
}

/// Packs a frame as a patch of a run of its reference that begins at `from`.
pub fn pack_patch_frame(
    section: Section,
    of: PatchOf,
    raw: &[u8],
    run: &[u8],
    from: u64,
) -> Result<PackedFrame, CodecError> {
    let codec = Codec::Patch { from, len: run.len() as u64 };
    let packed = Packed { codec, filter: Filter::NONE, bytes: pack_patch(raw, run, of)? };
    Ok(PackedFrame::new(section, raw.len() as u64, packed))
}

/// Packs a frame as an edit of a run of its reference that begins at `from`.
pub fn pack_edit_frame(
    section: Section,
    of: EditOf,
    low_memory: bool,
    raw: &[u8],
    run: &[u8],
    from: u64,
) -> Result<PackedFrame, CodecError> {
    let Edit { memory_mib, filter, bytes } = pack_edit(raw, run, of, low_memory)?;
    let codec = Codec::Edit { from, len: run.len() as u64, memory_mib };
    Ok(PackedFrame::new(section, raw.len() as u64, Packed { codec, filter, bytes }))
}

pub(super) fn check_of(digest: &Sha256) -> [u8; CHECK_BYTES] {
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&digest[..CHECK_BYTES]);
    check
}

impl PackedFrame {
    /// A reader of exactly the raw bytes. Its errors are [`FormatError`] inside [`io::Error`].
    pub fn unpack<'a>(
        &'a self,
        limits: &Limits,
        dictionaries: &[Dictionary<'a>],
    ) -> Result<FrameReader<'a>, FormatError> {
        check_limits(&self.header, self.position, limits)?;
        let FrameHeader { codec, filter, raw_bytes, .. } = self.header;
        let reader = FilterReader::new(codec, filter, &self.bytes, raw_bytes, dictionaries)
            .map_err(|source| FormatError::Codec { position: self.position, source })?;
        Ok(FrameReader { reader, position: self.position })
    }

    /// The raw bytes of a patch or an edit of the run of its reference that its codec names.
    pub fn unpack_from(&self, limits: &Limits, run: &[u8]) -> Result<Vec<u8>, FormatError> {
        check_limits(&self.header, self.position, limits)?;
        let raw_bytes = self.header.raw_bytes;
        let raw = match self.header.codec {
            Codec::Edit { memory_mib, .. } => unpack_edit(&self.bytes, run, raw_bytes, memory_mib, self.header.filter),
            _ => unpack_patch(&self.bytes, run, raw_bytes),
        };
        raw.map_err(|source| FormatError::Codec { position: self.position, source })
    }
}

/// Refuses a frame that is too large or takes too much memory.
pub(super) fn check_limits(header: &FrameHeader, position: FramePosition, limits: &Limits) -> Result<(), FormatError> {
    check_raw(header, position, limits)?;
    check_memory(header, position, limits)
}

/// Whether a frame may unpack to so much.
pub(super) fn check_raw(header: &FrameHeader, position: FramePosition, limits: &Limits) -> Result<(), FormatError> {
    if header.raw_bytes > limits.frame_raw_bytes {
        return Err(FormatError::Limit {
            what: "raw bytes for one frame",
            claim: header.raw_bytes,
            limit: limits.frame_raw_bytes,
            offset: position.offset,
        });
    }
    Ok(())
}

/// Whether a frame may take so much memory.
pub(super) fn check_memory(header: &FrameHeader, position: FramePosition, limits: &Limits) -> Result<(), FormatError> {
    if header.memory_bytes() > limits.memory_bytes {
        return Err(FormatError::Memory {
            position,
            bytes: header.memory_bytes(),
            codec: header.codec.to_string(),
            limit: limits.memory_bytes,
        });
    }
    Ok(())
}

/// Reads the raw bytes of one frame.
pub struct FrameReader<'a> {
    reader: FilterReader<'a>,
    position: FramePosition,
}

impl Read for FrameReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buf).map_err(|e| {
            let source = CodecError::from_io(e);
            io::Error::new(io::ErrorKind::InvalidData, FormatError::Codec { position: self.position, source })
        })
    }
}

/// Codecs below the bits of a filter.
const CODECS: u64 = 16;

/// Codec and filter as the frame table has them: a number times four plus how many parameters follow, then those. The
/// number is that of the codec plus 16 times the bits of the filter.
pub(super) fn put_codec(out: &mut Vec<u8>, codec: Codec, filter: Filter) {
    let (number, parameters): (u64, &[u64]) = match codec {
        Codec::Stored => (0, &[]),
        Codec::Ppmd7 { order, memory_mib } => (1, &[order.into(), memory_mib.into()]),
        Codec::PrimedPpmd7 { dictionary, memory_mib, shared } => {
            (2, &[dictionary.into(), memory_mib.into(), shared.into()])
        }
        Codec::Zstd { window_log } => (3, &[window_log.into()]),
        Codec::Lzma2 { window } => (4, &[window.property().into()]),
        Codec::Patch { from, len } => (5, &[from, len]),
        Codec::Edit { from, len, memory_mib } => (6, &[from, len, memory_mib.into()]),
    };
    let number = number + CODECS * filter.bits();
    leb128::put(out, number << 2 | parameters.len() as u64);
    for parameter in parameters {
        leb128::put(out, *parameter);
    }
}

/// Codec and filter of the frame table: what this release can unpack, or the number of another.
pub(super) fn take_codec(cursor: &mut Cursor<'_>) -> Result<Result<(Codec, Filter), u64>, FormatError> {
    let head = cursor.varint()?;
    let mut parameters = [0; 3];
    let parameters = &mut parameters[..(head & 3) as usize];
    for parameter in parameters.iter_mut() {
        *parameter = cursor.varint()?;
    }
    let narrow = || cursor.error("a parameter of a codec is out of its range");
    let byte = |n: u64| u8::try_from(n).map_err(|_| narrow());
    let short = |n: u64| u16::try_from(n).map_err(|_| narrow());
    let number = head >> 2;
    let Some(filter) = Filter::from_bits(number / CODECS) else { return Ok(Err(number)) };
    let codec = match (number % CODECS, &*parameters) {
        (0, []) => Codec::Stored,
        (1, [order, memory]) => Codec::Ppmd7 { order: byte(*order)?, memory_mib: short(*memory)? },
        (2, [dictionary, memory, shared]) => Codec::PrimedPpmd7 {
            dictionary: u32::try_from(*dictionary).map_err(|_| narrow())?,
            memory_mib: short(*memory)?,
            shared: u32::try_from(*shared).map_err(|_| narrow())?,
        },
        (3, [window_log]) => Codec::Zstd { window_log: byte(*window_log)? },
        (4, [window]) => {
            let window = LzmaWindow::from_property(byte(*window)?).ok_or_else(narrow)?;
            Codec::Lzma2 { window }
        }
        (5, [from, len]) if filter == Filter::NONE => Codec::Patch { from: *from, len: *len },
        (6, [from, len, memory]) if !filter.words => {
            Codec::Edit { from: *from, len: *len, memory_mib: short(*memory)? }
        }
        _ => return Ok(Err(number)),
    };
    Ok(Ok((codec, filter)))
}
