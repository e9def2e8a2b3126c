//! Access to Nix stores: the daemon, a store folder, reading closures, GC roots.

pub mod daemon;
pub mod direct;
mod environment;
pub mod root;

pub use environment::Environment;
