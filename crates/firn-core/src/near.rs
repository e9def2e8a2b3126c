//! A number told by how far it is from one that was expected: twice the distance, or for a negative one twice its amount less 1.

/// How a number is told.
pub(crate) fn distance(number: u64, expected: u64) -> u64 {
    let step = number.cast_signed() - expected.cast_signed();
    ((step << 1) ^ (step >> 63)).cast_unsigned()
}

/// The number that is told; `None` for one below 0 or too large.
pub(crate) fn at_distance(coded: u64, expected: u64) -> Option<u64> {
    let step = (coded >> 1).cast_signed() ^ -(coded & 1).cast_signed();
    expected.checked_add_signed(step)
}
