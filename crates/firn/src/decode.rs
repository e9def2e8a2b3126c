//! From a firn file to a proven closure: frames are unpacked on several threads within a budget of memory, contents go
//! to the spool, and every path is recomputed.

use crate::{
    event::{Meter, Sink, Work},
    schedule::Budget,
    spool_file::FileSpool,
};
use firn_core::{
    Blob, ClosureError, Proven, ProvenPath, Spool, StoreDir,
    codec::Dictionary,
    format::{FileReader, FormatError, Front, Header, Limits, PackedFrame, Section},
    recipe::{DerivationReader, RecipeError, RecipeLimits, SourceDigest, SourceList},
};
use std::{
    io::{self, Read},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// What a reader may use.
#[derive(Debug, Clone)]
pub struct DecodeOptions {
    /// Threads.
    pub threads: usize,
    /// Bytes of memory for models, windows and packed bytes together.
    pub codec_memory: u64,
    /// Limits of the format.
    pub limits: Limits,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self { threads: crate::default_threads(), codec_memory: 72 << 20, limits: Limits::default() }
    }
}

/// A file that was read and proven.
#[derive(Debug)]
pub struct Decoded {
    /// What the front of the file says.
    pub front: Front,
    /// The closure; contents are in the spool.
    pub closure: Proven,
}

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The container is damaged, or beyond limits.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Contents could not be put aside.
    #[error("putting contents aside")]
    Spool(#[source] io::Error),
    /// A section does not hold what it should.
    #[error("the section {section} is not right")]
    Recipe {
        /// Which one.
        section: Section,
        /// What is wrong.
        source: RecipeError,
    },
    /// The paths that the contents give do not make the closure of the roots in the header.
    #[error("the contents do not prove the root that the file claims")]
    Unproven(#[source] ClosureError),
    /// The header counts something else than there is.
    #[error("the header declares {declared} {what}, the file has {found}")]
    Count {
        /// Of what.
        what: &'static str,
        /// In the header.
        declared: u64,
        /// Decoded.
        found: u64,
    },
}

/// Reads a whole file from a stream. Nothing is proven, and nothing returned, before its last byte was read and checked.
pub fn decode<R: Read>(
    input: R,
    spool: &mut FileSpool,
    dictionaries: &[Dictionary<'static>],
    options: &DecodeOptions,
    sink: &dyn Sink,
) -> Result<Decoded, DecodeError> {
    let mut reader = FileReader::new(input, options.limits.clone())?;
    let sections = unpack_all(&mut reader, Section::Derivations, spool, dictionaries, options, sink)?;
    let front = reader.front().clone();
    let closure = prove(&front.header, sections, spool, options, sink)?;
    Ok(Decoded { front, closure })
}

/// Reads the sources alone, for those who only look: the rest of the file is neither read nor checked. Their paths are
/// recomputed.
pub fn decode_sources<R: Read>(
    input: R,
    spool: &mut FileSpool,
    dictionaries: &[Dictionary<'static>],
    options: &DecodeOptions,
    sink: &dyn Sink,
) -> Result<(Front, Vec<ProvenPath>), DecodeError> {
    let mut reader = FileReader::new(input, options.limits.clone())?;
    let [names, contents, ..] = unpack_all(&mut reader, Section::Sources, spool, dictionaries, options, sink)?;
    let front = reader.front().clone();
    let meter = Meter::begin(sink, Work::Prove, None, Some(front.header.counts.sources));
    let sources = read_sources(&front.header, [names, contents], spool, options, &meter)?;
    Ok((front, sources))
}

/// Unpacks all frames up to and with those of `last`, and says where each section is in the spool.
fn unpack_all<R: Read>(
    reader: &mut FileReader<R>,
    last: Section,
    spool: &mut FileSpool,
    dictionaries: &[Dictionary<'static>],
    options: &DecodeOptions,
    sink: &dyn Sink,
) -> Result<[Blob; 4], DecodeError> {
    let mut wanted = 0;
    let mut lengths = [0; 4];
    for header in reader.front().frames.iter().filter_map(|f| f.known).filter(|h| h.section <= last) {
        lengths[place_of(header.section)] += header.raw_bytes;
        wanted += 1;
    }
    let meter = Meter::begin(sink, Work::Read, Some(lengths.iter().sum()), None);
    // The place of each section is known from the front, so frames may be unpacked in any order.
    let mut sections = [Blob::default(); 4];
    for (section, len) in sections.iter_mut().zip(lengths) {
        *section = spool.reserve(len).map_err(DecodeError::Spool)?;
    }
    let mut next = sections;
    let budget = Budget::new(options.codec_memory);
    let failed: Mutex<Option<DecodeError>> = Mutex::new(None);
    let fail = |error: DecodeError| {
        let mut slot = failed.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(error);
    };
    let place: &FileSpool = spool;
    std::thread::scope(|scope| {
        // The last call proves the digest of the file; whoever wants only its beginning does without.
        let mut calls = if last == Section::Derivations { u64::MAX } else { wanted };
        while calls > 0 && failed.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            calls -= 1;
            let frame = match reader.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => {
                    // Damage is told by its place, so the first in the file wins over a later one of a thread.
                    fail(error.into());
                    break;
                }
            };
            let slot = &mut next[place_of(frame.header.section)];
            let at = slot.offset;
            slot.offset += frame.header.raw_bytes;
            let share = budget.take(frame.header.memory_bytes(), options.threads);
            let (fail, meter) = (&fail, &meter);
            scope.spawn(move || {
                let _share = share;
                if let Err(error) = unpack(&frame, at, place, dictionaries, &options.limits, meter) {
                    fail(error);
                }
            });
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(sections),
    }
}

fn place_of(section: Section) -> usize {
    Section::ALL.iter().position(|s| *s == section).unwrap_or(0)
}

fn unpack(
    frame: &PackedFrame,
    mut at: u64,
    spool: &FileSpool,
    dictionaries: &[Dictionary<'static>],
    limits: &Limits,
    meter: &Meter<'_>,
) -> Result<(), DecodeError> {
    let mut reader = frame.unpack(limits, dictionaries)?;
    let mut buf = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                spool.write_at(at, &buf[..n]).map_err(DecodeError::Spool)?;
                at += n as u64;
                meter.add(n as u64, 0);
            }
            Err(error) => return Err(as_format_error(error)),
        }
    }
}

/// The format's own error out of the reader that had to wrap it.
fn as_format_error(error: io::Error) -> DecodeError {
    let kind = error.kind();
    match error.into_inner().map(|inner| inner.downcast::<FormatError>()) {
        Some(Ok(inner)) => DecodeError::Format(*inner),
        Some(Err(other)) => DecodeError::Spool(io::Error::new(kind, other)),
        None => DecodeError::Spool(kind.into()),
    }
}

fn prove(
    header: &Header,
    [names, contents, hashes, records]: [Blob; 4],
    spool: &mut FileSpool,
    options: &DecodeOptions,
    sink: &dyn Sink,
) -> Result<Proven, DecodeError> {
    let store_dir = &header.store_dir;
    let counts = header.counts;
    let total = counts.derivations.saturating_add(counts.sources);
    let meter = Meter::begin(sink, Work::Prove, None, Some(total));
    let mut paths = read_sources(header, [names, contents], spool, options, &meter)?;
    paths.reserve(usize::try_from(counts.derivations).unwrap_or(0).min(1 << 20));
    let limits = recipe_limits(header, contents.len);
    let in_records = |source| DecodeError::Recipe { section: Section::Derivations, source };
    read_derivations(store_dir, &mut paths, [hashes, records], spool, limits, &meter).map_err(in_records)?;
    check_count("derivations", counts.derivations, paths.len() as u64 - counts.sources)?;
    Proven::new(store_dir.clone(), Some(header.roots.clone()), paths).map_err(DecodeError::Unproven)
}

fn recipe_limits(header: &Header, contents: u64) -> RecipeLimits {
    let counts = header.counts;
    let most = RecipeLimits::default();
    RecipeLimits {
        paths: counts.derivations.max(counts.sources).min(most.paths),
        contents,
        derivations: counts.text_bytes.min(most.derivations),
        ..most
    }
}

fn read_sources(
    header: &Header,
    [names, contents]: [Blob; 2],
    spool: &FileSpool,
    options: &DecodeOptions,
    meter: &Meter<'_>,
) -> Result<Vec<ProvenPath>, DecodeError> {
    let in_names = |source| DecodeError::Recipe { section: Section::SourceNames, source };
    let limits = recipe_limits(header, contents.len);
    let sources = if names.len == 0 {
        Vec::new()
    } else {
        let list = SourceList::read(&mut SpoolReader::new(spool, names), contents.offset, &limits).map_err(in_names)?;
        check_count("bytes of contents", contents.len, list.contents_len())?;
        let digests = digests(&list, spool, options.threads, meter).map_err(DecodeError::Spool)?;
        list.resolve(&header.store_dir, digests).map_err(in_names)?
    };
    check_count("sources", header.counts.sources, sources.len() as u64)?;
    Ok(sources)
}

fn check_count(what: &'static str, declared: u64, found: u64) -> Result<(), DecodeError> {
    if declared == found { Ok(()) } else { Err(DecodeError::Count { what, declared, found }) }
}

/// Hashes all sources, the largest first so that no thread is left with it at the end.
fn digests(list: &SourceList, spool: &FileSpool, threads: usize, meter: &Meter<'_>) -> io::Result<Vec<SourceDigest>> {
    let mut order: Vec<(usize, u64)> = list.iter().map(|(_, node)| node.nar_size()).enumerate().collect();
    order.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<io::Result<SourceDigest>>>> = Mutex::new((0..list.len()).map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, list.len().max(1)) {
            scope.spawn(|| {
                while let Some((number, _)) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let digest = list.digest(*number, spool);
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results[*number] = Some(digest);
                    meter.add(0, 1);
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_iter().map(|digest| digest.unwrap_or_else(|| Err(io::ErrorKind::Interrupted.into()))).collect()
}

fn read_derivations(
    store_dir: &StoreDir,
    paths: &mut Vec<ProvenPath>,
    [hashes, records]: [Blob; 2],
    spool: &mut FileSpool,
    limits: RecipeLimits,
    meter: &Meter<'_>,
) -> Result<(), RecipeError> {
    let sources = paths.iter().map(|p| p.path().clone()).collect();
    // The sections are read back through a handle of their own, since texts are appended meanwhile.
    let handle = spool.reader()?;
    let mut records = SpoolReader::new(&handle, records);
    let mut hashes = SpoolReader::new(&handle, hashes);
    let mut reader = DerivationReader::new(store_dir, sources, &mut records, &mut hashes, limits);
    while let Some(path) = reader.next(spool)? {
        paths.push(path);
        meter.add(0, 1);
    }
    Ok(())
}

/// Reads a run of a spool from its begin to its end.
struct SpoolReader<'a> {
    spool: &'a dyn Spool,
    left: Blob,
}

impl<'a> SpoolReader<'a> {
    fn new(spool: &'a dyn Spool, run: Blob) -> Self {
        Self { spool, left: run }
    }
}

impl Read for SpoolReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = usize::try_from(self.left.len).unwrap_or(usize::MAX).min(buf.len());
        self.spool.read_at(self.left.offset, &mut buf[..n])?;
        self.left.offset += n as u64;
        self.left.len -= n as u64;
        Ok(n)
    }
}
