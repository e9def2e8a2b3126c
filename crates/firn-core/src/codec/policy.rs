//! Which encodings a writer tries for a frame.

use super::{Codec, CodecError, Dictionary, Encoding, MIB};
use zstd::zstd_safe;

/// The encodings tried for a frame; the first of the smallest results is kept, `Stored` where nothing is smaller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FramePolicy {
    /// What is tried, in order.
    pub candidates: Vec<Encoding>,
    /// Look at a few samples first, and store what they say will not pack.
    pub probe: bool,
}

impl FramePolicy {
    /// Stored as it is.
    pub fn stored() -> Self {
        Self::default()
    }

    /// One encoding.
    pub fn fixed(encoding: Encoding) -> Self {
        Self { candidates: vec![encoding], probe: false }
    }

    /// For derivations: PPMd7 of three orders, since long ones misbehave now and then, and primed where there is a
    /// dictionary of `dictionary_bytes`. `max_memory_mib` caps the model.
    pub fn derivations(raw_bytes: u64, max_memory_mib: u16, dictionary_bytes: u64) -> Self {
        // Measured on records of four closures: the least memory in which the model never starts anew.
        let orders = [(32, 52), (24, 40), (16, 30)];
        let memory = |times| model_memory(raw_bytes.saturating_add(dictionary_bytes), times, max_memory_mib);
        let mut candidates: Vec<_> =
            orders.map(|(order, times)| Encoding::Ppmd7 { order, memory_mib: memory(times) }).into();
        if dictionary_bytes > 0 {
            // Primed wins wherever the dictionary is not small beside the frame; then nothing else is worth its time.
            if raw_bytes < dictionary_bytes * 8 {
                candidates.clear();
            }
            candidates.insert(0, Encoding::PrimedPpmd7 { memory_mib: memory(30) });
        }
        Self { candidates, probe: false }
    }

    /// For sources that are not a tree: PPMd7 o16, which is smallest or close to it on all closures measured; o8 where
    /// memory is short.
    pub fn sources(raw_bytes: u64, max_memory_mib: u16) -> Self {
        let memory_mib = model_memory(raw_bytes, 38, max_memory_mib);
        let order = if max_memory_mib > 8 { 16 } else { 8 };
        Self { candidates: vec![Encoding::Ppmd7 { order, memory_mib }], probe: true }
    }

    /// For source trees of tens of megabytes, which a small host has to unpack at 30 MB/s and more: LZMA2. A window of
    /// half a 16 MiB frame costs 0.15 % and halves the encoder's 186 MiB, so that two can run.
    pub fn tree(low_memory: bool) -> Self {
        let window = if low_memory { 4 << 20 } else { 8 << 20 };
        Self { candidates: vec![Encoding::Lzma2 { window }], probe: true }
    }

    /// For lists of names: PPMd7 of low order.
    pub fn names(raw_bytes: u64, max_memory_mib: u16) -> Self {
        let memory_mib = model_memory(raw_bytes, 60, max_memory_mib);
        Self { candidates: [6, 5].map(|order| Encoding::Ppmd7 { order, memory_mib }).into(), probe: false }
    }

    /// Packs with each candidate and keeps the smallest.
    pub fn pack(&self, raw: &[u8], dictionary: Option<&Dictionary<'_>>) -> Result<(Codec, Vec<u8>), CodecError> {
        let mut best: Option<(Codec, Vec<u8>)> = None;
        if !(self.probe && is_incompressible(raw)) {
            for encoding in &self.candidates {
                let result = encoding.pack(raw, dictionary)?;
                if result.1.len() < best.as_ref().map_or(raw.len(), |(_, packed)| packed.len()) {
                    best = Some(result);
                }
            }
        }
        best.map_or_else(|| Encoding::Stored.pack(raw, None), Ok)
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
