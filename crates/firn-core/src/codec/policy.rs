//! Which encodings a writer tries for a frame.

use super::{Codec, CodecError, Dictionary, Encoding, Filter, MIB, contents};
use crate::recipe::Lane;
use zstd::zstd_safe;

/// How a writer packs a frame. The result depends on it and the raw bytes alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FramePolicy {
    /// Each encoding is tried, and the first of the smallest results is kept; stored where nothing is smaller.
    Smallest(Vec<Encoding>),
    /// Contents of sources: filter and codec as the lane and the bytes ask for (docs/design).
    Contents {
        /// Lane of the files.
        lane: Lane,
        /// For readers that have 40 MB in all.
        low_memory: bool,
    },
}

/// A frame that was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// How its stream is packed.
    pub codec: Codec,
    /// What was done to its raw bytes before.
    pub filter: Filter,
    /// All of its packed bytes.
    pub bytes: Vec<u8>,
}

impl FramePolicy {
    /// Stored as it is.
    pub fn stored() -> Self {
        Self::Smallest(Vec::new())
    }

    /// One encoding.
    pub fn fixed(encoding: Encoding) -> Self {
        Self::Smallest(vec![encoding])
    }

    /// For derivations that are not primed: PPMd7 of three orders, since long ones misbehave now and then.
    /// `max_memory_mib` caps the model.
    pub fn derivations(raw_bytes: u64, max_memory_mib: u16) -> Self {
        // Measured on records of four closures: the least memory in which the model never starts anew.
        let orders = [(32, 52), (24, 40), (16, 30)];
        let memory = |times| model_memory(raw_bytes, times, max_memory_mib);
        Self::Smallest(orders.map(|(order, times)| Encoding::Ppmd7 { order, memory_mib: memory(times) }).into())
    }

    /// Memory in MiB for records that are primed and packed while they are written, so that their length is not known: from
    /// that of the texts and that of the dictionary. An eighth or more above the least in which the model never starts anew,
    /// measured on four closures and two pairs of them: the more texts there are, the more they are alike.
    pub fn record_memory(text_bytes: u64, dictionary_bytes: u64) -> u16 {
        const FIRST: u64 = 7_000_000;
        let first = text_bytes.min(FIRST);
        let texts = (text_bytes - first).saturating_add(first * 5);
        model_memory(dictionary_bytes.saturating_mul(30).saturating_add(texts), 1, 64)
    }

    /// For lists of names: PPMd7 of low order.
    pub fn names(raw_bytes: u64, max_memory_mib: u16) -> Self {
        let memory_mib = model_memory(raw_bytes, 60, max_memory_mib);
        Self::Smallest([6, 5].map(|order| Encoding::Ppmd7 { order, memory_mib }).into())
    }

    /// Bytes of memory that packing so many raw bytes takes, these included.
    pub fn memory_bytes(&self, raw_bytes: u64) -> u64 {
        let engine = match self {
            Self::Smallest(candidates) => candidates.iter().map(|e| e.memory_bytes(raw_bytes)).max().unwrap_or(0),
            Self::Contents { lane, low_memory } => contents::memory_bytes(*lane, *low_memory, raw_bytes),
        };
        // The raw bytes; of the packed ones and those of filters never more than as much again.
        engine + 2 * raw_bytes
    }

    /// Packs one frame.
    pub fn pack(&self, raw: &[u8], dictionary: Option<&Dictionary<'_>>) -> Result<Packed, CodecError> {
        let candidates = match self {
            Self::Smallest(candidates) => candidates,
            Self::Contents { lane, low_memory } => return contents::pack(*lane, *low_memory, raw),
        };
        let mut best = Packed::stored(raw);
        for encoding in candidates {
            let (codec, bytes) = encoding.pack(raw, dictionary)?;
            if bytes.len() < best.bytes.len() {
                best = Packed { codec, filter: Filter::NONE, bytes };
            }
        }
        Ok(best)
    }
}

impl Packed {
    pub(super) fn stored(raw: &[u8]) -> Self {
        Self { codec: Codec::Stored, filter: Filter::NONE, bytes: raw.to_vec() }
    }
}

/// Memory of a PPMd7 model in MiB: so many times the bytes, at least 1, at most the cap. With less than it needs, the model
/// starts anew and loses 2 to 10 %; what is more costs 0.8 ms per MiB, since it is cleared first (both measured).
pub(super) fn model_memory(raw_bytes: u64, times: u64, max_mib: u16) -> u16 {
    let wanted = raw_bytes.saturating_mul(times).div_ceil(MIB).max(1);
    u16::try_from(wanted).unwrap_or(u16::MAX).min(max_mib)
}

/// Whether samples of the bytes say that packing gains less than 3 %.
pub fn is_incompressible(raw: &[u8]) -> bool {
    const SAMPLE: usize = 16 << 10;
    const SAMPLES: usize = 8;
    if raw.len() < 256 {
        return false;
    }
    let step = (raw.len() / SAMPLES).max(SAMPLE);
    let (mut taken, mut packed) = (0, 0);
    let mut buf = Vec::with_capacity(zstd_safe::compress_bound(SAMPLE));
    for chunk in raw.chunks(step) {
        let sample = &chunk[..chunk.len().min(SAMPLE)];
        buf.clear();
        match zstd_safe::compress(&mut buf, sample, 1) {
            Ok(len) => packed += len,
            Err(_) => return false,
        }
        taken += sample.len();
    }
    packed * 100 > taken * 97
}
