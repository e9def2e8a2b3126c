//! Where a result goes: standard output, or a file that is there whole or not at all.

use fs_err as fs;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use std::{
    ffi::OsString,
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

/// A result under way. Dropped without [`Output::commit`] it leaves nothing behind.
#[derive(Debug)]
pub struct Output {
    sink: Sink,
    written: u64,
}

#[derive(Debug)]
enum Sink {
    Stream(File),
    /// A file without a name (`O_TMPFILE`): however the process ends, nothing of it stays.
    Nameless {
        file: File,
        target: PathBuf,
    },
    /// For file systems that have no nameless files.
    Named {
        file: tempfile::NamedTempFile,
        target: PathBuf,
    },
}

/// The reader of our standard output went away.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output any more")]
pub struct ClosedPipe;

/// Marks a broken pipe of standard output, so that it is told from that of a store.
pub fn mark_closed_pipe(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe { io::Error::new(error.kind(), ClosedPipe) } else { error }
}

impl Output {
    /// Opens `target`, `-` for standard output. What is not a regular file (a device, a pipe) is written as it is.
    pub fn create(target: &Path) -> io::Result<Self> {
        let sink = if target.as_os_str() == "-" {
            if io::stdout().is_terminal() {
                return Err(io::Error::other("standard output is a terminal: redirect it, or name a file"));
            }
            Sink::Stream(File::from(rustix::io::dup(rustix::stdio::stdout())?))
        } else {
            match std::fs::metadata(target) {
                Ok(meta) if meta.is_dir() => {
                    return Err(io::Error::new(
                        io::ErrorKind::IsADirectory,
                        format!("{} is a directory", target.display()),
                    ));
                }
                Ok(meta) if !meta.is_file() => {
                    Sink::Stream(fs::OpenOptions::new().write(true).open(target)?.into_parts().0)
                }
                // The file behind a link is replaced, not the link.
                Ok(_) => Self::beside(fs::canonicalize(target)?)?,
                Err(_) => Self::beside(target.to_path_buf())?,
            }
        };
        Ok(Self { sink, written: 0 })
    }

    fn beside(target: PathBuf) -> io::Result<Sink> {
        let dir = folder(&target);
        std::fs::metadata(dir)
            .map_err(|error| io::Error::new(error.kind(), format!("there is no folder {}: {error}", dir.display())))?;
        let nameless = rustix::fs::openat(
            CWD,
            dir,
            OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::from_raw_mode(0o666),
        );
        match nameless {
            // Giving it a name later goes through /proc.
            Ok(file) if Path::new("/proc/self/fd").exists() => Ok(Sink::Nameless { file: file.into(), target }),
            _ => {
                use std::os::unix::fs::PermissionsExt;
                let file = tempfile::Builder::new()
                    .prefix(".firn-")
                    .permissions(std::fs::Permissions::from_mode(0o666))
                    .tempfile_in(dir)
                    // Its text names a file that nobody asked for.
                    .map_err(|error| io::Error::new(error.kind(), format!("{}: {}", dir.display(), error.kind())))?;
                Ok(Sink::Named { file, target })
            }
        }
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Puts the file in its place: synced, then renamed.
    pub fn commit(mut self) -> io::Result<()> {
        self.flush()?;
        let target = match self.sink {
            Sink::Stream(_) => return Ok(()),
            Sink::Nameless { file, target } => {
                file.sync_all()?;
                let source = format!("/proc/self/fd/{}", file.as_raw_fd());
                let link = |name: &Path| rustix::fs::linkat(CWD, &source, CWD, name, AtFlags::SYMLINK_FOLLOW);
                match link(&target) {
                    Ok(()) => {}
                    Err(rustix::io::Errno::EXIST) => {
                        let mut name = OsString::from(".firn-");
                        name.push(std::process::id().to_string());
                        name.push("-");
                        name.push(target.file_name().unwrap_or_default());
                        let between = folder(&target).join(name);
                        // A killed process of the same number may have left one.
                        let _ = std::fs::remove_file(&between);
                        link(&between)?;
                        fs::rename(&between, &target).inspect_err(|_| drop(std::fs::remove_file(&between)))?;
                    }
                    Err(error) => return Err(error.into()),
                }
                target
            }
            Sink::Named { file, target } => {
                file.as_file().sync_all()?;
                file.persist(&target)?;
                target
            }
        };
        fs::File::open(folder(&target))?.sync_all()
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

impl Write for Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = match &mut self.sink {
            Sink::Stream(file) => file.write(buf).map_err(mark_closed_pipe),
            Sink::Nameless { file, .. } => file.write(buf),
            Sink::Named { file, .. } => file.as_file_mut().write(buf),
        }?;
        self.written += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let names = std::fs::read_dir(dir).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_result_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("web.firn");
        let mut output = Output::create(&target).unwrap();
        output.write_all(b"half").unwrap();
        drop(output);
        assert!(names(dir.path()).is_empty());
        for text in ["first", "second"] {
            let mut output = Output::create(&target).unwrap();
            output.write_all(text.as_bytes()).unwrap();
            output.commit().unwrap();
            assert_eq!(std::fs::read_to_string(&target).unwrap(), text);
        }
        assert_eq!(names(dir.path()), ["web.firn"]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named_and_no_file_of_our_own() {
        let dir = tempfile::tempdir().unwrap().path().join("absent");
        let error = Output::create(&dir.join("web.firn")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let text = error.to_string();
        assert!(text.contains(dir.to_str().unwrap()) && !text.contains(".firn"), "{text}");
    }

    #[test]
    fn the_file_behind_a_link_is_replaced_and_a_device_written() {
        let dir = tempfile::tempdir().unwrap();
        let (target, link) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink("a", &link).unwrap();
        let mut output = Output::create(&link).unwrap();
        output.write_all(b"new").unwrap();
        output.commit().unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "new");
        assert!(link.is_symlink());
        let mut null = Output::create(Path::new("/dev/null")).unwrap();
        null.write_all(b"gone").unwrap();
        null.commit().unwrap();
        assert!(Output::create(dir.path()).is_err());
    }
}
