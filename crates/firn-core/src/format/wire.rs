//! Numbers and byte strings of the front.

use super::FormatError;
use crate::leb128::{self, Partial};
use std::io::{self, Read};

/// Appends a length and bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    leb128::put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Bytes of the header that were read, checked and are now taken apart; knows where in the file it is.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    offset: u64,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], offset: u64) -> Self {
        Self { bytes, offset }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn error(&self, rule: &'static str) -> FormatError {
        FormatError::Header { offset: self.offset, rule }
    }

    pub(super) fn take(&mut self, len: u64) -> Result<&'a [u8], FormatError> {
        let taken = usize::try_from(len).ok().and_then(|n| self.bytes.split_at_checked(n));
        let (taken, rest) = taken.ok_or_else(|| self.error("a length is beyond its end"))?;
        self.bytes = rest;
        self.offset += len;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N as u64)?);
        Ok(out)
    }

    pub(super) fn varint(&mut self) -> Result<u64, FormatError> {
        let mut number = Partial::default();
        loop {
            let offset = self.offset;
            let [byte] = self.array()?;
            if let Some(value) = number.push(byte).map_err(|rule| FormatError::Header { offset, rule })? {
                return Ok(value);
            }
        }
    }

    /// A length and a cursor over so many bytes.
    pub(super) fn nested(&mut self) -> Result<Cursor<'a>, FormatError> {
        let len = self.varint()?;
        let offset = self.offset;
        Ok(Cursor { bytes: self.take(len)?, offset })
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        self.offset += self.bytes.len() as u64;
        std::mem::take(&mut self.bytes)
    }
}

/// An input that counts, and tells its end from a failure.
pub(super) struct Counted<R> {
    input: R,
    offset: u64,
    /// Least length of the whole file, once known.
    pub(super) wanted: Option<u64>,
}

impl<R: Read> Counted<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, offset: 0, wanted: None }
    }

    pub(super) fn resume(input: R, offset: u64, wanted: u64) -> Self {
        Self { input, offset, wanted: Some(wanted) }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads up to `buf`'s length; less only at the end of the input.
    pub(super) fn read_up_to(&mut self, buf: &mut [u8]) -> Result<usize, FormatError> {
        let mut n = 0;
        while n < buf.len() {
            match self.input.read(&mut buf[n..]) {
                Ok(0) => break,
                Ok(got) => n += got,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(FormatError::Read { offset: self.offset + n as u64, source }),
            }
        }
        self.offset += n as u64;
        Ok(n)
    }

    pub(super) fn fill(&mut self, buf: &mut [u8]) -> Result<(), FormatError> {
        if self.read_up_to(buf)? < buf.len() {
            return Err(FormatError::Cut { offset: self.offset, wanted: self.wanted });
        }
        Ok(())
    }

    /// Hands over `len` bytes in pieces, so that a length alone takes no memory.
    pub(super) fn pieces(&mut self, len: u64, mut sink: impl FnMut(&[u8])) -> Result<(), FormatError> {
        let mut buf = vec![0; 1 << 16];
        let mut left = len;
        while left > 0 {
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
            self.fill(&mut buf[..n])?;
            sink(&buf[..n]);
            left -= n as u64;
        }
        Ok(())
    }

    /// A number of the stream; its bytes are appended to `seen`.
    pub(super) fn varint(&mut self, seen: &mut Vec<u8>) -> Result<u64, FormatError> {
        let mut number = Partial::default();
        loop {
            let offset = self.offset;
            let mut byte = [0];
            self.fill(&mut byte)?;
            seen.push(byte[0]);
            if let Some(value) = number.push(byte[0]).map_err(|rule| FormatError::Header { offset, rule })? {
                return Ok(value);
            }
        }
    }
}
