//! Frequent words as codes, and back.

use super::{
    CodecError, Unpacker,
    vocabulary::{Tokens, Vocabulary},
};
use std::io::{self, BufRead, Read};

/// Codes are the bytes from here on.
const FIRST: u8 = 0x80;
/// Comes before a byte of the text that looks like a code.
const LITERAL: u8 = 0xff;
/// Words of two bytes that share the first.
const PAGE: usize = 256;
/// Most pages.
pub(super) const MAX_PAGES: u64 = 64;
/// Most bytes of the dictionary: words, each with a zero byte behind it.
pub(super) const MAX_DICTIONARY: usize = 1 << 20;

/// How many codes of one byte there are beside so many pages.
fn one_byte_codes(pages: usize) -> usize {
    usize::from(LITERAL - FIRST) - pages
}

/// A text with its words replaced.
pub(super) struct Replaced {
    pub(super) stream: Vec<u8>,
    pub(super) dictionary: Vec<u8>,
    pub(super) pages: u8,
}

/// Replaces the words that save most; with fewer pages where there are fewer words.
pub(super) fn replace(text: &[u8], tokens: Tokens, max_pages: u8) -> Replaced {
    let pages_for = |words: usize| {
        let enough = |pages: &u8| one_byte_codes(usize::from(*pages)) + usize::from(*pages) * PAGE >= words;
        (0..max_pages).find(enough).unwrap_or(max_pages)
    };
    let vocabulary = Vocabulary::new(text, tokens);
    let chosen = vocabulary.choose(|words| {
        let pages = usize::from(pages_for(words));
        (one_byte_codes(pages), pages * PAGE)
    });
    let pages = pages_for(chosen.len());
    let one = one_byte_codes(usize::from(pages));
    let mut stream = Vec::with_capacity(text.len() / 4 * 3);
    vocabulary.replace(&chosen, |text, word| {
        if text.is_ascii() {
            stream.extend_from_slice(text);
        } else {
            for byte in text {
                if *byte >= FIRST {
                    stream.push(LITERAL);
                }
                stream.push(*byte);
            }
        }
        match word.map(|n| n.checked_sub(one).map_or(Ok(n), Err)) {
            Some(Ok(number)) => stream.push(FIRST + number as u8),
            Some(Err(paged)) => stream.extend_from_slice(&[FIRST + (one + paged / PAGE) as u8, (paged % PAGE) as u8]),
            None => {}
        }
    });
    let mut dictionary = Vec::new();
    for word in vocabulary.words(&chosen) {
        dictionary.extend_from_slice(word);
        dictionary.push(0);
    }
    Replaced { stream, dictionary, pages }
}

/// Puts words back into a text.
pub(super) struct WordReader<R> {
    stream: R,
    /// Words, each with a zero byte behind it.
    dictionary: Vec<u8>,
    /// Where each begins, and where one more would.
    starts: Vec<u32>,
    one: usize,
    /// What is left of a word, in the dictionary.
    pending: std::ops::Range<usize>,
}

impl<R: BufRead> WordReader<R> {
    pub(super) fn new(stream: R, pages: u64, dictionary: Unpacker<'_>) -> Result<Self, CodecError> {
        if pages > MAX_PAGES {
            return Err(CodecError::Filtered("there are too many pages of words"));
        }
        let mut bytes = Vec::new();
        dictionary.take(MAX_DICTIONARY as u64).read_to_end(&mut bytes).map_err(CodecError::from_io)?;
        let one = one_byte_codes(pages as usize);
        let mut starts = vec![0];
        for (at, byte) in bytes.iter().enumerate() {
            if *byte == 0 {
                starts.push(at as u32 + 1);
            }
        }
        let whole = starts.last().is_some_and(|end| *end as usize == bytes.len());
        let empty = starts.windows(2).any(|w| w[1] - w[0] == 1);
        if !whole || empty || starts.len() - 1 > one + pages as usize * PAGE {
            return Err(CodecError::Filtered("the dictionary of words is not well-formed"));
        }
        Ok(Self { stream, dictionary: bytes, starts, one, pending: 0..0 })
    }

    /// Takes the byte behind a code or mark.
    fn second(&mut self) -> io::Result<u8> {
        let byte = *self.stream.fill_buf()?.first().ok_or(CodecError::Filtered("a code is cut"))?;
        self.stream.consume(1);
        Ok(byte)
    }

    fn word(&mut self, code: u8) -> io::Result<std::ops::Range<usize>> {
        let mut number = usize::from(code - FIRST);
        if number >= self.one {
            number = self.one + (number - self.one) * PAGE + usize::from(self.second()?);
        }
        match self.starts.get(number..number + 2) {
            Some([start, end]) => Ok(*start as usize..*end as usize - 1),
            _ => Err(CodecError::Filtered("there is no word of that code").into()),
        }
    }
}

impl<R: BufRead> Read for WordReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            let room = &mut buf[filled..];
            if !self.pending.is_empty() {
                let n = self.pending.len().min(room.len());
                room[..n].copy_from_slice(&self.dictionary[self.pending.start..self.pending.start + n]);
                self.pending.start += n;
                filled += n;
                continue;
            }
            let stream = self.stream.fill_buf()?;
            let Some(first) = stream.first().copied() else { break };
            if first < FIRST {
                let most = stream.len().min(room.len());
                let n = stream[..most].iter().position(|b| *b >= FIRST).unwrap_or(most);
                room[..n].copy_from_slice(&stream[..n]);
                self.stream.consume(n);
                filled += n;
                continue;
            }
            self.stream.consume(1);
            if first == LITERAL {
                room[0] = self.second()?;
                filled += 1;
            } else {
                self.pending = self.word(first)?;
            }
        }
        Ok(filled)
    }
}
