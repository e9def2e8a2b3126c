//! How contents of sources are cut into frames and packed. Figures and rejected roads: docs/design.

use super::{
    Codec, CodecError, Encoding, MIB, Packed,
    filter::{Filtered, Tokens, WordPlan},
    policy::{is_incompressible, model_memory},
};
use crate::recipe::Lane;

/// Raw bytes of one frame at most. Larger ones gain little and take memory on both sides.
const FRAME: u64 = 16 * MIB;
/// Raw bytes of one frame of large files that are alike.
const ALIKE_FRAME: u64 = 32 * MIB;
/// Raw bytes of one frame of what does not compress.
const DENSE_FRAME: u64 = 4 * MIB;
/// From so many raw bytes on, small files are packed as a tree: the reader would wait for PPMd7.
const SLOW: usize = 8 << 20;
/// Memory of a PPMd7 model of order 12 for each byte of its stream, and for [`MORE`] bytes: a tenth above the least in which it
/// never starts anew (measured).
const MODEL: u64 = 21;
const MORE: u64 = 150_000;
/// Window of LZMA2. A third of a frame costs 0.15 % against all of it, and two encoders fit into the memory of `pack`.
const WINDOW: u64 = 6 * MIB;
/// Words of markup, if they take it to three eighths.
const MARKUP: WordPlan = WordPlan { tokens: Tokens::Runs, pages: 4, eighths: 3 };

fn letters(pages: u8) -> WordPlan {
    WordPlan { tokens: Tokens::Letters, pages, eighths: 7 }
}

/// Where the frames of one lane end, from the lengths of its files in order, and whether each is like the one before. Small
/// files stay whole; a large file has frames of its own, or one with those that are like it.
pub fn frame_cuts(lane: Lane, files: impl IntoIterator<Item = (u64, bool)>) -> Vec<u64> {
    if lane == Lane::Large {
        return large_cuts(files);
    }
    let limit = if lane == Lane::Dense { DENSE_FRAME } else { FRAME };
    let alone = |len| len > limit;
    let (mut cuts, mut start, mut at) = (Vec::new(), 0, 0);
    for (len, _) in files {
        let fits = at - start + len <= limit;
        if at > start && lane != Lane::Dense && (alone(len) || !fits) {
            cuts.push(at);
            start = at;
        }
        at += len;
        while at - start >= limit {
            start += limit;
            cuts.push(start);
        }
        if at > start && alone(len) && lane != Lane::Dense {
            cuts.push(at);
            start = at;
        }
    }
    if at > start {
        cuts.push(at);
    }
    cuts
}

fn large_cuts(files: impl IntoIterator<Item = (u64, bool)>) -> Vec<u64> {
    let (mut cuts, mut start, mut at) = (Vec::new(), 0, 0);
    for (len, like_last) in files {
        let joins = like_last && len < FRAME && at - start + len <= ALIKE_FRAME;
        if at > start && !joins {
            start = at;
            cuts.push(at);
        }
        at += len;
        while len >= FRAME && start < at {
            start = at.min(start + FRAME);
            cuts.push(start);
        }
    }
    if at > start {
        cuts.push(at);
    }
    cuts
}

/// Bytes of memory that packing takes, without the raw bytes and those of the stream.
pub(super) fn memory_bytes(lane: Lane, low_memory: bool, raw_bytes: u64) -> u64 {
    let lzma = lzma(low_memory).memory_bytes(raw_bytes);
    // Two models are never alive at the same time.
    match lane {
        Lane::Dense => 0,
        Lane::Tree => lzma,
        Lane::Small if raw_bytes >= SLOW as u64 => lzma,
        Lane::Small => u64::from(model(lane, low_memory, raw_bytes)) * MIB,
        Lane::Large => lzma.max(u64::from(max_model(lane, low_memory)) * MIB),
    }
}

fn lzma(low_memory: bool) -> Encoding {
    Encoding::Lzma2 { window: if low_memory { 4 * MIB } else { WINDOW } }
}

fn max_model(lane: Lane, low_memory: bool) -> u16 {
    match lane {
        _ if low_memory => 8,
        Lane::Large => 32,
        // So that small files, a large one and derivations are unpacked side by side in the memory of an import.
        _ => 40,
    }
}

/// Memory of the model of a stream in MiB.
fn model(lane: Lane, low_memory: bool, stream_bytes: u64) -> u16 {
    model_memory(stream_bytes + MORE, MODEL, max_model(lane, low_memory))
}

fn ppmd(lane: Lane, low_memory: bool, stream: &[u8]) -> Encoding {
    let memory_mib = model(lane, low_memory, stream.len() as u64);
    Encoding::Ppmd7 { order: if low_memory { 8 } else { 12 }, memory_mib }
}

/// Packs one frame.
pub(super) fn pack(lane: Lane, low_memory: bool, raw: &[u8]) -> Result<Packed, CodecError> {
    if lane == Lane::Dense || is_incompressible(raw) {
        return Ok(Packed::stored(raw));
    }
    let mut filtered = Filtered::new(raw);
    filtered.take_hashes()?;
    let fast = match lane {
        Lane::Small => raw.len() >= SLOW,
        // What is larger than a frame comes in pieces of just so many bytes. Markup shrinks to a third when its tags are
        // words, and PPMd7 is as fast then as it is small.
        Lane::Large if raw.len() as u64 != FRAME => {
            !filtered.replace_words(MARKUP)? && !ppmd_pays(lane, low_memory, &filtered.stream)?
        }
        _ => true,
    };
    if !filtered.filter.words {
        filtered.replace_words(letters(if fast { 32 } else { 0 }))?;
    }
    let encoding = if fast { lzma(low_memory) } else { ppmd(lane, low_memory, &filtered.stream) };
    finish(filtered, encoding, raw)
}

/// Whether PPMd7 is smaller by 5 % than LZMA2 on samples: so much it has to gain for the time it takes.
fn ppmd_pays(lane: Lane, low_memory: bool, raw: &[u8]) -> Result<bool, CodecError> {
    const SAMPLE: usize = 128 << 10;
    const SAMPLES: usize = 4;
    let step = raw.len().div_ceil(SAMPLES).max(SAMPLE);
    let samples: Vec<u8> = raw.chunks(step).flat_map(|chunk| &chunk[..chunk.len().min(SAMPLE)]).copied().collect();
    let len = |encoding: Encoding| Ok::<_, CodecError>(encoding.pack(&samples, None)?.1.len());
    Ok(len(ppmd(lane, low_memory, &samples))? * 100 < len(lzma(low_memory))? * 95)
}

fn finish(filtered: Filtered<'_>, encoding: Encoding, raw: &[u8]) -> Result<Packed, CodecError> {
    let mut bytes = filtered.head();
    let Filtered { filter, stream, .. } = filtered;
    let (mut codec, mut packed) = encoding.pack(&stream, None)?;
    if packed.len() >= stream.len() {
        (codec, packed) = (Codec::Stored, stream.into_owned());
    }
    bytes.extend_from_slice(&packed);
    Ok(if bytes.len() < raw.len() { Packed { codec, filter, bytes } } else { Packed::stored(raw) })
}
