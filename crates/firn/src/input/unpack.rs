//! gzip, xz and zstd as readers, with bounded memory and errors that say what happened.

use super::{Compression, Position};
use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, Read};

/// Packed bytes that do not unpack.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// They end too early.
    #[error("the {compression} data is cut off at byte {offset}")]
    Cut {
        /// Which.
        compression: &'static str,
        /// Bytes there are.
        offset: u64,
    },
    /// They were changed.
    #[error("the {compression} data is damaged before byte {offset}: {detail}")]
    Damaged {
        /// Which.
        compression: &'static str,
        /// Bytes read when it was found.
        offset: u64,
        /// What the library says.
        detail: String,
    },
    /// Something else follows them.
    #[error("something that is no {compression} data follows the {compression} data")]
    Follows {
        /// Which.
        compression: &'static str,
    },
    /// Unpacking needs more memory than is allowed.
    #[error("unpacking the {compression} data needs more than {memory} bytes of memory: allow it with --max-memory")]
    Memory {
        /// Which.
        compression: &'static str,
        /// The limit in bytes.
        memory: u64,
    },
}

struct Unpack<R> {
    inner: R,
    compression: Compression,
    position: Position,
    memory: u64,
}

impl<R: Read> Read for Unpack<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buf).map_err(|error| self.explain(error))
    }
}

impl<R> Unpack<R> {
    fn explain(&self, error: io::Error) -> io::Error {
        // The file itself could not be read.
        if error.raw_os_error().is_some() || error.kind() == io::ErrorKind::Interrupted {
            return error;
        }
        let compression = match self.compression {
            Compression::Gzip => "gzip",
            Compression::Xz => "xz",
            Compression::Zstd => "zstd",
        };
        let lzma = error.get_ref().and_then(|inner| inner.downcast_ref());
        // The zstd crate gives nothing but the library's text.
        if matches!(lzma, Some(liblzma::stream::Error::MemLimit)) || error.to_string().contains("too much memory") {
            let memory = self.memory;
            return io::Error::new(io::ErrorKind::OutOfMemory, UnpackError::Memory { compression, memory });
        }
        let offset = self.position.get();
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return io::Error::new(error.kind(), UnpackError::Cut { compression, offset });
        }
        let detail = error.to_string();
        // The first beginning was looked at before: a wrong one is that of what comes later.
        let foreign =
            detail.contains("Unknown frame descriptor") || error.get_ref().is_some_and(|inner| inner.is::<NoMember>());
        if foreign {
            return io::Error::new(io::ErrorKind::InvalidData, UnpackError::Follows { compression });
        }
        io::Error::new(io::ErrorKind::InvalidData, UnpackError::Damaged { compression, offset, detail })
    }
}

/// What follows a gzip member is no other one.
#[derive(Debug, thiserror::Error)]
#[error("no gzip member")]
struct NoMember;

/// The members of gzip data, one after the other. `MultiGzDecoder` calls anything behind the last one cut off.
struct Members<R> {
    decoder: Option<GzDecoder<R>>,
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.decoder {
            let n = decoder.read(buf)?;
            if n > 0 || buf.is_empty() {
                return Ok(n);
            }
            match decoder.get_mut().fill_buf()? {
                [] => return Ok(0),
                [0x1f] | [0x1f, 0x8b, ..] => {}
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, NoMember)),
            }
            self.decoder = self.decoder.take().map(|decoder| GzDecoder::new(decoder.into_inner()));
        }
        Ok(0)
    }
}

/// Unpacks `packed` to its end: every member, stream or frame. Takes at most `memory` bytes.
pub(super) fn unpack(
    compression: Compression,
    packed: impl BufRead + Send + 'static,
    position: Position,
    memory: u64,
) -> io::Result<Box<dyn Read + Send>> {
    fn boxed<R: Read + Send + 'static>(
        inner: R,
        compression: Compression,
        position: Position,
        memory: u64,
    ) -> Box<dyn Read + Send> {
        Box::new(Unpack { inner, compression, position, memory })
    }
    Ok(match compression {
        Compression::Gzip => boxed(Members { decoder: Some(GzDecoder::new(packed)) }, compression, position, memory),
        Compression::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(memory, liblzma::stream::CONCATENATED)?;
            boxed(liblzma::bufread::XzDecoder::new_stream(packed, stream), compression, position, memory)
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
            // The window is almost all that the decoder takes; 2 GiB is the most that zstd has.
            decoder.window_log_max(memory.max(1 << 10).ilog2().min(31))?;
            boxed(decoder, compression, position, memory)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Write};

    #[test]
    fn something_behind_packed_data_is_said_to_follow() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"text").unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = zstd::encode_all(&b"text"[..], 1).unwrap();
        for (compression, packed) in [(Compression::Gzip, gzip), (Compression::Zstd, zstd)] {
            let read = |behind: &[u8]| {
                let packed = Cursor::new([&packed, behind].concat());
                let mut text = String::new();
                unpack(compression, packed, Position::default(), 1 << 24)?.read_to_string(&mut text)?;
                io::Result::Ok(text)
            };
            assert_eq!((read(b"").unwrap(), read(&packed).unwrap()), ("text".into(), "texttext".into()));
            let error = read(b"and more, and more, and more").unwrap_err();
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            assert!(matches!(inner, Some(UnpackError::Follows { .. })), "{compression:?}: {error}");
        }
    }
}
