//! The section `copies`: which contents of sources are much like earlier ones, so that they travel beside them.

use super::{
    RecipeError,
    input::Input,
    origins::{push_near, take_near},
};
use crate::{format::Section, leb128};
use std::io::Read;

const LATER: &str = "contents that are like no earlier ones";

/// For each content, by number, the first of those that it is like: itself, where it is like none before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Originals(Vec<u32>);

impl Originals {
    /// From a content before each, where it is like one.
    pub(super) fn new(like: &[Option<u32>]) -> Self {
        let mut originals: Vec<u32> = Vec::with_capacity(like.len());
        for (number, other) in (0..).zip(like) {
            let original = other.and_then(|other| originals.get(other as usize).copied());
            originals.push(original.unwrap_or(number));
        }
        Self(originals)
    }

    /// Reads the section of a recipe that has so many contents.
    pub(super) fn read(section: &mut dyn Read, contents: usize) -> Result<Self, RecipeError> {
        Self::read_runs(&mut Input::new(section), contents).map_err(|error| error.in_section(Section::Copies))
    }

    fn read_runs(input: &mut Input<'_>, contents: usize) -> Result<Self, RecipeError> {
        let mut originals: Vec<u32> = Vec::with_capacity(contents);
        let mut expected = 0;
        while !input.is_at_end()? {
            let alone = take_count(input, contents - originals.len(), 0)?;
            let at = originals.len() as u32;
            originals.extend(at..at + alone as u32);
            let from = take_near(input, expected, LATER)?;
            let copied = take_count(input, contents - originals.len(), 1)?;
            let first = usize::try_from(from).ok().filter(|first| *first < originals.len());
            let first = first.ok_or_else(|| input.error(LATER))?;
            // A run may be like its own beginning.
            for number in first..first + copied {
                originals.push(originals[number]);
            }
            expected = from + copied as u64;
        }
        originals.extend(originals.len() as u32..contents as u32);
        Ok(Self(originals))
    }

    /// The original of a content.
    pub(super) fn of(&self, content: u32) -> u32 {
        self.0.get(content as usize).copied().unwrap_or(content)
    }
}

fn take_count(input: &mut Input<'_>, most: usize, least: usize) -> Result<usize, RecipeError> {
    let count = usize::try_from(input.number()?).ok().filter(|count| (least..=most).contains(count));
    count.ok_or_else(|| input.error("a run of contents is empty or too long"))
}

/// The section: empty where nothing is like anything.
pub(super) fn write(like: &[Option<u32>]) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut at, mut expected) = (0, 0);
    while let Some(alone) = like.get(at..).and_then(|rest| rest.iter().position(Option::is_some)) {
        let start = at + alone;
        let from = like[start].map_or(0, u64::from);
        let copied =
            (from..).zip(&like[start..]).take_while(|(next, other)| other.map(u64::from) == Some(*next)).count();
        leb128::put(&mut out, alone as u64);
        push_near(&mut out, from, expected);
        leb128::put(&mut out, copied as u64);
        (at, expected) = (start + copied, from + copied as u64);
    }
    out
}

#[cfg(test)]
#[path = "../../tests/page/mod.rs"]
pub(super) mod page;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(section: &[u8], contents: usize) -> Result<Originals, RecipeError> {
        Originals::read(&mut &*section, contents)
    }

    #[test]
    fn originals_come_back() {
        let none = [None; 3];
        assert_eq!((write(&none), read(&[], 3).unwrap()), (Vec::new(), Originals::new(&none)));
        // 2 is like 0, 3 like 1, 4 like 2 and so like 0; 6 and 7 are like the one before them.
        let like = [None, None, Some(0), Some(1), Some(2), None, Some(5), Some(6), None];
        let section = write(&like);
        // The vector of the page.
        assert_eq!(section, page::vector(include_str!("../../../../docs/format-recipe.md"), "copies"));
        let originals = read(&section, like.len()).unwrap();
        assert_eq!(originals, Originals::new(&like));
        assert_eq!((0..9).map(|n| originals.of(n)).collect::<Vec<_>>(), [0, 1, 0, 1, 0, 5, 5, 5, 8]);
    }

    proptest! {
        #[test]
        fn any_originals_come_back(like in proptest::collection::vec(proptest::option::of(0u32..60), 0..60)) {
            let like: Vec<Option<u32>> = (0..).zip(like).map(|(n, other)| other.filter(|other| *other < n)).collect();
            let originals = read(&write(&like), like.len()).unwrap();
            for (n, other) in (0..).zip(&like) {
                prop_assert_eq!(originals.of(n), other.map_or(n, |other| originals.of(other)));
            }
        }
    }

    #[test]
    fn what_is_like_itself_or_a_later_one_or_is_not_there_is_refused() {
        // At once, behind the end, below 0, an empty run, too many, cut.
        for section in [&[0, 0, 1][..], &[1, 2, 1], &[1, 1, 1], &[1, 0, 0], &[1, 0, 9], &[9], &[1, 0]] {
            assert!(read(section, 4).is_err(), "{section:?}");
        }
        assert!(read(&[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1], 4).is_err());
        assert!(read(&[1, 0, 3], 4).is_ok());
    }
}
