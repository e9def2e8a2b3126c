//! The section `source-paths`: paths of sources whose contents are many, so that who wants derivations alone need not unpack
//! these.

use super::{RecipeError, input::Input};
use crate::{closure::ProvenPath, leb128};
use std::io::Read;

/// Hash part of a store path.
type Digest = [u8; 20];

/// Hash parts of the paths of some sources, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourcePaths(Vec<Option<Digest>>);

impl SourcePaths {
    /// Reads the section of a recipe that has so many sources.
    pub fn read(section: &mut dyn Read, sources: usize) -> Result<Self, RecipeError> {
        let input = &mut Input::new(section);
        let mut told = Vec::new();
        while !input.is_at_end()? {
            let untold = take_count(input, sources - told.len(), 0)?;
            told.resize(told.len() + untold, None);
            for _ in 0..take_count(input, sources - told.len(), 1)? {
                let mut digest = [0; 20];
                input.exact(&mut digest)?;
                told.push(Some(digest));
            }
        }
        Ok(Self(told))
    }

    /// Of a source; `None` where its path is not told.
    pub fn of(&self, source: usize) -> Option<&Digest> {
        self.0.get(source)?.as_ref()
    }

    /// Refuses another path than that which contents gave.
    pub fn compare(&self, sources: &[ProvenPath]) -> Result<(), RecipeError> {
        let differs = |(number, source): &(usize, &ProvenPath)| {
            self.of(*number).is_some_and(|digest| *digest != source.path().digest())
        };
        match sources.iter().enumerate().find(differs) {
            None => Ok(()),
            Some((_, source)) => Err(RecipeError::Source {
                name: source.path().name().to_owned(),
                what: "its contents do not give the path that is told of it",
            }),
        }
    }
}

fn take_count(input: &mut Input<'_>, most: usize, least: usize) -> Result<usize, RecipeError> {
    let count = usize::try_from(input.number()?).ok().filter(|count| (least..=most).contains(count));
    count.ok_or_else(|| input.error("a run of sources is empty or too long"))
}

/// The section: empty where nothing is told.
pub(super) fn write(told: &[Option<Digest>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut untold = 0;
    for run in told.chunk_by(|a, b| a.is_some() == b.is_some()) {
        if run.first().is_some_and(Option::is_none) {
            untold = run.len();
            continue;
        }
        leb128::put(&mut out, std::mem::take(&mut untold) as u64);
        leb128::put(&mut out, run.len() as u64);
        run.iter().flatten().for_each(|digest| out.extend_from_slice(digest));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::copies::page;
    use proptest::prelude::*;

    #[test]
    fn the_vector_of_the_page() {
        let told = [None, None, Some([0x11; 20]), Some([0x22; 20]), None];
        let section = write(&told);
        assert_eq!(section, page::vector(include_str!("../../../../docs/format-recipe.md"), "source-paths"));
        assert_eq!(SourcePaths::read(&mut &*section, 5).unwrap(), SourcePaths(told[..4].to_vec()));
    }

    proptest! {
        #[test]
        fn any_paths_come_back(told in proptest::collection::vec(proptest::option::of(any::<Digest>()), 0..40)) {
            let read = SourcePaths::read(&mut &*write(&told), told.len()).unwrap();
            for (number, digest) in told.iter().enumerate() {
                prop_assert_eq!(read.of(number), digest.as_ref());
            }
        }

        #[test]
        fn no_bytes_make_the_reader_panic(section: Vec<u8>, sources in 0usize..200) {
            let read = SourcePaths::read(&mut &*section, sources);
            prop_assert!(read.is_err() || (sources..sources + 9).all(|number| read.as_ref().unwrap().of(number).is_none()));
        }
    }

    #[test]
    fn runs_that_are_empty_too_long_or_cut_are_refused() {
        let digest = [7; 20].as_slice();
        let told = |counts: &[u8]| SourcePaths::read(&mut &*[counts, digest].concat(), 3);
        assert!(told(&[2, 1]).is_ok());
        for counts in [&[0, 0][..], &[3, 1], &[4, 1], &[2, 2], &[0, 2], &[0xff, 0xff, 0xff, 0x7f, 1]] {
            assert!(told(counts).is_err(), "{counts:?}");
        }
        assert!(SourcePaths::read(&mut [1].as_slice(), 3).is_err());
    }
}
