//! Records of derivations, packed while they are written by an encoder that may have been made ready before.

use super::{DERIVATIONS_FRAME, EncodeError, Results};
use crate::{event::Meter, schedule::Budget};
use firn_core::{
    Node, StorePath,
    codec::{CodecError, DICTIONARIES, Dictionary, Encoding, Filter, FramePolicy, Packed, PrimedEncoder},
    format::{PackedFrame, Section},
};
use std::{
    sync::{Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

/// An encoder that gets ready while the input is read: it takes a tenth of the time of a desktop's `convert`.
struct Ahead {
    texts: mpsc::Sender<u64>,
    thread: JoinHandle<Result<Ready, CodecError>>,
}

struct Ready {
    dictionary: Dictionary<'static>,
    text: Vec<u8>,
    /// For so many MiB.
    encoder: Option<(u16, PrimedEncoder<'static>)>,
}

static AHEAD: Mutex<Option<Ahead>> = Mutex::new(None);

fn ahead() -> Option<Ahead> {
    AHEAD.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Unpacks the newest dictionary, and primes an encoder with it once [`expect_texts`] says how much is to come.
pub(super) fn prime_ahead() {
    let Some(dictionary) = DICTIONARIES.last().copied() else { return };
    let (texts, known) = mpsc::channel::<u64>();
    let prime = move || {
        let text = unpack(&dictionary)?;
        let Ok(text_bytes) = known.recv() else { return Ok(Ready { dictionary, text, encoder: None }) };
        let memory_mib = FramePolicy::record_memory(text_bytes, dictionary.raw_bytes);
        let encoder = PrimedEncoder::new(dictionary, &text, memory_mib)?;
        Ok(Ready { dictionary, text, encoder: Some((memory_mib, encoder)) })
    };
    let ahead = Ahead { texts, thread: thread::spawn(prime) };
    *AHEAD.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
}

/// Bytes of the text of a path, if that is a derivation.
pub(crate) fn text_len(path: &StorePath, content: &Node) -> u64 {
    match content {
        Node::Regular { contents, .. } if path.is_derivation() => contents.len,
        _ => 0,
    }
}

/// Tells how many bytes of derivations were read. Nothing of it need be proven: where it is wrong, time is lost and no more.
pub(crate) fn expect_texts(bytes: u64) {
    if let Some(ahead) = &*AHEAD.lock().unwrap_or_else(PoisonError::into_inner) {
        // It may have failed, which is told where it is needed.
        let _ = ahead.texts.send(bytes);
    }
}

fn unpack(dictionary: &Dictionary<'_>) -> Result<Vec<u8>, CodecError> {
    dictionary.raw(FramePolicy::record_memory(0, dictionary.raw_bytes))
}

/// An encoder that knows a dictionary: the one that was made ready if it is the same.
fn primed<'a>(dictionary: &Dictionary<'a>, memory_mib: u16) -> Result<PrimedEncoder<'a>, CodecError> {
    let ready = ahead().and_then(|Ahead { texts, thread }| {
        drop(texts);
        thread.join().ok()?.ok()
    });
    match ready.filter(|ready| ready.dictionary.id == dictionary.id) {
        Some(Ready { encoder: Some((memory, encoder)), .. }) if memory == memory_mib => Ok(encoder),
        Some(Ready { text, .. }) => PrimedEncoder::new(*dictionary, &text, memory_mib),
        None => PrimedEncoder::new(*dictionary, &unpack(dictionary)?, memory_mib),
    }
}

/// Packs records while they are being written.
pub(super) struct RecordPacker<'a> {
    pub(super) dictionary: &'a Dictionary<'a>,
    pub(super) memory_mib: u16,
    pub(super) budget: &'a Budget,
    pub(super) meter: &'a Meter<'a>,
    pub(super) sender: Results,
}

impl RecordPacker<'_> {
    pub(super) fn run(&self, pieces: &mpsc::Receiver<Vec<u8>>) {
        // The first is primed before there is a record; another only if there are more.
        let mut rest = Vec::new();
        for number in 0.. {
            let frame = self.frame(pieces, &mut rest);
            let is_last = !matches!(frame, Ok(Some(_)));
            let Some(frame) = frame.transpose() else { return };
            if self.sender.send((number, frame)).is_err() || is_last {
                return;
            }
            if rest.is_empty() {
                let Ok(next) = pieces.recv() else { return };
                rest = next;
            }
        }
    }

    /// The next frame. `rest` is what is left of the last piece.
    fn frame(&self, pieces: &mpsc::Receiver<Vec<u8>>, rest: &mut Vec<u8>) -> Result<Option<PackedFrame>, EncodeError> {
        let encoding = Encoding::PrimedPpmd7 { memory_mib: self.memory_mib };
        let _share = self.budget.take(encoding.memory_bytes(0), usize::MAX);
        let mut encoder = primed(self.dictionary, self.memory_mib)?;
        let mut len = 0;
        while len < DERIVATIONS_FRAME {
            if rest.is_empty() {
                let Ok(next) = pieces.recv() else { break };
                *rest = next;
            }
            let after = rest.split_off(rest.len().min(DERIVATIONS_FRAME - len));
            encoder.write(rest)?;
            len += rest.len();
            *rest = after;
        }
        if len == 0 {
            return Ok(None);
        }
        self.meter.add(len as u64, 0);
        let (codec, bytes) = encoder.finish()?;
        let packed = Packed { codec, filter: Filter::NONE, bytes };
        Ok(Some(PackedFrame::new(Section::Derivations, len as u64, packed)))
    }
}
