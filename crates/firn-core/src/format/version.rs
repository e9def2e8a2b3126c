//! Who can read which file.

use super::{FormatError, Section};
use crate::codec::Codec;
use std::fmt;

/// Changes when older readers would misread: they refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Major(pub u8);

/// Changes when something was added that older readers may skip, or that says itself that it is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minor(pub u8);

/// Version of the format that a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FormatVersion {
    /// Major version.
    pub major: Major,
    /// Minor version.
    pub minor: Minor,
}

/// A release of firn, as far as readers are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// First number.
    pub major: u8,
    /// Second number.
    pub minor: u8,
}

impl FormatVersion {
    /// The latest that this release writes.
    pub const CURRENT: Self = Self { major: Major(1), minor: Minor(1) };

    /// The one rule: a reader reads its own major version with any minor version, and skips or refuses what it does not know
    /// as the unknown thing itself says. `release` is the one that the file names as able to read it.
    pub fn readable(self, release: Release) -> Result<(), FormatError> {
        if self.major == Self::CURRENT.major { Ok(()) } else { Err(FormatError::Version { version: self, release }) }
    }
}

/// Format and earliest reader of a file that has nothing later.
pub(super) const FIRST: (FormatVersion, Release) =
    (FormatVersion { major: Major(1), minor: Minor(0) }, Release { major: 0, minor: 1 });

/// Format and earliest reader of a file with such a frame: no later ones than it needs.
pub(super) fn needed_by(section: Section, codec: Codec) -> (FormatVersion, Release) {
    match (section, codec) {
        (Section::Copies, _) | (_, Codec::Edit { .. }) => (FormatVersion::CURRENT, Release { major: 0, minor: 2 }),
        _ => FIRST,
    }
}

impl fmt::Display for FormatVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major.0, self.minor.0)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
