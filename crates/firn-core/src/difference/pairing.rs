//! Which derivation took the place of which: from the roots down, by name and by text, then among all that is left.

use super::side::Side;
use crate::derivation::Front;
use foldhash::fast::FixedState;
use memchr::memmem::Finder;
use std::{
    collections::{HashMap, VecDeque},
    hash::BuildHasher,
    io,
};

/// Pairs of numbers, old and new, of derivations that are not the same. Each is in one pair at most.
pub(super) fn pair(old: &Side<'_>, new: &Side<'_>) -> io::Result<Vec<(usize, usize)>> {
    let mut pairing =
        Pairing { old: Half::new(old, new)?, new: Half::new(new, old)?, found: Vec::new(), queue: VecDeque::new() };
    pairing.among(old.roots(), new.roots());
    if let ([a], [b]) = (old.roots(), new.roots()) {
        pairing.take(*a, *b);
    }
    pairing.descend();
    let all = |side: &Side<'_>| (0..side.len()).collect::<Vec<_>>();
    let (left, right) = (all(old), all(new));
    // What is above a pair is more telling than what is left over: each one that is found leads further down.
    pairing.among(&left, &right);
    pairing.descend();
    pairing.by_likeness(&left, &right);
    Ok(pairing.found)
}

/// One side with what is free in it.
struct Half<'a> {
    side: &'a Side<'a>,
    free: Vec<bool>,
    /// Of those that are free: digest of the text with hashes of store paths blanked.
    shape: Vec<u64>,
}

impl<'a> Half<'a> {
    fn new(side: &'a Side<'a>, other: &Side<'_>) -> io::Result<Self> {
        let free: Vec<bool> = (0..side.len()).map(|n| other.number(side.path(n)).is_none()).collect();
        let prefix = format!("{}/", side.store_dir());
        let finder = Finder::new(prefix.as_bytes());
        let mut shape = vec![0; side.len()];
        for number in (0..side.len()).filter(|n| free[*n]) {
            let text = side.text(number)?;
            // Inputs are sorted by hash: their order says nothing, so what stands before them is left out.
            let mut rest = Front::parse(&text).map_or(text.as_slice(), |front| front.rest).to_vec();
            let starts: Vec<usize> = finder.find_iter(&rest).map(|at| at + prefix.len()).collect();
            for start in starts {
                let end = rest.len().min(start + crate::HASH_CHARS);
                rest[start..end].fill(b'.');
            }
            shape[number] = FixedState::default().hash_one(&rest);
        }
        Ok(Self { side, free, shape })
    }
}

struct Pairing<'a> {
    old: Half<'a>,
    new: Half<'a>,
    found: Vec<(usize, usize)>,
    queue: VecDeque<(usize, usize)>,
}

impl Pairing<'_> {
    fn take(&mut self, old: usize, new: usize) {
        if self.old.free[old] && self.new.free[new] {
            (self.old.free[old], self.new.free[new]) = (false, false);
            self.found.push((old, new));
            self.queue.push_back((old, new));
        }
    }

    /// Goes from each pair to what its two sides refer to.
    fn descend(&mut self) {
        while let Some((old, new)) = self.queue.pop_front() {
            let (old, new) = (self.old.side.inputs(old), self.new.side.inputs(new));
            let (old, new) = (old.to_vec(), new.to_vec());
            self.among(&old, &new);
        }
    }

    /// Pairs what stands alone with its key on both sides: name and shape, name, name without version.
    fn among(&mut self, old: &[usize], new: &[usize]) {
        self.alone(old, new, |half, number| (half.side.name(number), half.shape[number]));
        self.alone(old, new, |half, number| (half.side.name(number), 0));
        self.alone(old, new, |half, number| (half.side.family(number), 0));
    }

    fn alone(&mut self, old: &[usize], new: &[usize], key: impl for<'h> Fn(&'h Half<'_>, usize) -> (&'h str, u64)) {
        let mut groups: HashMap<(&str, u64), [Vec<usize>; 2]> = HashMap::new();
        for (place, half, numbers) in [(0, &self.old, old), (1, &self.new, new)] {
            for number in numbers.iter().copied().filter(|n| half.free[*n]) {
                groups.entry(key(half, number)).or_default()[place].push(number);
            }
        }
        let both = groups.into_values().filter_map(|[old, new]| match (old.as_slice(), new.as_slice()) {
            ([a], [b]) => Some((*a, *b)),
            _ => None,
        });
        let mut alone: Vec<(usize, usize)> = both.collect();
        alone.sort_unstable();
        alone.into_iter().for_each(|(a, b)| self.take(a, b));
    }

    /// Pairs what is left of each name without version: the same shape first, then the longest common beginning.
    fn by_likeness(&mut self, old: &[usize], new: &[usize]) {
        let mut groups: HashMap<&str, (Vec<usize>, Vec<usize>)> = HashMap::new();
        let (old_half, new_half) = (&self.old, &self.new);
        for number in old.iter().copied().filter(|n| old_half.free[*n]) {
            groups.entry(old_half.side.family(number)).or_default().0.push(number);
        }
        for number in new.iter().copied().filter(|n| new_half.free[*n]) {
            groups.entry(new_half.side.family(number)).or_default().1.push(number);
        }
        let mut likely = Vec::new();
        for (old, new) in groups.into_values() {
            // Beyond this a family says nothing any more, and the product would take its time.
            if old.len().saturating_mul(new.len()) > 1 << 16 {
                continue;
            }
            for (a, b) in old.iter().flat_map(|a| new.iter().map(move |b| (*a, *b))) {
                let (x, y) = (old_half.side.name(a), new_half.side.name(b));
                let common = x.bytes().zip(y.bytes()).take_while(|(x, y)| x == y).count();
                let alike = old_half.shape[a] == new_half.shape[b];
                likely.push((std::cmp::Reverse((x == y, alike, common)), a, b));
            }
        }
        likely.sort_unstable();
        likely.into_iter().for_each(|(_, a, b)| self.take(a, b));
    }
}
