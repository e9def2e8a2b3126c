//! A closure as the four sections of a recipe, and back.
//!
//! Nothing that can be computed is stored: the reader recomputes every path from what it reads, which is also the proof.
//! The layout is described in docs/format.md.

mod alike;
mod contents;
mod copies;
mod exceptions;
pub(crate) mod hash_text;
mod implied;
mod input;
mod keys;
mod order;
mod origins;
mod record_read;
mod record_write;
mod source_names;
mod source_paths;
mod state;
#[cfg(test)]
mod tests;
mod token;
mod write;

use crate::{
    closure::{Address, ClosureError, ProvenPath},
    format::Section,
    hash::{HashWriter, sha256},
    spool::Spool,
    store_path::{StoreDir, StorePath, StorePathError},
};
pub use contents::{LARGE, Lane, Travelling};
pub use origins::{OriginRun, Origins};
pub use source_names::{PlaceAll, SourceDigest, SourceList};
pub use source_paths::SourcePaths;
use std::io::{self, Read};
pub use write::{EncodedRecipe, Tell, Told, encode, encode_base, encode_layout_1};

/// Bounds that a reader sets, from the header of the file and from its own limits.
#[derive(Debug, Clone)]
pub struct RecipeLimits {
    /// Number of derivations, and of sources.
    pub paths: u64,
    /// Bytes of all contents of sources together.
    pub contents: u64,
    /// Bytes of one derivation's text.
    pub derivation: usize,
    /// Bytes of all texts together.
    pub derivations: u64,
}

impl Default for RecipeLimits {
    fn default() -> Self {
        Self { paths: 4_000_000, contents: 1 << 40, derivation: 64 << 20, derivations: 1 << 36 }
    }
}

/// Why sections are no recipe.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// A section could not be read, or contents could not be spooled.
    #[error("reading a section")]
    Io(#[from] io::Error),
    /// Bytes of a section do not follow the grammar.
    #[error("malformed at byte {offset} of the section: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Position in the decoded section.
        offset: u64,
    },
    /// As [`RecipeError::Malformed`], of a section that is read beside the one that was asked for.
    #[error("malformed at byte {offset} of the section: {what}")]
    MalformedBeside {
        /// Which one.
        section: Section,
        /// What is wrong.
        what: &'static str,
        /// Position in the decoded section.
        offset: u64,
    },
    /// A source is not what its record says.
    #[error("source {name:?}: {what}")]
    Source {
        /// Its name.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A name cannot be that of a store path.
    #[error(transparent)]
    Path(#[from] StorePathError),
    /// The paths do not make a closure.
    #[error(transparent)]
    Closure(ClosureError),
    /// Derivations refer to each other in a circle.
    #[error("derivations refer to each other in a circle")]
    Cycle,
    /// A record was not read back as it was written: a defect of firn.
    #[error("{0} was not read back as it was written; this is a defect of firn, please report it")]
    NotReversible(StorePath),
}

impl RecipeError {
    /// The section that is malformed, where it is another than the one that was asked for.
    pub fn beside(&self) -> Option<Section> {
        match self {
            Self::MalformedBeside { section, .. } => Some(*section),
            _ => None,
        }
    }

    /// Says of which section it is, where that is read beside another.
    fn in_section(self, section: Section) -> Self {
        match self {
            Self::Malformed { what, offset } => Self::MalformedBeside { section, what, offset },
            other => other,
        }
    }
}

/// Reads the sections `derivations` and `hashes`, one derivation at a time.
pub struct DerivationReader<'a> {
    state: state::State,
    records: input::Input<'a>,
    hashes: input::Input<'a>,
    limits: RecipeLimits,
    left: u64,
}

impl<'a> DerivationReader<'a> {
    /// A reader of derivations that refer to these sources by number.
    pub fn new(
        store_dir: &StoreDir,
        sources: Vec<StorePath>,
        records: &'a mut dyn Read,
        hashes: &'a mut dyn Read,
        limits: RecipeLimits,
    ) -> Self {
        let left = limits.derivations;
        let state = state::State::new(store_dir, sources);
        Self { state, records: input::Input::new(records), hashes: input::Input::new(hashes), limits, left }
    }

    /// The next derivation, its text appended to the spool; `None` after the last.
    pub fn next(&mut self, spool: &mut dyn Spool) -> Result<Option<ProvenPath>, RecipeError> {
        if self.records.is_at_end()? {
            if !self.hashes.is_at_end()? {
                let error = self.hashes.error("there are hashes that no derivation uses");
                return Err(error.in_section(Section::Hashes));
            }
            return Ok(None);
        }
        if self.state.known.len() as u64 >= self.limits.paths {
            return Err(self.records.error("there are more derivations than declared"));
        }
        let limit = self.limits.derivation.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let record = self.state.read_record(&mut self.records, &mut self.hashes, limit, None)?;
        self.left = self
            .left
            .checked_sub(record.text.len() as u64)
            .ok_or_else(|| self.records.error("the texts are longer than declared"))?;
        let content = crate::Node::file(spool.put(&record.text)?);
        let mut nar = HashWriter::new();
        crate::archive::write_file_nar(&record.text, &mut nar)?;
        let (nar_hash, nar_size) = nar.finish();
        let digest = record.digest.unwrap_or_else(|| sha256(&record.text));
        let digests = (digest, nar_hash, nar_size);
        Ok(Some(ProvenPath::computed(record.path, Address::Text, record.references, content, digests)))
    }
}

/// Whether two texts are equal. Long ones mostly are, and the C library of the static binary compares single bytes.
fn equal(a: &[u8], b: &[u8]) -> bool {
    let ((pieces, end), (others, other_end)) = (a.as_chunks::<32>(), b.as_chunks::<32>());
    a.len() == b.len() && pieces.iter().zip(others).all(|(a, b)| a == b) && end == other_end
}
