//! From a firn file to a proven closure: frames are unpacked on several threads within a budget of memory, contents go
//! to the spool, and every path is recomputed.

mod derivations;

use crate::{
    event::{Meter, Sink, Work},
    schedule::Budget,
    shared::SharedFrames,
    spool_file::FileSpool,
    unpack::{RunReader, Unpacking, Wanted},
};
pub(crate) use derivations::{decode_derivations, tells_paths};
use firn_core::{
    ClosureError, Proven, ProvenPath, StorePath,
    codec::Dictionary,
    format::{FileReader, FormatError, Front, Header, Limits, Section},
    recipe::{DerivationReader, RecipeError, RecipeLimits, SourceDigest, SourceList, SourcePaths},
};
use std::{
    io::{self, Read},
    sync::{
        Arc, Mutex, PoisonError,
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
    /// What another file that is read meanwhile may have in common with this one.
    pub shared: Option<Arc<SharedFrames>>,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self { threads: crate::default_threads(), codec_memory: 94 << 20, limits: Limits::default(), shared: None }
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
    #[error("the section {} is not right", source.beside().unwrap_or(*section))]
    Recipe {
        /// The one that was asked for: `source` may be of another that is read beside it.
        section: Section,
        /// What is wrong.
        source: RecipeError,
    },
    /// The paths that the contents give do not make the closure of the roots in the header.
    #[error("the contents do not prove the root that the file claims")]
    Unproven(#[source] ClosureError),
    /// A delta, where a whole file is needed; and the other way round.
    #[error("{0}")]
    Delta(&'static str),
    /// The base of a delta could not be taken apart.
    #[error("taking the base apart")]
    Base(#[source] RecipeError),
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
pub fn decode<R: Read + Send>(
    input: R,
    spool: &mut FileSpool,
    dictionaries: &[Dictionary<'static>],
    options: &DecodeOptions,
    sink: &dyn Sink,
) -> Result<Decoded, DecodeError> {
    decode_whole(FileReader::new(input, options.limits.clone())?, spool, dictionaries, options, sink)
}

/// As [`decode`], of a file whose front was read; one that is no delta.
pub(crate) fn decode_whole<R: Read + Send>(
    mut reader: FileReader<R>,
    spool: &mut FileSpool,
    dictionaries: &[Dictionary<'static>],
    options: &DecodeOptions,
    sink: &dyn Sink,
) -> Result<Decoded, DecodeError> {
    let front = reader.front().clone();
    refuse_delta(&front)?;
    let paths = front.header.counts.derivations.saturating_add(front.header.counts.sources);
    let closure = follow(
        &mut reader,
        Wanted::All,
        usize::MAX,
        Some(paths),
        spool,
        dictionaries,
        options,
        sink,
        |found, spool, meter| prove(&front.header, found, spool, options, meter),
    )?;
    Ok(Decoded { front, closure })
}

/// Reads the sources alone, for those who only look: the rest of the file is neither read nor checked. Their paths are
/// recomputed.
pub fn decode_sources<R: Read + Send>(
    mut reader: FileReader<R>,
    spool: &mut FileSpool,
    dictionaries: &[Dictionary<'static>],
    options: &DecodeOptions,
    sink: &dyn Sink,
) -> Result<(Front, Vec<ProvenPath>), DecodeError> {
    let front = reader.front().clone();
    refuse_delta(&front)?;
    let frames = front.frames.iter().filter_map(|f| f.known).filter(|f| f.section <= Section::Sources).count();
    let paths = front.header.counts.sources;
    let sources = follow(
        &mut reader,
        Wanted::All,
        frames,
        Some(paths),
        spool,
        dictionaries,
        options,
        sink,
        |found, spool, meter| read_sources(&front.header, found, spool, options, meter),
    )?;
    Ok((front, sources))
}

fn refuse_delta(front: &Front) -> Result<(), DecodeError> {
    if front.header.base.is_some() {
        return Err(DecodeError::Delta("it is a delta: nothing of it can be read without its base"));
    }
    if front.frames.iter().filter_map(|f| f.known).any(|f| f.section == Section::Origins) {
        return Err(DecodeError::Delta("it has origins of contents, and no base"));
    }
    Ok(())
}

/// Unpacks the first `frames` frames on threads while `prove` follows them.
#[expect(clippy::too_many_arguments, reason = "the inside of two functions that have as many")]
fn follow<R: Read + Send, T>(
    reader: &mut FileReader<R>,
    wanted: Wanted,
    frames: usize,
    paths: Option<u64>,
    spool: &mut FileSpool,
    dictionaries: &[Dictionary<'static>],
    options: &DecodeOptions,
    sink: &dyn Sink,
    prove: impl FnOnce(&Unpacking, &mut FileSpool, &Meter<'_>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let unpacking = Unpacking::new(reader, spool, wanted).map_err(DecodeError::Spool)?;
    // Threads write through a handle of their own, since texts are appended meanwhile.
    let handle = spool.reader().map_err(DecodeError::Spool)?;
    let meter = Meter::begin(sink, Work::Read, Some(unpacking.bytes()), paths);
    let budget = Budget::new(options.codec_memory);
    let proven = std::thread::scope(|scope| {
        let (unpacking, handle, meter, budget) = (&unpacking, &handle, &meter, &budget);
        scope.spawn(move || unpacking.run(scope, reader, frames, handle, dictionaries, options, budget, meter));
        let proven = prove(unpacking, spool, meter);
        if proven.is_err() {
            unpacking.stop();
        }
        proven
    });
    // What is wrong with the file explains what is wrong with its contents.
    unpacking.into_error().map_or(proven, Err)
}

/// The format's own error out of the reader that had to wrap it.
pub(crate) fn as_format_error(error: io::Error) -> DecodeError {
    let kind = error.kind();
    match error.into_inner().map(|inner| inner.downcast::<FormatError>()) {
        Some(Ok(inner)) => DecodeError::Format(*inner),
        Some(Err(other)) => DecodeError::Spool(io::Error::new(kind, other)),
        None => DecodeError::Spool(kind.into()),
    }
}

fn prove(
    header: &Header,
    unpacking: &Unpacking,
    spool: &mut FileSpool,
    options: &DecodeOptions,
    meter: &Meter<'_>,
) -> Result<Proven, DecodeError> {
    let mut paths = read_sources(header, unpacking, spool, options, meter)?;
    let sources = paths.iter().map(|p| p.path().clone()).collect();
    paths.extend(read_derivations(header, sources, unpacking, spool, meter)?);
    Proven::new(header.store_dir.clone(), Some(header.roots.clone()), paths).map_err(DecodeError::Unproven)
}

pub(crate) fn recipe_limits(header: &Header, contents: u64) -> RecipeLimits {
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
    unpacking: &Unpacking,
    spool: &FileSpool,
    options: &DecodeOptions,
    meter: &Meter<'_>,
) -> Result<Vec<ProvenPath>, DecodeError> {
    let in_names = |source| DecodeError::Recipe { section: Section::SourceNames, source };
    unpacking.wait(Section::Sources).map_err(DecodeError::Spool)?;
    let list = source_list(header, unpacking, spool)?;
    // Records are unpacked meanwhile, and what follows waits for them.
    let threads = options.threads.saturating_sub(1);
    let all: Vec<usize> = (0..list.len()).collect();
    let told = source_paths(unpacking, &list, spool)?;
    let digests = digests(&list, &all, &|_| None, spool, threads, meter).map_err(DecodeError::Spool)?;
    let sources = list.resolve(&header.store_dir, digests).map_err(in_names)?;
    let in_paths = |source| DecodeError::Recipe { section: Section::SourcePaths, source };
    told.compare(&sources).map_err(in_paths)?;
    check_count("sources", header.counts.sources, sources.len() as u64)?;
    Ok(sources)
}

/// The sources, once the sections before their contents are there.
fn source_list(header: &Header, unpacking: &Unpacking, spool: &FileSpool) -> Result<SourceList, DecodeError> {
    let names = unpacking.wait(Section::SourceNames).map_err(DecodeError::Spool)?;
    let copies = unpacking.wait(Section::Copies).map_err(DecodeError::Spool)?;
    let contents = unpacking.section(Section::Sources);
    let limits = recipe_limits(header, contents.len);
    let (mut names, mut copies) = (RunReader::new(spool, names), RunReader::new(spool, copies));
    let list = SourceList::read(&mut names, &mut copies, contents.offset, &limits)
        .map_err(|source| DecodeError::Recipe { section: Section::SourceNames, source })?;
    check_count("bytes of contents", contents.len, list.contents_len())?;
    Ok(list)
}

fn source_paths(unpacking: &Unpacking, list: &SourceList, spool: &FileSpool) -> Result<SourcePaths, DecodeError> {
    let told = unpacking.wait(Section::SourcePaths).map_err(DecodeError::Spool)?;
    SourcePaths::read(&mut RunReader::new(spool, told), list.len())
        .map_err(|source| DecodeError::Recipe { section: Section::SourcePaths, source })
}

pub(crate) fn check_count(what: &'static str, declared: u64, found: u64) -> Result<(), DecodeError> {
    if declared == found { Ok(()) } else { Err(DecodeError::Count { what, declared, found }) }
}

/// Hashes the sources of these numbers that are not `known`, the largest first so that no thread is left with it at the end.
pub(crate) fn digests(
    list: &SourceList,
    numbers: &[usize],
    known: &(dyn Fn(usize) -> Option<SourceDigest> + Sync),
    spool: &FileSpool,
    threads: usize,
    meter: &Meter<'_>,
) -> io::Result<Vec<SourceDigest>> {
    let sizes: Vec<u64> = list.iter().map(|(_, node)| node.nar_size()).collect();
    let mut order: Vec<(usize, usize)> = numbers.iter().copied().enumerate().collect();
    order.sort_by_key(|(_, number)| std::cmp::Reverse(sizes.get(*number)));
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<io::Result<SourceDigest>>>> = Mutex::new(numbers.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, numbers.len().max(1)) {
            scope.spawn(|| {
                while let Some((place, number)) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let digest = known(*number).map_or_else(|| list.digest(*number, spool), Ok);
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    results[*place] = Some(digest);
                    meter.add(0, 1);
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_iter().map(|digest| digest.unwrap_or_else(|| Err(io::ErrorKind::Interrupted.into()))).collect()
}

/// Derivations made with these sources, as many as are declared.
fn read_derivations(
    header: &Header,
    sources: Vec<StorePath>,
    unpacking: &Unpacking,
    spool: &mut FileSpool,
    meter: &Meter<'_>,
) -> Result<Vec<ProvenPath>, DecodeError> {
    let in_records = |source| DecodeError::Recipe { section: Section::Derivations, source };
    let limits = recipe_limits(header, unpacking.section(Section::Sources).len);
    let handle = spool.reader().map_err(DecodeError::Spool)?;
    let mut records = unpacking.follow(Section::Derivations, &handle);
    let mut hashes = unpacking.follow(Section::Hashes, &handle);
    let mut reader = DerivationReader::new(&header.store_dir, sources, &mut records, &mut hashes, limits);
    let declared = header.counts.derivations;
    let mut paths = Vec::with_capacity(usize::try_from(declared).unwrap_or(0).min(1 << 20));
    while let Some(path) = reader.next(spool).map_err(in_records)? {
        paths.push(path);
        meter.add(0, 1);
    }
    check_count("derivations", declared, paths.len() as u64)?;
    Ok(paths)
}
