//! Kinds of sections.

use std::fmt;

/// A kind of section. In a file they stand in this order, each at most once; one with nothing in it is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// Names, kinds and shapes of the sources.
    SourceNames,
    /// Which contents travel beside others that they are like.
    Copies,
    /// Which contents come from the base of a delta.
    Origins,
    /// Paths of sources whose contents are many.
    SourcePaths,
    /// Contents of the sources.
    Sources,
    /// Hashes that are not computable.
    Hashes,
    /// Derivation records.
    Derivations,
}

impl Section {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [
        Self::SourceNames,
        Self::Copies,
        Self::Origins,
        Self::SourcePaths,
        Self::Sources,
        Self::Hashes,
        Self::Derivations,
    ];

    /// Number in the frame table. The gaps are for later kinds.
    pub fn code(self) -> u64 {
        match self {
            Self::SourceNames => 8,
            Self::Copies => 10,
            Self::Origins => 12,
            Self::SourcePaths => 14,
            Self::Sources => 16,
            Self::Hashes => 24,
            Self::Derivations => 32,
        }
    }

    /// Whether a reader that does not know it has to refuse the file.
    pub(super) fn is_required(self) -> bool {
        self != Self::SourcePaths
    }

    pub(super) fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.code() == code)
    }

    /// Name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::SourceNames => "source-names",
            Self::Copies => "copies",
            Self::Origins => "origins",
            Self::SourcePaths => "source-paths",
            Self::Sources => "sources",
            Self::Hashes => "hashes",
            Self::Derivations => "derivations",
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
