//! From a delta and its base to a proven closure.

use super::{Reference, reference::Joined};
use crate::{
    DecodeError, DecodeOptions, Decoded, EncodeOptions,
    decode::{as_format_error, check_count, digests, recipe_limits},
    encode::manifest,
    event::{Meter, Sink, Work},
    spool_file::FileSpool,
};
use firn_core::{
    Blob, Node, Proven, ProvenPath, Spool,
    codec::{CodecError, Dictionary},
    format::{FileReader, FormatError, Front, Manifest, PackedFrame, Section},
    recipe::{DerivationReader, Origins, RecipeError, SourceList},
};
use std::{
    collections::HashMap,
    io::{self, Read},
};

/// Sections of a delta; contents are in the spool.
#[derive(Default)]
struct Sections {
    names: Vec<u8>,
    origins: Vec<u8>,
    /// What they say, once contents had to know.
    read_origins: Option<Origins>,
    hashes: Vec<u8>,
    derivations: Vec<u8>,
    /// Contents that travelled.
    sources: Blob,
}

/// Reads a whole delta whose front was read. The contents of its base are in the spool already. Nothing is returned before
/// the last byte was read and checked, and every path recomputed.
pub fn decode_delta<R: Read>(
    mut reader: FileReader<R>,
    base: &Proven,
    spool: &mut FileSpool,
    dictionaries: &[Dictionary<'static>],
    options: &DecodeOptions,
    sink: &dyn Sink,
) -> Result<Decoded, DecodeError> {
    let mut front = reader.front().clone();
    let Some(told) = front.header.base.clone() else {
        return Err(DecodeError::Delta("it is a whole file: it has no base"));
    };
    if told.roots != base.roots() {
        return Err(DecodeError::Delta("this is not the base that it changes"));
    }
    let paths = front.header.counts.derivations.saturating_add(front.header.counts.sources);
    let meter = Meter::begin(sink, Work::Read, Some(front.raw_bytes()), Some(paths));
    let reference = Reference::new(base, spool).map_err(DecodeError::Base)?;
    let mut sections = Sections::default();
    let mut joined = None;
    while let Some(frame) = reader.next_frame()? {
        let section = frame.header.section;
        if told.unchanged.contains(&section) {
            return Err(DecodeError::Delta("it has a section that it says is that of the base"));
        }
        if section == Section::Sources && joined.is_none() {
            let origins = sections.read_origins.insert(origins(&sections.origins, &reference)?);
            joined = Some(reference.joined(&origins.references));
            sections.sources.offset = spool.len();
        }
        let raw = unpack(&frame, &reference, joined.as_ref(), spool, dictionaries, options)?;
        meter.add(raw.len() as u64, 0);
        match section {
            Section::SourceNames => append(&mut sections.names, &raw, &frame, options)?,
            Section::Copies => return Err(DecodeError::Delta("it has copies of contents, as only a whole file may")),
            Section::SourcePaths => {
                return Err(DecodeError::Delta("it tells paths of sources, as only a whole file may"));
            }
            Section::Origins => append(&mut sections.origins, &raw, &frame, options)?,
            Section::Hashes => append(&mut sections.hashes, &raw, &frame, options)?,
            Section::Derivations => append(&mut sections.derivations, &raw, &frame, options)?,
            Section::Sources => {
                spool.append(&raw).map_err(DecodeError::Spool)?;
                sections.sources.len += raw.len() as u64;
            }
        }
    }
    let closure = prove(&front, base, sections, reference, spool, options, &meter)?;
    complete(&mut front.header.manifest, &closure, spool)?;
    Ok(Decoded { front, closure })
}

fn in_section(section: Section) -> impl FnOnce(RecipeError) -> DecodeError {
    move |source| DecodeError::Recipe { section, source }
}

fn origins(section: &[u8], reference: &Reference) -> Result<Origins, DecodeError> {
    if section.is_empty() {
        return Ok(Origins::default());
    }
    Origins::read(&mut &*section, reference.contents()).map_err(in_section(Section::Origins))
}

/// Appends what stays in memory, as long as it is no more than a frame may take.
fn append(to: &mut Vec<u8>, raw: &[u8], frame: &PackedFrame, options: &DecodeOptions) -> Result<(), DecodeError> {
    let (claim, limit) = ((to.len() + raw.len()) as u64, options.limits.memory_bytes);
    if claim > limit {
        let offset = frame.position.offset;
        return Err(FormatError::Limit { what: "raw bytes of a section", claim, limit, offset }.into());
    }
    to.extend_from_slice(raw);
    Ok(())
}

fn unpack(
    frame: &PackedFrame,
    reference: &Reference,
    joined: Option<&Joined>,
    spool: &FileSpool,
    dictionaries: &[Dictionary<'static>],
    options: &DecodeOptions,
) -> Result<Vec<u8>, DecodeError> {
    let Some((from, len)) = frame.header.codec.run() else {
        let mut raw = Vec::new();
        let mut reader = frame.unpack(&options.limits, dictionaries)?;
        // Only contents may have more, and their frames are limited.
        reader.read_to_end(&mut raw).map_err(as_format_error)?;
        return Ok(raw);
    };
    let run = reference.run(frame.header.section, from, len, joined, spool).map_err(DecodeError::Spool)?;
    let run = run.ok_or(FormatError::Codec { position: frame.position, source: CodecError::NoBase })?;
    Ok(frame.unpack_from(&options.limits, &run)?)
}

fn prove(
    front: &Front,
    base: &Proven,
    sections: Sections,
    reference: Reference,
    spool: &mut FileSpool,
    options: &DecodeOptions,
    meter: &Meter<'_>,
) -> Result<Proven, DecodeError> {
    let header = &front.header;
    let unchanged = |section: Section| header.base.as_ref().is_some_and(|told| told.unchanged.contains(&section));
    let limits = recipe_limits(header, options.limits.raw_bytes);
    let own = |section: Section, bytes| if unchanged(section) { reference.section(section) } else { bytes };
    let origins = sections.read_origins.map_or_else(|| origins(&sections.origins, &reference), Ok)?;
    let names = own(Section::SourceNames, sections.names.as_slice());
    let mut paths: Vec<ProvenPath> = Vec::new();
    if names.is_empty() {
        check_count("bytes of contents", sections.sources.len, 0)?;
    } else {
        let all_copied = unchanged(Section::Sources);
        let place = &mut |lengths: &[u64]| place(lengths, &origins, all_copied, &reference, sections.sources);
        let in_names = || in_section(Section::SourceNames);
        let list = SourceList::read_placed(&mut &*names, &mut io::empty(), &limits, place).map_err(in_names())?;
        // What lies where a source of the base does was hashed with it.
        let by_content: HashMap<&Node, &ProvenPath> =
            base.paths().iter().filter(|p| !p.is_derivation()).map(|p| (p.content(), p)).collect();
        let nodes: Vec<&Node> = list.iter().map(|(_, node)| node).collect();
        let known = |number: usize| list.digest_of(number, by_content.get(nodes.get(number)?)?);
        let all: Vec<usize> = (0..list.len()).collect();
        let digests =
            digests(&list, &all, &known, &spool.reader().map_err(DecodeError::Spool)?, options.threads, meter);
        paths = list.resolve(&header.store_dir, digests.map_err(DecodeError::Spool)?).map_err(in_names())?;
    }
    check_count("sources", header.counts.sources, paths.len() as u64)?;
    let sources = paths.iter().map(|path| path.path().clone()).collect();
    let mut records = own(Section::Derivations, &sections.derivations);
    let mut hashes = own(Section::Hashes, &sections.hashes);
    let mut derivations = DerivationReader::new(&header.store_dir, sources, &mut records, &mut hashes, limits);
    while let Some(path) = derivations.next(spool).map_err(in_section(Section::Derivations))? {
        paths.push(path);
        meter.add(0, 1);
    }
    drop(derivations);
    check_count("derivations", header.counts.derivations, paths.len() as u64 - header.counts.sources)?;
    Proven::new(header.store_dir.clone(), Some(header.roots.clone()), paths).map_err(DecodeError::Unproven)
}

/// Places of all contents in the spool: those of the base are where they are.
fn place(
    lengths: &[u64],
    origins: &Origins,
    all_copied: bool,
    reference: &Reference,
    travelled: Blob,
) -> Result<Vec<Blob>, RecipeError> {
    let wrong = |section, what| RecipeError::MalformedBeside { section, what, offset: 0 };
    let mut numbers = origins.of_each(lengths.len())?;
    if all_copied {
        numbers = (0..lengths.len() as u64).map(Some).collect();
    }
    let mut left = travelled;
    let mut places = Vec::with_capacity(lengths.len());
    for (len, number) in lengths.iter().zip(numbers) {
        let Some(number) = number else {
            let rest = left.len.checked_sub(*len).ok_or_else(|| wrong(Section::Sources, "contents are missing"))?;
            places.push(Blob { offset: left.offset, len: *len });
            left = Blob { offset: left.offset + len, len: rest };
            continue;
        };
        let blob = reference.content(number).filter(|blob| blob.len == *len);
        let other = || wrong(Section::Origins, "contents are of another length than their origin");
        places.push(blob.ok_or_else(other)?);
    }
    if left.len > 0 {
        return Err(wrong(Section::Sources, "more contents travelled than there are"));
    }
    Ok(places)
}

/// Fills in the names that follow from the closure: a delta does not have them.
fn complete(manifest_of_file: &mut Manifest, closure: &Proven, spool: &FileSpool) -> Result<(), DecodeError> {
    let computed = manifest(closure, spool, &EncodeOptions::default())
        .map_err(|error| DecodeError::Spool(io::Error::other(error)))?;
    let Manifest { name, host, system, toplevel, .. } = manifest_of_file;
    *name = name.take().or(computed.name);
    *host = host.take().or(computed.host);
    *system = system.take().or(computed.system);
    *toplevel = toplevel.take().or(computed.toplevel);
    Ok(())
}
