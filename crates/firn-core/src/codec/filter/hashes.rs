//! Hashes out of a text, as bytes of a side stream, and back.

use super::{
    CodecError, Unpacker,
    runs::{alphanumerics, run},
};
use crate::recipe::hash_text::{self, Encoding, LENGTHS};
use std::io::{self, BufRead, Read};

/// The mark of the first kind of hash; bytes that text does not have. Kinds are numbered by spelling, then by length.
const FIRST: u8 = 0x0e;
const SPELLINGS: [Encoding; 3] = [Encoding::Hex, Encoding::Base32, Encoding::Base64];
/// Comes before a byte of the text that is a mark or this one; that one has bit 6 set.
const ESCAPE: u8 = FIRST + (SPELLINGS.len() * LENGTHS.len()) as u8;
const RAISED: u8 = 0x40;

fn is_special(byte: u8) -> bool {
    (FIRST..=ESCAPE).contains(&byte)
}

fn mark(spelling: Encoding, bytes: usize) -> Option<u8> {
    let spelling = SPELLINGS.iter().position(|s| *s == spelling)?;
    let length = LENGTHS.iter().position(|l| *l == bytes)?;
    Some(FIRST + (spelling * LENGTHS.len() + length) as u8)
}

fn kind(mark: u8) -> Option<(Encoding, usize)> {
    let number = usize::from(mark.checked_sub(FIRST)?);
    Some((*SPELLINGS.get(number / LENGTHS.len())?, LENGTHS[number % LENGTHS.len()]))
}

/// The text with marks for its hashes, and their bytes.
pub(super) fn take_out(text: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut stream = Vec::with_capacity(text.len());
    let mut side = Vec::new();
    // What lies between them is as it was, and copied as a whole.
    let (mut at, mut copied) = (0, 0);
    while at < text.len() {
        if !text[at].is_ascii_alphanumeric() {
            if is_special(text[at]) {
                stream.extend_from_slice(&text[copied..at]);
                stream.extend_from_slice(&[ESCAPE, text[at] | RAISED]);
                copied = at + 1;
            }
            at += 1;
            continue;
        }
        let word = run(&text[at..], alphanumerics);
        // Base 64 has no words of its own: it is looked for where SRI hashes have it.
        let possible = matches!(word, 32 | 40 | 52 | 64 | 103 | 128) || at > 0 && text[at - 1] == b'-';
        let found = if possible { hash_text::find(&text[at..text.len().min(at + 132)]) } else { None };
        match found.and_then(|hash| Some((mark(hash.encoding, hash.bytes.len())?, hash))) {
            Some((mark, hash)) => {
                stream.extend_from_slice(&text[copied..at]);
                stream.push(mark);
                side.extend_from_slice(&hash.bytes);
                at += hash.len;
                copied = at;
            }
            None => at += word,
        }
    }
    stream.extend_from_slice(&text[copied..]);
    (stream, side)
}

/// Puts hashes back into a text.
pub(super) struct HashReader<'a, R> {
    stream: R,
    side: Unpacker<'a>,
    /// What is left of a hash or an escaped byte.
    pending: Vec<u8>,
    given: usize,
}

impl<'a, R: BufRead> HashReader<'a, R> {
    pub(super) fn new(stream: R, side: Unpacker<'a>) -> Self {
        Self { stream, side, pending: Vec::new(), given: 0 }
    }

    /// Whether all hashes were used.
    pub(super) fn side_is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.side.read(&mut [0])? == 0)
    }

    fn expand(&mut self, mark: u8) -> io::Result<()> {
        self.given = 0;
        self.pending.clear();
        if let Some((spelling, len)) = kind(mark) {
            let mut bytes = [0; 64];
            self.side.read_exact(&mut bytes[..len]).map_err(|e| match e.kind() {
                io::ErrorKind::UnexpectedEof => CodecError::Filtered("a hash is missing").into(),
                _ => e,
            })?;
            self.pending.extend_from_slice(hash_text::write(spelling, &bytes[..len]).as_bytes());
            return Ok(());
        }
        let byte = self.stream.fill_buf()?.first().map(|b| b ^ RAISED);
        let byte = byte.filter(|b| is_special(*b)).ok_or(CodecError::Filtered("a byte is escaped that need not be"))?;
        self.stream.consume(1);
        self.pending.push(byte);
        Ok(())
    }
}

impl<R: BufRead> Read for HashReader<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            let room = &mut buf[filled..];
            let pending = &self.pending[self.given..];
            if !pending.is_empty() {
                let n = pending.len().min(room.len());
                room[..n].copy_from_slice(&pending[..n]);
                self.given += n;
                filled += n;
                continue;
            }
            let stream = self.stream.fill_buf()?;
            let Some(first) = stream.first().copied() else { break };
            if is_special(first) {
                self.stream.consume(1);
                self.expand(first)?;
                continue;
            }
            let most = stream.len().min(room.len());
            let n = stream[..most].iter().position(|b| is_special(*b)).unwrap_or(most);
            room[..n].copy_from_slice(&stream[..n]);
            self.stream.consume(n);
            filled += n;
        }
        Ok(filled)
    }
}
