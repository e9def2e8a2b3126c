//! Where things are: the checkout, and the cache that outlives it.

use std::path::{Path, PathBuf};

/// The root of the checkout that this program was built from.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// `path` below the root of the checkout.
pub fn file(path: &str) -> PathBuf {
    root().canonicalize().unwrap_or_else(|_| root().to_path_buf()).join(path)
}

/// What is costly to make and the same for every checkout: host images, the musl toolchain. `FIRN_TESTBED`
/// or /var/tmp/firn-testbed, so that a second run of CI on the same machine finds it.
pub fn cache() -> PathBuf {
    std::env::var_os("FIRN_TESTBED").map_or_else(|| PathBuf::from("/var/tmp/firn-testbed"), PathBuf::from)
}
