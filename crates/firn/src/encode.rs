//! From a proven closure to a firn file: sections are cut into frames, frames are packed on several threads within a
//! budget of memory. The bytes depend on the closure and the profile alone.

mod records;

pub(crate) use records::{expect_texts, text_len};

use crate::{
    CommandError, ExitCode, Output, Session, StoreTarget,
    delta::encode_delta,
    error::io_code,
    event::{Meter, Sink, Work},
    schedule::Budget,
    spool_file::FileSpool,
};
use firn_core::{
    Blob, Node, Proven, Spool,
    codec::{CodecError, DICTIONARIES, Dictionary, FramePolicy, frame_cuts, is_incompressible},
    derivation::Derivation,
    format::{Contents, Counts, FileWriter, FormatError, Header, Manifest, PackedFrame, Section, Written, pack_frame},
    recipe::{self, EncodedRecipe, RecipeError, Told, Travelling},
};
use records::RecordPacker;
use std::{
    borrow::Cow,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
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
    /// Id of the machine that the file is for, when asked for.
    pub machine_id: Option<String>,
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
            machine_id: None,
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

    /// Makes a packer of records ready while the input is read, when a processor is idle. A delta seldom needs it.
    pub(crate) fn prime_ahead(&self, low_memory: bool) {
        if !low_memory && self.globals.base.is_empty() {
            records::prime_ahead();
        }
    }

    /// Writes the file of a closure, whole or not at all.
    pub fn write_firn(
        &self,
        closure: &Proven,
        spool: &dyn Spool,
        options: &EncodeOptions,
        target: &Path,
    ) -> Result<Encoded, CommandError> {
        self.write(target, |packed, out| encode(closure, spool, packed, DICTIONARIES.last(), options, out, self.sink))
    }

    /// As [`Session::write_firn`]; with `--base` a delta against that, which may be in `store`.
    pub(crate) fn write_against_base(
        &self,
        closure: &Proven,
        spool: &mut FileSpool,
        options: &EncodeOptions,
        store: &StoreTarget,
        target: &Path,
    ) -> Result<Encoded, CommandError> {
        let base = match self.globals.base.as_slice() {
            [] => return self.write_firn(closure, spool, options, target),
            [base] => self.base_named(base, closure.store_dir(), store, spool)?,
            _ => return Err(CommandError::new(ExitCode::Usage, "a delta is made against one base")),
        };
        self.write_delta(closure, &base, spool, options, target)
    }

    /// Writes a delta against a closure whose contents are in the same spool.
    pub(crate) fn write_delta(
        &self,
        closure: &Proven,
        base: &Proven,
        spool: &FileSpool,
        options: &EncodeOptions,
        target: &Path,
    ) -> Result<Encoded, CommandError> {
        self.write(target, |packed, out| {
            let dictionary = DICTIONARIES.last().filter(|_| !options.low_memory);
            encode_delta(closure, base, spool, packed, dictionary, options, out, self.sink)
        })
    }

    fn write(
        &self,
        target: &Path,
        encode: impl FnOnce(FileSpool, &mut dyn Write) -> Result<Encoded, EncodeError>,
    ) -> Result<Encoded, CommandError> {
        let failed = |error| CommandError::new(io_code(&error, ExitCode::Output), error).about(target.display());
        let mut output = Output::create(target).map_err(failed)?;
        let encoded = encode(self.spool(Some(target))?, &mut output).map_err(|error| match error {
            EncodeError::TooLarge { .. } | EncodeError::Format(FormatError::Write(_)) => {
                CommandError::from(error).about(target.display())
            }
            error => error.into(),
        })?;
        output.commit().map_err(failed)?;
        Ok(encoded)
    }
}

/// Bytes that make one frame.
pub(crate) enum Raw {
    Memory(Vec<u8>),
    Contents(Arc<[Blob]>),
}

impl Raw {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Contents(blobs) => len(blobs),
        }
    }

    pub(crate) fn bytes(&self, spool: &dyn Spool) -> io::Result<Cow<'_, [u8]>> {
        let blobs = match self {
            Self::Memory(bytes) => return Ok(Cow::Borrowed(bytes)),
            Self::Contents(blobs) => blobs,
        };
        let len = usize::try_from(len(blobs)).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = vec![0; len];
        let mut at = 0;
        for blob in &**blobs {
            let n = blob.len as usize;
            spool.read_at(blob.offset, &mut bytes[at..at + n])?;
            at += n;
        }
        Ok(Cow::Owned(bytes))
    }
}

/// One frame to pack.
struct Job {
    /// Its place among those of its section.
    number: usize,
    section: Section,
    raw: Raw,
    policy: FramePolicy,
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
    let dictionary = dictionary.filter(|_| !options.low_memory);
    let meter = Meter::begin(sink, Work::Encode, None, None);
    let mut writer = FileWriter::new(packed);
    let (mut bytes, mut costs) = (0, Vec::new());
    let budget = Budget::new(options.codec_memory);
    let (jobs, queue) = mpsc::channel::<Job>();
    let queue = Mutex::new(queue);
    // Frames that nobody takes yet would be memory that nobody counts.
    let (sender, results) = mpsc::sync_channel(0);
    let recipe = std::thread::scope(|scope| {
        // Both ends go when this closure does, and threads with them.
        let (jobs, results) = (jobs, results);
        for _ in 0..options.threads.max(1) {
            let (sender, queue, budget, meter) = (sender.clone(), &queue, &budget, &meter);
            scope.spawn(move || work(queue, &sender, spool, budget, meter));
        }
        let records = dictionary.map(|dictionary| {
            let (records, pieces) = mpsc::channel::<Vec<u8>>();
            let (sender, budget, meter) = (sender.clone(), &budget, &meter);
            let memory_mib = FramePolicy::record_memory(text_bytes(closure), dictionary.raw_bytes);
            scope.spawn(move || {
                RecordPacker { dictionary, memory_mib, budget, meter, sender }.run(&pieces);
            });
            records
        });
        drop(sender);
        let mut contents: Vec<Arc<[Blob]>> = Vec::new();
        // A closed queue means a failed thread, which the results tell.
        let mut tell = |told: Told<'_>| match told {
            Told::Sources(sources) => {
                for job in source_jobs(sources, options.low_memory) {
                    if let Raw::Contents(blobs) = &job.raw {
                        contents.push(Arc::clone(blobs));
                    }
                    let _ = jobs.send(job);
                }
            }
            Told::Records(bytes) => {
                if let Some(records) = &records {
                    let _ = records.send(bytes.to_vec());
                }
            }
        };
        let mut recipe = recipe::encode(closure, spool, &mut |blob| is_dense(spool, blob), &mut tell)?;
        let is_streamed = records.is_some();
        drop(records);
        for job in other_jobs(&mut recipe, is_streamed, options) {
            let _ = jobs.send(job);
        }
        drop(jobs);
        for (number, frame) in results {
            let mut frame: PackedFrame = frame?;
            if frame.header.section == Section::Derivations && frame.header.packed_bytes >= frame.header.raw_bytes {
                let raw = recipe.derivations.chunks(DERIVATIONS_FRAME).nth(number).unwrap_or_default();
                frame = pack_frame(Section::Derivations, raw, &FramePolicy::stored(), None)?;
            }
            bytes += frame.header.packed_bytes;
            if let (Section::Sources, Some(blobs)) = (frame.header.section, contents.get(number)) {
                costs.extend(self::costs(blobs, &frame));
            }
            writer.push_at(number, &frame)?;
        }
        Ok::<_, EncodeError>(recipe)
    })?;
    let header = header(closure, spool, &recipe, options)?;
    costs.sort_unstable();
    drop(meter);
    let written = finish(writer, &header, bytes, options, out)?;
    Ok(Encoded { written, header, raw: recipe.raw, costs })
}

/// Writes a file of which all frames, of so many bytes, are packed.
pub(crate) fn finish(
    writer: FileWriter<impl Spool>,
    header: &Header,
    bytes: u64,
    options: &EncodeOptions,
    mut out: &mut dyn Write,
) -> Result<Written, EncodeError> {
    let check = |bytes| match options.max_bytes {
        Some(limit) if bytes > limit => Err(EncodeError::TooLarge { bytes, limit }),
        _ => Ok(()),
    };
    // Before the first byte goes to somebody who cannot give it back.
    check(bytes)?;
    let written = writer.finish(header, &mut out)?;
    check(written.bytes)?;
    Ok(written)
}

/// What each content costs of its frame: where it is, and its share of the packed bytes.
pub(crate) fn costs<'a>(blobs: &'a [Blob], frame: &PackedFrame) -> impl Iterator<Item = (u64, u64)> + use<'a> {
    let share = frame.header.packed_bytes as f64 / frame.header.raw_bytes.max(1) as f64;
    blobs.iter().map(move |blob| (blob.offset, (blob.len as f64 * share).round() as u64))
}

fn len(blobs: &[Blob]) -> u64 {
    blobs.iter().map(|b| b.len).sum()
}

/// Bytes of the texts of all derivations.
fn text_bytes(closure: &Proven) -> u64 {
    closure.paths().iter().map(|path| text_len(path.path(), path.content())).sum()
}

/// Whether a file of some size does not compress, from a sample of its middle.
pub(crate) fn is_dense(spool: &dyn Spool, blob: Blob) -> io::Result<bool> {
    if blob.len < PROBED {
        return Ok(false);
    }
    let len = blob.len.min(SAMPLE);
    let sample = spool.get(Blob { offset: blob.offset + (blob.len - len) / 2, len })?;
    Ok(is_incompressible(&sample))
}

pub(crate) fn header(
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
        base: None,
    })
}

/// Names for people, from the first root alone, so that a flake and its derivation give equal bytes.
pub(crate) fn manifest(closure: &Proven, spool: &dyn Spool, options: &EncodeOptions) -> Result<Manifest, EncodeError> {
    let (host, machine_id) = (options.host.clone(), options.machine_id.clone());
    let mut manifest = Manifest { host, machine_id, ..Manifest::default() };
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

/// Frames of names, hashes and, unless they go another way, records.
fn other_jobs(recipe: &mut EncodedRecipe, is_streamed: bool, options: &EncodeOptions) -> Vec<Job> {
    let max_memory = if options.low_memory { 8 } else { 64 };
    let derivations = if is_streamed { &[] } else { recipe.derivations.as_slice() };
    let mut jobs: Vec<Job> = derivations
        .chunks(DERIVATIONS_FRAME)
        .enumerate()
        .map(|(number, chunk)| {
            let policy = FramePolicy::derivations(chunk.len() as u64, max_memory);
            Job { number, section: Section::Derivations, raw: Raw::Memory(chunk.to_vec()), policy }
        })
        .collect();
    let (hashes, paths) = (std::mem::take(&mut recipe.hashes), std::mem::take(&mut recipe.source_paths));
    for (section, raw) in [(Section::Copies, &mut recipe.copies), (Section::SourceNames, &mut recipe.source_names)] {
        let raw = std::mem::take(raw);
        let policy = FramePolicy::names(raw.len() as u64, max_memory);
        jobs.push(Job { number: 0, section, raw: Raw::Memory(raw), policy });
    }
    for (section, raw) in [(Section::Hashes, hashes), (Section::SourcePaths, paths)] {
        jobs.push(Job { number: 0, section, raw: Raw::Memory(raw), policy: FramePolicy::stored() });
    }
    jobs.retain(|job| !matches!(&job.raw, Raw::Memory(bytes) if bytes.is_empty()));
    jobs
}

/// Frames of contents.
fn source_jobs(contents: &[Travelling], low_memory: bool) -> Vec<Job> {
    let mut jobs = Vec::new();
    let mut rest = contents;
    while let Some(Travelling { lane, .. }) = rest.first() {
        let n = rest.iter().take_while(|other| other.lane == *lane).count();
        let (run, after) = rest.split_at(n);
        rest = after;
        let cuts = frame_cuts(*lane, run.iter().map(|content| (content.blob.len, content.like_last)));
        cut(run, &cuts, |blobs| {
            let (number, raw) = (jobs.len(), Raw::Contents(blobs.into()));
            jobs.push(Job {
                number,
                section: Section::Sources,
                raw,
                policy: FramePolicy::Contents { lane: *lane, low_memory },
            });
        });
    }
    jobs
}

/// Cuts a run of contents at byte positions.
fn cut(run: &[Travelling], cuts: &[u64], mut frame: impl FnMut(Vec<Blob>)) {
    let mut blobs = run.iter().map(|content| content.blob).filter(|b| b.len > 0);
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

/// What a thread that has a frame tells: its number among those of its section, and the frame.
type Results = mpsc::SyncSender<(usize, Result<PackedFrame, EncodeError>)>;

/// Packs what is in the queue until it is closed, or nobody takes frames any more.
fn work(queue: &Mutex<mpsc::Receiver<Job>>, sender: &Results, spool: &dyn Spool, budget: &Budget, meter: &Meter<'_>) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        let raw_bytes = job.raw.len();
        let share = budget.take(job.policy.memory_bytes(raw_bytes), usize::MAX);
        let frame = pack_one(&job, spool);
        drop(share);
        meter.add(raw_bytes, 0);
        if sender.send((job.number, frame)).is_err() {
            return;
        }
    }
}

fn pack_one(job: &Job, spool: &dyn Spool) -> Result<PackedFrame, EncodeError> {
    Ok(pack_frame(job.section, &job.raw.bytes(spool)?, &job.policy, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use firn_core::recipe::Lane;

    #[test]
    fn the_host_is_what_stands_before_the_version() {
        assert_eq!(system_host("nixos-system-web-19.09.git.1234"), Some("web"));
        assert_eq!(system_host("nixos-system-my-web-24.05pre"), Some("my-web"));
        assert_eq!(system_host("nixos-system-h1-A"), Some("h1"));
        assert_eq!(system_host("hello-2.10"), None);
    }

    #[test]
    fn a_cut_goes_through_a_file_where_it_must() {
        let blob = |offset, len| Travelling { blob: Blob { offset, len }, lane: Lane::Large, like_last: false };
        let mut frames = Vec::new();
        cut(&[blob(0, 3), blob(10, 0), blob(20, 5)], &[4, 8], |blobs| frames.push(blobs));
        let expected =
            [vec![Blob { offset: 0, len: 3 }, Blob { offset: 20, len: 1 }], vec![Blob { offset: 21, len: 4 }]];
        assert_eq!(frames, expected);
    }
}
