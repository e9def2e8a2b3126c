//! Where contents wait between reading and writing, so that memory does not grow with them.

use std::io;

/// A run of bytes in a [`Spool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Blob {
    /// Position of the first byte.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

/// An append-only store of bytes with positional reads. The pipelines use an unlinked file, tests use [`MemorySpool`].
pub trait Spool: Sync {
    /// Appends bytes at [`Spool::len`].
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Bytes appended so far.
    fn len(&self) -> u64;

    /// Whether nothing was appended yet.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` from `offset` on; reading past the end is an error.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Appends one whole byte string.
    fn put(&mut self, bytes: &[u8]) -> io::Result<Blob> {
        let offset = self.len();
        self.append(bytes)?;
        Ok(Blob { offset, len: bytes.len() as u64 })
    }

    /// The bytes of a blob in memory: for those known to be small (derivation texts).
    fn get(&self, blob: Blob) -> io::Result<Vec<u8>> {
        let len = usize::try_from(blob.len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = vec![0; len];
        self.read_at(blob.offset, &mut bytes)?;
        Ok(bytes)
    }
}

/// Bytes of a piece, and of a blob that gets a buffer of its own size.
const PIECE: usize = 1 << 16;
const SMALL: usize = 1 << 12;

/// Hands the bytes of a blob to `sink` in pieces of at most 64 KiB.
pub fn for_each_piece<E: From<io::Error>>(
    spool: &dyn Spool,
    blob: Blob,
    mut sink: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    // Most blobs are small, and clearing a large buffer costs more than reading them.
    if blob.len <= SMALL as u64 {
        return pieces(spool, blob, &mut [0; SMALL], &mut sink);
    }
    pieces(spool, blob, &mut [0; PIECE], &mut sink)
}

fn pieces<E: From<io::Error>>(
    spool: &dyn Spool,
    blob: Blob,
    buf: &mut [u8],
    sink: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let (mut at, end) = (blob.offset, blob.offset + blob.len);
    while at < end {
        let n = usize::try_from(end - at).unwrap_or(usize::MAX).min(buf.len());
        spool.read_at(at, &mut buf[..n])?;
        sink(&buf[..n])?;
        at += n as u64;
    }
    Ok(())
}

/// A spool in memory.
#[derive(Debug, Default, Clone)]
pub struct MemorySpool(Vec<u8>);

impl MemorySpool {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Spool for MemorySpool {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.0.get(start..start.checked_add(buf.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }
}
