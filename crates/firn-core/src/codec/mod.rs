//! Codecs: how the raw bytes of a frame become its packed bytes and come back, with known sizes and bounded memory.
//!
//! A [`Codec`] is what a file says and a reader needs; an [`Encoding`] is what a writer chooses and gives a codec.

mod contents;
mod dictionary;
mod edit;
mod encoding;
mod filter;
mod patch;
mod policy;
mod unpacker;

#[cfg(test)]
mod tests;

pub use contents::frame_cuts;
pub use dictionary::{DICTIONARIES, Dictionary};
pub use edit::{Edit, EditOf, EditPlan, EditSample, edit_memory, pack_edit, unpack_edit};
pub use encoding::{Encoding, PrimedEncoder};
pub use filter::{Filter, FilterReader};
pub use patch::{PatchOf, pack_patch, patch_memory, unpack_patch};
pub use policy::{FramePolicy, Packed, is_incompressible};
pub use unpacker::Unpacker;

use std::fmt;

const MIB: u64 = 1 << 20;

/// How a frame is packed, with all that its reader has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// As it is.
    Stored,
    /// PPMd variant H with the range coder of 7-Zip, without an end mark.
    Ppmd7 {
        /// Longest context in bytes, 2 to 64.
        order: u8,
        /// Memory of the model in MiB; encoder and decoder need the same.
        memory_mib: u16,
    },
    /// PPMd7 of a dictionary followed by the frame, without the packed bytes that every such frame begins with.
    PrimedPpmd7 {
        /// Which dictionary.
        dictionary: u32,
        /// Memory of the model in MiB.
        memory_mib: u16,
        /// How many bytes of the packed dictionary go before the packed bytes of the frame.
        shared: u32,
    },
    /// One zstd frame without content size and checksum.
    Zstd {
        /// Binary logarithm of the window in bytes: at most this much memory.
        window_log: u8,
    },
    /// Raw LZMA2 with its end mark.
    Lzma2 {
        /// Dictionary size as in the filter properties of `.xz`.
        window: LzmaWindow,
    },
    /// One zstd frame that copies from a run of the base's section: of deltas alone.
    Patch {
        /// Where the run begins.
        from: u64,
        /// Its length in bytes.
        len: u64,
    },
    /// Long copies from a run of the base's section, and PPMd7 that has seen the rest of it: of deltas alone.
    Edit {
        /// Where the run begins.
        from: u64,
        /// Its length in bytes.
        len: u64,
        /// Memory of the model in MiB.
        memory_mib: u16,
    },
}

/// Dictionary size of LZMA2: 2 or 3 times a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LzmaWindow(u8);

impl LzmaWindow {
    /// From the property byte of the `.xz` format; `None` above 40.
    pub fn from_property(byte: u8) -> Option<Self> {
        (byte <= 40).then_some(Self(byte))
    }

    /// The smallest that holds this many bytes.
    pub fn holding(bytes: u64) -> Self {
        Self((0..40).find(|b| Self(*b).bytes() >= bytes).unwrap_or(40))
    }

    /// The property byte.
    pub fn property(self) -> u8 {
        self.0
    }

    /// Size in bytes; property 40 is 4 GiB less one byte.
    pub fn bytes(self) -> u64 {
        if self.0 == 40 { u64::from(u32::MAX) } else { (2 | u64::from(self.0 & 1)) << (self.0 / 2 + 11) }
    }
}

impl Codec {
    /// The run of its reference that a frame of a delta is made from: where it begins, and its length.
    pub fn run(&self) -> Option<(u64, u64)> {
        match self {
            Self::Patch { from, len } | Self::Edit { from, len, .. } => Some((*from, *len)),
            _ => None,
        }
    }

    /// Bytes of memory that decoding takes, without the packed bytes; patches and edits take some for raw ones too.
    pub fn memory_bytes(&self) -> u64 {
        match self {
            Self::Stored => 0,
            Self::Ppmd7 { memory_mib, .. } | Self::PrimedPpmd7 { memory_mib, .. } => u64::from(*memory_mib) * MIB,
            Self::Zstd { window_log } => (1 << (*window_log).min(63)) + MIB / 2,
            Self::Lzma2 { window } => window.bytes() + MIB / 8,
            Self::Patch { len, .. } => len.saturating_add(MIB / 4),
            Self::Edit { len, memory_mib, .. } => len.saturating_add(u64::from(*memory_mib) * MIB + 4 * MIB),
        }
    }

    /// Name without parameters, as in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Ppmd7 { .. } | Self::PrimedPpmd7 { .. } => "ppmd7",
            Self::Zstd { .. } => "zstd",
            Self::Lzma2 { .. } => "lzma2",
            Self::Patch { .. } => "patch",
            Self::Edit { .. } => "edit",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored => f.write_str("stored"),
            Self::Ppmd7 { order, memory_mib } => write!(f, "ppmd7 o{order} {memory_mib} MiB"),
            Self::PrimedPpmd7 { dictionary, memory_mib, .. } => {
                write!(f, "ppmd7 with dictionary {dictionary} {memory_mib} MiB")
            }
            Self::Zstd { window_log } => write!(f, "zstd w{window_log}"),
            Self::Lzma2 { window } => write!(f, "lzma2 {} KiB", window.bytes() >> 10),
            Self::Patch { len, .. } => write!(f, "patch of {} KiB", len >> 10),
            Self::Edit { len, memory_mib, .. } => write!(f, "edit of {} KiB {memory_mib} MiB", len >> 10),
        }
    }
}

/// Why a frame could not be packed or unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The packed bytes run out before the raw size is reached.
    #[error("its packed bytes end {missing} bytes before the raw size that it declares")]
    Ends {
        /// Raw bytes that did not come.
        missing: u64,
    },
    /// Raw size reached, packed bytes left, or more raw bytes follow.
    #[error("it goes on after the raw size that it declares")]
    GoesOn,
    /// Packed bytes that no encoder writes.
    #[error("its packed bytes are no {0} data")]
    Damaged(&'static str),
    /// The parts of a filtered frame do not fit together.
    #[error("its filter cannot be undone: {0}")]
    Filtered(&'static str),
    /// Parameters outside what the codec allows.
    #[error("the parameters of {0} are not possible")]
    Parameters(Codec),
    /// A patch, and nothing that it could be applied to.
    #[error("it is a patch, and there is no base that it changes")]
    NoBase,
    /// A frame wants a dictionary that was not handed over.
    #[error("dictionary {0} is not known to this release")]
    Dictionary(u32),
    /// The system gave no memory.
    #[error("there are no {bytes} bytes of memory for it")]
    Memory {
        /// How many were asked for.
        bytes: u64,
    },
}
