//! Writing files.

use super::{FormatError, FrameHeader, Front, Header, Limits, PackedFrame};
use crate::{
    hash::Sha256,
    spool::{Blob, Spool, for_each_piece},
};
use sha2::Digest;
use std::io::{self, Write};

/// Collects packed frames in a spool, and writes the file when the header is known.
pub struct FileWriter<S> {
    spool: S,
    frames: Vec<Queued>,
}

struct Queued {
    number: usize,
    header: FrameHeader,
    digest: Sha256,
    blob: Blob,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Digest of the file: its identity.
    pub digest: Sha256,
    /// Its length in bytes.
    pub bytes: u64,
}

impl<S: Spool> FileWriter<S> {
    /// One without frames.
    pub fn new(spool: S) -> Self {
        Self { spool, frames: Vec::new() }
    }

    /// Adds a frame behind those of its section; the order among sections does not matter.
    pub fn push(&mut self, frame: &PackedFrame) -> Result<(), FormatError> {
        self.push_at(self.frames.len(), frame)
    }

    /// Adds a frame that stands behind those of its section with smaller numbers, whenever they come.
    pub fn push_at(&mut self, number: usize, frame: &PackedFrame) -> Result<(), FormatError> {
        let blob = self.spool.put(&frame.bytes).map_err(FormatError::Write)?;
        self.frames.push(Queued { number, header: frame.header, digest: frame.digest, blob });
        Ok(())
    }

    /// Writes the file.
    pub fn finish<W: Write>(mut self, header: &Header, out: &mut W) -> Result<Written, FormatError> {
        self.frames.retain(|f| f.header.raw_bytes > 0);
        self.frames.sort_by_key(|f| (f.header.section, f.number));
        if self.frames.len() as u64 > Limits::default().frames {
            return Err(FormatError::Unwritable { field: "list of frames", rule: "there are at most 65536 of them" });
        }
        let table: Vec<_> = self.frames.iter().map(|f| f.header).collect();
        let front = Front::image(header, &table)?;
        if front.len() as u64 > Limits::default().header_bytes {
            return Err(FormatError::Unwritable { field: "header", rule: "it has at most 4 MiB" });
        }
        let mut hasher = sha2::Sha256::new_with_prefix(&front);
        for frame in &self.frames {
            hasher.update(frame.digest);
        }
        let digest: Sha256 = hasher.finalize().into();
        let mut bytes = 0;
        let mut put = |piece: &[u8]| -> io::Result<()> {
            bytes += piece.len() as u64;
            out.write_all(piece)
        };
        put(&front).map_err(FormatError::Write)?;
        put(&digest).map_err(FormatError::Write)?;
        for frame in &self.frames {
            for_each_piece(&self.spool, frame.blob, &mut put).map_err(FormatError::Write)?;
        }
        // An empty tail.
        put(&[0]).map_err(FormatError::Write)?;
        Ok(Written { digest, bytes })
    }
}
