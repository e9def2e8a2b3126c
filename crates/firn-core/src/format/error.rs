//! Why a file is refused.

use super::{FormatVersion, Release, Section};
use crate::{codec::CodecError, store_path::StorePathError};
use std::{fmt, io};

/// Where a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramePosition {
    /// Its section; `None` for one that this release does not know.
    pub section: Option<Section>,
    /// Number within its section, from 0.
    pub index: u64,
    /// Byte offset in the file of its packed bytes.
    pub offset: u64,
}

impl fmt::Display for FramePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.section.map_or("an unknown section", Section::name);
        write!(f, "frame {} of {name}, at byte {}", self.index, self.offset)
    }
}

/// Why a firn file is refused or cannot be written. Every injury has a kind of its own and says where it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The input failed.
    #[error("reading at byte {offset} failed")]
    Read {
        /// How far it came.
        offset: u64,
        /// The failure.
        source: io::Error,
    },
    /// The output or the spool failed.
    #[error("writing failed")]
    Write(#[source] io::Error),
    /// Nothing at all.
    #[error("the file is empty")]
    Empty,
    /// Another kind of file.
    #[error("this is no firn file")]
    NotFirn,
    /// The magic was changed as a text transfer changes it.
    #[error("the file was changed as text on its way (line ends or character set): copy it again in binary mode")]
    TextMode,
    /// The file ends too early.
    #[error("the file is cut: it ends at byte {offset}{}", wanted.map_or(String::new(), |n| format!(" of {n}")))]
    Cut {
        /// Its length.
        offset: u64,
        /// The least length that it should have, where known.
        wanted: Option<u64>,
    },
    /// The file goes on after its end.
    #[error("something follows the end of the file at byte {offset}")]
    Trailing {
        /// Where the file should end.
        offset: u64,
    },
    /// A major version of which this release knows nothing.
    #[error("the file is in format {version}: firn {release} or later reads it, this release reads format {}.x", FormatVersion::CURRENT.major.0)]
    Version {
        /// The version of the file.
        version: FormatVersion,
        /// The release that the file names.
        release: Release,
    },
    /// Something that must be understood and is not known.
    #[error(
        "the file has {what} {number} (byte {offset}) that this release does not know: firn {release} or later reads it"
    )]
    Unknown {
        /// What it is.
        what: &'static str,
        /// Its number.
        number: u64,
        /// Where it stands.
        offset: u64,
        /// The release that the file names.
        release: Release,
    },
    /// The digest of the front is wrong.
    #[error("the header is damaged: bytes 0 to {end} do not have the digest that follows them")]
    HeaderDigest {
        /// Where the digest stands.
        end: u64,
    },
    /// The header has the right digest and breaks a rule.
    #[error("the header is not valid at byte {offset}: {rule}")]
    Header {
        /// Where.
        offset: u64,
        /// The rule.
        rule: &'static str,
    },
    /// A path in the header is none.
    #[error("the header is not valid at byte {offset}")]
    Path {
        /// Where.
        offset: u64,
        /// What is wrong with it.
        source: StorePathError,
    },
    /// A claim beyond a limit.
    #[error("the file declares {claim} {what} (byte {offset}), the limit is {limit}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// What the file says.
        claim: u64,
        /// What is allowed.
        limit: u64,
        /// Where it says so.
        offset: u64,
    },
    /// A frame that takes too much memory.
    #[error("{position}, takes {bytes} bytes of memory to unpack ({codec}), the limit is {limit}")]
    Memory {
        /// Which frame.
        position: FramePosition,
        /// What it takes.
        bytes: u64,
        /// How.
        codec: String,
        /// What is allowed.
        limit: u64,
    },
    /// The packed bytes of a frame are not those that were written.
    #[error("{0}, is damaged: its bytes do not have the digest that the header declares")]
    FrameDigest(FramePosition),
    /// The right bytes that no encoder made.
    #[error("{position}, cannot be unpacked")]
    Codec {
        /// Which frame.
        position: FramePosition,
        /// Why.
        source: CodecError,
    },
    /// All frames have their digest, but they are not those of this file.
    #[error("the file as a whole does not have the digest that it declares at byte {offset}")]
    FileDigest {
        /// Where it stands.
        offset: u64,
    },
    /// What was handed over cannot be written.
    #[error("the {field} cannot be written: {rule}")]
    Unwritable {
        /// What.
        field: &'static str,
        /// The rule.
        rule: &'static str,
    },
}
