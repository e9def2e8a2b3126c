//! Deltas: files that say what a closure changes in another one, their base (docs/format.md).
//!
//! The sections of a delta are those of the whole file. What the reader has already is not sent: it makes the sections of
//! the base again, and frames are patches of them.

mod base;
mod decode;
mod effort;
mod encode;
mod missing;
mod pair;
mod reference;

pub(crate) use base::Bases;
pub use decode::decode_delta;
pub use encode::encode_delta;
pub(crate) use reference::Reference;
