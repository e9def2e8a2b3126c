//! Edits: long copies from a run of the base's section, and the text between them as PPMd7 codes it that has just seen what
//! the copies left out of the run. The bytes are described in docs/format.md.

mod find;
mod prime;
mod read;

#[cfg(test)]
mod tests;

pub use read::unpack_edit;

use super::{
    Codec, CodecError, Encoding, Filter, MIB,
    encoding::ppmd7_encoder,
    filter::{self, Filtered},
    policy::{is_incompressible, model_memory},
};
use crate::{leb128, near};
use find::{Copied, find};
use prime::{Prime, Shape};
use std::io::Write;

/// Bytes of the shortest copy that the format has. It limits how many there are before memory is taken for them.
const SHORTEST: usize = 32;
/// Bytes of a prime at most.
const LONGEST_PRIME: usize = 1 << 20;
/// Codec of lengths and distances.
const NUMBERS: Encoding = Encoding::Ppmd7 { order: 2, memory_mib: 1 };
/// The same, for a reader.
const NUMBERS_CODEC: Codec = Codec::Ppmd7 { order: 2, memory_mib: 1 };
/// Bytes of literals that a prime is chosen with.
const SAMPLE: usize = 128 << 10;
/// From so many bytes of literals on records take a longer order.
const LONG: usize = 256 << 10;
/// A longer prime has to save a byte for so many of its own: both sides spend 0.15 s on a MiB of it.
const PAYS: usize = 2048;
/// Memory of a model of order 24 for each byte of prime and literals.
const TIMES: u64 = 42;

/// What an edit is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditOf {
    /// Anything.
    All,
    /// Contents of sources, with or without their hashes.
    Contents,
    /// Records: where the run has not much of them a longer order pays.
    Records,
}

/// Memory of a model for each byte.
fn of_order(order: u8) -> u64 {
    TIMES * u64::from(order) / 24
}

/// Memory of a model in MiB at most.
fn max_model(low_memory: bool) -> u16 {
    if low_memory { 8 } else { 64 }
}

/// Bytes of memory that packing takes beside frame and run: tables, literals and prime with their packed bytes, model.
pub fn edit_memory(raw_bytes: u64, run_bytes: u64, low_memory: bool) -> u64 {
    // What is primed with is a part of the run.
    let text = 2 * raw_bytes + run_bytes.min(LONGEST_PRIME as u64);
    let model = u64::from(model_memory(text, TIMES, max_model(low_memory))) * MIB;
    find::table_bytes(run_bytes).max(model) + 2 * raw_bytes + 4 * LONGEST_PRIME as u64
}

/// A frame that was packed as an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Memory of the model in MiB.
    pub memory_mib: u16,
    /// What was done to the literals.
    pub filter: Filter,
    /// All packed bytes.
    pub bytes: Vec<u8>,
}

/// Packs bytes that are much like the run. Same input, same bytes, on every machine.
pub fn pack_edit(raw: &[u8], run: &[u8], of: EditOf, low_memory: bool) -> Result<Edit, CodecError> {
    EditPlan::new(raw, run, of, low_memory).pack()
}

/// What an edit would copy, before anything is packed: what it is worth can be told from that.
pub struct EditPlan<'a> {
    run: &'a [u8],
    raw_bytes: usize,
    copies: Vec<Copied>,
    stream: Literals,
    of: EditOf,
    low_memory: bool,
}

impl<'a> EditPlan<'a> {
    /// Looks for copies.
    pub fn new(raw: &[u8], run: &'a [u8], of: EditOf, low_memory: bool) -> Self {
        let copies = find(raw, run);
        let stream = Literals::of(raw, &copies);
        Self { run, raw_bytes: raw.len(), copies, stream, of, low_memory }
    }

    /// Bytes of the literal stream: about as many as no copy gives.
    pub fn literals(&self) -> usize {
        self.stream.bytes.len()
    }

    /// Whether nothing can be made of the literals.
    pub fn is_dense(&self) -> bool {
        is_incompressible(&self.stream.bytes)
    }

    /// What the start of the literals packs to, with the first prime: little beside an edit that is not made.
    pub fn glance(&self) -> Result<EditSample, CodecError> {
        let (order, primes) = self.primes()?;
        let text = primes.first().map(|prime| prime.text(self.run, self.stream.separator)).unwrap_or_default();
        // What the start took the place of is at the start of the run.
        let prime = &text[..text.len().min(2 * SAMPLE)];
        let packed = primed(order, prime, self.start(), self.low_memory)?.2.len();
        Ok(self.sample(packed, self.head()?.len()))
    }

    /// Packs it.
    pub fn pack(&self) -> Result<Edit, CodecError> {
        let (order, primes) = self.primes()?;
        let (shape, prime) = self.choose(order, &primes)?;
        let mut head = vec![order, self.stream.separator, self.stream.escape];
        leb128::put(&mut head, shape.margin as u64);
        leb128::put(&mut head, shape.reach as u64);
        let numbers = self.head()?;
        let literals = &self.stream.bytes;
        let plain = Filtered::new(literals);
        let mut filtered = Filtered::new(literals);
        if self.of == EditOf::Contents {
            filtered.take_hashes()?;
        }
        let taken = literals.len() - filtered.stream.len();
        // Few hashes gain nothing and many much; what is between is tried where it takes little time.
        let tried: &[&Filtered<'_>] = match literals.len() {
            _ if filtered.filter == Filter::NONE => &[&plain],
            len if taken >= len / 8 => &[&filtered],
            len if len <= SAMPLE => &[&plain, &filtered],
            len if taken < len / 200 => &[&plain],
            _ => &[&filtered],
        };
        let mut best: Option<Edit> = None;
        for literals in tried {
            let (memory_mib, shared, packed) = primed(order, &prime, &literals.stream, self.low_memory)?;
            let mut bytes = head.clone();
            leb128::put(&mut bytes, shared as u64);
            bytes.extend_from_slice(&numbers);
            bytes.extend(literals.head());
            bytes.extend_from_slice(&packed);
            if best.as_ref().is_none_or(|best| bytes.len() < best.bytes.len()) {
                best = Some(Edit { memory_mib, filter: literals.filter, bytes });
            }
        }
        best.ok_or(CodecError::Damaged("edit"))
    }

    /// The prime that suits the start of the literals, and how it was cut.
    fn choose(&self, order: u8, primes: &[Prime]) -> Result<(Shape, Vec<u8>), CodecError> {
        let text = |prime: &Prime| prime.text(self.run, self.stream.separator);
        if let [only] = primes {
            return Ok((only.shape, text(only)));
        }
        let (sample, stream) = (self.start(), &self.stream);
        let mut best: Option<(usize, Shape, Vec<u8>)> = None;
        // Estimated length and bytes of the prime before this one, and what that one gained.
        let (mut last, mut gain) = ((usize::MAX, usize::MAX), usize::MAX);
        for prime in primes {
            // The next gains no more than half of what the last did.
            if prime.len.saturating_sub(last.1) / PAYS > gain / 2 {
                break;
            }
            let (shape, prime) = (prime.shape, text(prime));
            let sampled = primed(order, &prime, sample, self.low_memory)?.2.len();
            let len = sampled * stream.bytes.len() / sample.len().max(1);
            gain = last.0.saturating_sub(len);
            last = (len, prime.len());
            let cost = len + prime.len() / PAYS;
            if best.as_ref().is_none_or(|(least, ..)| cost < *least) {
                best = Some((cost, shape, prime));
            }
        }
        best.map(|(_, shape, prime)| (shape, prime)).ok_or(CodecError::Damaged("edit"))
    }

    /// The order, and the primes that are to be tried.
    fn primes(&self) -> Result<(u8, Vec<Prime>), CodecError> {
        let literals = self.stream.bytes.len();
        let primes = Prime::choices(&self.copies, self.run.len(), self.raw_bytes, literals)?;
        // A model of a longer order that starts anew on the way is worth less than one of a shorter.
        let longest = primes.iter().map(|prime| prime.len).max().unwrap_or(0) + literals;
        let fits = model_memory(longest as u64, of_order(20), u16::MAX) <= max_model(self.low_memory);
        let order = match self.of {
            EditOf::Records if literals >= LONG && !self.low_memory => 24,
            _ if fits => 20,
            _ => 16,
        };
        Ok((order, primes))
    }

    /// The start of the literals, which tells what suits them.
    fn start(&self) -> &[u8] {
        &self.stream.bytes[..self.stream.bytes.len().min(SAMPLE)]
    }

    /// What stands before the literals, but for the numbers of the prime.
    fn head(&self) -> Result<Vec<u8>, CodecError> {
        let mut head = Vec::new();
        leb128::put(&mut head, self.copies.len() as u64);
        if !self.copies.is_empty() {
            put_numbers(&mut head, &self.copies)?;
        }
        leb128::put(&mut head, self.stream.bytes.len() as u64);
        Ok(head)
    }

    /// How many raw bytes the sampled literals and the copies between them are, and what they are packed.
    fn sample(&self, packed: usize, head: usize) -> EditSample {
        let literals = self.start().len();
        let (mut stream, mut raw, mut copies) = (0, 0, 0);
        for copy in &self.copies {
            if stream + copy.literals + 1 > literals {
                break;
            }
            stream += copy.literals + 1;
            raw += copy.literals + copy.len;
            copies += 1;
        }
        let raw_bytes = (raw + (literals - stream)).min(self.raw_bytes);
        EditSample { raw_bytes, packed_bytes: packed + head * copies / self.copies.len().max(1) }
    }
}

/// What the start of an edit packs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EditSample {
    /// So many raw bytes from the start on.
    pub raw_bytes: usize,
    /// So many bytes as an edit, about.
    pub packed_bytes: usize,
}

/// Literals packed as if the prime had gone before them: memory in MiB, how many packed bytes of the prime are left out,
/// and the rest.
fn primed(order: u8, prime: &[u8], literals: &[u8], low_memory: bool) -> Result<(u16, usize, Vec<u8>), CodecError> {
    if literals.is_empty() {
        return Ok((1, 0, Vec::new()));
    }
    let total = (prime.len() + literals.len()) as u64;
    let memory_mib = model_memory(total, of_order(order), max_model(low_memory));
    let mut encoder = ppmd7_encoder(order, memory_mib)?;
    let damaged = |_| CodecError::Damaged("ppmd7");
    encoder.write_all(prime).map_err(damaged)?;
    // What is out by now no later byte changes; the coder holds back what a carry may.
    let shared = encoder.get_ref().len();
    encoder.write_all(literals).map_err(damaged)?;
    let mut packed = encoder.finish(false).map_err(damaged)?;
    packed.drain(..shared);
    Ok((memory_mib, shared, packed))
}

/// Low bytes of lengths, what is above them, and how far each copy begins from the end of the one before.
fn put_numbers(head: &mut Vec<u8>, copies: &[Copied]) -> Result<(), CodecError> {
    let (mut lows, mut highs, mut distances) = (Vec::with_capacity(copies.len()), Vec::new(), Vec::new());
    let mut end = 0;
    for copy in copies {
        let len = copy.len.saturating_sub(SHORTEST);
        lows.push(len as u8);
        leb128::put(&mut highs, len as u64 >> 8);
        leb128::put(&mut distances, near::distance(copy.from as u64, end));
        end = (copy.from + copy.len) as u64;
    }
    for part in [lows, highs, distances] {
        filter::put_blob(head, &part, NUMBERS)?;
    }
    Ok(())
}

/// What no copy gives, each run of it but the last with a separator behind it.
struct Literals {
    bytes: Vec<u8>,
    separator: u8,
    escape: u8,
}

impl Literals {
    fn of(raw: &[u8], copies: &[Copied]) -> Self {
        let mut runs = Vec::with_capacity(copies.len() + 1);
        let mut rest = raw;
        for copy in copies {
            let (literals, after) = rest.split_at(copy.literals.min(rest.len()));
            runs.push(literals);
            rest = after.get(copy.len..).unwrap_or_default();
        }
        runs.push(rest);
        let mut counts = [0u64; 256];
        for byte in runs.iter().copied().flatten() {
            counts[usize::from(*byte)] += 1;
        }
        // The two rarest bytes, mostly those that do not occur.
        let mut bytes: Vec<u8> = (0..=u8::MAX).collect();
        bytes.sort_by_key(|byte| counts[usize::from(*byte)]);
        let (separator, escape) = (bytes[0], bytes[1]);
        let mut bytes = Vec::new();
        for (number, run) in runs.iter().enumerate() {
            if number > 0 {
                bytes.push(separator);
            }
            for byte in *run {
                if *byte == separator || *byte == escape {
                    bytes.push(escape);
                }
                bytes.push(*byte);
            }
        }
        Self { bytes, separator, escape }
    }
}
