//! Bytes of a section, read one string at a time with a bound on each.

use super::RecipeError;
use crate::leb128::Partial;
use std::io::Read;

/// A buffered, counting reader of a section.
pub(super) struct Input<'a> {
    reader: &'a mut dyn Read,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    before: u64,
}

impl<'a> Input<'a> {
    pub(super) fn new(reader: &'a mut dyn Read) -> Self {
        Self { reader, buffer: vec![0; 1 << 15], at: 0, end: 0, before: 0 }
    }

    /// One over bytes in memory; `end` is a reader at its end.
    pub(super) fn of(bytes: &[u8], end: &'a mut dyn Read) -> Self {
        Self { reader: end, buffer: bytes.to_vec(), at: 0, end: bytes.len(), before: 0 }
    }

    /// Position in the section.
    pub(super) fn offset(&self) -> u64 {
        self.before + self.at as u64
    }

    pub(super) fn error(&self, what: &'static str) -> RecipeError {
        RecipeError::Malformed { what, offset: self.offset() }
    }

    fn fill(&mut self) -> Result<bool, RecipeError> {
        self.before += self.end as u64;
        (self.at, self.end) = (0, 0);
        if self.buffer.is_empty() {
            return Ok(false);
        }
        loop {
            match self.reader.read(&mut self.buffer) {
                Ok(n) => {
                    self.end = n;
                    return Ok(n > 0);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(super) fn is_at_end(&mut self) -> Result<bool, RecipeError> {
        Ok(self.at == self.end && !self.fill()?)
    }

    pub(super) fn byte(&mut self) -> Result<u8, RecipeError> {
        if self.is_at_end()? {
            return Err(self.error("the section ends in the middle"));
        }
        let byte = self.buffer[self.at];
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn peek(&mut self) -> Result<u8, RecipeError> {
        if self.is_at_end()? {
            return Err(self.error("the section ends in the middle"));
        }
        Ok(self.buffer[self.at])
    }

    /// Appends all bytes before the next one below 0x20 that is no white space, at most `limit`.
    pub(super) fn plain(&mut self, out: &mut Vec<u8>, limit: usize) -> Result<(), RecipeError> {
        loop {
            if self.is_at_end()? {
                return Ok(());
            }
            let rest = &self.buffer[self.at..self.end];
            let n = rest.iter().position(|b| super::token::is_control(*b)).unwrap_or(rest.len());
            if out.len() + n > limit {
                return Err(self.error("a text is longer than the limit"));
            }
            out.extend_from_slice(&rest[..n]);
            self.at += n;
            if self.at < self.end {
                return Ok(());
            }
        }
    }

    /// Fills `out`.
    pub(super) fn exact(&mut self, out: &mut [u8]) -> Result<(), RecipeError> {
        for byte in out {
            *byte = self.byte()?;
        }
        Ok(())
    }

    /// Appends `len` bytes, growing as they come.
    pub(super) fn take(&mut self, out: &mut Vec<u8>, len: u64, limit: u64) -> Result<(), RecipeError> {
        if len > limit {
            return Err(self.error("a text is longer than the limit"));
        }
        let mut left = len as usize;
        while left > 0 {
            if self.is_at_end()? {
                return Err(self.error("the section ends in the middle"));
            }
            let n = left.min(self.end - self.at);
            out.extend_from_slice(&self.buffer[self.at..self.at + n]);
            self.at += n;
            left -= n;
        }
        Ok(())
    }

    /// Bytes up to a NUL, which is consumed.
    pub(super) fn string(&mut self, limit: usize) -> Result<Vec<u8>, RecipeError> {
        let mut out = Vec::new();
        loop {
            match self.byte()? {
                0 => return Ok(out),
                byte if out.len() < limit => out.push(byte),
                _ => return Err(self.error("a text is longer than the limit")),
            }
        }
    }

    pub(super) fn number(&mut self) -> Result<u64, RecipeError> {
        let mut number = Partial::default();
        loop {
            let byte = self.byte()?;
            if let Some(value) = number.push(byte).map_err(|what| self.error(what))? {
                return Ok(value);
            }
        }
    }

    /// An id, as [`super::token::push_id`] writes it.
    pub(super) fn id(&mut self) -> Result<u32, RecipeError> {
        let mut bytes = [0; 4];
        self.exact(&mut bytes[2..])?;
        if bytes[2] < 0xF0 {
            return Ok(u32::from_be_bytes(bytes));
        }
        bytes = [bytes[2] & 0x0F, bytes[3], self.byte()?, self.byte()?];
        Ok(u32::from_be_bytes(bytes))
    }
}
