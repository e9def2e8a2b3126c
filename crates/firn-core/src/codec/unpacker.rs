//! Packed bytes back to raw ones, as a stream of exactly the declared length.

use super::{Codec, CodecError, Dictionary, encoding::ppmd_error};
use liblzma::stream::{Action, Filters, Status, Stream};
use ppmd_rust::Ppmd7Decoder;
use std::io::{self, Read};
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

/// Reads the raw bytes of one frame. It gives exactly the declared number of them: the last read fails when packed bytes are
/// left over or more raw ones would follow. Errors are [`CodecError`] inside [`io::Error`].
pub struct Unpacker<'a> {
    engine: Engine<'a>,
    left: u64,
}

enum Engine<'a> {
    Stored(&'a [u8]),
    Ppmd7 {
        decoder: Box<Ppmd7Decoder<Packed<'a>>>,
        skip: u64,
    },
    Zstd {
        context: DCtx<'static>,
        packed: &'a [u8],
        ended: bool,
    },
    Lzma2 {
        stream: Stream,
        packed: &'a [u8],
        ended: bool,
    },
    /// Nothing was declared and nothing is there.
    Empty,
}

impl<'a> Unpacker<'a> {
    /// Takes the memory that the codec declares: check [`Codec::memory_bytes`] first.
    pub fn new(
        codec: Codec,
        packed: &'a [u8],
        raw_bytes: u64,
        dictionaries: &[Dictionary<'a>],
    ) -> Result<Self, CodecError> {
        if raw_bytes == 0 {
            return if packed.is_empty() {
                Ok(Self { engine: Engine::Empty, left: 0 })
            } else {
                Err(CodecError::GoesOn)
            };
        }
        let engine = match codec {
            Codec::Patch { .. } | Codec::Edit { .. } => return Err(CodecError::NoBase),
            Codec::Stored if packed.len() as u64 > raw_bytes => return Err(CodecError::GoesOn),
            Codec::Stored => Engine::Stored(packed),
            Codec::Ppmd7 { order, .. } => ppmd7(codec, order, Packed { head: &[], tail: packed }, 0)?,
            Codec::PrimedPpmd7 { dictionary: id, shared, .. } => {
                let dictionary = dictionaries.iter().find(|d| d.id == id).ok_or(CodecError::Dictionary(id))?;
                let head = dictionary.packed.get(..shared as usize).ok_or(CodecError::Damaged("ppmd7"))?;
                ppmd7(codec, dictionary.order, Packed { head, tail: packed }, dictionary.raw_bytes)?
            }
            Codec::Zstd { window_log } => {
                let mut context = DCtx::try_create().ok_or(CodecError::Memory { bytes: codec.memory_bytes() })?;
                context
                    .set_parameter(DParameter::WindowLogMax(u32::from(window_log)))
                    .map_err(|_| CodecError::Parameters(codec))?;
                Engine::Zstd { context, packed, ended: false }
            }
            Codec::Lzma2 { window } => {
                let mut filters = Filters::new();
                filters.lzma2_properties(&[window.property()]).map_err(|_| CodecError::Parameters(codec))?;
                let stream = Stream::new_raw_decoder(&filters)
                    .map_err(|_| CodecError::Memory { bytes: codec.memory_bytes() })?;
                Engine::Lzma2 { stream, packed, ended: false }
            }
        };
        Ok(Self { engine, left: raw_bytes })
    }

    fn fill(&mut self, buf: &mut [u8]) -> Result<usize, CodecError> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if wanted == 0 {
            return Ok(0);
        }
        let n = self.engine.fill(&mut buf[..wanted])?;
        if n == 0 {
            return Err(CodecError::Ends { missing: self.left });
        }
        self.left -= n as u64;
        if self.left == 0 {
            self.engine.finish()?;
        }
        Ok(n)
    }
}

impl Read for Unpacker<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.fill(buf)?)
    }
}

impl From<CodecError> for io::Error {
    fn from(error: CodecError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

impl CodecError {
    /// Gets back the error of an [`Unpacker`].
    pub fn from_io(error: io::Error) -> Self {
        error.downcast().unwrap_or(Self::Damaged("packed"))
    }
}

/// Two runs of bytes, one after the other, read one byte at a time.
struct Packed<'a> {
    head: &'a [u8],
    tail: &'a [u8],
}

impl Packed<'_> {
    fn is_empty(&self) -> bool {
        self.head.is_empty() && self.tail.is_empty()
    }
}

impl Read for Packed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.head.is_empty() { self.tail.read(buf) } else { self.head.read(buf) }
    }
}

fn ppmd7<'a>(codec: Codec, order: u8, packed: Packed<'a>, skip: u64) -> Result<Engine<'a>, CodecError> {
    let memory = u32::try_from(codec.memory_bytes()).map_err(|_| CodecError::Parameters(codec))?;
    let decoder = Ppmd7Decoder::new(packed, u32::from(order), memory).map_err(|e| ppmd_error(e, codec))?;
    Ok(Engine::Ppmd7 { decoder: Box::new(decoder), skip })
}

impl Engine<'_> {
    /// At least one byte, or none when the packed bytes are at their end.
    fn fill(&mut self, buf: &mut [u8]) -> Result<usize, CodecError> {
        match self {
            Self::Empty => Ok(0),
            Self::Stored(packed) => packed.read(buf).map_err(|_| CodecError::Damaged("stored")),
            Self::Ppmd7 { decoder, skip } => {
                let damaged = |_| CodecError::Damaged("ppmd7");
                let mut scratch = [0; 4096];
                while *skip > 0 {
                    let wanted = usize::try_from(*skip).unwrap_or(usize::MAX).min(scratch.len());
                    let n = decoder.read(&mut scratch[..wanted]).map_err(damaged)?;
                    if n == 0 {
                        return Ok(0);
                    }
                    *skip -= n as u64;
                }
                decoder.read(buf).map_err(damaged)
            }
            Self::Zstd { context, packed, ended } => {
                let mut output = OutBuffer::around(buf);
                while output.pos() == 0 && !*ended {
                    let mut input = InBuffer::around(packed);
                    let hint =
                        context.decompress_stream(&mut output, &mut input).map_err(|_| CodecError::Damaged("zstd"))?;
                    let used = input.pos();
                    *packed = &packed[used..];
                    *ended = hint == 0;
                    if used == 0 && output.pos() == 0 && !*ended {
                        break;
                    }
                }
                Ok(output.pos())
            }
            Self::Lzma2 { stream, packed, ended } => {
                let mut n = 0;
                while n == 0 && !*ended {
                    let (before_in, before_out) = (stream.total_in(), stream.total_out());
                    let status = stream.process(packed, buf, Action::Run).map_err(|_| CodecError::Damaged("lzma2"))?;
                    let used = (stream.total_in() - before_in) as usize;
                    n = (stream.total_out() - before_out) as usize;
                    *packed = &packed[used..];
                    *ended = status == Status::StreamEnd;
                    if used == 0 && n == 0 && !*ended {
                        break;
                    }
                }
                Ok(n)
            }
        }
    }

    /// All raw bytes are out: nothing may be left of the packed ones.
    fn finish(&mut self) -> Result<(), CodecError> {
        if matches!(self, Self::Zstd { .. } | Self::Lzma2 { .. }) && self.fill(&mut [0])? != 0 {
            return Err(CodecError::GoesOn);
        }
        let done = match self {
            Self::Empty => true,
            Self::Stored(packed) => packed.is_empty(),
            Self::Ppmd7 { decoder, .. } => decoder.get_ref().is_empty(),
            Self::Zstd { packed, ended, .. } | Self::Lzma2 { packed, ended, .. } => {
                if !*ended {
                    return Err(CodecError::Ends { missing: 0 });
                }
                packed.is_empty()
            }
        };
        if done { Ok(()) } else { Err(CodecError::GoesOn) }
    }
}
