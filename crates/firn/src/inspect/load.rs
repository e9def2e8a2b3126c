//! What is shown of a file, read from it: of a firn file no more than that takes.

use super::Summary;
use crate::{
    About, CommandError, Content, DecodeError, ExitCode, FileSpool, Input, Session, Source,
    decode::decode_sources,
    encode::{EncodeOptions, manifest},
    read_export,
};
use firn_core::{
    Proven, ProvenPath, Spool, StoreDir, StorePath,
    codec::DICTIONARIES,
    format::{FileReader, FormatError, FrameHeader, Front, IndexReader, Limits, PackedFrame, Section},
    recipe::{RecipeLimits, SourceList},
};
use std::{
    io::{self, Read},
    path::Path,
};

/// Paths of a file, and where their contents are.
pub(crate) struct Sources {
    pub(crate) store_dir: StoreDir,
    pub(crate) paths: Vec<ProvenPath>,
    pub(crate) spool: FileSpool,
    pub(crate) source: Source,
}

/// The sources of a file; those of a firn file are read without its derivations.
pub(crate) fn sources(file: &Path, session: &Session<'_>) -> Result<Sources, CommandError> {
    let (source, host) = Source::with_host(file);
    if host.is_none() {
        let input = session.open(source)?;
        let (source, mut spool) = (input.source().clone(), session.spool(None)?);
        if input.content() == Content::Firn {
            let options = session.decode_options();
            let reader = FileReader::new(input, options.limits.clone()).about(&source)?;
            if reader.front().header.base.is_none() {
                let decoded = decode_sources(reader, &mut spool, DICTIONARIES, &options, session.sink);
                let (front, paths) = decoded.about(&source)?;
                return Ok(Sources { store_dir: front.header.store_dir, paths, spool, source });
            }
            let (closure, _) = session.read_firn(reader, &source, &mut spool, &session.bases(None), 0)?;
            let (store_dir, paths) = (closure.store_dir().clone(), closure.paths().to_vec());
            return Ok(Sources { store_dir, paths, spool, source });
        }
        let closure = read_export(input, &mut spool, session.threads(), session.sink)?;
        return Ok(Sources { store_dir: closure.store_dir().clone(), paths: closure.paths().to_vec(), spool, source });
    }
    let loaded = session.load_host(file, None)?;
    let (store_dir, paths) = (loaded.closure.store_dir().clone(), loaded.closure.paths().to_vec());
    Ok(Sources { store_dir, paths, spool: loaded.spool, source: loaded.source })
}

/// Root, host, counts, and where the bytes go.
pub(crate) fn summary(file: &Path, session: &Session<'_>) -> Result<Summary, CommandError> {
    let (source, host) = Source::with_host(file);
    if host.is_some() {
        let loaded = session.load_host(file, None)?;
        let on_disk = loaded.source.path().and_then(|path| path.metadata().ok()).filter(|meta| meta.is_file());
        let from_front = || loaded.front.as_ref().map_or(0, |front| front.frames_end() + 1);
        let bytes = on_disk.map_or_else(from_front, |meta| meta.len());
        let summary = closure_summary(&loaded.closure, &loaded.spool, bytes)?;
        return Ok(match &loaded.front {
            Some(front) => summary.in_file(front),
            None => summary,
        });
    }
    let input = session.open(source)?;
    if input.content() == Content::Firn {
        let source = input.source().clone();
        if session.globals.base.is_empty() && session.globals.base_dir.is_none() {
            return front_summary(input).about(source);
        }
        return whole_summary(input, session);
    }
    let position = input.position();
    let mut spool = session.spool(None)?;
    let closure = read_export(input, &mut spool, session.threads(), session.sink)?;
    closure_summary(&closure, &spool, position.get())
}

fn closure_summary(closure: &Proven, spool: &dyn Spool, bytes: u64) -> Result<Summary, CommandError> {
    let manifest = manifest(closure, spool, &EncodeOptions::default())?;
    Ok(Summary::of_closure(closure, spool, &manifest, bytes)?)
}

/// As [`front_summary`], of a file that may be a delta whose base was named: with it everything is known.
fn whole_summary(input: Input, session: &Session<'_>) -> Result<Summary, CommandError> {
    let (source, size) = (input.source().clone(), input.size().filter(|_| input.compression().is_none()));
    let limits = session.decode_options().limits;
    let reader = FileReader::new(input, limits.clone()).about(&source)?;
    let mut front = reader.front().clone();
    let trusted = if front.header.base.is_none() {
        trusted(&front, reader, &limits).about(&source)?
    } else {
        let mut spool = session.spool(None)?;
        let (closure, completed) = session.read_firn(reader, &source, &mut spool, &session.bases(None), 0)?;
        front = completed;
        closure.needing_trust().map(|path| path.path().clone()).collect()
    };
    Ok(Summary::of_front(&front, &trusted, size.unwrap_or_else(|| front.frames_end() + 1)))
}

/// Reads the front of a firn file, and no more, unless there are paths that need trust: their names are in a section.
pub(crate) fn front_summary(input: Input) -> Result<Summary, CommandError> {
    // A file that takes more memory than there is may still be looked at.
    let limits = Limits { memory_bytes: u64::MAX, ..Limits::default() };
    let plain = input.compression().is_none();
    let size = input.size().filter(|_| plain);
    let seekable = size.is_some() && matches!(input.source(), Source::File(_));
    let (front, trusted) = match seekable.then(|| input.source().clone()) {
        Some(source) => {
            let file =
                input.into_file().ok_or_else(|| CommandError::new(ExitCode::Input, "cannot go back").about(source))?;
            let mut reader = IndexReader::new(file, &limits)?;
            let front = reader.front().clone();
            let frames = (0..front.frames.len()).filter_map(|number| reader.frame(number).transpose());
            let trusted = trusted(&front, frames, &limits)?;
            (front, trusted)
        }
        None => {
            let reader = FileReader::new(input, limits.clone())?;
            let front = reader.front().clone();
            let trusted = trusted(&front, reader, &limits)?;
            (front, trusted)
        }
    };
    // From a pipe the length is that of a file without anything in its tail, as this release writes them.
    let bytes = size.unwrap_or_else(|| front.frames_end() + 1);
    Ok(Summary::of_front(&front, &trusted, bytes))
}

/// Paths that need trust, from the first section; no frame is asked for when the header counts none.
fn trusted(
    front: &Front,
    frames: impl Iterator<Item = Result<PackedFrame, FormatError>>,
    limits: &Limits,
) -> Result<Vec<StorePath>, CommandError> {
    let counts = front.header.counts;
    let in_names = |header: &FrameHeader| header.section == Section::SourceNames;
    let number = front.frames.iter().filter_map(|f| f.known).filter(in_names).count();
    // A delta's are known with its base.
    if counts.trusted == 0 || number == 0 || front.header.base.is_some() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for frame in frames.take(number) {
        let frame = frame?;
        frame.unpack(limits, DICTIONARIES)?.read_to_end(&mut names)?;
    }
    let limits = RecipeLimits { paths: counts.sources, ..RecipeLimits::default() };
    let in_names = |source| DecodeError::Recipe { section: Section::SourceNames, source };
    let list = SourceList::read(&mut names.as_slice(), &mut io::empty(), 0, &limits).map_err(in_names)?;
    list.needing_trust().map_err(|error| in_names(error.into()).into())
}
