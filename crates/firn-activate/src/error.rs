//! What can go wrong on the way: with a file, a program, or a refusal before anything is done.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a step could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ActivateError {
    /// A file or folder.
    #[error("cannot {verb} {}", path.display())]
    File {
        /// What was tried: read, write, make.
        verb: &'static str,
        /// Of which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A program that is needed and is not there.
    #[error("{0} is neither in the running system nor in PATH")]
    NoProgram(&'static str),
    /// A program that did not start.
    #[error("cannot run {}", program.display())]
    Spawn {
        /// Which.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A program that failed.
    #[error("{program} ended with {code}: {message}")]
    Program {
        /// Its name and what it was told.
        program: String,
        /// Its exit code.
        code: i32,
        /// The last line it said.
        message: String,
    },
    /// A journal that cannot be understood.
    #[error("{} is no journal of firn, or one of a later release", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The configuration file.
    #[error("{} is not understood", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<toml::de::Error>,
    },
    /// No journal of this name.
    #[error("there is no activation {0}")]
    NoJournal(String),
    /// Another process has an activation in hand.
    #[error("another firn has this in hand ({} is locked)", .0.display())]
    Locked(PathBuf),
}

impl ActivateError {
    /// For `map_err` of an operation on a file.
    pub(crate) fn file(verb: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::File { verb, path, source }
    }
}
