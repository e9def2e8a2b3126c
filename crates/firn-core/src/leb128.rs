//! Numbers in unsigned LEB128, in the shortest form: the `number` of docs/format.md, in fronts, filters, edits and recipes.

/// Appends a number.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// What the first bytes of a number give.
#[derive(Default)]
pub(crate) struct Partial {
    value: u64,
    shift: u32,
}

impl Partial {
    /// Adds the next byte. The number, where that was its last; an error says which rule is broken.
    pub(crate) fn push(&mut self, byte: u8) -> Result<Option<u64>, &'static str> {
        let part = u64::from(byte & 0x7f);
        if self.shift == 63 && part > 1 || self.shift > 63 {
            return Err("a number does not fit into 64 bits");
        }
        if byte == 0 && self.shift > 0 {
            return Err("a number is not in its shortest form");
        }
        self.value |= part << self.shift;
        self.shift += 7;
        Ok((byte < 0x80).then_some(self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The number that the bytes begin with, and how many it took; `None` for one that goes on.
    fn read(bytes: &[u8]) -> Result<Option<(u64, usize)>, &'static str> {
        let mut number = Partial::default();
        for (at, byte) in bytes.iter().enumerate() {
            if let Some(value) = number.push(*byte)? {
                return Ok(Some((value, at + 1)));
            }
        }
        Ok(None)
    }

    proptest! {
        #[test]
        fn numbers_come_back_and_no_other_bytes_give_them(value: u64, drop in 0u32..64, other: [u8; 11]) {
            let value = value >> drop;
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            prop_assert_eq!(read(&bytes), Ok(Some((value, bytes.len()))));
            if let Ok(Some((value, len))) = read(&other) {
                bytes.clear();
                put(&mut bytes, value);
                prop_assert_eq!(&bytes[..], &other[..len]);
            }
        }
    }

    #[test]
    fn the_largest_number_has_ten_bytes_and_what_is_beyond_is_refused() {
        let mut largest = Vec::new();
        put(&mut largest, u64::MAX);
        assert_eq!(largest, [&[0xff; 9][..], &[1]].concat());
        assert_eq!(read(&largest), Ok(Some((u64::MAX, 10))));
        assert_eq!(read(&largest[..9]), Ok(None));
        for end in [&[2][..], &[0x81, 0], &[0xff]] {
            assert!(read(&[&[0xff; 9][..], end].concat()).is_err(), "{end:?}");
        }
        assert!(read(&[0x80, 0]).is_err());
        assert_eq!(read(&[0]), Ok(Some((0, 1))));
    }
}
