//! A spool on disk: an unlinked file that vanishes with the process, however it ends.

use firn_core::{Blob, Spool};
use rustix::fs::StatFs;
use std::{
    fmt,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// Appended bytes are written in pieces of this size.
const BUFFER: usize = 1 << 18;
/// `TMPFS_MAGIC` and `RAMFS_MAGIC` of statfs(2).
const MEMORY_FILE_SYSTEMS: [u32; 2] = [0x0102_1994, 0x8584_58f6];

/// Where contents can be put aside.
#[derive(Debug, Clone, Default)]
pub struct SpoolPlace {
    /// The folder that the person named (`--tmp-dir`, `FIRN_TMPDIR`): taken as it is.
    pub named: Option<PathBuf>,
    /// The file or folder that the command writes: the last resort beside it.
    pub target: Option<PathBuf>,
}

/// No folder can hold what must be put aside.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// The named folder does not take a file.
    #[error("{} takes no temporary file", dir.display())]
    Named {
        /// The folder.
        dir: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// None of the usual folders is on a disk and writable.
    #[error("no folder on a disk for what must be put aside ({tried}): name one with --tmp-dir or FIRN_TMPDIR")]
    None {
        /// Folders with what is wrong with them.
        tried: String,
    },
}

impl SpoolPlace {
    /// Opens a spool in the named folder; else in the first of `TMPDIR`, `/var/tmp` and the folder of the target that
    /// is on a disk and writable. A memory file system is never taken unasked: small hosts would run out of it.
    pub fn open(&self) -> Result<FileSpool, SpoolError> {
        if let Some(dir) = &self.named {
            return FileSpool::new(dir).map_err(|source| SpoolError::Named { dir: dir.clone(), source });
        }
        let beside = self.target.as_deref().and_then(existing_folder);
        let mut tried: Vec<String> = Vec::new();
        for dir in [Some(std::env::temp_dir()), Some("/var/tmp".into()), beside].into_iter().flatten() {
            let why = match rustix::fs::statfs(&dir) {
                Ok(stat) if in_memory(&stat) => "in memory".to_owned(),
                Ok(_) => match FileSpool::new(&dir) {
                    Ok(spool) => return Ok(spool),
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            tried.push(format!("{}: {why}", dir.display()));
        }
        Err(SpoolError::None { tried: tried.join("; ") })
    }
}

fn in_memory(stat: &StatFs) -> bool {
    MEMORY_FILE_SYSTEMS.contains(&(stat.f_type as u32))
}

/// The nearest folder that exists, at or above `path`.
fn existing_folder(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    absolute.ancestors().find(|dir| dir.is_dir()).map(Path::to_path_buf)
}

/// A [`Spool`] on an unlinked file.
pub struct FileSpool {
    file: File,
    dir: PathBuf,
    /// Bytes that are in the file; what follows is in the buffer.
    written: u64,
    buffer: Vec<u8>,
}

impl fmt::Debug for FileSpool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSpool").field("dir", &self.dir).field("len", &self.len()).finish()
    }
}

/// The disk under a spool is full.
#[derive(Debug, thiserror::Error)]
#[error("no room for {wanted} more bytes in {}, after {held} bytes: name a roomier folder with --tmp-dir", dir.display())]
pub struct SpoolFull {
    dir: PathBuf,
    wanted: u64,
    held: u64,
}

impl FileSpool {
    /// A spool in `dir`.
    pub fn new(dir: &Path) -> io::Result<Self> {
        Ok(Self { file: tempfile::tempfile_in(dir)?, dir: dir.to_path_buf(), written: 0, buffer: Vec::new() })
    }

    /// Sets a run of `len` bytes aside at the end, to be filled by [`FileSpool::write_at`] in any order. What is not
    /// filled reads as zeros. No disk is taken yet.
    pub fn reserve(&mut self, len: u64) -> io::Result<Blob> {
        self.flush()?;
        let blob = Blob { offset: self.written, len };
        let end = blob.offset.checked_add(len).ok_or(io::ErrorKind::FileTooLarge)?;
        self.file.set_len(end).map_err(|error| self.explain(error, len))?;
        self.written = end;
        Ok(blob)
    }

    /// Writes into a run that was reserved; several threads may do so at once.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > self.written) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.file.write_all_at(bytes, offset).map_err(|error| self.explain(error, bytes.len() as u64))
    }

    /// A second handle, which reads what was appended so far and may be appended to by nobody.
    pub fn reader(&mut self) -> io::Result<Self> {
        self.flush()?;
        self.written()
    }

    /// As [`FileSpool::reader`], without what is still in the buffer.
    pub(crate) fn written(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()?, dir: self.dir.clone(), written: self.written, buffer: Vec::new() })
    }

    fn flush(&mut self) -> io::Result<()> {
        let len = self.buffer.len() as u64;
        self.file.write_all_at(&self.buffer, self.written).map_err(|error| self.explain(error, len))?;
        self.written += len;
        self.buffer.clear();
        Ok(())
    }

    fn explain(&self, error: io::Error, wanted: u64) -> io::Error {
        match error.kind() {
            kind @ (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge) => {
                io::Error::new(kind, SpoolFull { dir: self.dir.clone(), wanted, held: self.written })
            }
            _ => error,
        }
    }
}

impl Spool for FileSpool {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
            if bytes.len() >= BUFFER {
                let len = bytes.len() as u64;
                self.file.write_all_at(bytes, self.written).map_err(|error| self.explain(error, len))?;
                self.written += len;
                return Ok(());
            }
        }
        if self.buffer.capacity() == 0 {
            self.buffer.reserve_exact(BUFFER);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(buf.len() as u64).is_none_or(|end| end > self.len()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let on_disk = usize::try_from(self.written.saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
        let (disk, memory) = buf.split_at_mut(on_disk);
        self.file.read_exact_at(disk, offset)?;
        if !memory.is_empty() {
            let start = (offset + on_disk as u64 - self.written) as usize;
            memory.copy_from_slice(&self.buffer[start..start + memory.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firn_core::MemorySpool;

    #[test]
    fn it_reads_back_what_was_appended_like_a_spool_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = FileSpool::new(dir.path()).unwrap();
        let mut memory = MemorySpool::new();
        let mut blobs = Vec::new();
        for i in 0..40usize {
            let bytes = vec![i as u8; [0, 1, 1000, BUFFER - 1, BUFFER, BUFFER + 1][i % 6]];
            let blob = file.put(&bytes).unwrap();
            assert_eq!(blob, memory.put(&bytes).unwrap());
            blobs.push(blob);
            for blob in &blobs {
                assert_eq!(file.get(*blob).unwrap(), memory.get(*blob).unwrap());
            }
        }
        let (end, mut across) = (file.len(), [0; 2 * BUFFER]);
        file.read_at(end - across.len() as u64, &mut across).unwrap();
        assert!(file.read_at(end - 1, &mut [0; 2]).is_err());
        assert!(file.read_at(u64::MAX, &mut [0; 2]).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_reserved_run_is_filled_by_several_threads() {
        let mut spool = FileSpool::new(&std::env::temp_dir()).unwrap();
        spool.put(b"before").unwrap();
        let run = spool.reserve(1000).unwrap();
        spool.put(b"after").unwrap();
        std::thread::scope(|scope| {
            for i in 0..10u8 {
                let spool = &spool;
                scope.spawn(move || spool.write_at(run.offset + u64::from(i) * 100, &[i; 100]).unwrap());
            }
        });
        let bytes = spool.get(run).unwrap();
        assert!((0..1000).all(|i| bytes[i] == (i / 100) as u8));
        assert!(spool.write_at(run.offset + 990, &[0; 20]).is_err());
    }

    #[test]
    fn a_named_folder_that_takes_no_file_is_an_error_that_names_it() {
        let place = SpoolPlace { named: Some("/nonexistent".into()), target: None };
        assert_eq!(place.open().unwrap_err().to_string(), "/nonexistent takes no temporary file");
    }

    #[test]
    fn a_memory_file_system_is_not_taken_unasked() {
        // /dev/shm is a tmpfs wherever it is mounted.
        if let Ok(stat) = rustix::fs::statfs("/dev/shm") {
            assert!(in_memory(&stat));
        }
        assert!(!in_memory(&rustix::fs::statfs("/proc").unwrap()));
    }
}
