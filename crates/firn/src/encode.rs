//! From a proven closure to a firn file: sections are cut into frames, frames are packed on several threads within a
//! budget of memory. The bytes depend on the closure and the profile alone.

use crate::{
    CommandError, ExitCode, Output, Session,
    error::io_code,
    event::{Meter, Sink, Work},
    schedule::Budget,
};
use firn_core::{
    Blob, Node, Proven, Spool,
    codec::{CodecError, DICTIONARIES, Dictionary, FramePolicy, frame_cuts, is_incompressible},
    derivation::Derivation,
    format::{Contents, Counts, FileWriter, FormatError, Header, Manifest, PackedFrame, Section, Written, pack_frame},
    recipe::{self, EncodedRecipe, Lane, RecipeError},
};
use std::{
    io::{self, Write},
    path::Path,
    sync::mpsc,
};

/// Raw bytes of one frame of derivations at most.
const DERIVATIONS_FRAME: usize = 16 << 20;
/// Files smaller than this are not looked at by themselves: what surrounds them decides.
const PROBED: u64 = 64 << 10;
/// How many bytes of a file are looked at.
const SAMPLE: u64 = 256 << 10;

/// What a writer may use and has to say.
#[derive(Debug, Clone)]
pub struct EncodeOptions {
    /// Threads; the result does not depend on it.
    pub threads: usize,
    /// Bytes of memory for frames and their models together.
    pub codec_memory: u64,
    /// For hosts that have 40 MB to read it.
    pub low_memory: bool,
    /// Host that the file is for, where it is known better than from the name of the system.
    pub host: Option<String>,
    /// Where it came from, when asked for.
    pub provenance: Vec<(String, String)>,
    /// Bytes that the file may have.
    pub max_bytes: Option<u64>,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self {
            threads: crate::default_threads(),
            codec_memory: 232 << 20,
            low_memory: false,
            host: None,
            provenance: Vec::new(),
            max_bytes: None,
        }
    }
}

/// A file that was written, and what is worth saying about it.
#[derive(Debug)]
pub struct Encoded {
    /// Digest and length.
    pub written: Written,
    /// Its header.
    pub header: Header,
    /// Derivations that travel as text.
    pub raw: Vec<firn_core::StorePath>,
    /// Where pieces of contents are in the spool, and what they cost in the file: their share of a frame. Ordered.
    pub costs: Vec<(u64, u64)>,
}

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Contents could not be read back.
    #[error("reading contents back")]
    Spool(#[from] io::Error),
    /// The closure could not be taken apart.
    #[error("taking the closure apart")]
    Recipe(#[from] RecipeError),
    /// A frame could not be packed.
    #[error("packing a frame")]
    Codec(#[from] CodecError),
    /// The file could not be put together or written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The file would be larger than wanted.
    #[error("the file would have {bytes} bytes or more, and --max-size allows {limit}")]
    TooLarge {
        /// Bytes of its frames.
        bytes: u64,
        /// Bytes that it may have.
        limit: u64,
    },
}

impl Session<'_> {
    /// What a writer of firn files may use.
    pub fn encode_options(&self) -> EncodeOptions {
        EncodeOptions { threads: self.threads(), ..EncodeOptions::default() }
    }

    /// Writes the file of a closure, whole or not at all.
    pub fn write_firn(
        &self,
        closure: &Proven,
        spool: &dyn Spool,
        options: &EncodeOptions,
        target: &Path,
    ) -> Result<Encoded, CommandError> {
        let failed = |error| CommandError::new(io_code(&error, ExitCode::Output), error).about(target.display());
        let mut output = Output::create(target).map_err(failed)?;
        let packed = self.spool(Some(target))?;
        let encoded = encode(closure, spool, packed, DICTIONARIES.last(), options, &mut output, self.sink)?;
        output.commit().map_err(failed)?;
        Ok(encoded)
    }
}

/// Bytes that make one frame.
enum Raw {
    Memory(std::ops::Range<usize>),
    Contents(Vec<Blob>),
}

struct Job {
    section: Section,
    raw: Raw,
    policy: FramePolicy,
    memory: u64,
}

/// Writes the file of a closure whose contents are in `spool`. `packed` takes frames until the header is known.
pub fn encode(
    closure: &Proven,
    spool: &dyn Spool,
    packed: impl Spool,
    dictionary: Option<&Dictionary<'_>>,
    options: &EncodeOptions,
    out: &mut dyn Write,
    sink: &dyn Sink,
) -> Result<Encoded, EncodeError> {
    let recipe = recipe::encode(closure, spool, &mut |blob| is_dense(spool, blob))?;
    let header = header(closure, spool, &recipe, options)?;
    let dictionary = dictionary.filter(|_| !options.low_memory);
    let jobs = jobs(&recipe, dictionary.map_or(0, |d| d.raw_bytes), options);
    let total = jobs.iter().map(|job| len(&job.raw)).sum();
    let meter = Meter::begin(sink, Work::Encode, Some(total), None);
    let mut writer = FileWriter::new(packed);
    let (mut bytes, mut costs) = (0, Vec::new());
    pack(&jobs, &recipe, spool, dictionary, options, &meter, &mut |number, frame| {
        bytes += frame.header.packed_bytes;
        if let Raw::Contents(blobs) = &jobs[number].raw {
            let share = frame.header.packed_bytes as f64 / frame.header.raw_bytes.max(1) as f64;
            costs.extend(blobs.iter().map(|blob| (blob.offset, (blob.len as f64 * share).round() as u64)));
        }
        writer.push_at(number, &frame)
    })?;
    costs.sort_unstable();
    drop(meter);
    let check = |bytes| match options.max_bytes {
        Some(limit) if bytes > limit => Err(EncodeError::TooLarge { bytes, limit }),
        _ => Ok(()),
    };
    // Before the first byte goes to somebody who cannot give it back.
    check(bytes)?;
    let written = writer.finish(&header, &mut &mut *out)?;
    check(written.bytes)?;
    Ok(Encoded { written, header, raw: recipe.raw, costs })
}

fn len(raw: &Raw) -> u64 {
    match raw {
        Raw::Memory(range) => range.len() as u64,
        Raw::Contents(blobs) => blobs.iter().map(|b| b.len).sum(),
    }
}

/// Whether a file of some size does not compress, from a sample of its middle.
fn is_dense(spool: &dyn Spool, blob: Blob) -> io::Result<bool> {
    if blob.len < PROBED {
        return Ok(false);
    }
    let len = blob.len.min(SAMPLE);
    let sample = spool.get(Blob { offset: blob.offset + (blob.len - len) / 2, len })?;
    Ok(is_incompressible(&sample))
}

fn header(
    closure: &Proven,
    spool: &dyn Spool,
    recipe: &EncodedRecipe,
    options: &EncodeOptions,
) -> Result<Header, EncodeError> {
    Ok(Header {
        contents: if recipe.derivation_count == 0 { Contents::Outputs } else { Contents::Recipe },
        store_dir: closure.store_dir().clone(),
        roots: closure.roots().to_vec(),
        counts: Counts {
            derivations: recipe.derivation_count,
            sources: recipe.source_count,
            files: recipe.contents.len() as u64,
            trusted: closure.needing_trust().count() as u64,
            text_bytes: recipe.text_bytes,
        },
        manifest: manifest(closure, spool, options)?,
        provenance: options.provenance.clone(),
    })
}

/// Names for people, from the first root alone, so that a flake and its derivation give equal bytes.
pub(crate) fn manifest(closure: &Proven, spool: &dyn Spool, options: &EncodeOptions) -> Result<Manifest, EncodeError> {
    let mut manifest = Manifest { host: options.host.clone(), ..Manifest::default() };
    let Some(root) = closure.roots().first() else { return Ok(manifest) };
    let name = root.name();
    manifest.name = Some(name.strip_suffix(".drv").unwrap_or(name).to_owned());
    let path = closure.paths().iter().rev().find(|p| p.path() == root);
    if let Some(Node::Regular { contents, .. }) = path.filter(|p| p.is_derivation()).map(|p| p.content())
        && let Ok(drv) = Derivation::parse(&spool.get(*contents)?)
    {
        manifest.system = String::from_utf8(drv.system.clone()).ok();
        let out = drv.outputs.iter().find(|o| o.name == b"out").or(drv.outputs.first());
        manifest.toplevel = out.and_then(|o| closure.store_dir().parse(&o.path).ok());
    }
    if manifest.host.is_none() {
        manifest.host = manifest.name.as_deref().and_then(system_host).map(str::to_owned);
    }
    Ok(manifest)
}

/// Host in the name of a NixOS system: `nixos-system-HOST-VERSION`, where the version begins with a digit.
pub(crate) fn system_host(name: &str) -> Option<&str> {
    let rest = name.strip_suffix(".drv").unwrap_or(name).strip_prefix("nixos-system-")?;
    let version = rest.match_indices('-').find(|(at, _)| rest[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
    match version.map(|(at, _)| at).or_else(|| rest.rfind('-')) {
        Some(at) if at > 0 => Some(&rest[..at]),
        _ => None,
    }
}

fn jobs(recipe: &EncodedRecipe, dictionary_bytes: u64, options: &EncodeOptions) -> Vec<Job> {
    let mut jobs = Vec::new();
    let max_memory = if options.low_memory { 8 } else { 64 };
    let mut in_memory = |section, range: std::ops::Range<usize>, policy: FramePolicy| {
        let memory = policy.memory_bytes(range.len() as u64);
        jobs.push(Job { section, raw: Raw::Memory(range), policy, memory });
    };
    let names = recipe.source_names.len();
    in_memory(Section::SourceNames, 0..names, FramePolicy::names(names as u64, max_memory));
    in_memory(Section::Hashes, 0..recipe.hashes.len(), FramePolicy::stored());
    let derivations = recipe.derivations.len();
    for start in (0..derivations).step_by(DERIVATIONS_FRAME) {
        let range = start..derivations.min(start + DERIVATIONS_FRAME);
        let policy = FramePolicy::derivations(range.len() as u64, max_memory, dictionary_bytes);
        in_memory(Section::Derivations, range, policy);
    }
    let mut rest = recipe.contents.as_slice();
    while let Some((_, lane)) = rest.first() {
        let n = rest.iter().take_while(|(_, other)| other == lane).count();
        let (run, after) = rest.split_at(n);
        rest = after;
        let cuts = frame_cuts(*lane, run.iter().map(|(blob, _)| blob.len));
        cut(run, &cuts, |blobs| {
            let raw = Raw::Contents(blobs);
            let policy = FramePolicy::Contents { lane: *lane, low_memory: options.low_memory };
            let memory = policy.memory_bytes(len(&raw));
            jobs.push(Job { section: Section::Sources, raw, policy, memory });
        });
    }
    jobs
}

/// Cuts a run of contents at byte positions.
fn cut(run: &[(Blob, Lane)], cuts: &[u64], mut frame: impl FnMut(Vec<Blob>)) {
    let mut blobs = run.iter().map(|(blob, _)| *blob).filter(|b| b.len > 0);
    let mut left: Option<Blob> = None;
    let mut at = 0;
    for end in cuts {
        let mut pieces = Vec::new();
        while at < *end {
            let Some(blob) = left.take().or_else(|| blobs.next()) else { break };
            let n = blob.len.min(end - at);
            pieces.push(Blob { offset: blob.offset, len: n });
            at += n;
            if n < blob.len {
                left = Some(Blob { offset: blob.offset + n, len: blob.len - n });
            }
        }
        if !pieces.is_empty() {
            frame(pieces);
        }
    }
}

/// Packs all jobs and hands each frame over with the number of its job, as they are done: one that waited for its turn
/// would be memory that nobody counts.
fn pack(
    jobs: &[Job],
    recipe: &EncodedRecipe,
    spool: &dyn Spool,
    dictionary: Option<&Dictionary<'_>>,
    options: &EncodeOptions,
    meter: &Meter<'_>,
    take: &mut dyn FnMut(usize, PackedFrame) -> Result<(), FormatError>,
) -> Result<(), EncodeError> {
    let budget = Budget::new(options.codec_memory);
    let (sender, results) = mpsc::channel::<(usize, Result<PackedFrame, EncodeError>)>();
    std::thread::scope(|scope| {
        for (number, job) in jobs.iter().enumerate() {
            let share = budget.take(job.memory, options.threads);
            let sender = sender.clone();
            scope.spawn(move || {
                let _share = share;
                let frame = pack_one(job, recipe, spool, dictionary);
                meter.add(len(&job.raw), 0);
                // The receiver is gone only when another frame failed.
                let _ = sender.send((number, frame));
            });
            while let Ok((number, frame)) = results.try_recv() {
                take(number, frame?)?;
            }
        }
        drop(sender);
        for (number, frame) in &results {
            take(number, frame?)?;
        }
        Ok(())
    })
}

fn pack_one(
    job: &Job,
    recipe: &EncodedRecipe,
    spool: &dyn Spool,
    dictionary: Option<&Dictionary<'_>>,
) -> Result<PackedFrame, EncodeError> {
    let gathered;
    let raw = match &job.raw {
        Raw::Memory(range) => {
            let section = match job.section {
                Section::SourceNames => &recipe.source_names,
                Section::Hashes => &recipe.hashes,
                _ => &recipe.derivations,
            };
            &section[range.clone()]
        }
        Raw::Contents(blobs) => {
            let mut bytes =
                vec![0; usize::try_from(len(&job.raw)).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?];
            let mut at = 0;
            for blob in blobs {
                let n = blob.len as usize;
                spool.read_at(blob.offset, &mut bytes[at..at + n])?;
                at += n;
            }
            gathered = bytes;
            &gathered
        }
    };
    Ok(pack_frame(job.section, raw, &job.policy, dictionary)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_stands_before_the_version() {
        assert_eq!(system_host("nixos-system-web-19.09.git.1234"), Some("web"));
        assert_eq!(system_host("nixos-system-my-web-24.05pre"), Some("my-web"));
        assert_eq!(system_host("nixos-system-h1-A"), Some("h1"));
        assert_eq!(system_host("hello-2.10"), None);
    }

    #[test]
    fn a_cut_goes_through_a_file_where_it_must() {
        let blob = |offset, len| (Blob { offset, len }, Lane::Large);
        let mut frames = Vec::new();
        cut(&[blob(0, 3), blob(10, 0), blob(20, 5)], &[4, 8], |blobs| frames.push(blobs));
        let expected =
            [vec![Blob { offset: 0, len: 3 }, Blob { offset: 20, len: 1 }], vec![Blob { offset: 21, len: 4 }]];
        assert_eq!(frames, expected);
    }
}
