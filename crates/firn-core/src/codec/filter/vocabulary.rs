//! Which words of a text are worth a code.

use foldhash::HashMap;
use std::cmp::Reverse;

/// What counts as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tokens {
    /// Runs of letters.
    Letters,
    /// Runs of letters, and what stands between them: for markup.
    Runs,
}

/// Longest word in bytes.
const MAX_WORD: usize = 120;
/// Different words that are counted; those that first appear after so many are not.
const MAX_COUNTED: usize = 200_000;
/// Bytes that a word must save beyond its place in the dictionary.
const MIN_GAIN: usize = 30;

impl Tokens {
    /// Length of the word at the start of `text`, which is not empty. What is no word is cut in any way.
    pub(super) fn take(self, text: &[u8]) -> usize {
        let most = text.len().min(MAX_WORD);
        let is_letter = text[0].is_ascii_alphabetic();
        if !is_letter && self == Self::Letters {
            return 1;
        }
        text[..most].iter().position(|b| b.is_ascii_alphabetic() != is_letter).unwrap_or(most)
    }
}

/// The words that save most, in the order of their codes: `one` of one byte, then at most `two` of two. Each kind is
/// sorted, since neighbours in the dictionary then share their beginnings.
pub(super) fn choose(text: &[u8], tokens: Tokens, codes: impl Fn(usize) -> (usize, usize)) -> Vec<&[u8]> {
    let mut counts: HashMap<&[u8], usize> = HashMap::default();
    let mut rest = text;
    while !rest.is_empty() {
        let (token, after) = rest.split_at(tokens.take(rest));
        rest = after;
        if token.len() < 3 || token.iter().any(|b| *b == 0 || *b >= 0x80) {
            continue;
        }
        if let Some(count) = counts.get_mut(token) {
            *count += 1;
        } else if counts.len() < MAX_COUNTED {
            counts.insert(token, 1);
        }
    }
    let saved = |word: &[u8], count: usize| count * (word.len() - 1);
    let mut words: Vec<_> =
        counts.into_iter().filter(|(word, count)| saved(word, *count) > word.len() + MIN_GAIN).collect();
    // A total order, so that the order of the table does not matter.
    words.sort_unstable_by_key(|(word, count)| (Reverse(saved(word, *count)), *word));
    let (one, two) = codes(words.len());
    words.truncate(one + two);
    let mut words: Vec<&[u8]> = words.into_iter().map(|(word, _)| word).collect();
    let one = one.min(words.len());
    words[..one].sort_unstable();
    words[one..].sort_unstable();
    words
}
