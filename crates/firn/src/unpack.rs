//! Frames unpacked to their places in a spool on several threads, while a reader follows them.

use crate::{
    decode::{DecodeError, DecodeOptions, as_format_error},
    event::Meter,
    schedule::Budget,
    shared::Turn,
    spool_file::FileSpool,
};
use firn_core::{
    Blob, Spool,
    codec::Dictionary,
    format::{FileReader, PackedFrame, Section},
};
use std::{
    io::{self, Read},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread::Scope,
};

const SECTIONS: usize = Section::ALL.len();

/// Where the sections of a file are in a spool, and how much of them is there.
pub(crate) struct Unpacking {
    sections: [Blob; SECTIONS],
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Frames by section, in order.
    frames: [Vec<Run>; SECTIONS],
    failed: Option<DecodeError>,
    /// Nobody follows any more.
    stopped: bool,
    /// Which frames of contents are wanted.
    wanted: Wanted,
}

/// Which frames of contents are unpacked.
pub(crate) enum Wanted {
    All,
    /// They wait until [`Unpacking::want`] says which of them are needed.
    Undecided,
    Some(Vec<bool>),
}

/// A frame's place in the spool.
#[derive(Clone, Copy)]
struct Run {
    /// Up to where it is unpacked.
    at: u64,
    end: u64,
}

pub(crate) fn place_of(section: Section) -> usize {
    Section::ALL.iter().position(|s| *s == section).unwrap_or(0)
}

impl Unpacking {
    /// Sets room aside for all sections. Their lengths are known from the front, so frames may come in any order.
    pub(crate) fn new<R: Read>(reader: &FileReader<R>, spool: &mut FileSpool, wanted: Wanted) -> io::Result<Self> {
        let mut frames: [Vec<Run>; SECTIONS] = Default::default();
        let mut sections = [Blob::default(); SECTIONS];
        for (place, section) in Section::ALL.into_iter().enumerate() {
            let lengths = || reader.front().frames.iter().filter_map(|f| f.known).filter(|h| h.section == section);
            let run = spool.reserve(lengths().map(|h| h.raw_bytes).sum())?;
            let mut at = run.offset;
            for header in lengths() {
                frames[place].push(Run { at, end: at + header.raw_bytes });
                at += header.raw_bytes;
            }
            sections[place] = run;
        }
        let state = Mutex::new(State { frames, failed: None, stopped: false, wanted });
        Ok(Self { sections, state, changed: Condvar::new() })
    }

    /// Only frames with these contents are unpacked.
    pub(crate) fn want(&self, contents: &[Blob]) {
        let mut state = self.lock();
        let frames = &state.frames[place_of(Section::Sources)];
        let mut wanted = vec![false; frames.len()];
        // Frames are in order of their places: nothing of them is unpacked yet.
        for blob in contents.iter().filter(|blob| blob.len > 0) {
            let first = frames.partition_point(|frame| frame.end <= blob.offset);
            let end = blob.offset + blob.len;
            let touched = frames.iter().zip(&mut wanted).skip(first).take_while(|(frame, _)| frame.at < end);
            touched.for_each(|(_, wanted)| *wanted = true);
        }
        state.wanted = Wanted::Some(wanted);
        drop(state);
        self.changed.notify_all();
    }

    /// Whether a frame is to be unpacked; one that is not counts as there.
    fn takes(&self, place: usize, number: usize) -> bool {
        let mut state = self.lock();
        if place != place_of(Section::Sources) {
            return true;
        }
        while matches!(state.wanted, Wanted::Undecided) && state.failed.is_none() && !state.stopped {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match &state.wanted {
            Wanted::Some(wanted) if wanted.get(number) == Some(&false) => {
                let frame = &mut state.frames[place][number];
                frame.at = frame.end;
                drop(state);
                self.changed.notify_all();
                false
            }
            _ => true,
        }
    }

    /// Where a section is.
    pub(crate) fn section(&self, section: Section) -> Blob {
        self.sections[place_of(section)]
    }

    /// Bytes of all sections.
    pub(crate) fn bytes(&self) -> u64 {
        self.sections.iter().map(|run| run.len).sum()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: DecodeError) {
        self.lock().failed.get_or_insert(error);
        self.changed.notify_all();
    }

    /// Says that nobody follows any more: the rest of the file is only read and checked.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// The first error of reading or unpacking, once all threads have ended.
    pub(crate) fn into_error(self) -> Option<DecodeError> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).failed
    }

    /// Reads as many frames, or to the end of the file, and unpacks them on threads of the scope.
    #[expect(clippy::too_many_arguments, reason = "all that threads share")]
    pub(crate) fn run<'scope, 'env, R: Read>(
        &'scope self,
        scope: &'scope Scope<'scope, 'env>,
        reader: &mut FileReader<R>,
        frames: usize,
        to: &'scope FileSpool,
        dictionaries: &'scope [Dictionary<'static>],
        options: &'scope DecodeOptions,
        budget: &'scope Budget,
        meter: &'scope Meter<'scope>,
    ) {
        let mut next = [0; SECTIONS];
        // One call more than there are frames proves the digest of the file.
        for _ in 0..frames {
            let frame = match reader.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                // Damage is told by its place: a thread is never ahead of this one.
                Err(error) => return self.fail(error.into()),
            };
            let place = place_of(frame.header.section);
            let number = next[place];
            next[place] += 1;
            let takes = self.takes(place, number);
            let state = self.lock();
            let (idle, failed) = (state.stopped, state.failed.is_some());
            drop(state);
            if failed {
                return;
            }
            if !takes {
                meter.add(frame.header.raw_bytes, 0);
            }
            if idle || !takes {
                continue;
            }
            let share = budget.take(frame.header.memory_bytes(), options.threads);
            scope.spawn(move || {
                let _share = share;
                if let Err(error) = self.unpack(&frame, (place, number), to, dictionaries, options, meter) {
                    self.fail(error);
                }
            });
        }
    }

    fn unpack(
        &self,
        frame: &PackedFrame,
        (place, number): (usize, usize),
        to: &FileSpool,
        dictionaries: &[Dictionary<'static>],
        options: &DecodeOptions,
        meter: &Meter<'_>,
    ) -> Result<(), DecodeError> {
        let begin = self.lock().frames[place][number].at;
        let (claim, theirs) = match options.shared.as_ref().and_then(|shared| shared.turn(frame)) {
            Some(Turn::Unpack(claim)) => (Some(claim), None),
            Some(Turn::Copy(there)) => (None, Some(there)),
            None => (None, None),
        };
        let mut reader: Box<dyn Read + '_> = match &theirs {
            Some(there) => {
                let run = Blob { offset: there.offset, len: frame.header.raw_bytes };
                Box::new(RunReader::new(&*there.spool, run))
            }
            None => Box::new(frame.unpack(&options.limits, dictionaries)?),
        };
        let mut buf = vec![0; 1 << 16];
        loop {
            let n = reader.read(&mut buf).map_err(as_format_error)?;
            if n == 0 {
                return claim.map_or(Ok(()), |claim| claim.done(to, begin)).map_err(DecodeError::Spool);
            }
            let at = self.lock().frames[place][number].at;
            to.write_at(at, &buf[..n]).map_err(DecodeError::Spool)?;
            self.lock().frames[place][number].at += n as u64;
            self.changed.notify_all();
            meter.add(n as u64, 0);
        }
    }

    /// Waits until a section is there as a whole; an error when it never will be.
    pub(crate) fn wait(&self, section: Section) -> io::Result<Blob> {
        let place = place_of(section);
        let mut state = self.lock();
        while state.frames[place].iter().any(|run| run.at < run.end) {
            state = self.wait_for_change(state)?;
        }
        Ok(self.sections[place])
    }

    /// A reader of a section that waits for what is not there yet.
    pub(crate) fn follow<'a>(&'a self, section: Section, spool: &'a FileSpool) -> Follower<'a> {
        let run = RunReader::new(spool, self.section(section));
        Follower { unpacking: self, place: place_of(section), run, frame: 0 }
    }

    fn wait_for_change<'a>(&'a self, state: MutexGuard<'a, State>) -> io::Result<MutexGuard<'a, State>> {
        if state.failed.is_some() {
            return Err(io::Error::other("what was to be read could not be unpacked"));
        }
        Ok(self.changed.wait(state).unwrap_or_else(PoisonError::into_inner))
    }
}

/// See [`Unpacking::follow`].
pub(crate) struct Follower<'a> {
    unpacking: &'a Unpacking,
    place: usize,
    run: RunReader<'a>,
    frame: usize,
}

impl Read for Follower<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.run.left;
        if left.len == 0 || buf.is_empty() {
            return Ok(0);
        }
        let mut state = self.unpacking.lock();
        let there = loop {
            let run = state.frames[self.place].get(self.frame).copied().ok_or(io::ErrorKind::UnexpectedEof)?;
            if left.offset == run.end {
                self.frame += 1;
            } else if left.offset < run.at {
                break run.at - left.offset;
            } else {
                state = self.unpacking.wait_for_change(state)?;
            }
        };
        drop(state);
        let n = usize::try_from(there).unwrap_or(usize::MAX).min(buf.len());
        self.run.read(&mut buf[..n])
    }
}

/// A reader of the whole of a run of a spool.
pub(crate) struct RunReader<'a> {
    spool: &'a dyn Spool,
    left: Blob,
}

impl<'a> RunReader<'a> {
    pub(crate) fn new(spool: &'a dyn Spool, run: Blob) -> Self {
        Self { spool, left: run }
    }
}

impl Read for RunReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = usize::try_from(self.left.len).unwrap_or(usize::MAX).min(buf.len());
        self.spool.read_at(self.left.offset, &mut buf[..n])?;
        self.left.offset += n as u64;
        self.left.len -= n as u64;
        Ok(n)
    }
}
