//! Runs of bytes of one kind, looked at sixteen bytes at a time.

const BYTES: usize = size_of::<u128>();

/// The same byte sixteen times.
const fn all(byte: u8) -> u128 {
    u128::from_ne_bytes([byte; BYTES])
}

/// The highest bit of each byte from `first` to `last`, which are ASCII.
fn between(block: u128, first: u8, last: u8) -> u128 {
    // No sum leaves its byte.
    let low = block & all(0x7f);
    (low + all(0x80 - first)) & !(low + all(0x7f - last)) & !block & all(0x80)
}

/// The highest bit of each letter.
pub(super) fn letters(block: u128) -> u128 {
    between(block | all(0x20), b'a', b'z')
}

/// The highest bit of each letter or digit.
pub(super) fn alphanumerics(block: u128) -> u128 {
    letters(block) | between(block, b'0', b'9')
}

/// How many bytes at the start of a text are of the kind, or not of it, as the first of them is.
pub(super) fn run(text: &[u8], kind: impl Fn(u128) -> u128) -> usize {
    let mut len = 0;
    let mut first = None;
    while len < text.len() {
        let block = word(text, len, BYTES.min(text.len() - len));
        let found = kind(block);
        let of_the_kind = *first.get_or_insert(found & 0x80 != 0);
        let other = if of_the_kind { !found & all(0x80) } else { found };
        let same = other.trailing_zeros() as usize / 8;
        len += same;
        if same < BYTES {
            break;
        }
    }
    len.min(text.len())
}

/// At most sixteen bytes of a text as a number, zeros behind them.
pub(super) fn word(text: &[u8], at: usize, len: usize) -> u128 {
    let bits = 8 * (BYTES - len) as u32;
    if let Some(block) = text.get(at..).and_then(|rest| rest.first_chunk()) {
        u128::from_le_bytes(*block) << bits >> bits
    } else {
        let mut block = [0; BYTES];
        block[..len].copy_from_slice(&text[at..at + len]);
        u128::from_le_bytes(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_where_the_kind_of_byte_changes() {
        type Kind = (fn(u128) -> u128, fn(&u8) -> bool);
        let kinds: [Kind; 2] = [(letters, u8::is_ascii_alphabetic), (alphanumerics, u8::is_ascii_alphanumeric)];
        let texts =
            (0..=255u8).flat_map(|byte| (0..40).map(move |before| [vec![byte; before], vec![b'm', byte]].concat()));
        for text in texts.chain((0..=255).map(|byte| vec![byte; 37])) {
            for (kind, is) in kinds {
                let expected = text.iter().position(|b| is(b) != is(&text[0])).unwrap_or(text.len());
                assert_eq!(run(&text, kind), expected, "{text:?}");
            }
        }
    }
}
