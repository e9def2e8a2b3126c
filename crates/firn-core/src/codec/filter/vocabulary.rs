//! Which words of a text are worth a code.

use super::runs::{letters, run, word};
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

/// Shortest word in bytes.
const MIN_WORD: usize = 3;
/// Longest word in bytes.
const MAX_WORD: usize = 120;
/// Different words that are counted; those that first appear after so many are not.
const MAX_COUNTED: usize = 200_000;
/// Bytes that a word must save beyond its place in the dictionary.
const MIN_GAIN: usize = 30;

impl Tokens {
    /// Length of the word at the start of `text`, which is not empty. What is no word is cut in any way.
    fn take(self, text: &[u8]) -> usize {
        if !text[0].is_ascii_alphabetic() && self == Self::Letters {
            return 1;
        }
        run(&text[..text.len().min(MAX_WORD)], letters)
    }
}

/// Longest word that is looked up as a number.
const SHORT_WORD: usize = 16;

/// A text in words, each of which is looked up once and goes by number from then on.
pub(super) struct Vocabulary<'a> {
    text: &'a [u8],
    /// Each word that is counted, with how often it is there.
    words: Vec<(&'a [u8], u32)>,
    /// Where they are, in the order of the text.
    places: Vec<Place>,
}

/// A place of a word: its number, and above [`NUMBER_BITS`] how many bytes lie between it and the word before.
#[derive(Clone, Copy)]
struct Place(u32);

const NUMBER_BITS: u32 = 18;
/// The number of no word.
const NONE: u32 = (1 << NUMBER_BITS) - 1;
const MAX_GAP: usize = (u32::MAX >> NUMBER_BITS) as usize;
const _: () = assert!(MAX_COUNTED <= NONE as usize);

impl<'a> Vocabulary<'a> {
    /// Counts the words of a text.
    pub(super) fn new(text: &'a [u8], tokens: Tokens) -> Self {
        let mut vocabulary = Self { text, words: Vec::new(), places: Vec::new() };
        let (mut short, mut long) = (HashMap::<u128, u32>::default(), HashMap::<&[u8], u32>::default());
        let (mut at, mut end) = (0, 0);
        while at < text.len() {
            let token = &text[at..at + tokens.take(&text[at..])];
            if token.len() >= MIN_WORD && (token[0].is_ascii_alphabetic() || is_word(token)) {
                let next = vocabulary.words.len() as u32;
                let is_full = vocabulary.words.len() == MAX_COUNTED;
                let number = if token.len() <= SHORT_WORD {
                    // No word has a zero in it, so no two are the same number.
                    let key = word(text, at, token.len());
                    if is_full { short.get(&key).copied() } else { Some(*short.entry(key).or_insert(next)) }
                } else if is_full {
                    long.get(token).copied()
                } else {
                    Some(*long.entry(token).or_insert(next))
                };
                if let Some(number) = number {
                    vocabulary.add(number, token, at - end);
                    end = at + token.len();
                }
            }
            at += token.len();
        }
        vocabulary
    }

    fn add(&mut self, number: u32, word: &'a [u8], mut gap: usize) {
        match self.words.get_mut(number as usize) {
            Some((_, count)) => *count += 1,
            None => self.words.push((word, 1)),
        }
        while gap > MAX_GAP {
            self.places.push(Place((MAX_GAP as u32) << NUMBER_BITS | NONE));
            gap -= MAX_GAP;
        }
        self.places.push(Place((gap as u32) << NUMBER_BITS | number));
    }

    /// The numbers of the words that save most, in the order of their codes: `one` of one byte, then at most `two` of two.
    /// Each kind is sorted, since neighbours in the dictionary then share their beginnings.
    pub(super) fn choose(&self, codes: impl Fn(usize) -> (usize, usize)) -> Vec<u32> {
        let word = |number: &u32| self.words[*number as usize].0;
        let saved = |number: &u32| self.words[*number as usize].1 as usize * (word(number).len() - 1);
        let all = 0..self.words.len() as u32;
        let mut chosen: Vec<u32> = all.filter(|number| saved(number) > word(number).len() + MIN_GAIN).collect();
        // A total order, whatever the order of the numbers.
        chosen.sort_unstable_by_key(|number| (Reverse(saved(number)), word(number)));
        let (one, two) = codes(chosen.len());
        chosen.truncate(one + two);
        let one = one.min(chosen.len());
        chosen[..one].sort_unstable_by_key(word);
        chosen[one..].sort_unstable_by_key(word);
        chosen
    }

    /// The words of these numbers.
    pub(super) fn words(&self, numbers: &[u32]) -> impl Iterator<Item = &'a [u8]> {
        numbers.iter().map(|number| self.words[*number as usize].0)
    }

    /// Goes through the text: what is no chosen word, and after it the place of one among the `chosen` numbers. After the
    /// last there may be no word.
    pub(super) fn replace(&self, chosen: &[u32], mut piece: impl FnMut(&[u8], Option<usize>)) {
        let mut codes: Vec<(usize, Option<usize>)> = self.words.iter().map(|(word, _)| (word.len(), None)).collect();
        for (code, number) in chosen.iter().enumerate() {
            codes[*number as usize].1 = Some(code);
        }
        let (mut at, mut done) = (0, 0);
        for Place(place) in &self.places {
            at += (place >> NUMBER_BITS) as usize;
            let Some((len, code)) = codes.get((place & NONE) as usize) else { continue };
            if code.is_some() {
                piece(&self.text[done..at], *code);
                done = at + len;
            }
            at += len;
        }
        piece(&self.text[done..], None);
    }
}

/// Whether what begins with no letter may be a word.
fn is_word(token: &[u8]) -> bool {
    token.iter().all(|b| *b != 0 && *b < 0x80)
}
