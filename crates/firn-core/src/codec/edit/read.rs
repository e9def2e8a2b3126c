//! Packed bytes of an edit back to its raw ones.

use super::{
    NUMBERS_CODEC, SHORTEST,
    find::Copied,
    prime::{Prime, Shape},
};
use crate::{
    codec::{Codec, CodecError, Dictionary, Filter, FilterReader, filter},
    near,
};
use std::io::{BufReader, Read};

/// Margin and reach at most: as many bytes as a reader has memory for.
const FARTHEST: usize = 1 << 28;
const DAMAGED: CodecError = CodecError::Damaged("edit");

/// The raw bytes of an edit: exactly so many, or an error. Takes the memory that frame, codec and filter declare: check it
/// first.
pub fn unpack_edit(
    packed: &[u8],
    run: &[u8],
    raw_bytes: u64,
    memory_mib: u16,
    filter: Filter,
) -> Result<Vec<u8>, CodecError> {
    let raw_len = usize::try_from(raw_bytes).map_err(|_| CodecError::Memory { bytes: raw_bytes })?;
    if u32::try_from(run.len()).is_err() {
        return Err(DAMAGED);
    }
    let mut rest = packed;
    let [order, separator, escape] = take(&mut rest)?;
    let [margin, reach, shared, count] = numbers(&mut rest)?;
    let copies = copies(&mut rest, count, run.len(), raw_len)?;
    let [stream_bytes] = numbers(&mut rest)?;
    let literals = raw_len - copies.iter().map(|copy| copy.len).sum::<usize>();
    // Each literal may be escaped, each copy has a separator.
    if stream_bytes > (2 * literals + copies.len()) as u64 || separator == escape {
        return Err(DAMAGED);
    }
    let shape = Shape { margin: within(margin, FARTHEST)?, reach: within(reach, FARTHEST)? };
    let text = Prime::new(&copies, run.len(), shape)?.text(run, separator);
    let packed_text = Dictionary::pack(&text, order, memory_mib)?;
    let shared = within(shared, packed_text.len())? as u32;
    let dictionary = Dictionary { id: 0, order, raw_bytes: text.len() as u64, packed: &packed_text };
    let codec = Codec::PrimedPpmd7 { dictionary: 0, memory_mib, shared };
    let stream = FilterReader::new(codec, filter, rest, stream_bytes, &[dictionary])?;
    let mut raw = Vec::new();
    raw.try_reserve_exact(raw_len).map_err(|_| CodecError::Memory { bytes: raw_bytes })?;
    let mut joiner = Joiner { stream: BufReader::new(stream), literals, separator, escape };
    for copy in &copies {
        while joiner.literal(&mut raw)? {}
        raw.extend_from_slice(run.get(copy.from..copy.from + copy.len).ok_or(DAMAGED)?);
    }
    while joiner.literals > 0 {
        if !joiner.literal(&mut raw)? {
            return Err(DAMAGED);
        }
    }
    match joiner.byte()? {
        None => Ok(raw),
        Some(_) => Err(CodecError::GoesOn),
    }
}

/// Literals and separators as they come.
struct Joiner<'a> {
    stream: BufReader<FilterReader<'a>>,
    /// How many have yet to come.
    literals: usize,
    separator: u8,
    escape: u8,
}

impl Joiner<'_> {
    /// The next literal; false where a separator ends the run of them.
    fn literal(&mut self, raw: &mut Vec<u8>) -> Result<bool, CodecError> {
        let mut byte = self.byte()?.ok_or(DAMAGED)?;
        if byte == self.separator {
            return Ok(false);
        }
        if byte == self.escape {
            byte = self.byte()?.ok_or(DAMAGED)?;
            if byte != self.separator && byte != self.escape {
                return Err(DAMAGED);
            }
        }
        self.literals = self.literals.checked_sub(1).ok_or(DAMAGED)?;
        raw.push(byte);
        Ok(true)
    }

    fn byte(&mut self) -> Result<Option<u8>, CodecError> {
        let mut byte = [0];
        let n = self.stream.read(&mut byte).map_err(CodecError::from_io)?;
        Ok((n > 0).then_some(byte[0]))
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], CodecError> {
    let (bytes, after) = rest.split_first_chunk().ok_or(DAMAGED)?;
    *rest = after;
    Ok(*bytes)
}

fn numbers<const N: usize>(rest: &mut &[u8]) -> Result<[u64; N], CodecError> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = filter::take_varint(rest).map_err(|_| DAMAGED)?;
    }
    Ok(numbers)
}

fn within(number: u64, most: usize) -> Result<usize, CodecError> {
    usize::try_from(number).ok().filter(|number| *number <= most).ok_or(DAMAGED)
}

/// The copies, each inside the run and all together not longer than the frame.
fn copies(rest: &mut &[u8], count: u64, run: usize, raw: usize) -> Result<Vec<Copied>, CodecError> {
    let count = within(count, raw / SHORTEST)?;
    if count == 0 {
        return Ok(Vec::new());
    }
    // Numbers of a frame or a run below 2^32 have at most five bytes, and zigzag no more.
    let [lows, highs, distances] = [part(rest, count)?, part(rest, 5 * count)?, part(rest, 5 * count)?];
    if lows.len() != count {
        return Err(DAMAGED);
    }
    let (mut highs, mut distances) = (highs.as_slice(), distances.as_slice());
    let (mut end, mut left) = (0, raw);
    let mut copies = Vec::with_capacity(count);
    for low in &lows {
        let ([high], [distance]) = (numbers(&mut highs)?, numbers(&mut distances)?);
        let len = (within(high, raw >> 8)? << 8 | usize::from(*low)) + SHORTEST;
        left = left.checked_sub(len).ok_or(DAMAGED)?;
        let from = within(near::at_distance(distance, end).ok_or(DAMAGED)?, run)?;
        if len > run - from {
            return Err(DAMAGED);
        }
        end = (from + len) as u64;
        copies.push(Copied { literals: 0, from, len });
    }
    if !highs.is_empty() || !distances.is_empty() {
        return Err(DAMAGED);
    }
    Ok(copies)
}

fn part(rest: &mut &[u8], most: usize) -> Result<Vec<u8>, CodecError> {
    let reader = filter::take_blob(rest, NUMBERS_CODEC, most as u64).map_err(|_| DAMAGED)?;
    let mut bytes = Vec::new();
    BufReader::new(reader).read_to_end(&mut bytes).map_err(CodecError::from_io)?;
    Ok(bytes)
}
