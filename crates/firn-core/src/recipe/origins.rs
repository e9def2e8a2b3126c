//! The section `origins` of a delta: which contents of sources are those of the base, and which of the base's contents the
//! others are patches of.

use super::{RecipeError, input::Input};
use crate::{format::Section, leb128, near};
use std::io::Read;

/// Where the contents of a delta's sources come from, in the order in which they would travel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    /// What travels and what is copied, by turns; all that is behind the last run travels.
    pub runs: Vec<OriginRun>,
    /// Contents of the base, first and how many: joined they are the reference of the section `sources`.
    pub references: Vec<(u64, u64)>,
}

/// Some contents that travel, and some behind them that do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginRun {
    /// How many travel.
    pub travelling: u64,
    /// How many are copied.
    pub copied: u64,
    /// The first of the base's contents that they are, in its order of travel.
    pub from: u64,
}

/// Appends a number that is likely to be near another one.
pub(super) fn push_near(out: &mut Vec<u8>, from: u64, expected: u64) {
    leb128::put(out, near::distance(from, expected));
}

/// Reads what [`push_near`] wrote; `wrong` is said of one below 0.
pub(super) fn take_near(input: &mut Input<'_>, expected: u64, wrong: &'static str) -> Result<u64, RecipeError> {
    let coded = input.number()?;
    near::at_distance(coded, expected).ok_or_else(|| input.error(wrong))
}

const BEYOND: &str = "contents that the base has not";

impl Origins {
    /// Most contents that are referred to, a content that is named again counted again. A reader keeps each in memory.
    pub const REFERENCES: u64 = 1 << 21;

    /// The section.
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        leb128::put(&mut out, self.runs.len() as u64);
        let mut expected = 0;
        for run in &self.runs {
            leb128::put(&mut out, run.travelling);
            leb128::put(&mut out, run.copied);
            push_near(&mut out, run.from, expected);
            expected = run.from + run.copied;
        }
        expected = 0;
        for (from, count) in &self.references {
            push_near(&mut out, *from, expected);
            leb128::put(&mut out, *count);
            expected = from + count;
        }
        out
    }

    /// Reads the section of a delta whose base has so many contents.
    pub fn read(section: &mut dyn Read, base_contents: u64) -> Result<Self, RecipeError> {
        let mut input = Input::new(section);
        let mut origins = Self::default();
        let mut expected = 0;
        let end = |input: &Input<'_>, from: u64, count: u64| {
            let end = from.checked_add(count).filter(|end| count > 0 && *end <= base_contents);
            end.ok_or_else(|| input.error(BEYOND))
        };
        for _ in 0..input.number()? {
            let (travelling, copied) = (input.number()?, input.number()?);
            let from = take_near(&mut input, expected, BEYOND)?;
            expected = end(&input, from, copied)?;
            origins.runs.push(OriginRun { travelling, copied, from });
        }
        expected = 0;
        let mut left = Self::REFERENCES;
        while !input.is_at_end()? {
            let from = take_near(&mut input, expected, BEYOND)?;
            let count = input.number()?;
            expected = end(&input, from, count)?;
            left = left.checked_sub(count).ok_or_else(|| input.error("more references than are allowed"))?;
            origins.references.push((from, count));
        }
        Ok(origins)
    }

    /// For each of so many contents the number of the base's that it is; `None` for what travels.
    pub fn of_each(&self, contents: usize) -> Result<Vec<Option<u64>>, RecipeError> {
        let mut of_each: Vec<Option<u64>> = Vec::with_capacity(contents);
        for run in &self.runs {
            let room = (contents - of_each.len()) as u64;
            if run.travelling.checked_add(run.copied).is_none_or(|len| len > room) {
                let section = Section::Origins;
                return Err(RecipeError::MalformedBeside { section, what: "more origins than contents", offset: 0 });
            }
            of_each.resize(of_each.len() + run.travelling as usize, None);
            of_each.extend((run.from..run.from + run.copied).map(Some));
        }
        of_each.resize(contents, None);
        Ok(of_each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_come_back_and_say_where_each_content_is_from() {
        let runs =
            vec![OriginRun { travelling: 0, copied: 2, from: 3 }, OriginRun { travelling: 1, copied: 1, from: 0 }];
        let origins = Origins { runs, references: vec![(4, 1), (0, 2)] };
        let section = origins.write();
        assert_eq!(Origins::read(&mut section.as_slice(), 5).unwrap(), origins);
        assert_eq!(origins.of_each(5).unwrap(), [Some(3), Some(4), None, Some(0), None]);
    }

    #[test]
    fn a_few_bytes_do_not_refer_to_more_than_a_reader_keeps() {
        let half = Origins::REFERENCES / 2;
        let read = |times| {
            let origins = Origins { runs: Vec::new(), references: vec![(0, half); times] };
            Origins::read(&mut origins.write().as_slice(), half)
        };
        assert!(read(2).is_ok());
        assert!(matches!(read(3), Err(RecipeError::Malformed { what: "more references than are allowed", .. })));
    }

    #[test]
    fn origins_beyond_either_closure_are_refused() {
        let runs = vec![OriginRun { travelling: 1, copied: 2, from: 3 }];
        let origins = Origins { runs, references: vec![(4, 1)] };
        let section = origins.write();
        assert!(Origins::read(&mut section.as_slice(), 4).is_err());
        assert!(origins.of_each(2).is_err());
        for cut in 0..section.len() {
            if let Ok(cut) = Origins::read(&mut &section[..cut], 5) {
                assert!(cut.references.len() < origins.references.len());
            }
        }
        let endless = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1, 0];
        assert!(Origins::read(&mut &endless[..], 5).unwrap().of_each(7).is_err());
    }
}
