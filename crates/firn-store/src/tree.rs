//! A store path on disk, read to a node.

use firn_core::{
    Blob, Node, Spool,
    archive::{ArchiveError, MAX_DEPTH, MAX_NODES},
};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{self, AtFlags, CWD, Dir, FileType, Mode, OFlags},
    io::Errno,
};
use std::{
    ffi::CStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Why a tree was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A file operation failed.
    #[error("cannot read {}", path.display())]
    Io {
        /// On which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A device, socket or pipe.
    #[error("{} is neither a file nor a directory nor a link", .0.display())]
    Kind(PathBuf),
    /// It had another size when it was opened than when it was read.
    #[error("{} changed while it was read", .0.display())]
    Changed(PathBuf),
    /// Beyond what an archive may hold.
    #[error(transparent)]
    Limit(#[from] ArchiveError),
    /// Contents could not be put aside.
    #[error("putting contents aside")]
    Spool(#[source] io::Error),
}

/// Bytes that are read at once.
const PIECE: usize = 1 << 17;

/// Reads one tree, as [`TreeReader::read`] does.
pub fn read_tree(path: &Path, spool: &mut dyn Spool) -> Result<Node, TreeError> {
    TreeReader::default().read(path, spool)
}

/// Reads trees: its buffer serves all of them, since clearing one costs more than reading a small file.
#[derive(Debug, Default)]
pub struct TreeReader {
    buf: Vec<u8>,
}

impl TreeReader {
    /// Reads the tree at `path` (a file, a link, or a directory and all below it), its contents to the spool. No link is
    /// followed but those in the directories that lead to `path`.
    pub fn read(&mut self, path: &Path, spool: &mut dyn Spool) -> Result<Node, TreeError> {
        self.buf.resize(PIECE, 0);
        let mut reader = Reader { spool, path: path.to_owned(), nodes: 0, buf: &mut self.buf };
        let name = std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(|error| reader.io(error))?;
        reader.node(CWD, &name, FileType::Unknown, 0)
    }
}

struct Reader<'a> {
    spool: &'a mut dyn Spool,
    /// Of the node at hand, for messages.
    path: PathBuf,
    nodes: u64,
    buf: &'a mut [u8],
}

impl Reader<'_> {
    fn io(&self, error: impl Into<io::Error>) -> TreeError {
        TreeError::Io { path: self.path.clone(), source: error.into() }
    }

    fn node(&mut self, dir: impl AsFd, name: &CStr, kind: FileType, depth: usize) -> Result<Node, TreeError> {
        if depth > MAX_DEPTH {
            return Err(ArchiveError::Depth.into());
        }
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(ArchiveError::Nodes.into());
        }
        let kind = match kind {
            FileType::Unknown => {
                let stat = fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| self.io(e))?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known => known,
        };
        let open = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match kind {
            FileType::RegularFile => {
                // Never blocks on what was swapped for a pipe.
                let flags = open | OFlags::NONBLOCK;
                let file = fs::openat(dir, name, flags, Mode::empty()).map_err(|e| self.io(e))?;
                let stat = fs::fstat(&file).map_err(|e| self.io(e))?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                    return Err(TreeError::Kind(self.path.clone()));
                }
                let contents = self.contents(&file, stat.st_size.cast_unsigned())?;
                Ok(Node::Regular { executable: stat.st_mode & 0o100 != 0, contents })
            }
            FileType::Symlink => {
                let target = fs::readlinkat(dir, name, Vec::new()).map_err(|e| self.io(e))?;
                Ok(Node::Symlink { target: target.into_bytes().into() })
            }
            FileType::Directory => {
                let flags = open | OFlags::DIRECTORY;
                let inner = fs::openat(dir, name, flags, Mode::empty()).map_err(|e| self.io(e))?;
                self.directory(&inner, depth)
            }
            _ => Err(TreeError::Kind(self.path.clone())),
        }
    }

    fn directory(&mut self, dir: &OwnedFd, depth: usize) -> Result<Node, TreeError> {
        let mut names = Vec::new();
        for entry in Dir::read_from(dir).map_err(|e| self.io(e))? {
            let entry = entry.map_err(|e| self.io(e))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push((entry.file_name().to_owned(), entry.file_type()));
            }
        }
        names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut entries = Vec::with_capacity(names.len());
        for (name, kind) in names {
            self.path.push(std::ffi::OsStr::from_bytes(name.to_bytes()));
            let node = self.node(dir, &name, kind, depth + 1)?;
            self.path.pop();
            entries.push((name.into_bytes().into(), node));
        }
        Ok(Node::Directory { entries })
    }

    fn contents(&mut self, file: &OwnedFd, len: u64) -> Result<Blob, TreeError> {
        let blob = Blob { offset: self.spool.len(), len };
        let mut left = len;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(self.buf.len());
            match rustix::io::read(file, &mut self.buf[..want]) {
                Ok(0) => return Err(TreeError::Changed(self.path.clone())),
                Ok(n) => {
                    self.spool.append(&self.buf[..n]).map_err(TreeError::Spool)?;
                    left -= n as u64;
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(self.io(error)),
            }
        }
        Ok(blob)
    }
}
