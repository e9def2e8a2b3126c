//! Streams of `nix-store --export` (Nix: `export-import.cc`).
//!
//! Grammar: `(u64 1, NAR, u64 0x4558494e, path, u64 n, n references, deriver, u64 0 | u64 1 and a string)* u64 0`, strings
//! with their length before them and zeros behind them to a multiple of eight. The format has no `ca` field and no
//! signature that still means anything. `nix-store --import` stops after the first stream of several; we read them all.

use crate::{
    archive::{ArchiveError, Node, pad, write_string},
    closure::{ClaimedPath, Proven, ProvenPath},
    spool::Spool,
    store_path::{MAX_NAME, StoreDir, StorePath, StorePathError},
};
use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    io::{self, Read, Write},
};

/// The number between a NAR and its metadata: "NIXE".
const MARKER: u64 = 0x4558_494e;
/// Longest full path, in bytes: that of Linux and the longest store path.
const MAX_PATH: u64 = 4096 + 34 + MAX_NAME as u64;
/// Most references of one path.
const MAX_REFERENCES: u64 = 1_000_000;
/// Most paths in all streams.
const MAX_PATHS: usize = 4_000_000;
/// Most streams without a path.
const MAX_EMPTY: u64 = 4096;
/// Longest obsolete signature, in bytes.
const MAX_SIGNATURE: u64 = 1 << 16;

/// Why bytes are no export stream. Offsets are in bytes from the beginning, after decompression.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Not a byte.
    #[error("the stream is empty")]
    Empty,
    /// The stream ends inside a path or without its end mark.
    #[error("the stream is cut off at byte {offset}")]
    Cut {
        /// Length of what is there.
        offset: u64,
    },
    /// The stream could not be read.
    #[error("reading the stream at byte {offset}")]
    Read {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// Contents could not be put aside.
    #[error("putting contents aside at byte {offset} of the stream")]
    Spool {
        /// How far the stream was read.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The first number is neither 0 nor 1.
    #[error("not made by nix-store --export: it begins with {found:#x}")]
    Magic {
        /// What is there.
        found: u64,
    },
    /// What follows a path or a stream is neither a path nor an end.
    #[error("neither a path nor the end of the stream at byte {offset}, but {found:#x}")]
    Item {
        /// Where.
        offset: u64,
        /// What is there.
        found: u64,
    },
    /// What follows a whole stream is no other one.
    #[error("something that is no export stream follows what ends at byte {offset}")]
    Follows {
        /// Where.
        offset: u64,
    },
    /// Streams without a path, without an end of them.
    #[error("nothing but zeros comes before byte {offset}")]
    Zeros {
        /// How far it was read.
        offset: u64,
    },
    /// The archive of a path is malformed.
    #[error("malformed archive before byte {offset} of the stream")]
    Archive {
        /// Where reading stopped.
        offset: u64,
        /// How.
        source: ArchiveError,
    },
    /// The marker after an archive is missing.
    #[error("no marker after the archive that ends at byte {offset}, but {found:#x}")]
    Marker {
        /// Where.
        offset: u64,
        /// What is there.
        found: u64,
    },
    /// A length or count is beyond what is allowed.
    #[error("at byte {offset}: {count} is too much for {what}, at most {limit} are allowed")]
    Limit {
        /// Where.
        offset: u64,
        /// Of what.
        what: &'static str,
        /// What is claimed.
        count: u64,
        /// The limit.
        limit: u64,
    },
    /// Padding that is not zero, or a flag that is neither 0 nor 1.
    #[error("at byte {offset}: {what}")]
    Malformed {
        /// Where.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A path that is none.
    #[error("the path that ends at byte {offset} is no store path")]
    Path {
        /// Where.
        offset: u64,
        /// Why not.
        source: StorePathError,
    },
    /// The same path twice, with other contents or references.
    #[error("{path} is there twice, with different contents, the second time before byte {offset}")]
    Conflict {
        /// Which.
        path: StorePath,
        /// End of the second one.
        offset: u64,
    },
}

/// All that several concatenated streams hold.
#[derive(Debug)]
#[non_exhaustive]
pub struct Exported {
    /// The store directory of all paths; `None` when there is no path.
    pub store_dir: Option<StoreDir>,
    /// The paths in the order of the streams, each once.
    pub paths: Vec<ClaimedPath>,
    /// Number of streams with at least one path.
    pub streams: u64,
    /// Whether a stream refers to a path that only another one holds: they are the pieces of one export.
    pub pieces: bool,
    /// Length of all streams in bytes.
    pub bytes: u64,
}

/// Reads streams to the end of `input`; contents go to the spool. `Read`ing in small pieces must be cheap.
pub fn read(input: impl Read, spool: &mut dyn Spool) -> Result<Exported, ExportError> {
    let mut reader = Reader::new(input);
    let mut paths: Vec<ClaimedPath> = Vec::new();
    // Where each path is, and the last stream that held it.
    let mut seen: HashMap<StorePath, (usize, u64)> = HashMap::new();
    let mut pieces = false;
    while let Some(path) = reader.next_path(spool)? {
        let stream = reader.streams;
        let here = |reference| seen.get(reference).is_some_and(|(_, last)| *last == stream);
        pieces |= path.references.iter().any(|reference| *reference != path.path && !here(reference));
        match seen.entry(path.path.clone()) {
            Entry::Vacant(slot) => {
                slot.insert((paths.len(), stream));
                paths.push(path);
            }
            Entry::Occupied(mut slot) => {
                let (first, last) = slot.get_mut();
                let offset = reader.offset();
                if !same(&paths[*first], &path, spool).map_err(|source| ExportError::Spool { offset, source })? {
                    return Err(ExportError::Conflict { path: path.path, offset });
                }
                *last = stream;
            }
        }
        if paths.len() > MAX_PATHS {
            return Err(reader.limit("paths", paths.len() as u64, MAX_PATHS as u64));
        }
    }
    Ok(Exported { store_dir: reader.store_dir, paths, streams: reader.streams, pieces, bytes: reader.input.offset })
}

fn same(a: &ClaimedPath, b: &ClaimedPath, spool: &dyn Spool) -> io::Result<bool> {
    let set = |path: &ClaimedPath| path.references.iter().cloned().collect::<HashSet<_>>();
    Ok(set(a) == set(b) && a.content.nar_hash(spool)? == b.content.nar_hash(spool)?)
}

/// Reads the paths of concatenated streams one after the other.
#[derive(Debug)]
pub struct Reader<R> {
    input: Counted<R>,
    store_dir: Option<StoreDir>,
    /// Every path seen so far, so that equal ones share their text.
    known: HashSet<StorePath>,
    streams: u64,
    inside: bool,
    /// Streams without a path so far.
    empty: u64,
    text: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// A reader at the beginning of the first stream.
    pub fn new(input: R) -> Self {
        let input = Counted { inner: input, offset: 0, state: State::Good };
        Self { input, store_dir: None, known: HashSet::new(), streams: 0, inside: false, empty: 0, text: Vec::new() }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.input.offset
    }

    /// Streams with at least one path so far.
    pub fn streams(&self) -> u64 {
        self.streams
    }

    /// The store directory, known from the first path on.
    pub fn store_dir(&self) -> Option<&StoreDir> {
        self.store_dir.as_ref()
    }

    /// The next path of this stream or the next one, `None` at the end of the last; contents go to the spool.
    pub fn next_path(&mut self, spool: &mut dyn Spool) -> Result<Option<ClaimedPath>, ExportError> {
        loop {
            let at = self.offset();
            if !self.inside && self.input.at_end(at)? {
                return if at == 0 { Err(ExportError::Empty) } else { Ok(None) };
            }
            let mut number = [0; 8];
            let filled = self.fill(&mut number);
            // Of a number that is cut the rest is zero, as it would be.
            if !self.inside && at > 0 && !matches!(u64::from_le_bytes(number), 0 | 1) {
                return Err(ExportError::Follows { offset: at });
            }
            filled?;
            match u64::from_le_bytes(number) {
                0 if self.inside => self.inside = false,
                0 if self.empty == MAX_EMPTY => return Err(ExportError::Zeros { offset: self.offset() }),
                0 => self.empty += 1,
                1 => {
                    if !self.inside {
                        self.inside = true;
                        self.streams += 1;
                    }
                    return self.path(spool).map(Some);
                }
                found if at == 0 => return Err(ExportError::Magic { found }),
                found => return Err(ExportError::Item { offset: at, found }),
            }
        }
    }

    fn path(&mut self, spool: &mut dyn Spool) -> Result<ClaimedPath, ExportError> {
        let content = Node::read_nar(&mut self.input, spool).map_err(|source| match source {
            ArchiveError::Io(source) => self.input.blame(source),
            source => ExportError::Archive { offset: self.offset(), source },
        })?;
        let offset = self.offset();
        let found = self.number()?;
        if found != MARKER {
            return Err(ExportError::Marker { offset, found });
        }
        self.string("the length of a path", MAX_PATH)?;
        let path = self.store_path()?;
        let count = self.number()?;
        if count > MAX_REFERENCES {
            return Err(self.limit("the references of a path", count, MAX_REFERENCES));
        }
        let mut references = Vec::new();
        for _ in 0..count {
            self.string("the length of a reference", MAX_PATH)?;
            references.push(self.store_path()?);
        }
        self.string("the length of a deriver", MAX_PATH)?;
        let deriver = if self.text.is_empty() { None } else { Some(self.store_path()?) };
        match self.number()? {
            0 => {}
            // Nix before 2.0 signed streams so; every later one skips it.
            1 => self.string("the length of a signature", MAX_SIGNATURE)?,
            _ => {
                let what = "the signature's flag is neither 0 nor 1";
                return Err(ExportError::Malformed { offset: self.offset() - 8, what });
            }
        }
        Ok(ClaimedPath { path, references, content, deriver, signatures: Vec::new() })
    }

    fn number(&mut self) -> Result<u64, ExportError> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn string(&mut self, what: &'static str, limit: u64) -> Result<(), ExportError> {
        let len = self.number()?;
        if len > limit {
            return Err(self.limit(what, len, limit));
        }
        let mut text = std::mem::take(&mut self.text);
        text.resize(len as usize + pad(len), 0);
        let filled = self.fill(&mut text);
        let clean = text[len as usize..].iter().all(|byte| *byte == 0);
        text.truncate(len as usize);
        self.text = text;
        filled?;
        if clean { Ok(()) } else { Err(ExportError::Malformed { offset: self.offset(), what: "padding is not zero" }) }
    }

    fn store_path(&mut self) -> Result<StorePath, ExportError> {
        let error = |source| ExportError::Path { offset: self.input.offset, source };
        if self.store_dir.is_none() {
            let text = String::from_utf8_lossy(&self.text);
            let (dir, base) = text.rsplit_once('/').unwrap_or_default();
            if StorePath::from_base_name(base.as_bytes()).is_err() {
                return Err(error(StorePathError::Hash(text.into_owned())));
            }
            self.store_dir = Some(StoreDir::new(dir).map_err(error)?);
        }
        let dir = self.store_dir.get_or_insert_default();
        let base = self.text.strip_prefix(dir.as_str().as_bytes()).and_then(|rest| rest.strip_prefix(b"/"));
        if let Some(known) = base.and_then(|b| std::str::from_utf8(b).ok()).and_then(|base| self.known.get(base)) {
            return Ok(known.clone());
        }
        let path = dir.parse(&self.text).map_err(error)?;
        self.known.insert(path.clone());
        Ok(path)
    }

    fn fill(&mut self, buf: &mut [u8]) -> Result<(), ExportError> {
        self.input.read_exact(buf).map_err(|source| self.input.blame(source))
    }

    fn limit(&self, what: &'static str, count: u64, limit: u64) -> ExportError {
        ExportError::Limit { offset: self.offset() - 8, what, count, limit }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Good,
    Ended,
    Failed,
    /// One byte was read ahead to see whether there is any.
    Ahead(u8),
}

/// Counts what passes, and remembers whether the end or an error of the input stopped it.
#[derive(Debug)]
struct Counted<R> {
    inner: R,
    offset: u64,
    state: State,
}

impl<R: Read> Counted<R> {
    fn at_end(&mut self, offset: u64) -> Result<bool, ExportError> {
        let mut byte = [0];
        loop {
            match self.inner.read(&mut byte) {
                Ok(0) => return Ok(true),
                Ok(_) => {
                    self.state = State::Ahead(byte[0]);
                    return Ok(false);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ExportError::Read { offset, source }),
            }
        }
    }

    fn blame(&self, source: io::Error) -> ExportError {
        match self.state {
            State::Ended => ExportError::Cut { offset: self.offset },
            State::Failed => ExportError::Read { offset: self.offset, source },
            State::Good | State::Ahead(_) => ExportError::Spool { offset: self.offset, source },
        }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let n = if let State::Ahead(byte) = self.state {
            self.state = State::Good;
            buf[0] = byte;
            1
        } else {
            match self.inner.read(buf) {
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                Err(error) => {
                    self.state = State::Failed;
                    return Err(error);
                }
            }
        };
        if n == 0 {
            self.state = State::Ended;
        }
        self.offset += n as u64;
        Ok(n)
    }
}

/// The order of `nix-store --export`: depth first from every path in sorted order (`topoSort` in Nix's `topo-sort.hh`), a
/// single root last.
fn stock_order(closure: &Proven) -> Vec<&ProvenPath> {
    let mut sorted: Vec<&ProvenPath> = closure.paths().iter().collect();
    sorted.sort_unstable_by_key(|path| path.path());
    let mut visited = vec![false; sorted.len()];
    let mut order = Vec::with_capacity(sorted.len());
    let mut stack: Vec<(usize, usize)> = Vec::new();
    for start in 0..sorted.len() {
        if !std::mem::replace(&mut visited[start], true) {
            stack.push((start, 0));
        }
        while let Some((node, next)) = stack.last_mut() {
            let path = sorted[*node];
            let Some(reference) = path.references().get(*next) else {
                order.push(path);
                stack.pop();
                continue;
            };
            *next += 1;
            if let Ok(child) = sorted.binary_search_by_key(&reference, |path| path.path())
                && !std::mem::replace(&mut visited[child], true)
            {
                stack.push((child, 0));
            }
        }
    }
    order
}

/// Writes a closure as one stream, byte for byte as `nix-store --export` does: references first, a single root last.
pub fn write(closure: &Proven, spool: &dyn Spool, out: &mut dyn Write) -> io::Result<()> {
    let dir = closure.store_dir();
    let mut out = io::BufWriter::with_capacity(1 << 16, out);
    for path in stock_order(closure) {
        out.write_all(&1u64.to_le_bytes())?;
        path.content().write_nar(spool, &mut out)?;
        out.write_all(&MARKER.to_le_bytes())?;
        write_string(&mut out, dir.display(path.path()).as_bytes())?;
        out.write_all(&(path.references().len() as u64).to_le_bytes())?;
        for reference in path.references() {
            write_string(&mut out, dir.display(reference).as_bytes())?;
        }
        let deriver = path.deriver().map(|deriver| dir.display(deriver)).unwrap_or_default();
        write_string(&mut out, deriver.as_bytes())?;
        out.write_all(&0u64.to_le_bytes())?;
    }
    out.write_all(&0u64.to_le_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests;
