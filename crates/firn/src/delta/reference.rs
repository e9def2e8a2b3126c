//! The sections of a base, as frames of a delta refer to them.

use firn_core::{
    Blob, Proven, Spool,
    format::Section,
    recipe::{EncodedRecipe, RecipeError, encode_base},
};
use std::{borrow::Cow, io};

/// What a delta may refer to.
pub(crate) struct Reference {
    pub(super) recipe: EncodedRecipe,
}

impl Reference {
    /// That of a closure whose contents are in the spool.
    pub(crate) fn new(base: &Proven, spool: &dyn Spool) -> Result<Self, RecipeError> {
        Ok(Self { recipe: encode_base(base, spool)? })
    }

    /// A section of the base; contents are not in memory, and origins it has none.
    pub(super) fn section(&self, section: Section) -> &[u8] {
        match section {
            Section::SourceNames => &self.recipe.source_names,
            Section::Hashes => &self.recipe.hashes,
            Section::Derivations => &self.recipe.derivations,
            Section::Copies | Section::Origins | Section::SourcePaths | Section::Sources => &[],
        }
    }

    /// Bytes of a section from `from` on, so many; contents are those of `joined`. `None` beyond the end.
    pub(super) fn run(
        &self,
        section: Section,
        from: u64,
        len: u64,
        joined: Option<&Joined>,
        spool: &dyn Spool,
    ) -> io::Result<Option<Cow<'_, [u8]>>> {
        if section == Section::Sources {
            let run = joined.map_or(Ok(None), |joined| joined.get(from, len, spool))?;
            return Ok(run.map(Cow::Owned));
        }
        let end = from.checked_add(len).and_then(|end| usize::try_from(end).ok());
        let (Ok(from), Some(end)) = (usize::try_from(from), end) else { return Ok(None) };
        Ok(self.section(section).get(from..end).map(Cow::Borrowed))
    }

    /// Number of different contents.
    pub(super) fn contents(&self) -> u64 {
        self.recipe.contents.len() as u64
    }

    /// Where a content of the base is in the spool.
    pub(super) fn content(&self, number: u64) -> Option<Blob> {
        let number = usize::try_from(number).ok()?;
        self.recipe.contents.get(number).map(|content| content.blob)
    }

    /// Contents by runs of them, in order.
    pub(super) fn joined(&self, runs: &[(u64, u64)]) -> Joined {
        let numbers = runs.iter().flat_map(|(from, count)| *from..from + count);
        let mut end = 0;
        let place = |blob: Blob| {
            end += blob.len;
            (end, blob)
        };
        Joined(numbers.filter_map(|number| self.content(number)).map(place).collect())
    }
}

/// Contents that lie behind one another: where each ends, and where it is.
pub(super) struct Joined(Vec<(u64, Blob)>);

impl Joined {
    /// Bytes from `from` on, so many; `None` beyond the end.
    pub(super) fn get(&self, from: u64, len: u64, spool: &dyn Spool) -> io::Result<Option<Vec<u8>>> {
        let total = self.0.last().map_or(0, |(end, _)| *end);
        let Some(end) = from.checked_add(len).filter(|end| *end <= total) else { return Ok(None) };
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?];
        let first = self.0.partition_point(|(content_end, _)| *content_end <= from);
        let mut at = from;
        for (content_end, blob) in &self.0[first..] {
            if at == end {
                break;
            }
            let skip = at - (content_end - blob.len);
            let n = (blob.len - skip).min(end - at);
            let place = (at - from) as usize;
            spool.read_at(blob.offset + skip, &mut bytes[place..place + n as usize])?;
            at += n;
        }
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firn_core::MemorySpool;

    #[test]
    fn joined_contents_are_read_across_their_ends() {
        let mut spool = MemorySpool::new();
        let blobs = [&b"abc"[..], b"", b"defg", b"h"].map(|bytes| spool.put(bytes).unwrap());
        let joined = Joined(vec![(4, blobs[2]), (4, blobs[1]), (7, blobs[0]), (8, blobs[3])]);
        let get = |from, len| joined.get(from, len, &spool).unwrap();
        assert_eq!(get(0, 8).unwrap(), b"defgabch");
        assert_eq!(get(3, 2).unwrap(), b"ga");
        assert_eq!(get(7, 1).unwrap(), b"h");
        assert_eq!(get(8, 0).unwrap(), b"");
        assert!(get(7, 2).is_none() && get(u64::MAX, 2).is_none());
    }
}
