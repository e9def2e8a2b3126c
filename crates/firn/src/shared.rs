//! Frames that two files have in common: the first that comes to one unpacks it, the other copies what it gave.

use crate::spool_file::FileSpool;
use firn_core::format::{FrameHeader, PackedFrame};
use std::{
    collections::HashMap,
    fmt, io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// SHA-256 of the packed bytes: with codec, filter and length, all that the raw bytes follow from.
type Digest = [u8; 32];

/// Frames that were unpacked, by the digest of their packed bytes. For files that are read at the same time.
#[derive(Default)]
pub struct SharedFrames {
    frames: Mutex<HashMap<Digest, Frame>>,
    changed: Condvar,
}

struct Frame {
    header: FrameHeader,
    /// Absent as long as somebody unpacks it.
    place: Option<Place>,
}

/// Where the raw bytes of a frame are.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) spool: Arc<FileSpool>,
    pub(crate) offset: u64,
}

/// What the reader of a frame has to do.
pub(crate) enum Turn<'a> {
    /// To unpack it, and to say where.
    Unpack(Claim<'a>),
    /// To copy it.
    Copy(Place),
}

/// Promises a frame to those who wait for it. Dropped, it lets the next one unpack.
pub(crate) struct Claim<'a> {
    of: &'a SharedFrames,
    digest: Digest,
}

impl fmt::Debug for SharedFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedFrames").finish_non_exhaustive()
    }
}

impl SharedFrames {
    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Frame>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a frame that another reader unpacks. `None` where one of equal bytes is packed in another way.
    pub(crate) fn turn(&self, frame: &PackedFrame) -> Option<Turn<'_>> {
        let (header, digest) = (frame.header, frame.digest);
        let mut frames = self.lock();
        loop {
            match frames.get(&digest) {
                None => {
                    frames.insert(digest, Frame { header, place: None });
                    return Some(Turn::Unpack(Claim { of: self, digest }));
                }
                Some(other) if !alike(&other.header, &header) => return None,
                Some(Frame { place: Some(place), .. }) => return Some(Turn::Copy(place.clone())),
                Some(_) => frames = self.changed.wait(frames).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

fn alike(a: &FrameHeader, b: &FrameHeader) -> bool {
    (a.codec, a.filter, a.raw_bytes) == (b.codec, b.filter, b.raw_bytes)
}

impl Claim<'_> {
    /// The raw bytes are in this spool from an offset on.
    pub(crate) fn done(self, spool: &FileSpool, offset: u64) -> io::Result<()> {
        let spool = Arc::new(spool.written()?);
        if let Some(frame) = self.of.lock().get_mut(&self.digest) {
            frame.place = Some(Place { spool, offset });
        }
        Ok(())
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut frames = self.of.lock();
        if frames.get(&self.digest).is_some_and(|frame| frame.place.is_none()) {
            frames.remove(&self.digest);
        }
        drop(frames);
        self.of.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firn_core::{
        Spool,
        codec::{Codec, Filter, Packed},
        format::Section,
    };

    fn frame(section: Section, codec: Codec) -> PackedFrame {
        PackedFrame::new(section, 5, Packed { codec, filter: Filter::NONE, bytes: b"bytes".to_vec() })
    }

    #[test]
    fn a_frame_is_unpacked_once_and_by_the_next_where_the_first_fails() {
        let (shared, stored) = (SharedFrames::default(), frame(Section::Sources, Codec::Stored));
        let Some(Turn::Unpack(first)) = shared.turn(&stored) else { panic!("nobody unpacked it") };
        let (waits, unpacked) = std::thread::scope(|scope| {
            let other = scope.spawn(|| matches!(shared.turn(&stored), Some(Turn::Unpack(_))));
            let waits = !other.is_finished();
            drop(first);
            (waits, other.join().unwrap())
        });
        assert!(waits && unpacked);
        let mut spool = FileSpool::new(&std::env::temp_dir()).unwrap();
        let run = spool.reserve(8).unwrap();
        spool.write_at(run.offset + 3, b"bytes").unwrap();
        let Some(Turn::Unpack(claim)) = shared.turn(&stored) else { panic!("the first was dropped") };
        claim.done(&spool, run.offset + 3).unwrap();
        // In whatever section, but not of another codec.
        let Some(Turn::Copy(place)) = shared.turn(&frame(Section::Hashes, Codec::Stored)) else { panic!() };
        let mut bytes = [0; 5];
        place.spool.read_at(place.offset, &mut bytes).unwrap();
        assert_eq!(&bytes, b"bytes");
        assert!(shared.turn(&frame(Section::Sources, Codec::Ppmd7 { order: 2, memory_mib: 1 })).is_none());
    }
}
