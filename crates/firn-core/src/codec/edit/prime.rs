//! The prime of an edit: the parts of the run that no copy covers, since what took their place is like them.

use super::{CodecError, LONGEST_PRIME, find::Copied};
use std::ops::Range;

/// From so many bytes of literals on one prime is tried, and so long it may be.
const FAR: usize = 208 << 10;

/// How much of the run is in a prime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Bytes before and behind each part.
    pub(super) margin: usize,
    /// Bytes at either end of a gap.
    pub(super) reach: usize,
}

/// Parts of the run, in order and apart from one another.
pub(super) struct Prime {
    /// How it was cut.
    pub(super) shape: Shape,
    parts: Vec<Range<u32>>,
    /// Bytes of its text.
    pub(super) len: usize,
}

impl Prime {
    /// Those that a writer tries: without a margin, which is best where all was replaced by something like it, and with two.
    /// Where there is much to pack beside, there is no choice, and the prime is a part of it: a reader makes it and unpacks it.
    pub(super) fn choices(copies: &[Copied], run: usize, raw: usize, stream: usize) -> Result<Vec<Self>, CodecError> {
        /// More than so many times the literals is not worth its time.
        const TIMES: usize = 16;
        /// So much of a frame.
        const PART: usize = 4;
        const SHORT: usize = 16 << 10;
        let far = stream > FAR.max(raw / 8);
        let most = if far { (raw / PART).max(FAR) } else { stream * TIMES };
        let most = most.clamp(64 << 10, LONGEST_PRIME);
        let fitting = |margin: &usize| {
            let reaches = [run.min(1 << 28), 1 << 14, 1 << 12, 1 << 10, 1 << 8, 1 << 6];
            let shapes = reaches.into_iter().map(|reach| Shape { margin: *margin, reach });
            let primes = shapes.filter_map(|shape| Self::new(copies, run, shape).ok());
            primes.into_iter().find(|prime| prime.len <= most)
        };
        let margins: &[usize] = if far { &[512] } else { &[0, 512, 4096] };
        let mut choices: Vec<Self> = margins.iter().filter_map(fitting).collect();
        // Of two that are nearly the same the longer is no worse; short ones take no time.
        choices.dedup_by(|next, last| {
            let same = last.len > SHORT && next.len >= last.len && next.len - last.len <= last.len / 8;
            if same && next.len > last.len {
                std::mem::swap(next, last);
            }
            same
        });
        if choices.is_empty() { Ok(vec![Self::new(copies, run, Shape { margin: 0, reach: 0 })?]) } else { Ok(choices) }
    }

    /// That of some copies, which end within the run.
    pub(super) fn new(copies: &[Copied], run: usize, shape: Shape) -> Result<Self, CodecError> {
        let mut covered: Vec<Range<u32>> =
            copies.iter().map(|copy| copy.from as u32..(copy.from + copy.len) as u32).collect();
        covered.sort_unstable_by_key(|range| (range.start, range.end));
        let mut prime = Self { shape, parts: Vec::new(), len: 0 };
        let mut end = 0;
        for range in &covered {
            prime.gap(end..range.start as usize, run);
            end = end.max(range.end as usize);
        }
        prime.gap(end..run, run);
        prime.len = prime.parts.iter().map(|part| part.len() + 1).sum();
        if prime.len > LONGEST_PRIME {
            return Err(CodecError::Damaged("edit"));
        }
        Ok(prime)
    }

    fn gap(&mut self, gap: Range<usize>, run: usize) {
        let reach = self.shape.reach;
        if gap.len() / 2 < reach {
            return self.part(gap, run);
        }
        self.part(gap.start..gap.start + reach, run);
        self.part(gap.end - reach..gap.end, run);
    }

    fn part(&mut self, part: Range<usize>, run: usize) {
        let margin = self.shape.margin;
        if part.is_empty() {
            return;
        }
        let (start, end) = (part.start.saturating_sub(margin) as u32, part.end.saturating_add(margin).min(run) as u32);
        match self.parts.last_mut() {
            Some(last) if last.end >= start => last.end = last.end.max(end),
            _ => self.parts.push(start..end),
        }
    }

    /// The parts, each with a separator behind it.
    pub(super) fn text(&self, run: &[u8], separator: u8) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.len);
        for part in &self.parts {
            text.extend_from_slice(run.get(part.start as usize..part.end as usize).unwrap_or_default());
            text.push(separator);
        }
        text
    }
}
