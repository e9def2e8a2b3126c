//! The pipelines of firn: what its commands do, without a terminal.

mod output;
mod spool_file;

pub use output::Output;
pub use spool_file::{FileSpool, SpoolError, SpoolFull, SpoolPlace};
