//! From nodes to files as Nix has them: 0444, 0555 if executable or a directory, modified one second after the epoch.

use super::error::{Context, DirectError};
use firn_core::{
    Blob, Node, Spool,
    archive::{ArchiveError, check_entry_name},
};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{self, AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT},
};
use std::{io, path::PathBuf};

const NEW_FILE: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const OPEN_DIR: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const PLAIN: Mode = Mode::from_raw_mode(0o444);
const EXECUTABLE: Mode = Mode::from_raw_mode(0o555);
const TIMES: Timestamps = Timestamps {
    last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
    last_modification: Timespec { tv_sec: 1, tv_nsec: 0 },
};

/// Writes trees below a directory that nobody else may enter.
pub(super) struct Restorer<'a> {
    spool: &'a dyn Spool,
    buf: Vec<u8>,
    /// Whether the umask takes bits away that a store file must have.
    masked: bool,
}

impl<'a> Restorer<'a> {
    /// Learns by trial in `dir` what becomes of modes there.
    pub(super) fn new(spool: &'a dyn Spool, dir: BorrowedFd<'_>) -> io::Result<Self> {
        let probe = fs::openat(dir, "probe", NEW_FILE, EXECUTABLE)?;
        let masked = Mode::from_raw_mode(fs::fstat(&probe)?.st_mode) != EXECUTABLE;
        fs::unlinkat(dir, "probe", AtFlags::empty())?;
        Ok(Self { spool, buf: vec![0; 1 << 17], masked })
    }

    /// Writes a tree to `name` in `dir`. A directory at its top stays writable until [`seal`].
    pub(super) fn top(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &str,
        node: &Node,
        path: impl Fn() -> PathBuf,
    ) -> Result<(), DirectError> {
        match self.node(dir, name.as_bytes(), node, true) {
            Ok(()) => Ok(()),
            Err(Failure::Io(error)) => Err(error).context("write", path),
            Err(Failure::Entry(error)) => Err(error.into()),
        }
    }

    fn node(&mut self, dir: BorrowedFd<'_>, name: &[u8], node: &Node, top: bool) -> Result<(), Failure> {
        match node {
            Node::Regular { executable, contents } => {
                let mode = if *executable { EXECUTABLE } else { PLAIN };
                let file = fs::openat(dir, name, NEW_FILE, mode)?;
                self.contents(&file, *contents)?;
                if self.masked {
                    fs::fchmod(&file, mode)?;
                }
                fs::futimens(&file, &TIMES)?;
            }
            Node::Symlink { target } => {
                fs::symlinkat(&**target, dir, name)?;
                fs::utimensat(dir, name, &TIMES, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Node::Directory { entries } => {
                fs::mkdirat(dir, name, Mode::RWXU)?;
                let inner = fs::openat(dir, name, OPEN_DIR, Mode::empty())?;
                for (name, node) in entries {
                    check_entry_name(name)?;
                    self.node(inner.as_fd(), name, node, false)?;
                }
                if !top {
                    finish_directory(&inner)?;
                }
            }
        }
        Ok(())
    }

    fn contents(&mut self, file: &OwnedFd, blob: Blob) -> io::Result<()> {
        let (mut at, mut left) = (blob.offset, blob.len);
        while left > 0 {
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(self.buf.len());
            self.spool.read_at(at, &mut self.buf[..n])?;
            let mut piece = &self.buf[..n];
            while !piece.is_empty() {
                match rustix::io::write(file, piece) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => piece = &piece[written..],
                    Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            at += n as u64;
            left -= n as u64;
        }
        Ok(())
    }
}

enum Failure {
    Io(io::Error),
    Entry(ArchiveError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        Self::Entry(error)
    }
}

/// Makes a directory at the top of a store path read-only: after it was renamed, since all but root may rename only a
/// directory that they may write.
pub(super) fn seal(dir: BorrowedFd<'_>, name: &str) -> rustix::io::Result<()> {
    finish_directory(&fs::openat(dir, name, OPEN_DIR, Mode::empty())?)
}

fn finish_directory(dir: &OwnedFd) -> rustix::io::Result<()> {
    fs::fchmod(dir, EXECUTABLE)?;
    fs::futimens(dir, &TIMES)
}
