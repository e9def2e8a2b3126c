//! Which contents a writer finds to be like earlier ones, from samples of their words.

use super::contents::{FileKey, Lane, order};

/// How much of each content is looked at.
const SAMPLE: usize = 64 << 10;
/// Hashes that a content is known by.
const HASHES: usize = 8;
/// Words that are hashed together.
const TOGETHER: usize = 4;
/// A hash that more contents have tells nothing: a licence, a preamble.
const COMMON: usize = 64;
/// Contents within so many bytes of each other are side by side already, in the window of the codec.
const NEAR: u64 = 2 << 20;
/// Fewer bytes of copies are not worth a file that earlier releases cannot read: a tree of nixpkgs has a thirtieth of them,
/// and they would save 0.15 % of it.
const WORTH: u64 = 1 << 20;
const SHARE: u64 = 16;

/// The smallest hashes of neighbouring words of a content. Contents that share a part of their words share that part of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sketch {
    hashes: [u64; HASHES],
    len: usize,
}

/// Takes a sketch of contents that come in pieces.
#[derive(Default)]
pub(super) struct Sketcher {
    sketch: Sketch,
    seen: usize,
    word: u64,
    /// Hashes of the last words, the latest first.
    words: [u64; TOGETHER],
}

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl Sketcher {
    pub(super) fn add(&mut self, piece: &[u8]) {
        let room = SAMPLE - self.seen;
        for byte in piece.iter().take(room) {
            if byte.is_ascii_whitespace() {
                self.end_word();
            } else {
                self.word = (self.word ^ u64::from(*byte)).wrapping_mul(FACTOR).rotate_left(23);
            }
        }
        self.seen += piece.len().min(room);
    }

    fn end_word(&mut self) {
        if self.word == 0 {
            return;
        }
        self.words.rotate_right(1);
        self.words[0] = std::mem::take(&mut self.word);
        if self.words[TOGETHER - 1] == 0 {
            return;
        }
        let joined = self.words.iter().fold(0u64, |all, word| (all ^ word).wrapping_mul(FACTOR).rotate_left(31));
        self.sketch.add(joined);
    }

    pub(super) fn finish(mut self) -> Sketch {
        self.end_word();
        self.sketch
    }
}

impl Sketch {
    fn hashes(&self) -> &[u64] {
        &self.hashes[..self.len]
    }

    fn add(&mut self, hash: u64) {
        if self.len == HASHES && hash >= self.hashes[HASHES - 1] {
            return;
        }
        let Err(place) = self.hashes().binary_search(&hash) else { return };
        self.len = (self.len + 1).min(HASHES);
        self.hashes.copy_within(place..self.len - 1, place + 1);
        self.hashes[place] = hash;
    }
}

/// Bits of the number of a content. Those beyond are not looked for.
const NUMBER: u32 = 24;

/// For each content an earlier one that it is like and far away from, if there is one; `None` for all where there are few.
pub(super) fn find(files: &[FileKey], sketches: &[Sketch]) -> Vec<Option<u32>> {
    let mut like = vec![None; files.len()];
    // A hash, of which some bits are enough, and behind it the number of a content that has it.
    let mut all: Vec<u64> = Vec::new();
    for (number, sketch) in sketches.iter().enumerate().take(1 << NUMBER) {
        all.extend(sketch.hashes().iter().map(|hash| hash >> NUMBER << NUMBER | number as u64));
    }
    if all.is_empty() {
        return like;
    }
    all.sort_unstable();
    let mut places = vec![0; files.len()];
    let mut at = 0;
    for number in order(files, &|number| number) {
        places[number as usize] = at;
        at += files[number as usize].len;
    }
    let (mut bytes, mut all_bytes) = (0, 0);
    // How many hashes the content at hand has in common with each.
    let mut common = vec![0u8; files.len()];
    let mut others: Vec<usize> = Vec::new();
    for (number, (file, sketch)) in files.iter().zip(sketches).enumerate() {
        if !matches!(file.lane(), Lane::Tree | Lane::Large) {
            continue;
        }
        all_bytes += file.len;
        for hash in sketch.hashes().iter().map(|hash| hash >> NUMBER) {
            let rest = &all[all.partition_point(|entry| entry >> NUMBER < hash)..];
            let run = rest.iter().take(COMMON + 1).take_while(|entry| *entry >> NUMBER == hash).count();
            for entry in rest[..run].iter().filter(|_| run <= COMMON) {
                let other = (entry & ((1 << NUMBER) - 1)) as usize;
                if other < number && files[other].lane() == file.lane() {
                    common[other] += 1;
                    others.push(other);
                }
            }
        }
        // The first of those that have most.
        let best = others.iter().copied().max_by_key(|other| (common[*other], std::cmp::Reverse(*other)));
        let enough = sketch.len.div_ceil(4).max(2);
        if let Some(best) = best.filter(|best| usize::from(common[*best]) >= enough)
            && places[number].abs_diff(places[best]) >= NEAR
        {
            like[number] = Some(best as u32);
            bytes += file.len;
        }
        others.drain(..).for_each(|other| common[other] = 0);
    }
    if bytes < WORTH.max(all_bytes / SHARE) {
        like.fill(None);
    }
    like
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(text: &str) -> Sketch {
        let mut sketcher = Sketcher::default();
        // In pieces, as a spool gives them.
        text.as_bytes().chunks(7).for_each(|piece| sketcher.add(piece));
        sketcher.finish()
    }

    fn words(range: std::ops::Range<u32>) -> String {
        range.map(|n| format!("word{n} ")).collect()
    }

    /// Files of a tree of so many bytes, each with words of its own or those of another.
    fn found(texts: &[(u64, &str)]) -> Vec<Option<u32>> {
        let file = |(len, _): &(u64, &str)| FileKey { path: Vec::new(), len: *len, dense: false, tree: true };
        let sketches: Vec<Sketch> = texts.iter().map(|(_, text)| sketch(text)).collect();
        find(&texts.iter().map(file).collect::<Vec<_>>(), &sketches)
    }

    #[test]
    fn a_sketch_has_the_smallest_hashes_once() {
        assert_eq!(sketch("").len + sketch("a few words").len, 0);
        assert_eq!(sketch("now a few words").len, 1);
        assert_eq!(sketch(&"a b c d ".repeat(9)).len, 4);
        let text = sketch(&words(0..50));
        assert!(text.len == HASHES && text.hashes().is_sorted());
        assert_eq!(text.hashes(), sketch(&words(0..50).repeat(2).replace(' ', "\n")).hashes().iter().as_slice());
    }

    #[test]
    fn copies_are_found_where_they_are_far_away() {
        let (text, other, changed) = (words(0..99), words(100..199), words(0..60) + &words(300..340));
        assert_eq!(found(&[(NEAR, &text), (NEAR, &other), (NEAR, &changed)]), [None, None, Some(0)]);
        // Beside each other; too few bytes; too small a part of all; too short to tell.
        let rest = (1, other.as_str());
        assert_eq!(found(&[(NEAR - 1, &text), rest, (WORTH, &changed)]), [None, None, Some(0)]);
        assert_eq!(found(&[(NEAR - 2, &text), rest, (WORTH, &changed)]), [None; 3]);
        assert_eq!(found(&[(NEAR - 1, &text), rest, (WORTH - 1, &changed)]), [None; 3]);
        assert_eq!(found(&[(NEAR * SHARE, &text), (NEAR, &changed)]), [None; 2]);
        assert_eq!(found(&[(NEAR, "now a few words"), (NEAR, "now a few words")]), [None; 2]);
    }

    #[test]
    fn what_everybody_has_tells_nothing() {
        let text = words(0..50);
        let copies = vec![(NEAR, text.as_str()); COMMON];
        assert_eq!(found(&copies).iter().flatten().count(), COMMON - 1);
        assert_eq!(found(&[&copies[..], &copies[..1]].concat()).iter().flatten().count(), 0);
    }
}
