//! What is tried for one frame of a delta. The time of both sides is bounded by that of the whole file, so what a glance at
//! the copies or at the start of the literals decides is not tried. Figures: docs/design/deltas.md.

use super::{Reference, reference::Joined};
use crate::{EncodeError, encode::Raw};
use firn_core::{
    Spool,
    codec::{
        Codec, Dictionary, Edit, EditOf, EditPlan, EditSample, Filter, FramePolicy, Packed, PatchOf, PrimedEncoder,
    },
    format::{PackedFrame, Section, pack_frame, pack_patch_frame},
    recipe::Lane,
};

/// A patch of so few bytes is left as it is: an edit would gain next to nothing, and the file can be read by firn 0.1.
const TINY: usize = 512;
/// So many bytes of literals are packed in one way: that of the whole file or an edit, as their start says.
const LARGE: usize = 256 << 10;
/// Memory of a reader that an edit for low memory takes at most.
const LOW_MEMORY: u64 = 32 << 20;

/// One frame to pack.
pub(super) struct Job {
    pub(super) section: Section,
    pub(super) number: usize,
    pub(super) raw: Raw,
    /// Where it is in the reference of the section: from, length.
    pub(super) run: (u64, u64),
    pub(super) policy: FramePolicy,
}

/// The smallest of what is tried.
pub(super) fn pack(
    job: &Job,
    reference: &Reference,
    joined: &Joined,
    spool: &dyn Spool,
    dictionary: Option<&Dictionary<'_>>,
    low_memory: bool,
) -> Result<PackedFrame, EncodeError> {
    let raw = &*job.raw.bytes(spool)?;
    let (from, len) = job.run;
    let run = if len > 0 { reference.run(job.section, from, len, Some(joined), spool)? } else { None };
    let dictionary = dictionary.filter(|_| job.section == Section::Derivations);
    let mut frame = Frame { job, raw, run: &run.unwrap_or_default(), dictionary, low_memory, best: None };
    if frame.run.is_empty() {
        frame.plain()?;
    } else if let FramePolicy::Contents { lane, .. } = job.policy {
        frame.contents(if lane == Lane::Large { PatchOf::LargeFile } else { PatchOf::Contents })?;
    } else {
        frame.records()?;
    }
    match frame.best {
        Some(frame) => Ok(frame),
        None => Ok(pack_frame(job.section, raw, &FramePolicy::stored(), None)?),
    }
}

/// A frame, and the smallest that was made of it.
struct Frame<'a> {
    job: &'a Job,
    raw: &'a [u8],
    run: &'a [u8],
    /// Of derivations alone.
    dictionary: Option<&'a Dictionary<'a>>,
    low_memory: bool,
    best: Option<PackedFrame>,
}

impl<'a> Frame<'a> {
    /// Copies of contents are long.
    fn contents(&mut self, of: PatchOf) -> Result<(), EncodeError> {
        if self.raw.len() < TINY {
            self.patch(of)?;
            return self.plain_unless_near();
        }
        let plan = self.plan(EditOf::Contents);
        if self.is_far(&plan) {
            let copied = plan.literals() < self.raw.len() / 16 * 15;
            if plan.is_dense() {
                // PPMd7 takes longest for what it gains nothing of.
                if copied {
                    self.patch(of)?;
                }
                return self.plain();
            }
            // Tags as words are worth more than some copies.
            if copied && of == PatchOf::Contents {
                self.edit(plan.pack()?);
                return if self.best.is_some() { Ok(()) } else { self.plain() };
            }
            let EditSample { raw_bytes, packed_bytes } = plan.glance()?;
            let start = self.raw.get(..raw_bytes).unwrap_or(self.raw);
            let plain = self.job.policy.pack(start, None)?.bytes.len();
            // At the start a prime gains most.
            let smaller = packed_bytes < plain / 10 * 9;
            if smaller || packed_bytes < plain && plan.literals() <= 2 * LARGE {
                self.edit(plan.pack()?);
            }
            return if smaller && self.best.is_some() { Ok(()) } else { self.plain() };
        }
        let (near, edit) = (self.is_near(&plan), plan.pack()?);
        self.edit(edit);
        // What does not pack well is no text.
        if self.size() > self.raw.len() / 2 {
            self.patch(of)?;
        }
        if near { self.plain_unless_near() } else { self.plain() }
    }

    /// Copies of records are short as well, and what a patch finds may cost less.
    fn records(&mut self) -> Result<(), EncodeError> {
        if self.job.section == Section::Hashes {
            // No two are alike.
            self.patch(PatchOf::Records)?;
            return self.plain_unless_near();
        }
        let plan = self.plan(EditOf::Records);
        if let Some(dictionary) = self.dictionary
            && self.is_far(&plan)
        {
            if self.primed(dictionary, Some(plan.glance()?))? {
                self.edit(plan.pack()?);
            }
            return Ok(());
        }
        // Where there is more between the copies, they are not many and short.
        if plan.literals() <= self.raw.len() / 24 || self.raw.len() < LARGE {
            self.patch(PatchOf::Records)?;
        }
        let near = self.is_near(&plan);
        if self.size() > TINY {
            self.edit(plan.pack()?);
        }
        if near { self.plain_unless_near() } else { self.plain() }
    }

    fn plan(&self, of: EditOf) -> EditPlan<'a> {
        EditPlan::new(self.raw, self.run, of, self.low_memory)
    }

    /// Whether an edit would have much to pack, and more than a little of what there is.
    fn is_far(&self, plan: &EditPlan<'_>) -> bool {
        plan.literals() > LARGE && !self.is_near(plan)
    }

    /// Whether most of it is copies.
    fn is_near(&self, plan: &EditPlan<'_>) -> bool {
        plan.literals() <= self.raw.len() / 4
    }

    fn size(&self) -> usize {
        self.best.as_ref().map_or(usize::MAX, |frame| frame.bytes.len())
    }

    fn offer(&mut self, frame: PackedFrame) {
        if frame.bytes.len() < self.size() {
            self.best = Some(frame);
        }
    }

    fn patch(&mut self, of: PatchOf) -> Result<(), EncodeError> {
        self.offer(pack_patch_frame(self.job.section, of, self.raw, self.run, self.job.run.0)?);
        Ok(())
    }

    fn edit(&mut self, edit: Edit) {
        let Edit { memory_mib, filter, bytes } = edit;
        let codec = Codec::Edit { from: self.job.run.0, len: self.run.len() as u64, memory_mib };
        let frame = PackedFrame::new(self.job.section, self.raw.len() as u64, Packed { codec, filter, bytes });
        // Next to nothing of what is declared for the list of copies is used.
        let used = frame.header.memory_bytes().saturating_sub(2 * frame.header.raw_bytes);
        if !self.low_memory || used <= LOW_MEMORY {
            self.offer(frame);
        }
    }

    /// What an edit or a patch makes a twentieth is not packed in the way of the whole file.
    fn plain_unless_near(&mut self) -> Result<(), EncodeError> {
        if self.size() > self.raw.len() / 20 { self.plain() } else { Ok(()) }
    }

    fn plain(&mut self) -> Result<(), EncodeError> {
        let Some(dictionary) = self.dictionary else {
            self.offer(pack_frame(self.job.section, self.raw, &self.job.policy, None)?);
            return Ok(());
        };
        self.primed(dictionary, None)?;
        Ok(())
    }

    /// As records of a whole file are packed, unless the start of an edit is much smaller. Returns whether an edit may be.
    fn primed(&mut self, dictionary: &Dictionary<'_>, edit: Option<EditSample>) -> Result<bool, EncodeError> {
        let memory_mib = FramePolicy::record_memory(6 * self.raw.len() as u64, dictionary.raw_bytes);
        let mut encoder = PrimedEncoder::new(*dictionary, &dictionary.raw(memory_mib)?, memory_mib)?;
        let (start, rest) = self.raw.split_at(edit.map_or(0, |edit| edit.raw_bytes.min(self.raw.len())));
        encoder.write(start)?;
        let (packed, edit) = (encoder.packed_bytes(), edit.map_or(usize::MAX, |edit| edit.packed_bytes));
        if edit < packed / 4 * 3 {
            return Ok(true);
        }
        encoder.write(rest)?;
        let (codec, bytes) = encoder.finish()?;
        let whole = Packed { codec, filter: Filter::NONE, bytes };
        self.offer(PackedFrame::new(self.job.section, self.raw.len() as u64, whole));
        Ok(edit < packed)
    }
}
