//! Why a store folder was not written.

use crate::root::RootError;
use firn_core::{StoreDir, StorePath, archive::ArchiveError};
use std::{io, path::PathBuf};

/// Why a store folder was not written. Whatever it is, nothing new is registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectError {
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file system is mounted read-only.
    #[error("{} is on a read-only file system: remount it writable, or import through the daemon", .0.display())]
    ReadOnly(PathBuf),
    /// Not ours to write.
    #[error("not allowed to {action} {}: be root, or choose a folder of your own", path.display())]
    Denied {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
    },
    /// The file system filled up while writing.
    #[error("no space left for {}; nothing was registered", path.display())]
    Full {
        /// What was being written.
        path: PathBuf,
    },
    /// The file system is too small; found before anything was written.
    #[error("{needed} bytes are needed and {free} are free at {}", path.display())]
    Space {
        /// Bytes to be written, rounded up to blocks.
        needed: u64,
        /// Bytes that may be written.
        free: u64,
        /// The store directory.
        path: PathBuf,
    },
    /// The file system cannot hold so many files; found before anything was written.
    #[error("{needed} files are to be made and {} has room for {free}", path.display())]
    Inodes {
        /// Files, directories and links to be made.
        needed: u64,
        /// How many may be.
        free: u64,
        /// The store directory.
        path: PathBuf,
    },
    /// A daemon serves this store.
    #[error("a Nix daemon answers at {}: import through it instead", .0.display())]
    Daemon(PathBuf),
    /// A Nix process has the store open.
    #[error("a Nix process uses the store ({} is locked): wait for its end, or import through the daemon", .0.display())]
    InUse(PathBuf),
    /// A garbage collector is at work.
    #[error("a garbage collection of the store is running ({} is locked): try again when it is done", .0.display())]
    Collector(PathBuf),
    /// The folder is to be made in a directory that is not there.
    #[error("{} cannot be made: the directory that it is to be in is not there", .0.display())]
    NoParent(PathBuf),
    /// Something that must be a directory is none; a link could lead out of the folder.
    #[error("{} is a symbolic link or no directory, and a store folder must not hold such", .0.display())]
    NotADirectory(PathBuf),
    /// A file changed its identity under our hands.
    #[error("{} was replaced while it was in use", .0.display())]
    Replaced(PathBuf),
    /// The database is of a Nix that this code does not know.
    #[error("{} says {found:?}, but only schema 10 is known: let a recent Nix open the store once", path.display())]
    Schema {
        /// The schema file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// The database refused.
    #[error("cannot write the database {}", path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A valid path of the store has another content than its address says.
    #[error("the store holds {0} with a content that does not belong to it: run nix-store --verify --check-contents")]
    Damaged(StorePath),
    /// A directory entry may not be called so.
    #[error(transparent)]
    Entry(#[from] ArchiveError),
    /// A GC root may not be called so.
    #[error(transparent)]
    Root(#[from] RootError),
    /// Two GC roots of one name: the second would replace the first.
    #[error("two GC roots are to be called {0}")]
    RootTwice(String),
    /// The closure is of another store directory.
    #[error("the paths are for {wanted}, the store is {found}")]
    StoreDir {
        /// The closure's.
        wanted: StoreDir,
        /// This store's.
        found: StoreDir,
    },
}

/// Adds what was tried, and on what, to an error of the operating system.
pub(super) trait Context<T> {
    fn context(self, action: &'static str, path: impl FnOnce() -> PathBuf) -> Result<T, DirectError>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, action: &'static str, path: impl FnOnce() -> PathBuf) -> Result<T, DirectError> {
        self.map_err(|error| {
            let (path, source) = (path(), error.into());
            match source.kind() {
                io::ErrorKind::ReadOnlyFilesystem => DirectError::ReadOnly(path),
                io::ErrorKind::PermissionDenied => DirectError::Denied { action, path },
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DirectError::Full { path },
                _ => DirectError::Io { action, path, source },
            }
        })
    }
}
