//! Texts that are hashes: they do not compress, so they travel as bytes.

use crate::hash;

/// How a hash is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Hex,
    Base32,
    Base64,
}

/// Byte lengths of MD5, SHA-1 (and store paths), SHA-256, SHA-512.
pub(crate) const LENGTHS: [usize; 4] = [16, 20, 32, 64];

/// What a text is the hash text of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HashText {
    pub(crate) encoding: Encoding,
    pub(crate) bytes: Vec<u8>,
    /// Length of the text.
    pub(crate) len: usize,
}

/// One byte for encoding and length.
pub(super) fn code(encoding: Encoding, bytes: usize) -> u8 {
    let length = LENGTHS.iter().position(|l| *l == bytes).unwrap_or(0) as u8;
    0x60 + 4 * encoding as u8 + length
}

/// Reverse of [`code`].
pub(super) fn from_code(code: u8) -> Option<(Encoding, usize)> {
    let number = code.checked_sub(0x60)?;
    let encoding = match number / 4 {
        0 => Encoding::Hex,
        1 => Encoding::Base32,
        2 => Encoding::Base64,
        _ => return None,
    };
    Some((encoding, LENGTHS[usize::from(number % 4)]))
}

/// The text of a hash.
pub(crate) fn write(encoding: Encoding, bytes: &[u8]) -> String {
    match encoding {
        Encoding::Hex => hash::hex(bytes),
        Encoding::Base32 => hash::base32(bytes),
        Encoding::Base64 => hash::base64(bytes),
    }
}

/// Finds a hash text at the start of `text`, which must be the start of a word and end with it.
pub(crate) fn find(text: &[u8]) -> Option<HashText> {
    let word = text.iter().position(|b| !b.is_ascii_alphanumeric()).unwrap_or(text.len());
    let found = |encoding, bytes, len| Some(HashText { encoding, bytes, len });
    match word {
        32 | 40 | 64 | 128 => {
            if let Some(bytes) = hash::from_hex(&text[..word]) {
                return found(Encoding::Hex, bytes, word);
            }
        }
        _ => {}
    }
    match word {
        32 => {
            if let Some(bytes) = hash::from_base32::<20>(&text[..word]) {
                return found(Encoding::Base32, bytes.to_vec(), word);
            }
        }
        52 => {
            if let Some(bytes) = hash::from_base32::<32>(&text[..word]) {
                return found(Encoding::Base32, bytes.to_vec(), word);
            }
        }
        103 => {
            if let Some(bytes) = hash::from_base32::<64>(&text[..word]) {
                return found(Encoding::Base32, bytes.to_vec(), word);
            }
        }
        _ => {}
    }
    let digit = |b: &u8| b.is_ascii_alphanumeric() || *b == b'+' || *b == b'/';
    let digits = text.iter().take(90).position(|b| !digit(b))?;
    let len = match (digits, text.get(digits), text.get(digits + 1)) {
        (27 | 43, Some(b'='), next) if next != Some(&b'=') => digits + 1,
        (22 | 86, Some(b'='), Some(b'=')) => digits + 2,
        _ => return None,
    };
    let bytes = from_base64(&text[..digits]);
    (write(Encoding::Base64, &bytes).as_bytes() == &text[..len]).then_some(HashText {
        encoding: Encoding::Base64,
        bytes,
        len,
    })
}

/// Decodes digits without padding; the caller compares.
fn from_base64(digits: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut group, mut bits) = (0u32, 0);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        group = group << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((group >> bits) as u8);
        }
    }
    out
}

/// A digest as `outputHash` gives it, in any spelling that Nix reads: base 16 of it, and the algorithm.
pub(super) fn parse_output_hash(text: &[u8], algorithm: &[u8]) -> Option<(Vec<u8>, String)> {
    let (algorithm, text) = match text.iter().position(|b| *b == b':' || *b == b'-') {
        Some(at) => {
            let named = &text[..at];
            if !algorithm.is_empty() && named != algorithm {
                return None;
            }
            (named, &text[at + 1..])
        }
        None => (algorithm, text),
    };
    let bytes = match algorithm {
        b"md5" => 16,
        b"sha1" => 20,
        b"sha256" => 32,
        b"sha512" => 64,
        _ => return None,
    };
    let digest = if text.len() == bytes * 2 {
        hash::from_hex(text)?
    } else if text.len() == (bytes * 8).div_ceil(5) {
        match bytes {
            16 => hash::from_base32::<16>(text)?.to_vec(),
            20 => hash::from_base32::<20>(text)?.to_vec(),
            32 => hash::from_base32::<32>(text)?.to_vec(),
            _ => hash::from_base32::<64>(text)?.to_vec(),
        }
    } else {
        let digits = text.iter().position(|b| *b == b'=').unwrap_or(text.len());
        let digest = from_base64(&text[..digits]);
        if digest.len() != bytes {
            return None;
        }
        digest
    };
    Some((algorithm.to_vec(), hash::hex(&digest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_texts_are_found_and_written_back() {
        for (encoding, length) in [
            (Encoding::Hex, 16),
            (Encoding::Hex, 20),
            (Encoding::Hex, 64),
            (Encoding::Base32, 20),
            (Encoding::Base32, 32),
            (Encoding::Base32, 64),
            (Encoding::Base64, 20),
            (Encoding::Base64, 32),
            (Encoding::Base64, 64),
        ] {
            let bytes: Vec<u8> = (0..length as u8).map(|i| i.wrapping_mul(37) ^ 0xa5).collect();
            let text = write(encoding, &bytes);
            let found = find(format!("{text}.x").as_bytes()).unwrap();
            assert_eq!(found, HashText { encoding, bytes: bytes.clone(), len: text.len() });
            assert_eq!(from_code(code(encoding, length)), Some((encoding, length)));
        }
        assert_eq!(find(b"hello world"), None);
    }

    #[test]
    fn output_hashes_are_read_in_every_spelling() {
        let bytes: Vec<u8> = (0..32).collect();
        let expected = Some((b"sha256".to_vec(), hash::hex(&bytes)));
        assert_eq!(parse_output_hash(hash::hex(&bytes).as_bytes(), b"sha256"), expected);
        assert_eq!(parse_output_hash(hash::base32(&bytes).as_bytes(), b"sha256"), expected);
        assert_eq!(parse_output_hash(format!("sha256-{}", hash::base64(&bytes)).as_bytes(), b""), expected);
        assert_eq!(parse_output_hash(format!("sha256:{}", hash::base32(&bytes)).as_bytes(), b"sha256"), expected);
        assert_eq!(parse_output_hash(b"sha1:00", b"sha256"), None);
    }
}
