//! Access to Nix stores: the daemon, a store folder, reading closures, GC roots.

pub mod configuration;
pub mod daemon;
pub mod database;
pub mod direct;
mod environment;
pub mod root;
mod tree;

pub use environment::Environment;
pub use tree::{TreeError, TreeReader, read_tree};
