//! What a writer chooses for a frame, and how it packs it.

use super::{Codec, CodecError, Dictionary, LzmaWindow, MIB};
use liblzma::stream::{Action, Filters, LzmaOptions, MatchFinder, Status, Stream};
use std::io::Write;
use zstd::zstd_safe::{self, CCtx, CParameter};

/// A codec and the effort put into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Stored,
    /// PPMd7.
    Ppmd7 {
        /// Longest context in bytes, 2 to 64.
        order: u8,
        /// Memory of the model in MiB.
        memory_mib: u16,
    },
    /// PPMd7 primed with the dictionary handed to [`Encoding::pack`], in its order.
    PrimedPpmd7 {
        /// Memory of the model in MiB.
        memory_mib: u16,
    },
    /// zstd.
    Zstd {
        /// 1 to 22.
        level: i32,
        /// Binary logarithm of the largest window, 10 to 31; smaller frames take less.
        window_log: u8,
    },
    /// LZMA2 as text of source trees likes it: 4 literal context bits, no position bits, a binary tree of 4 bytes.
    Lzma2 {
        /// Largest dictionary in bytes; smaller frames take less.
        window: u64,
    },
}

impl Encoding {
    /// The packed bytes and the codec that reads them. Same input, same bytes, on every machine.
    pub fn pack(self, raw: &[u8], dictionary: Option<&Dictionary<'_>>) -> Result<(Codec, Vec<u8>), CodecError> {
        match self {
            Self::Stored => Ok((Codec::Stored, raw.to_vec())),
            Self::Ppmd7 { order, memory_mib } => {
                Ok((Codec::Ppmd7 { order, memory_mib }, ppmd7(order, memory_mib, raw)?))
            }
            Self::PrimedPpmd7 { memory_mib } => {
                let dictionary = *dictionary.ok_or(CodecError::Dictionary(0))?;
                let mut encoder = PrimedEncoder::new(dictionary, &dictionary.raw(memory_mib)?, memory_mib)?;
                encoder.write(raw)?;
                encoder.finish()
            }
            Self::Zstd { level, window_log } => zstd(level, window_log, raw),
            Self::Lzma2 { window } => lzma2(window, raw),
        }
    }

    /// Bytes of memory that packing so many raw bytes takes, without raw and packed ones.
    pub fn memory_bytes(self, raw_bytes: u64) -> u64 {
        match self {
            Self::Stored => 0,
            // A primed frame takes the text of the dictionary too.
            Self::Ppmd7 { memory_mib, .. } => u64::from(memory_mib) * MIB,
            Self::PrimedPpmd7 { memory_mib } => u64::from(memory_mib) * MIB + 8 * MIB,
            // Tables of at most 8 bytes for each byte of the window at high levels.
            Self::Zstd { window_log, .. } => 9 * raw_bytes.min(1 << window_log.min(63)) + MIB,
            // liblzma's own formula for a binary tree.
            Self::Lzma2 { window } => window.min(raw_bytes) * 23 / 2 + 4 * MIB,
        }
    }
}

pub(super) type Ppmd7Encoder = ppmd_rust::Ppmd7Encoder<Vec<u8>>;

pub(super) fn ppmd7_encoder(order: u8, memory_mib: u16) -> Result<Ppmd7Encoder, CodecError> {
    let codec = Codec::Ppmd7 { order, memory_mib };
    let memory = u32::try_from(codec.memory_bytes()).map_err(|_| CodecError::Parameters(codec))?;
    Ppmd7Encoder::new(Vec::new(), u32::from(order), memory).map_err(|e| ppmd_error(e, codec))
}

fn ppmd7(order: u8, memory_mib: u16, raw: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut encoder = ppmd7_encoder(order, memory_mib)?;
    encoder.write_all(raw).map_err(|_| CodecError::Damaged("ppmd7"))?;
    encoder.finish(false).map_err(|_| CodecError::Damaged("ppmd7"))
}

pub(super) fn ppmd_error(error: ppmd_rust::Error, codec: Codec) -> CodecError {
    match error {
        ppmd_rust::Error::InvalidParameter => CodecError::Parameters(codec),
        ppmd_rust::Error::MemoryAllocation => CodecError::Memory { bytes: codec.memory_bytes() },
        _ => CodecError::Damaged("ppmd7"),
    }
}

/// Packs a frame as if the text of a dictionary had gone before it, piece by piece.
pub struct PrimedEncoder<'a> {
    dictionary: Dictionary<'a>,
    memory_mib: u16,
    encoder: Ppmd7Encoder,
}

impl<'a> PrimedEncoder<'a> {
    /// One that knows the dictionary's text, which [`Dictionary::raw`] gives.
    pub fn new(dictionary: Dictionary<'a>, text: &[u8], memory_mib: u16) -> Result<Self, CodecError> {
        let mut primed = Self { dictionary, memory_mib, encoder: ppmd7_encoder(dictionary.order, memory_mib)? };
        primed.write(text)?;
        Ok(primed)
    }

    /// Packs some more.
    pub fn write(&mut self, raw: &[u8]) -> Result<(), CodecError> {
        self.encoder.write_all(raw).map_err(|_| CodecError::Damaged("ppmd7"))
    }

    /// Bytes that are packed by now, but for the last few, without those of the dictionary.
    pub fn packed_bytes(&self) -> usize {
        self.encoder.get_ref().len().saturating_sub(self.dictionary.packed.len())
    }

    /// The codec, and the packed bytes without those that every such frame begins with.
    pub fn finish(self) -> Result<(Codec, Vec<u8>), CodecError> {
        let Self { dictionary, memory_mib, encoder } = self;
        let mut packed = encoder.finish(false).map_err(|_| CodecError::Damaged("ppmd7"))?;
        // The last bytes of the dictionary's own stream are its flush, or differ by a carry.
        let shared = packed.iter().zip(dictionary.packed).take_while(|(a, b)| a == b).count();
        packed.drain(..shared);
        let shared = u32::try_from(shared).map_err(|_| CodecError::Dictionary(dictionary.id))?;
        Ok((Codec::PrimedPpmd7 { dictionary: dictionary.id, memory_mib, shared }, packed))
    }
}

fn zstd(level: i32, window_log: u8, raw: &[u8]) -> Result<(Codec, Vec<u8>), CodecError> {
    let needed = raw.len().max(1 << 10).next_power_of_two().trailing_zeros() as u8;
    let codec = Codec::Zstd { window_log: window_log.min(needed) };
    let Codec::Zstd { window_log } = codec else { return Err(CodecError::Parameters(codec)) };
    let mut context = CCtx::try_create().ok_or(CodecError::Memory { bytes: MIB })?;
    for parameter in [
        CParameter::CompressionLevel(level),
        CParameter::WindowLog(u32::from(window_log)),
        // With it a small frame has no window of its own and a streaming decoder takes memory for all of it.
        CParameter::ContentSizeFlag(false),
        CParameter::ChecksumFlag(false),
    ] {
        context.set_parameter(parameter).map_err(|_| CodecError::Parameters(codec))?;
    }
    let mut packed = Vec::with_capacity(zstd_safe::compress_bound(raw.len()));
    context.compress2(&mut packed, raw).map_err(|_| CodecError::Memory { bytes: codec.memory_bytes() })?;
    packed.shrink_to_fit();
    Ok((codec, packed))
}

fn lzma2(window: u64, raw: &[u8]) -> Result<(Codec, Vec<u8>), CodecError> {
    let window = LzmaWindow::holding(window.min(raw.len() as u64).max(1 << 12));
    let codec = Codec::Lzma2 { window };
    let parameters = |_| CodecError::Parameters(codec);
    let mut options = LzmaOptions::new_preset(6).map_err(parameters)?;
    options.dict_size(u32::try_from(window.bytes()).unwrap_or(u32::MAX));
    options.literal_context_bits(4).position_bits(0).match_finder(MatchFinder::BinaryTree4).nice_len(273).depth(64);
    let mut filters = Filters::new();
    filters.lzma2(&options);
    let mut stream = Stream::new_raw_encoder(&filters).map_err(parameters)?;
    // LZMA2 stores what it cannot pack: 3 bytes more for each 64 KiB.
    let mut packed = Vec::with_capacity(raw.len() + raw.len() / 8192 + 64);
    match stream.process_vec(raw, &mut packed, Action::Finish) {
        Ok(Status::StreamEnd) => {
            packed.shrink_to_fit();
            Ok((codec, packed))
        }
        _ => Err(CodecError::Memory { bytes: codec.memory_bytes() }),
    }
}
