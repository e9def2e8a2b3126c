//! The prime of an edit: the parts of the run that no copy covers, since what took their place is like them.

use super::{CodecError, LONGEST_PRIME, find::Copied};
use std::ops::Range;

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
    pub(super) fn choices(copies: &[Copied], run: usize, stream: usize) -> Result<Vec<Self>, CodecError> {
        /// More than so many times the literals is not worth its time.
        const TIMES: usize = 16;
        let most = (stream * TIMES).clamp(64 << 10, LONGEST_PRIME);
        let fitting = |margin| {
            let reaches = [run.min(1 << 28), 1 << 14, 1 << 12, 1 << 10, 1 << 8, 1 << 6];
            let primes = reaches.into_iter().filter_map(|reach| Self::new(copies, run, Shape { margin, reach }).ok());
            primes.into_iter().find(|prime| prime.len <= most)
        };
        let choices: Vec<Self> = [0, 512, 4096].into_iter().filter_map(fitting).collect();
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
