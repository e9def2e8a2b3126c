//! Reading files: as a stream from front to end, or single frames by position.

use super::{
    FormatError, Front, FrontFrame, Limits, PackedFrame,
    frame::check_of,
    wire::{Counted, Cursor},
};
use crate::hash::Sha256;
use sha2::Digest;
use std::io::{self, Read, Seek, SeekFrom};

/// Reads a whole file from a stream, frame by frame, and checks all of it.
///
/// Nothing is proven before [`FileReader::next_frame`] gave `None`: only then is the file known to be complete, with the
/// digest that it declares and with nothing behind it.
pub struct FileReader<R> {
    input: Counted<R>,
    front: Front,
    limits: Limits,
    next: usize,
    digest: sha2::Sha256,
    ended: bool,
}

impl<R: Read> FileReader<R> {
    /// Reads the front.
    pub fn new(input: R, limits: Limits) -> Result<Self, FormatError> {
        let mut input = Counted::new(input);
        let front = Front::read(&mut input, &limits)?;
        let digest = sha2::Sha256::new_with_prefix(&front.image);
        Ok(Self { input, front, limits, next: 0, digest, ended: false })
    }

    /// What the front says.
    pub fn front(&self) -> &Front {
        &self.front
    }

    /// The next frame of a section that this release knows, its digest checked; others are skipped. `None` at the end of a file that is complete and right.
    pub fn next_frame(&mut self) -> Result<Option<PackedFrame>, FormatError> {
        while let Some(frame) = self.front.frames.get(self.next).copied() {
            let (digest, bytes) = read_packed(&mut self.input, &frame)?;
            self.digest.update(digest);
            self.next += 1;
            if let Some(header) = frame.known {
                return Ok(Some(PackedFrame { header, digest, position: frame.position, bytes }));
            }
        }
        if !self.ended {
            if self.digest.finalize_reset()[..] != self.front.digest {
                let offset = self.front.bytes - size_of::<Sha256>() as u64;
                return Err(FormatError::FileDigest { offset });
            }
            read_tail(&mut self.input, &self.front, &self.limits)?;
            self.ended = true;
        }
        Ok(None)
    }
}

impl<R: Read> Iterator for FileReader<R> {
    type Item = Result<PackedFrame, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_frame().transpose()
    }
}

fn read_packed<R: Read>(input: &mut Counted<R>, frame: &FrontFrame) -> Result<(Sha256, Vec<u8>), FormatError> {
    // The claim was held against the limits; what is reserved is touched only as bytes arrive.
    const AT_ONCE: u64 = 32 << 20;
    let mut hasher = sha2::Sha256::new();
    let mut bytes = Vec::new();
    if frame.known.is_some() {
        bytes.reserve_exact(usize::try_from(frame.packed_bytes.min(AT_ONCE)).unwrap_or_default());
    }
    input.pieces(frame.packed_bytes, |piece| {
        hasher.update(piece);
        if frame.known.is_some() {
            bytes.extend_from_slice(piece);
        }
    })?;
    let digest = hasher.finalize().into();
    match frame.known {
        Some(header) if header.check != check_of(&digest) => Err(FormatError::FrameDigest(frame.position)),
        _ => Ok((digest, bytes)),
    }
}

/// The tail is outside of the file's digest: room for what is said about the file after it was written.
fn read_tail<R: Read>(input: &mut Counted<R>, front: &Front, limits: &Limits) -> Result<(), FormatError> {
    let start = input.offset();
    let mut seen = Vec::new();
    let len = input.varint(&mut seen)?;
    if len > limits.tail_bytes {
        return Err(FormatError::Limit { what: "bytes of tail", claim: len, limit: limits.tail_bytes, offset: start });
    }
    let offset = input.offset();
    input.wanted = Some(offset + len);
    let mut tail = Vec::new();
    input.pieces(len, |piece| tail.extend_from_slice(piece))?;
    let mut cursor = Cursor::new(&tail, offset);
    while !cursor.is_empty() {
        let offset = cursor.offset();
        let tag = cursor.varint()?;
        cursor.nested()?;
        if tag & 1 == 1 {
            return Err(FormatError::Unknown { what: "a field", number: tag >> 1, offset, release: front.release });
        }
    }
    let offset = input.offset();
    match input.read_up_to(&mut [0])? {
        0 => Ok(()),
        _ => Err(FormatError::Trailing { offset }),
    }
}

/// Reads the front of a file that can be positioned, and single frames of it. It checks the length of the file and the
/// digest of each frame that it reads, not the digest of the file.
pub struct IndexReader<R> {
    input: R,
    front: Front,
}

impl<R: Read + Seek> IndexReader<R> {
    /// Reads the front and the tail.
    pub fn new(mut input: R, limits: &Limits) -> Result<Self, FormatError> {
        let mut counted = Counted::new(&mut input);
        let front = Front::read(&mut counted, limits)?;
        let end = front.frames_end();
        let length = seek(&mut input, SeekFrom::End(0), front.bytes)?;
        if length <= end {
            return Err(FormatError::Cut { offset: length, wanted: Some(end + 1) });
        }
        seek(&mut input, SeekFrom::Start(end), end)?;
        read_tail(&mut Counted::resume(&mut input, end, end + 1), &front, limits)?;
        Ok(Self { input, front })
    }

    /// What the front says.
    pub fn front(&self) -> &Front {
        &self.front
    }

    /// Reads one frame of the front's list; `None` where there is none of that number or this release does not know it.
    pub fn frame(&mut self, number: usize) -> Result<Option<PackedFrame>, FormatError> {
        let Some(frame) = self.front.frames.get(number).copied() else { return Ok(None) };
        let Some(header) = frame.known else { return Ok(None) };
        let start = frame.position.offset;
        seek(&mut self.input, SeekFrom::Start(start), start)?;
        let mut counted = Counted::resume(&mut self.input, start, self.front.frames_end() + 1);
        let (digest, bytes) = read_packed(&mut counted, &frame)?;
        Ok(Some(PackedFrame { header, digest, position: frame.position, bytes }))
    }
}

fn seek<R: Seek>(input: &mut R, to: SeekFrom, offset: u64) -> Result<u64, FormatError> {
    input.seek(to).map_err(|source: io::Error| FormatError::Read { offset, source })
}
