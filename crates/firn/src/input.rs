//! What a person hands in: a file or standard input, told by its content and never by its name.

mod kind;
mod unpack;

pub use kind::{Compression, Content, WrongKind};
pub use unpack::UnpackError;

use std::{
    fmt,
    fs::File,
    io::{self, BufReader, Cursor, IsTerminal, Read, Seek},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Bytes that are looked at to tell what a file is: the mark of a tar is at 257.
const HEAD: usize = 1024;
const BUFFER: usize = 1 << 17;

/// Where input comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Standard input, `-`.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl Source {
    /// `-` is standard input, anything else a file.
    pub fn new(path: &Path) -> Self {
        if path.as_os_str() == "-" { Self::Stdin } else { Self::File(path.to_path_buf()) }
    }

    /// Where the file is.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdin => None,
            Self::File(path) => Some(path),
        }
    }

    /// Splits `FILE#host`. A file that really has a `#` in its name is taken whole.
    pub fn with_host(path: &Path) -> (Self, Option<String>) {
        let split = path.to_str().and_then(|text| text.rsplit_once('#'));
        match split {
            Some((file, host)) if !host.is_empty() && !host.contains('/') && !path.exists() => {
                (Self::new(Path::new(file)), Some(host.to_owned()))
            }
            _ => (Self::new(path), None),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("standard input"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Why input is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// It cannot be opened or read.
    #[error("{input} cannot be read")]
    Read {
        /// Which.
        input: Source,
        /// Why not.
        source: io::Error,
    },
    /// A person is at the other end of standard input.
    #[error("standard input is a terminal: name a file, or pipe one in")]
    Terminal,
    /// It is something else.
    #[error("{input} is {}: {}", what(*compression, *kind), kind.cure())]
    Wrong {
        /// Which.
        input: Source,
        /// What it is compressed with.
        compression: Option<Compression>,
        /// What it is.
        kind: WrongKind,
    },
}

fn what(compression: Option<Compression>, kind: WrongKind) -> String {
    match (compression, kind) {
        (None, kind) => kind.what().to_owned(),
        (Some(compression), WrongKind::Empty) => format!("{} of nothing", compression.what()),
        (Some(compression), kind) => format!("{} of {}", compression.what(), kind.what()),
    }
}

/// Opened input whose first bytes were looked at. Reading gives the content, unpacked, from its beginning.
pub struct Input {
    source: Source,
    content: Content,
    compression: Option<Compression>,
    reader: BufReader<Box<dyn Read + Send>>,
    file: Option<File>,
    size: Option<u64>,
    position: Position,
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, content, compression, size, .. } = self;
        write!(f, "Input({source}, {content:?}, {compression:?}, {size:?})")
    }
}

/// How many bytes of the file were read, as it lies on disk; may be asked from another thread.
#[derive(Debug, Clone, Default)]
pub struct Position(Arc<AtomicU64>);

impl Position {
    /// Bytes read so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Positioned<R> {
    inner: R,
    position: Position,
}

impl<R: Read> Read for Positioned<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.position.0.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl Input {
    /// Opens `source`, unpacks one layer of gzip, xz or zstd, and refuses what is neither a firn file nor an export
    /// stream. Unpacking takes at most `memory` bytes.
    pub fn open(source: Source, memory: u64) -> Result<Self, InputError> {
        let failed = |error| InputError::Read { input: source.clone(), source: error };
        let (raw, file, size): (Box<dyn Read + Send>, _, _) = match &source {
            Source::Stdin if io::stdin().is_terminal() => return Err(InputError::Terminal),
            Source::Stdin => {
                let file = File::from(rustix::io::dup(rustix::stdio::stdin()).map_err(|errno| failed(errno.into()))?);
                let size = file.metadata().ok().filter(|meta| meta.is_file()).map(|meta| meta.len());
                (Box::new(file), None, size)
            }
            Source::File(path) => {
                let file = File::open(path).map_err(failed)?;
                let meta = file.metadata().map_err(failed)?;
                if meta.is_dir() {
                    return Err(InputError::Wrong { input: source, compression: None, kind: WrongKind::Directory });
                }
                let again = if meta.is_file() { file.try_clone().ok() } else { None };
                (Box::new(file), again, meta.is_file().then_some(meta.len()))
            }
        };
        Self::sniff(source, raw, file, size, memory)
    }

    /// As [`Input::open`] with bytes from elsewhere; `source` is only for messages.
    pub fn from_reader(source: Source, raw: Box<dyn Read + Send>, memory: u64) -> Result<Self, InputError> {
        Self::sniff(source, raw, None, None, memory)
    }

    fn sniff(
        source: Source,
        raw: Box<dyn Read + Send>,
        file: Option<File>,
        size: Option<u64>,
        memory: u64,
    ) -> Result<Self, InputError> {
        let failed = |error| InputError::Read { input: source.clone(), source: error };
        let position = Position::default();
        let mut raw = Positioned { inner: raw, position: position.clone() };
        let head = read_head(&mut raw).map_err(failed)?;
        let compression = Compression::of(&head);
        let whole: Box<dyn Read + Send> = Box::new(Cursor::new(head.clone()).chain(raw));
        let (head, reader, file) = match compression {
            None => (head, whole, file),
            Some(compression) => {
                let packed = BufReader::with_capacity(BUFFER, whole);
                let mut unpacked = unpack::unpack(compression, packed, position.clone(), memory).map_err(failed)?;
                let head = read_head(&mut unpacked).map_err(failed)?;
                (head.clone(), Box::new(Cursor::new(head).chain(unpacked)) as Box<dyn Read + Send>, None)
            }
        };
        let content = match kind::tell(&head, compression.is_some()) {
            Ok(content) => content,
            Err(kind) => return Err(InputError::Wrong { input: source, compression, kind }),
        };
        let reader = BufReader::with_capacity(BUFFER, reader);
        Ok(Self { source, content, compression, reader, file, size, position })
    }

    /// Where it comes from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// What it is.
    pub fn content(&self) -> Content {
        self.content
    }

    /// What it was compressed with.
    pub fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// Size in bytes on disk, where known.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// How far it was read, of [`Input::size`].
    pub fn position(&self) -> Position {
        self.position.clone()
    }

    /// The open file at its beginning, for readers that skip; `None` for a pipe or what is compressed.
    pub fn into_file(self) -> Option<File> {
        let Self { reader, file, .. } = self;
        drop(reader);
        let mut file = file?;
        file.rewind().ok()?;
        Some(file)
    }
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buf)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.reader.read_exact(buf)
    }
}

fn read_head(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD);
    input.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_split_from_the_file_unless_a_file_is_called_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fleet.firn#web");
        assert_eq!(Source::with_host(&path), (Source::File(dir.path().join("fleet.firn")), Some("web".into())));
        std::fs::write(&path, "").unwrap();
        assert_eq!(Source::with_host(&path), (Source::File(path), None));
        assert_eq!(Source::with_host(Path::new("-#web")), (Source::Stdin, Some("web".into())));
    }

    #[test]
    fn unpacking_beyond_the_memory_allowed_is_refused() {
        let export = [1u64.to_le_bytes(), 13u64.to_le_bytes()].concat().repeat(1 << 16);
        let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
        zstd.window_log(24).unwrap();
        io::Write::write_all(&mut zstd, &export).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
        io::Write::write_all(&mut xz, &export).unwrap();
        for (packed, enough) in [(zstd.finish().unwrap(), 1 << 24), (xz.finish().unwrap(), 16 << 20)] {
            let open = |memory| {
                let reader = Box::new(Cursor::new(packed.clone()));
                Input::from_reader(Source::Stdin, reader, memory)
            };
            assert!(open(enough).is_ok());
            let Err(InputError::Read { source, .. }) = open(1 << 20) else { panic!("taken") };
            let inner = source.get_ref().and_then(|inner| inner.downcast_ref());
            assert!(matches!(inner, Some(UnpackError::Memory { .. })), "{source}");
        }
    }
}
