//! Numbers, strings and lists of the worker protocol, read with limits and written (`worker-protocol-connection`,
//! `serialise.cc` of Nix).

use firn_core::{StoreDir, StorePath, StorePathError, archive};
use std::io::{self, BufRead, BufReader, Read, Write};

/// Longest string that is taken from a daemon, in bytes: a message with its traces, or a log line.
const MAX_STRING: u64 = 16 << 20;
/// Bytes that one message or reply may hold, counting [`ITEM`] for each string of it.
pub(crate) const MAX_REPLY: u64 = 256 << 20;
/// What a string costs in memory besides its bytes.
const ITEM: u64 = 40;
/// Bytes of a frame; any size is allowed, this is what was measured with.
const FRAME: usize = 1 << 16;

/// Why bytes of a daemon are no message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// Reading failed; `UnexpectedEof` means that the other side has closed.
    #[error("reading")]
    Io(#[from] io::Error),
    /// More bytes or items than a reply may have.
    #[error("{len} bytes or items where at most {limit} may come, at byte {offset}")]
    TooLong {
        /// What is claimed.
        len: u64,
        /// The limit.
        limit: u64,
        /// Position in the bytes that the daemon sent.
        offset: u64,
    },
    /// Bytes after a string that are not zero.
    #[error("padding that is not zero at byte {offset}")]
    Padding {
        /// Position in the bytes that the daemon sent.
        offset: u64,
    },
    /// A number that means nothing here.
    #[error("{value:#x} is no {what}, at byte {offset}")]
    Value {
        /// What it should have been.
        what: &'static str,
        /// What it is.
        value: u64,
        /// Position in the bytes that the daemon sent.
        offset: u64,
    },
    /// A string that is no store path, or one of another store directory.
    #[error(transparent)]
    Path(#[from] StorePathError),
}

/// Where bytes come from, with a way to wait for them.
pub(crate) trait Input: Read {
    /// Waits a moment for bytes: `false` when none came.
    fn wait(&mut self) -> io::Result<bool>;
}

impl Input for &[u8] {
    fn wait(&mut self) -> io::Result<bool> {
        Ok(true)
    }
}

/// Reads what a daemon sends. Memory is taken as bytes arrive, never as they are announced.
pub(crate) struct Reader<I> {
    input: BufReader<I>,
    offset: u64,
    budget: u64,
}

impl<I: Input> Reader<I> {
    pub(crate) fn new(input: I) -> Self {
        Self { input: BufReader::with_capacity(FRAME, input), offset: 0, budget: MAX_REPLY }
    }

    /// Begins a message or reply, which may hold [`MAX_REPLY`] bytes.
    pub(crate) fn begin(&mut self) {
        self.budget = MAX_REPLY;
    }

    /// Waits a moment for the next byte: `false` when none came.
    pub(crate) fn wait(&mut self) -> io::Result<bool> {
        if self.input.buffer().is_empty() { self.input.get_mut().wait() } else { Ok(true) }
    }

    /// What was received and not yet read, at most `limit` bytes of it: to show what an unknown peer said.
    pub(crate) fn peek(&self, limit: usize) -> &[u8] {
        let buffered = self.input.buffer();
        &buffered[..buffered.len().min(limit)]
    }

    /// Reads a line of at most `limit` bytes, as a shell writes it, without its end; `None` at the end of input.
    pub(crate) fn line(&mut self, limit: u64) -> Result<Option<String>, WireError> {
        let mut line = Vec::new();
        (&mut self.input).take(limit).read_until(b'\n', &mut line)?;
        self.offset += line.len() as u64;
        if line.is_empty() {
            return Ok(None);
        }
        Ok(Some(String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).into_owned()))
    }

    /// Passes over bytes up to the end of input.
    pub(crate) fn skip_rest(&mut self) -> io::Result<()> {
        io::copy(&mut self.input, &mut io::sink()).map(|_| ())
    }

    pub(crate) fn invalid(&self, what: &'static str, value: u64) -> WireError {
        WireError::Value { what, value, offset: self.offset }
    }

    fn spend(&mut self, len: u64) -> Result<(), WireError> {
        match self.budget.checked_sub(len) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(WireError::TooLong { len, limit: self.budget, offset: self.offset }),
        }
    }

    pub(crate) fn exact(&mut self, buf: &mut [u8]) -> Result<(), WireError> {
        self.input.read_exact(buf)?;
        self.offset += buf.len() as u64;
        Ok(())
    }

    pub(crate) fn number(&mut self) -> Result<u64, WireError> {
        let mut bytes = [0; 8];
        self.exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, WireError> {
        Ok(self.number()? != 0)
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, WireError> {
        let len = self.number()?;
        if len > MAX_STRING {
            return Err(WireError::TooLong { len, limit: MAX_STRING, offset: self.offset });
        }
        self.spend(len + ITEM)?;
        let mut bytes = Vec::new();
        let taken = (&mut self.input).take(len).read_to_end(&mut bytes)? as u64;
        self.offset += taken;
        if taken < len {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let mut zeros = [0; 8];
        let zeros = &mut zeros[..(len.wrapping_neg() & 7) as usize];
        self.exact(zeros)?;
        if zeros.iter().any(|b| *b != 0) {
            return Err(WireError::Padding { offset: self.offset });
        }
        Ok(bytes)
    }

    /// A string; bytes that are no UTF-8 are replaced.
    pub(crate) fn text(&mut self) -> Result<String, WireError> {
        Ok(match String::from_utf8(self.bytes()?) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }

    pub(crate) fn path(&mut self, store_dir: &StoreDir) -> Result<StorePath, WireError> {
        Ok(store_dir.parse(&self.bytes()?)?)
    }

    /// A path, or nothing for the empty string.
    pub(crate) fn optional_path(&mut self, store_dir: &StoreDir) -> Result<Option<StorePath>, WireError> {
        let bytes = self.bytes()?;
        if bytes.is_empty() { Ok(None) } else { Ok(Some(store_dir.parse(&bytes)?)) }
    }

    pub(crate) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, WireError>,
    ) -> Result<Vec<T>, WireError> {
        let count = self.number()?;
        self.spend(count.saturating_mul(8))?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    pub(crate) fn paths(&mut self, store_dir: &StoreDir) -> Result<Vec<StorePath>, WireError> {
        self.list(|reader| reader.path(store_dir))
    }

    pub(crate) fn texts(&mut self) -> Result<Vec<String>, WireError> {
        self.list(Self::text)
    }
}

pub(crate) fn write_number(out: &mut dyn Write, number: u64) -> io::Result<()> {
    out.write_all(&number.to_le_bytes())
}

pub(crate) fn write_text(out: &mut dyn Write, text: &str) -> io::Result<()> {
    archive::write_string(out, text.as_bytes())
}

pub(crate) fn write_texts<T: AsRef<str>>(out: &mut dyn Write, texts: &[T]) -> io::Result<()> {
    write_number(out, texts.len() as u64)?;
    texts.iter().try_for_each(|text| write_text(out, text.as_ref()))
}

/// Bytes of unknown number, in frames that say theirs; [`Framed::finish`] ends them.
pub(crate) struct Framed<'a> {
    out: &'a mut dyn Write,
    frame: Vec<u8>,
}

impl<'a> Framed<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, frame: Vec::with_capacity(FRAME) }
    }

    fn send(&mut self) -> io::Result<()> {
        if !self.frame.is_empty() {
            write_number(self.out, self.frame.len() as u64)?;
            self.out.write_all(&self.frame)?;
            self.frame.clear();
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.send()?;
        write_number(self.out, 0)
    }
}

impl Write for Framed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.frame.len() == FRAME {
            self.send()?;
        }
        let n = bytes.len().min(FRAME - self.frame.len());
        self.frame.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_length_beyond_the_input_takes_no_memory_and_is_an_error() {
        for len in [9, MAX_STRING, MAX_STRING + 1, 1 << 63, u64::MAX] {
            let mut bytes = len.to_le_bytes().to_vec();
            bytes.extend_from_slice(b"12345678");
            assert!(Reader::new(&bytes[..]).bytes().is_err());
            assert!(Reader::new(&bytes[..]).texts().is_err());
        }
    }

    #[test]
    fn frames_join_to_what_was_written() {
        let mut out = Vec::new();
        let mut framed = Framed::new(&mut out);
        let bytes: Vec<u8> = (0..150_000u32).map(|i| i as u8).collect();
        framed.write_all(&bytes).unwrap();
        framed.finish().unwrap();
        let (mut rest, mut joined) = (&out[..], Vec::new());
        loop {
            let (len, after) = rest.split_at(8);
            let len = u64::from_le_bytes(len.try_into().unwrap()) as usize;
            joined.extend_from_slice(&after[..len]);
            rest = &after[len..];
            if len == 0 {
                break;
            }
        }
        assert!(rest.is_empty());
        assert_eq!(joined, bytes);
    }

    proptest! {
        #[test]
        fn texts_are_read_back_as_written(texts in proptest::collection::vec(".{0,20}", 0..20)) {
            let mut out = Vec::new();
            write_texts(&mut out, &texts).unwrap();
            let mut reader = Reader::new(&out[..]);
            prop_assert_eq!(reader.texts().unwrap(), texts);
            prop_assert_eq!(reader.offset, out.len() as u64);
        }
    }
}
