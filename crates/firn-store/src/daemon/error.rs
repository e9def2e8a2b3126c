//! Why a daemon did not do what was asked.

use super::wire::WireError;
use firn_core::{StoreDir, StorePath, StorePathError};
use std::{io, path::PathBuf};

/// What a daemon says when it fails, without terminal escapes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RemoteError {
    /// The message.
    pub message: String,
    /// What it was doing, innermost first.
    pub traces: Vec<String>,
}

/// Why a daemon did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// The text is no store that this client can reach.
    #[error("{url:?} is no store: {why}")]
    Url {
        /// The text.
        url: String,
        /// What is wrong and what may stand there.
        why: &'static str,
    },
    /// The socket is there and does not let us in.
    #[error("cannot connect to the Nix daemon at {}{}", socket.display(), advice(source))]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot start {program:?}: is it installed and in PATH?")]
    Spawn {
        /// Its name.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// What answered is no Nix daemon.
    #[error("{peer} does not answer as a Nix daemon does; it said {said:?}")]
    NoDaemon {
        /// Whom we spoke to.
        peer: String,
        /// The first bytes of its answer.
        said: String,
    },
    /// The daemon is older than Nix 2.4.
    #[error("{peer} speaks version 1.{minor} of the worker protocol; firn needs 1.32 (Nix 2.4) or later")]
    TooOld {
        /// Whom we spoke to.
        peer: String,
        /// Its minor version.
        minor: u64,
    },
    /// The line ended before a daemon had answered.
    #[error("no Nix daemon answers from {peer}{}", said(words))]
    Unreachable {
        /// Whom we spoke to.
        peer: String,
        /// What the program that led there said last.
        words: String,
        /// Why.
        source: io::Error,
    },
    /// The line broke, or the daemon died.
    #[error("the connection to {peer} broke{}; run the same command again", said(words))]
    Broken {
        /// Whom we spoke to.
        peer: String,
        /// What the program that led there said last.
        words: String,
        /// Why.
        source: io::Error,
    },
    /// The line broke in an import.
    #[error(
        "the connection to {peer} broke{}, with {present} of {total} paths in its store and up to {sent} more on their \
         way; run the same command again and it sends only what is still missing",
        said(words)
    )]
    ImportBroken {
        /// Whom we spoke to.
        peer: String,
        /// What the program that led there said last.
        words: String,
        /// Paths that were there before.
        present: usize,
        /// Paths that were sent whole since; those in the buffers on the way have not arrived.
        sent: u64,
        /// Paths of the closure.
        total: usize,
        /// Why.
        source: io::Error,
    },
    /// The caller wanted it to stop.
    #[error("stopped")]
    Cancelled,
    /// The daemon's answer is not understood.
    #[error("malformed answer of the daemon")]
    Wire(#[from] WireError),
    /// The daemon says that it failed.
    #[error("the daemon says")]
    Remote(#[from] RemoteError),
    /// Contents could not be read back while they were sent.
    #[error("reading contents back")]
    Contents(#[source] io::Error),
    /// The daemon's store is in another directory than the paths.
    #[error("the paths are of {wanted}, the store of {peer} is not")]
    OtherStore {
        /// Whom we spoke to.
        peer: String,
        /// Directory of the paths.
        wanted: StoreDir,
        /// What it said.
        source: RemoteError,
    },
    /// A path that only a trusted user may bring, from one who is not.
    #[error(
        "{path} is an output: it needs a signature or trust, and nothing was imported. Import as root, or as a user in \
         trusted-users of the host's nix.conf, or sign the path with a key in its trusted-public-keys"
    )]
    NeedsTrust {
        /// The first such path.
        path: StorePath,
    },
    /// A signed path whose keys the host does not accept, from a user whom it does not trust.
    #[error(
        "{path} is an output signed by {keys}, which the host does not accept, and no other was imported. Import as root, \
         or as a user in trusted-users of the host's nix.conf, or put the key into its trusted-public-keys"
    )]
    KeyNotAccepted {
        /// The path.
        path: StorePath,
        /// Names of the keys.
        keys: String,
        /// What the daemon said.
        source: RemoteError,
    },
    /// The daemon does not take a path.
    #[error("the daemon does not take {path}")]
    Refused {
        /// The path.
        path: StorePath,
        /// What it said.
        source: RemoteError,
    },
    /// Paths vanish as fast as they come.
    #[error("{path} was imported and is gone again: is something deleting paths?")]
    Vanished {
        /// The first such path.
        path: StorePath,
    },
    /// The remote host could not put the links of roots in their places.
    #[error("{peer} could not put the link of the root in its place: what was imported may be collected; import again")]
    LinksLeft {
        /// Whom we spoke to.
        peer: String,
    },
    /// A GC root could not be made.
    #[error(transparent)]
    Root(#[from] crate::root::RootError),
}

impl From<io::Error> for DaemonError {
    fn from(error: io::Error) -> Self {
        Self::Wire(WireError::Io(error))
    }
}

impl From<StorePathError> for DaemonError {
    fn from(error: StorePathError) -> Self {
        Self::Wire(WireError::Path(error))
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => ": the user may not use it (on Debian: not in the group nix-users)",
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ": it does not run",
        _ => "",
    }
}

fn said(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(", which said {words:?}") }
}
