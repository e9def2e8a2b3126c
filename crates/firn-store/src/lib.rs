//! Access to Nix stores: the daemon, a store folder, reading closures, GC roots.

pub mod direct;
