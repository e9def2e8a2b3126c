//! Everything before the first frame: version, header, frame table, digests.

use super::{
    FormatError, FormatVersion, FrameHeader, FramePosition, Header, Limits, MAGIC, Major, Minor, Release, Section,
    frame::{check_memory, check_raw, put_codec, take_codec},
    header::{field, put_field},
    version,
    wire::{Counted, Cursor},
};
use crate::{
    hash::{Sha256, sha256},
    leb128,
};
use std::io::Read;

/// Bytes of the front's own digest that it keeps.
pub(super) const CHECK_BYTES: usize = 8;

/// The front of a file that was read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Front {
    /// Format the file is written in.
    pub version: FormatVersion,
    /// Earliest release that reads it, as the file says.
    pub release: Release,
    /// What the file says about the whole.
    pub header: Header,
    /// All frames in the order of the file.
    pub frames: Vec<FrontFrame>,
    /// Digest of the file: its identity. Proven only when a [`FileReader`](super::FileReader) came to its end.
    pub digest: Sha256,
    /// Length of the front in bytes, which is where the first frame begins.
    pub bytes: u64,
    /// The bytes of the front up to the digest of the file, which that one covers.
    pub(super) image: Vec<u8>,
}

/// A line of the frame table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrontFrame {
    /// Where its packed bytes are.
    pub position: FramePosition,
    /// Length of its packed bytes.
    pub packed_bytes: u64,
    /// What it is; `None` in a section that this release skips.
    pub known: Option<FrameHeader>,
}

/// A section as a whole, for reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionSummary {
    /// Which one.
    pub section: Section,
    /// How many frames it has.
    pub frames: u64,
    /// Codecs, each named once, in the order they occur.
    pub codecs: Vec<&'static str>,
    /// Length unpacked.
    pub raw_bytes: u64,
    /// Length packed.
    pub packed_bytes: u64,
    /// Memory to unpack one frame after the other, packed bytes included.
    pub memory_bytes: u64,
}

impl Front {
    /// Byte offset behind the last frame: the file is a little longer than that.
    pub fn frames_end(&self) -> u64 {
        self.frames.last().map_or(self.bytes, |f| f.position.offset + f.packed_bytes)
    }

    /// Memory in bytes to unpack one frame after the other.
    pub fn memory_bytes(&self) -> u64 {
        self.frames.iter().filter_map(|f| f.known).map(|h| h.memory_bytes()).max().unwrap_or(0)
    }

    /// Bytes that the frames of all known sections unpack to.
    pub fn raw_bytes(&self) -> u64 {
        self.frames.iter().filter_map(|f| f.known).map(|h| h.raw_bytes).sum()
    }

    /// The sections that are there, in order.
    pub fn sections(&self) -> Vec<SectionSummary> {
        let mut out: Vec<SectionSummary> = Vec::new();
        for frame in self.frames.iter().filter_map(|f| f.known) {
            if out.last().is_none_or(|s| s.section != frame.section) {
                out.push(SectionSummary {
                    section: frame.section,
                    frames: 0,
                    codecs: Vec::new(),
                    raw_bytes: 0,
                    packed_bytes: 0,
                    memory_bytes: 0,
                });
            }
            let Some(summary) = out.last_mut() else { break };
            summary.frames += 1;
            summary.raw_bytes += frame.raw_bytes;
            summary.packed_bytes += frame.packed_bytes;
            summary.memory_bytes = summary.memory_bytes.max(frame.memory_bytes());
            if !summary.codecs.contains(&frame.codec.name()) {
                summary.codecs.push(frame.codec.name());
            }
        }
        out
    }

    /// Reads and checks the front, and nothing after it.
    pub(super) fn read<R: Read>(input: &mut Counted<R>, limits: &Limits) -> Result<Self, FormatError> {
        let mut image = read_magic(input)?;
        let mut fixed = [0; 4];
        input.fill(&mut fixed)?;
        image.extend_from_slice(&fixed);
        let version = FormatVersion { major: Major(fixed[0]), minor: Minor(fixed[1]) };
        let release = Release { major: fixed[2], minor: fixed[3] };
        version.readable(release)?;
        let offset = input.offset();
        let len = input.varint(&mut image)?;
        if len > limits.header_bytes {
            return Err(FormatError::Limit { what: "bytes of header", claim: len, limit: limits.header_bytes, offset });
        }
        let start = input.offset();
        input.wanted = Some(start + len + (CHECK_BYTES + size_of::<Sha256>()) as u64);
        input.pieces(len, |piece| image.extend_from_slice(piece))?;
        let end = input.offset();
        let mut check = [0; CHECK_BYTES];
        input.fill(&mut check)?;
        if sha256(&image)[..CHECK_BYTES] != check {
            return Err(FormatError::HeaderDigest { end });
        }
        let body = image.get(start as usize..).unwrap_or_default();
        let (header, table) = Header::take(Cursor::new(body, start), release)?;
        let mut digest = [0; 32];
        input.fill(&mut digest)?;
        let frames = take_table(table, input.offset(), release, limits)?;
        image.extend_from_slice(&check);
        let front = Self { version, release, header, frames, digest, bytes: input.offset(), image };
        input.wanted = Some(front.frames_end() + 1);
        Ok(front)
    }

    /// The front of a new file, without the digest of the file that follows it.
    pub(super) fn image(header: &Header, frames: &[FrameHeader]) -> Result<Vec<u8>, FormatError> {
        let mut body = Vec::new();
        header.put(&mut body)?;
        put_field(&mut body, field::FRAMES, true, &put_table(frames));
        header.put_last(&mut body);
        let mut image = MAGIC.to_vec();
        let needed = frames.iter().map(|frame| version::needed_by(frame.section, frame.codec));
        let (version, release) = needed.max().unwrap_or(version::FIRST);
        image.extend([version.major.0, version.minor.0, release.major, release.minor]);
        leb128::put(&mut image, body.len() as u64);
        image.extend_from_slice(&body);
        let check = sha256(&image);
        image.extend_from_slice(&check[..CHECK_BYTES]);
        Ok(image)
    }
}

/// Reads eight bytes and says what is wrong when they are not the magic.
fn read_magic<R: Read>(input: &mut Counted<R>) -> Result<Vec<u8>, FormatError> {
    let mut magic = [0; MAGIC.len()];
    let n = input.read_up_to(&mut magic)?;
    let seen = &magic[..n];
    if n == 0 {
        return Err(FormatError::Empty);
    }
    if magic == MAGIC {
        return Ok(magic.to_vec());
    }
    if MAGIC.starts_with(seen) {
        return Err(FormatError::Cut { offset: n as u64, wanted: None });
    }
    let name = &MAGIC[1..5];
    Err(if seen.windows(name.len()).any(|w| w == name) { FormatError::TextMode } else { FormatError::NotFirn })
}

fn put_table(frames: &[FrameHeader]) -> Vec<u8> {
    let mut out = Vec::new();
    for run in frames.chunk_by(|a, b| a.section == b.section) {
        leb128::put(&mut out, run[0].section.code() << 1 | u64::from(run[0].section.is_required()));
        leb128::put(&mut out, run.len() as u64);
        for frame in run {
            put_codec(&mut out, frame.codec, frame.filter);
            leb128::put(&mut out, frame.raw_bytes);
            leb128::put(&mut out, frame.packed_bytes);
            out.extend_from_slice(&frame.check);
        }
    }
    out
}

fn take_table(
    mut cursor: Cursor<'_>,
    first: u64,
    release: Release,
    limits: &Limits,
) -> Result<Vec<FrontFrame>, FormatError> {
    let mut out = Vec::new();
    let (mut place, mut raw_total) = (first, 0u64);
    let mut last = None;
    while !cursor.is_empty() {
        let offset = cursor.offset();
        let tag = cursor.varint()?;
        let section = Section::from_code(tag >> 1);
        if section.is_none() && tag & 1 == 1 {
            return Err(FormatError::Unknown { what: "a section", number: tag >> 1, offset, release });
        }
        if section.is_some() && section <= last {
            return Err(FormatError::Header { offset, rule: "sections are not in their order" });
        }
        last = section.or(last);
        let offset = cursor.offset();
        let count = cursor.varint()?;
        let total = count.saturating_add(out.len() as u64);
        if count == 0 {
            return Err(FormatError::Header { offset, rule: "a section has no frames" });
        }
        if total > limits.frames {
            return Err(FormatError::Limit { what: "frames", claim: total, limit: limits.frames, offset });
        }
        for index in 0..count {
            let offset = cursor.offset();
            let codec = take_codec(&mut cursor)?;
            let raw_bytes = cursor.varint()?;
            let packed_bytes = cursor.varint()?;
            let check = cursor.array()?;
            if raw_bytes == 0 || packed_bytes == 0 {
                return Err(FormatError::Header { offset, rule: "a frame is empty" });
            }
            let position = FramePosition { section, index, offset: place };
            place = place
                .checked_add(packed_bytes)
                .filter(|end| *end < 1 << 63)
                .ok_or(FormatError::Header { offset, rule: "the frames are longer than a file can be" })?;
            let known = match (section, codec) {
                (None, _) => None,
                (Some(_), Err(number)) => {
                    return Err(FormatError::Unknown { what: "a codec", number, offset, release });
                }
                (Some(section), Ok((codec, filter))) => {
                    let header = FrameHeader { section, codec, filter, raw_bytes, packed_bytes, check };
                    check_raw(&header, position, limits)?;
                    raw_total = raw_total.saturating_add(raw_bytes);
                    Some(header)
                }
            };
            if raw_total > limits.raw_bytes {
                let (claim, limit) = (raw_total, limits.raw_bytes);
                return Err(FormatError::Limit { what: "raw bytes", claim, limit, offset });
            }
            out.push(FrontFrame { position, packed_bytes, known });
        }
    }
    // The one that takes most is told: with a limit that lets it pass, all pass.
    let known = out.iter().filter_map(|frame| Some((frame.known?, frame.position)));
    match known.max_by_key(|(header, _)| header.memory_bytes()) {
        Some((header, position)) => check_memory(&header, position, limits).map(|()| out),
        None => Ok(out),
    }
}
