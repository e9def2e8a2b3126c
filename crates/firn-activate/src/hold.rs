//! Who has an activation in hand: locks that end with their process, and requests to the one who does.

use crate::{
    error::ActivateError,
    host::{Host, make_folder, write_synced},
};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

/// A lock; freed when dropped, and by the kernel when its process ends.
#[derive(Debug)]
pub struct Hold {
    pub(crate) file: File,
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Closing it would not do: a child of another thread that is forked and not yet executed has the file open too.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

/// Locks that there are. They live in `/run`: no restart leaves one behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Held while somebody decides whether to begin, until what was begun has its own process.
    Begin,
    /// Held by the process that has an activation in hand.
    Work,
    /// NixOS's own, held by `switch-to-configuration`.
    Nixos,
}

impl Lock {
    fn path(self, host: &Host) -> PathBuf {
        host.path(match self {
            Self::Begin => "/run/firn/begin.lock",
            Self::Work => "/run/firn/work.lock",
            Self::Nixos => "/run/nixos/switch-to-configuration.lock",
        })
    }

    /// Takes it; `Locked` if somebody else has it.
    pub fn take(self, host: &Host) -> Result<Hold, ActivateError> {
        let path = self.path(host);
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o644).open(&path);
        let file = open.map_err(ActivateError::file("open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Hold { file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(ActivateError::Locked(path)),
            Err(error) => Err(ActivateError::file("lock", &path)(error.into())),
        }
    }

    /// Whether somebody has it.
    pub fn is_taken(self, host: &Host) -> Result<bool, ActivateError> {
        let path = self.path(host);
        // Whoever may read it may look, without making it.
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file.map_err(ActivateError::file("open", &path))?,
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                drop(Hold { file });
                Ok(false)
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(ActivateError::file("lock", &path)(error.into())),
        }
    }
}

/// What a person asks of an activation that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Make it permanent.
    Confirm,
    /// Put back what was there.
    Revert,
}

impl Request {
    fn path(self, host: &Host, id: &str) -> PathBuf {
        let end = match self {
            Self::Confirm => "confirm",
            Self::Revert => "revert",
        };
        host.path("/run/firn").join(format!("{id}.{end}"))
    }

    /// Asks.
    pub fn send(self, host: &Host, id: &str) -> Result<(), ActivateError> {
        let path = self.path(host, id);
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        write_synced(&path, b"", 0o600)
    }

    /// Whether it was asked; then it is no more.
    pub(crate) fn receive(self, host: &Host, id: &str) -> bool {
        match std::fs::remove_file(self.path(host, id)) {
            Ok(()) => true,
            Err(error) => error.kind() != io::ErrorKind::NotFound && self.path(host, id).exists(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A child between fork and exec has what the copy of the descriptor has here.
    #[test]
    fn a_lock_ends_with_its_holder_whoever_has_the_file_open() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::below(root.path());
        let hold = Lock::Work.take(&host).unwrap();
        let _child = hold.file.try_clone().unwrap();
        assert!(Lock::Work.is_taken(&host).unwrap());
        drop(hold);
        assert!(!Lock::Work.is_taken(&host).unwrap());
    }
}
