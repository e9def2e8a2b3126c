//! The firn file: a front with everything a reader has to know, independent packed frames, a tail.
//!
//! `docs/format.md` is normative. The front holds the table of all frames, so that one read of the first kilobyte says what
//! is in a file, how long it is and how much memory it takes, on a pipe as on a disk.
//!
//! A writer packs frames on any thread ([`pack_frame`]), hands them to a [`FileWriter`], and ends with the [`Header`]. A
//! reader takes them in order from a stream ([`FileReader`]) or by position ([`IndexReader`]) and unpacks each on any
//! thread ([`PackedFrame::unpack`]).

mod error;
mod frame;
mod front;
mod header;
mod limits;
mod reader;
mod section;
mod version;
mod wire;
mod writer;

#[cfg(test)]
mod tests;

pub use error::{FormatError, FramePosition};
pub use frame::{FrameHeader, FrameReader, PackedFrame, pack_edit_frame, pack_frame, pack_patch_frame};
pub use front::{Front, FrontFrame, SectionSummary};
pub use header::{Base, Contents, Counts, Header, Manifest};
pub use limits::Limits;
pub use reader::{FileReader, IndexReader};
pub use section::Section;
pub use version::{FormatVersion, Major, Minor, Release};
pub use writer::{FileWriter, Written};

/// First bytes of every firn file. A transfer that changes line ends, stops at a control character or drops the eighth
/// bit damages them.
pub const MAGIC: [u8; 8] = *b"\x89FIRN\r\n\x1a";
