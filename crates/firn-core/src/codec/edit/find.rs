//! Finding copies: a hash of every place of the run, and the place that would follow the copy before.

use super::SHORTEST;

/// Bytes that are copied from the run, and how many literals stand before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) literals: usize,
    pub(super) from: usize,
    pub(super) len: usize,
}

/// What a copy has to be longer for by where it begins: next to where the one before would go on, near to that, elsewhere. Tuned
/// on pairs of three servers, a desktop, a relative and a nixpkgs tree: a distance costs more than a shorter copy saves.
const NEXT: usize = 32;
const NEAR: (usize, usize) = (256, 16);
const FAR: usize = 80;
/// So many places with the same hash are looked at.
const DEPTH: usize = 8;
/// A copy of so many bytes that goes on where the one before ended is taken without a look elsewhere.
const GOOD: usize = 192;
/// Where less than a quarter is copied, but for so many bytes, the step to the next look is one byte longer for each so many
/// literals without a copy, up to so many more.
const MUCH: usize = 16 << 10;
const CALM: usize = 1 << 10;
const STEP: usize = 7;
/// Places of the run that are in the table at most; of a longer run every second, fourth ...
const PLACES: usize = 2 << 20;
/// An entry of the table is the number of a place, below [`PLACES`], and a tag above it. The tag with all bits set is left out.
const NUMBER_BITS: u32 = PLACES.trailing_zeros();
const NUMBER: u32 = (1 << NUMBER_BITS) - 1;
const TAGS: u32 = (1 << (32 - NUMBER_BITS)) - 1;
const NONE: u32 = u32::MAX;

fn stride(run: usize) -> usize {
    run.div_ceil(PLACES).max(1).next_power_of_two()
}

/// Bytes of the tables for a run.
pub(super) fn table_bytes(run: u64) -> u64 {
    let places = run.min(PLACES as u64);
    4 * (places + places.next_power_of_two().max(256))
}

/// Copies in their order, each of [`SHORTEST`] bytes at least.
pub(super) fn find(raw: &[u8], run: &[u8]) -> Vec<Copied> {
    let mut copies = Vec::new();
    let Some(last) = run.len().checked_sub(SHORTEST).filter(|_| run.len() < NONE as usize) else { return copies };
    let table = Table::new(run, last);
    // Where the literals begin, and the place of the run that would follow the last copy.
    let (mut start, mut follows, mut at, mut copied) = (0, 0, 0, 0);
    while at + SHORTEST <= raw.len() {
        let expected = follows + (at - start);
        let mut best = (0, 0, 0, 0);
        if let Some(there) = run.get(expected..) {
            let len = same(&raw[at..], there);
            if len >= SHORTEST {
                best = (len, expected, len, 0);
            }
        }
        if best.0 < GOOD {
            for place in table.places(&raw[at..at + SHORTEST]) {
                let len = same(&raw[at..], &run[place..]);
                if len < SHORTEST {
                    continue;
                }
                let back = same_back(&raw[start..at], &run[..place]);
                let penalty = match place.abs_diff(expected) {
                    distance if distance < NEXT => 0,
                    distance if distance < NEAR.0 => NEAR.1,
                    _ => FAR,
                };
                let gain = (len + back).saturating_sub(penalty);
                if gain >= SHORTEST && gain > best.0 {
                    best = (gain, place, len, back);
                }
            }
        }
        let (gain, place, len, back) = best;
        if gain == 0 {
            // A copy that begins in a step is extended back to where it begins.
            let rare = copied < (at / 4).saturating_sub(MUCH);
            at += if rare { 1 + ((at - start) / CALM).min(STEP) } else { 1 };
            continue;
        }
        copies.push(Copied { literals: at - back - start, from: place - back, len: len + back });
        at += len;
        copied += len + back;
        (start, follows) = (at, place + len);
    }
    copies
}

/// Places of the run by the hash of the bytes there, the first first.
struct Table {
    heads: Vec<u32>,
    next: Vec<u32>,
    stride: usize,
    bits: u32,
}

impl Table {
    fn new(run: &[u8], last: usize) -> Self {
        let stride = stride(run.len());
        let places = last / stride + 1;
        let bits = places.next_power_of_two().trailing_zeros().max(8);
        let mut table = Self { heads: vec![NONE; 1 << bits], next: vec![NONE; places], stride, bits };
        for number in (0..places).rev() {
            let at = number * stride;
            let (slot, tag) = hash(&run[at..at + SHORTEST], bits);
            table.next[number] = std::mem::replace(&mut table.heads[slot], tag << NUMBER_BITS | number as u32);
        }
        table
    }

    fn places(&self, bytes: &[u8]) -> impl Iterator<Item = usize> {
        let (slot, tag) = hash(bytes, self.bits);
        let follow = |entry: &u32| self.next.get((entry & NUMBER) as usize).copied();
        std::iter::successors(Some(self.heads[slot]), follow)
            .take_while(|entry| *entry != NONE)
            .take(DEPTH)
            .filter(move |entry| entry >> NUMBER_BITS == tag)
            .map(|entry| (entry & NUMBER) as usize * self.stride)
    }
}

/// The slot of some bytes, and a tag that tells most other bytes of that slot from them without a look at the run.
fn hash(bytes: &[u8], bits: u32) -> (usize, u32) {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, _) = bytes.as_chunks::<8>();
    let mixed = words.iter().fold(0, |hash: u64, word| {
        let hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(MULTIPLIER);
        hash ^ hash >> 29
    });
    let mixed = mixed.wrapping_mul(MULTIPLIER);
    ((mixed >> (64 - bits)) as usize, (mixed as u32 >> 8) % TAGS)
}

/// How many bytes are the same from the front.
fn same(one: &[u8], other: &[u8]) -> usize {
    let (a, b) = (one.as_chunks::<8>().0, other.as_chunks::<8>().0);
    let words = a.iter().zip(b).take_while(|(a, b)| a == b).count() * 8;
    words + one[words..].iter().zip(&other[words..]).take_while(|(a, b)| a == b).count()
}

/// How many bytes are the same from the back.
fn same_back(one: &[u8], other: &[u8]) -> usize {
    one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count()
}
