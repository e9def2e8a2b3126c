//! Store directories and store paths, and the formula that gives a path its hash.

use crate::hash::{self, Sha256};
use std::{borrow::Borrow, fmt, sync::Arc};

/// Length of the hash part of a store path, in characters.
pub const HASH_CHARS: usize = 32;
/// Longest name of a store path that Nix accepts, in bytes (`path.cc`).
pub const MAX_NAME: usize = 211;

/// Why bytes are no store path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorePathError {
    /// It does not begin with the store directory.
    #[error("{path:?} is not in the store directory {store_dir}")]
    OutsideStore {
        /// The offending text.
        path: String,
        /// The directory it had to be in.
        store_dir: StoreDir,
    },
    /// The 32 characters before the dash are no base 32.
    #[error("{0:?} does not begin with 32 characters of base 32 and a dash")]
    Hash(String),
    /// The name is empty, too long, `.`, `..`, or has a character that Nix forbids.
    #[error("{0:?} is not a name that a store path may have")]
    Name(String),
    /// The store directory is not absolute or not canonical.
    #[error("{0:?} is not an absolute, canonical directory")]
    StoreDir(String),
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned()
}

/// The logical directory of a store, such as `/nix/store`: no slash at the end.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreDir(Arc<str>);

impl StoreDir {
    /// Accepts an absolute path without `.`, `..` and empty components.
    pub fn new(dir: &str) -> Result<Self, StorePathError> {
        let canonical = dir.len() < 4096
            && dir
                .strip_prefix('/')
                .is_some_and(|rest| rest.split('/').all(|part| !part.is_empty() && part != "." && part != ".."))
            && !dir.contains(['\0', '\n', ':']);
        if canonical { Ok(Self(dir.into())) } else { Err(StorePathError::StoreDir(lossy(dir.as_bytes()))) }
    }

    /// The directory as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The full path of a store path in this directory.
    pub fn display(&self, path: &StorePath) -> String {
        format!("{}/{}", self.0, path)
    }

    /// Parses a full path, `/nix/store/hash-name`.
    pub fn parse(&self, path: &[u8]) -> Result<StorePath, StorePathError> {
        path.strip_prefix(self.0.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"/"))
            .ok_or_else(|| StorePathError::OutsideStore { path: lossy(path), store_dir: self.clone() })
            .and_then(StorePath::from_base_name)
    }

    /// `makeStorePath` of Nix: the path of an object of `kind` (`text:...`, `source`, `output:out` ...) whose inner
    /// digest is given (`store-dir-config.cc`).
    pub fn make_path(&self, kind: &str, digest: &Sha256, name: &[u8]) -> Result<StorePath, StorePathError> {
        check_name(name)?;
        let mut preimage = format!("{kind}:sha256:{}:{}:", hash::hex(digest), self.0).into_bytes();
        preimage.extend_from_slice(name);
        let mut base = hash::base32(&hash::compress(&hash::sha256(&preimage)));
        base.push('-');
        base.push_str(&String::from_utf8_lossy(name));
        Ok(StorePath(base.into()))
    }
}

impl Default for StoreDir {
    fn default() -> Self {
        Self("/nix/store".into())
    }
}

impl fmt::Display for StoreDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StoreDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// Checks a name against the rules of `checkName` in Nix's `path.cc` (the laxest of 2.8 to 2.34).
pub fn check_name(name: &[u8]) -> Result<(), StorePathError> {
    let legal = |b: &u8| b.is_ascii_alphanumeric() || b"+-._?=".contains(b);
    if name.is_empty() || name.len() > MAX_NAME || name == b"." || name == b".." || !name.iter().all(legal) {
        return Err(StorePathError::Name(lossy(name)));
    }
    Ok(())
}

/// A store path without its directory: 32 characters of hash, a dash, a name. Ordered as Nix orders paths.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StorePath(Arc<str>);

impl StorePath {
    /// Parses `hash-name`.
    pub fn from_base_name(base: &[u8]) -> Result<Self, StorePathError> {
        let Some((hash, rest)) = base.split_at_checked(HASH_CHARS) else {
            return Err(StorePathError::Hash(lossy(base)));
        };
        let name = rest.strip_prefix(b"-").ok_or_else(|| StorePathError::Hash(lossy(base)))?;
        if !hash.iter().all(|c| hash::is_base32_digit(*c)) {
            return Err(StorePathError::Hash(lossy(base)));
        }
        check_name(name)?;
        Ok(Self(String::from_utf8_lossy(base).into()))
    }

    /// A path of known hash and name.
    pub fn from_parts(digest: &[u8; 20], name: &[u8]) -> Result<Self, StorePathError> {
        check_name(name)?;
        Ok(Self(format!("{}-{}", hash::base32(digest), String::from_utf8_lossy(name)).into()))
    }

    /// `hash-name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 32 characters of the hash.
    pub fn hash_part(&self) -> &str {
        &self.0[..HASH_CHARS]
    }

    /// The hash as 20 bytes.
    pub fn digest(&self) -> [u8; 20] {
        hash::from_base32(self.hash_part().as_bytes()).unwrap_or_default()
    }

    /// The name after the dash.
    pub fn name(&self) -> &str {
        &self.0[HASH_CHARS + 1..]
    }

    /// Whether the name ends in `.drv`.
    pub fn is_derivation(&self) -> bool {
        self.0.ends_with(".drv")
    }
}

impl Borrow<str> for StorePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_outside_the_store_or_with_a_slash_is_no_store_path() {
        let dir = StoreDir::default();
        let base = "7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-a";
        assert!(dir.parse(format!("/nix/store/{base}").as_bytes()).is_ok());
        for bad in ["/nix/storx/", "/nix/store/../", "/nix/store//"] {
            assert!(dir.parse(format!("{bad}{base}").as_bytes()).is_err());
        }
        for bad in ["", "..", "a/b", "a\0", "ä"] {
            let path = format!("{}{bad}", &base[..33]);
            assert!(StorePath::from_base_name(path.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_text_path_agrees_with_nix() {
        // nix-instantiate --eval -E 'builtins.toFile "foo" "bar"'
        let digest = hash::sha256(b"bar");
        let path = StoreDir::default().make_path("text", &digest, b"foo").unwrap();
        assert_eq!(path.as_str(), "vxjiwkjkn7x4079qvh1jkl5pn05j2aw0-foo");
    }
}
