//! The pipelines of firn: what its commands do, without a terminal.

mod activate;
pub mod cli;
pub mod command;
mod decode;
mod delta;
mod encode;
mod error;
mod event;
mod exit_code;
mod import;
mod input;
pub mod inspect;
mod load;
mod output;
mod pack;
mod realise;
mod schedule;
mod session;
mod spool_file;
mod stock;
mod unpack;

pub use decode::{DecodeError, DecodeOptions, Decoded, decode, decode_sources};
pub use delta::{decode_delta, encode_delta};
pub use encode::{EncodeError, EncodeOptions, Encoded, encode};
pub use error::{About, CommandError, io_code};
pub use event::{Event, Silent, Sink, Work};
pub use exit_code::ExitCode;
pub use import::{ImportRequest, Imported, StoreTarget};
pub use input::{Compression, Content, Input, InputError, Position, Source, UnpackError, WrongKind};
pub use load::{Loaded, root_name, root_names};
pub use output::{ClosedPipe, Output, mark_closed_pipe};
pub use pack::{PackRequest, Packed};
pub use schedule::default_threads;
pub use session::Session;
pub use spool_file::{FileSpool, SpoolError, SpoolFull, SpoolPlace};
pub use stock::{prove_all, read_export};
