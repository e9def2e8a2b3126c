//! The pure half of firn: store paths, closures, the firn file format, and the proof that a closure is what it claims.
//!
//! Nothing here touches a file, network, clock, process or thread: contents come from and go to [`Read`](std::io::Read),
//! [`Write`](std::io::Write) and [`Spool`]. A closure is read from a firn file or an export stream, *proven* (every path
//! recomputed from its content), and only a proven one can be written to a store.

// What tests generate is in files that integration tests take in too.
#[cfg(test)]
extern crate self as firn_core;

pub mod archive;
mod closure;
pub mod codec;
pub mod derivation;
pub mod difference;
pub mod export;
pub mod format;
pub mod hash;
mod leb128;
mod near;
pub mod recipe;
mod spool;
mod store_path;

pub use archive::Node;
pub use closure::{Address, ClaimedPath, ClosureError, Proven, ProvenPath, address_path};
pub use spool::{Blob, MemorySpool, Spool, for_each_piece};
pub use store_path::{HASH_CHARS, MAX_NAME, StoreDir, StorePath, StorePathError, check_name};
