//! From a closure and its base to a delta.

use super::{
    Reference,
    effort::{Job, pack},
    pair::pairs,
    reference::Joined,
};
use crate::{
    EncodeError, EncodeOptions, Encoded,
    encode::{self, Raw, header, is_dense, manifest},
    event::{Meter, Sink, Work},
    schedule::Budget,
};
use firn_core::{
    Blob, Proven, Spool,
    codec::{Dictionary, FramePolicy, edit_memory, patch_memory},
    for_each_piece,
    format::{Base, FileWriter, Section},
    hash::{HashWriter, Sha256},
    recipe::{self, EncodedRecipe, Lane, OriginRun, Origins, Travelling},
};
use std::{
    collections::{HashMap, HashSet},
    io::{self, Write},
    sync::{Mutex, PoisonError, mpsc},
};

/// Bytes of a frame, and of the run that it refers to.
const FRAME: u64 = 12 << 20;
/// How much of a reference is on either side of what stands at the same place.
const MARGIN: u64 = 2 << 20;
/// Contents of the base that are in no other pair are offered to all if they have no more bytes.
const OFFERED: u64 = 1 << 20;

/// Contents of one frame, each with the content of the base that it is like.
struct Group {
    contents: Vec<(Blob, Option<u64>)>,
    lane: Lane,
}

/// Writes the delta of a closure against its base. The contents of both are in `spool`.
#[expect(clippy::too_many_arguments, reason = "as encode has them, and a base")]
pub fn encode_delta(
    closure: &Proven,
    base: &Proven,
    spool: &dyn Spool,
    packed: impl Spool,
    dictionary: Option<&Dictionary<'_>>,
    options: &EncodeOptions,
    out: &mut dyn Write,
    sink: &dyn Sink,
) -> Result<Encoded, EncodeError> {
    let meter = Meter::begin(sink, Work::Encode, None, None);
    // Nothing is dense here, as in the reference; but what stores say of paths that need trust travels.
    let (new, reference) = std::thread::scope(|scope| {
        let reference = scope.spawn(|| Reference::new(base, spool));
        let new = recipe::encode_layout_1(closure, spool);
        (new, reference.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let (mut recipe, reference) = (new?, reference?);
    let mut jobs = Vec::new();
    let mut unchanged = Vec::new();
    sections(&recipe, &reference, options, &mut unchanged, &mut jobs);
    let joined = sources(closure, base, &recipe, &reference, spool, options, &mut unchanged, &mut jobs)?;

    let mut writer = FileWriter::new(packed);
    let (mut bytes, mut costs) = (0, Vec::new());
    let budget = Budget::new(options.codec_memory);
    let queue = Mutex::new(jobs.into_iter());
    let (sender, results) = mpsc::sync_channel(0);
    std::thread::scope(|scope| {
        let results = results;
        for _ in 0..options.threads.max(1) {
            let (sender, queue, budget, reference, joined) = (sender.clone(), &queue, &budget, &reference, &joined);
            scope.spawn(move || {
                loop {
                    let job = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(job) = job else { return };
                    let total = job.raw.len() + job.run.1;
                    let apart = patch_memory(total).max(edit_memory(job.raw.len(), job.run.1, options.low_memory));
                    let engine = job.policy.memory_bytes(job.raw.len()).max(apart + total);
                    let share = budget.take(engine, usize::MAX);
                    let frame = pack(&job, reference, joined, spool, dictionary, options.low_memory);
                    drop(share);
                    if sender.send((job, frame)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (job, frame) in results {
            let frame = frame?;
            bytes += frame.header.packed_bytes;
            meter.add(frame.header.raw_bytes, 0);
            if let Raw::Contents(blobs) = &job.raw {
                costs.extend(encode::costs(blobs, &frame));
            }
            writer.push_at(job.number, &frame)?;
        }
        Ok::<_, EncodeError>(())
    })?;
    costs.sort_unstable();

    let mut header = header(closure, spool, &recipe, options)?;
    // What follows from the closure is not told.
    let computed = manifest(closure, spool, &EncodeOptions::default())?;
    let told = &mut header.manifest;
    (told.name, told.system, told.toplevel) = (None, None, None);
    told.host.take_if(|host| computed.host.as_ref() == Some(host));
    header.base = Some(Base { layout: Base::LAYOUT, unchanged, roots: base.roots().to_vec() });
    let written = encode::finish(writer, &header, bytes, options, out)?;
    Ok(Encoded { written, header, raw: std::mem::take(&mut recipe.raw), costs })
}

/// Frames of the sections that are in memory.
fn sections(
    recipe: &EncodedRecipe,
    reference: &Reference,
    options: &EncodeOptions,
    unchanged: &mut Vec<Section>,
    jobs: &mut Vec<Job>,
) {
    let max_memory = if options.low_memory { 8 } else { 64 };
    for section in [Section::Derivations, Section::Hashes, Section::SourceNames] {
        let raw = match section {
            Section::Derivations => &recipe.derivations,
            Section::Hashes => &recipe.hashes,
            _ => &recipe.source_names,
        };
        let old = reference.section(section);
        if raw == old {
            unchanged.push(section);
            continue;
        }
        for (number, chunk) in raw.chunks(FRAME as usize).enumerate() {
            let len = chunk.len() as u64;
            let policy = match section {
                Section::Derivations => FramePolicy::derivations(len, max_memory),
                Section::Hashes => FramePolicy::stored(),
                _ => FramePolicy::names(len, max_memory),
            };
            let run = run_beside(number as u64 * FRAME, len, raw.len() as u64, old.len() as u64);
            jobs.push(Job { section, number, raw: Raw::Memory(chunk.to_vec()), run, policy });
        }
    }
}

/// The run of a reference that is offered to a part of what has changed: all of it, or what is at the same place and about.
fn run_beside(from: u64, len: u64, total: u64, reference: u64) -> (u64, u64) {
    if reference <= FRAME + 2 * MARGIN {
        return (0, reference);
    }
    let same = |at: u64| (u128::from(at) * u128::from(reference) / u128::from(total.max(1))) as u64;
    let start = same(from).saturating_sub(MARGIN);
    let end = (same(from + len) + MARGIN).min(reference).min(start + FRAME + 2 * MARGIN);
    (start, end - start)
}

/// Frames of origins and of contents that the base has not, and what they refer to.
#[expect(clippy::too_many_arguments, reason = "the inside of one function")]
fn sources(
    closure: &Proven,
    base: &Proven,
    recipe: &EncodedRecipe,
    reference: &Reference,
    spool: &dyn Spool,
    options: &EncodeOptions,
    unchanged: &mut Vec<Section>,
    jobs: &mut Vec<Job>,
) -> Result<Joined, EncodeError> {
    let old = numbers(&reference.recipe.contents, spool)?;
    let new = digests(&recipe.contents, spool)?;
    let known: Vec<Option<u64>> = new.iter().map(|digest| old.get(digest).copied()).collect();
    let travelling: Vec<Travelling> =
        recipe.contents.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(content, _)| *content).collect();
    if known.iter().copied().eq((0..reference.contents()).map(Some)) {
        unchanged.push(Section::Sources);
        return Ok(reference.joined(&[]));
    }
    let wanted: HashSet<Blob> = travelling.iter().map(|content| content.blob).collect();
    let pairs = pairs(closure, base, &wanted, spool)?;
    let places: HashMap<Blob, u64> =
        (0..).zip(&reference.recipe.contents).map(|(number, content)| (content.blob, number)).collect();
    // A pair may be named by another copy of the same contents.
    let place_of = |blob: &Blob| -> io::Result<Option<u64>> {
        match places.get(blob) {
            Some(number) => Ok(Some(*number)),
            None => Ok(old.get(&digest(*blob, spool)?).copied()),
        }
    };
    let kept: HashSet<u64> = known.iter().flatten().copied().collect();
    let mut rest: Vec<u64> = (0..reference.contents()).filter(|number| !kept.contains(number)).collect();
    let size = |number: &u64| reference.content(*number).map_or(0, |blob| blob.len);
    let offered = rest.iter().filter(|n| size(n) < FRAME).map(size).sum::<u64>() <= OFFERED;
    if !offered {
        rest.clear();
    }

    let paired = travelling.into_iter().map(|Travelling { blob, lane, .. }| {
        let pair = pairs.get(&blob).map_or(Ok(None), place_of)?;
        // As in a whole file what does not compress would be taken for all of its frame, or spoil its model.
        let lane = if lane == Lane::Small && is_dense(spool, blob)? { Lane::Dense } else { lane };
        Ok((blob, lane, pair))
    });
    let paired: Vec<_> = paired.collect::<io::Result<_>>()?;
    let mut references: Vec<u64> = Vec::new();
    let mut reference_bytes = 0;
    let mut number = 0;
    for Group { contents: frame, lane } in groups(&paired, size) {
        let from = reference_bytes;
        let mut named = HashSet::new();
        let own = frame.iter().filter_map(|(_, pair)| *pair);
        let offered = if matches!(lane, Lane::Large | Lane::Dense) { &[][..] } else { &rest };
        let all = own.chain(offered.iter().copied());
        let room = Origins::REFERENCES as usize - references.len();
        for place in all.filter(|place| named.insert(*place)).take(room) {
            references.push(place);
            reference_bytes += size(&place);
        }
        let len: u64 = frame.iter().map(|(blob, _)| blob.len).sum();
        let policy = FramePolicy::Contents { lane, low_memory: options.low_memory };
        // A file larger than a frame is cut, and so is what it refers to.
        for start in (0..len).step_by(FRAME as usize) {
            let part = len.min(start + FRAME) - start;
            let (beside, run) = run_beside(start, part, len, reference_bytes - from);
            let blobs = cut(frame.iter().map(|(blob, _)| *blob), start, part);
            let raw = Raw::Contents(blobs.into());
            jobs.push(Job {
                section: Section::Sources,
                number,
                raw,
                run: (from + beside, run),
                policy: policy.clone(),
            });
            number += 1;
        }
    }
    let origins = Origins { runs: runs(&known), references: joined_runs(&references) };
    let joined = reference.joined(&origins.references);
    let raw = origins.write();
    let policy = FramePolicy::names(raw.len() as u64, 8);
    jobs.push(Job { section: Section::Origins, number: 0, raw: Raw::Memory(raw), run: (0, 0), policy });
    Ok(joined)
}

/// Frames of contents: neighbours of one lane, as far as they and what they are like fit into a frame; a large file alone.
fn groups(paired: &[(Blob, Lane, Option<u64>)], size: impl Fn(&u64) -> u64) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut bytes = 0;
    for (blob, lane, pair) in paired {
        let cost = blob.len + pair.as_ref().map_or(0, &size);
        bytes += cost;
        match groups.last_mut() {
            Some(group) if group.lane == *lane && *lane != Lane::Large && bytes <= FRAME => {
                group.contents.push((*blob, *pair));
            }
            _ => {
                groups.push(Group { contents: vec![(*blob, *pair)], lane: *lane });
                bytes = cost;
            }
        }
    }
    groups
}

/// The part of some blobs, one behind the other, that begins at `start`.
fn cut(blobs: impl Iterator<Item = Blob>, start: u64, len: u64) -> Vec<Blob> {
    let (mut at, end) = (0, start + len);
    let mut part = Vec::new();
    for blob in blobs {
        let (from, to) = (at.max(start), (at + blob.len).min(end));
        if from < to {
            part.push(Blob { offset: blob.offset + (from - at), len: to - from });
        }
        at += blob.len;
    }
    part
}

fn runs(known: &[Option<u64>]) -> Vec<OriginRun> {
    let mut runs: Vec<OriginRun> = Vec::new();
    let mut travelling = 0;
    for number in known {
        match (number, runs.last_mut()) {
            (None, _) => travelling += 1,
            (Some(number), Some(run)) if travelling == 0 && run.from + run.copied == *number => run.copied += 1,
            (Some(number), _) => {
                runs.push(OriginRun { travelling: std::mem::take(&mut travelling), copied: 1, from: *number });
            }
        }
    }
    runs
}

fn joined_runs(numbers: &[u64]) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((from, count)) if *from + *count == *number => *count += 1,
            _ => runs.push((*number, 1)),
        }
    }
    runs
}

fn digest(blob: Blob, spool: &dyn Spool) -> io::Result<(u64, Sha256)> {
    let mut hasher = HashWriter::new();
    for_each_piece(spool, blob, |piece| hasher.write_all(piece))?;
    Ok((blob.len, hasher.finish().0))
}

fn digests(contents: &[Travelling], spool: &dyn Spool) -> io::Result<Vec<(u64, Sha256)>> {
    contents.iter().map(|content| digest(content.blob, spool)).collect()
}

fn numbers(contents: &[Travelling], spool: &dyn Spool) -> io::Result<HashMap<(u64, Sha256), u64>> {
    Ok(digests(contents, spool)?.into_iter().zip(0..).collect())
}
