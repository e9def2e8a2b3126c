//! The pipelines of firn: what its commands do, without a terminal.

mod decode;
mod dictionary;
mod encode;
mod event;
mod output;
mod schedule;
mod spool_file;

pub use decode::{DecodeError, DecodeOptions, Decoded, decode};
pub use dictionary::{dictionaries, dictionary};
pub use encode::{EncodeError, EncodeOptions, Encoded, encode};
pub use event::{Event, Silent, Sink, Unit};
pub use output::Output;
pub use schedule::default_threads;
pub use spool_file::{FileSpool, SpoolError, SpoolFull, SpoolPlace};
