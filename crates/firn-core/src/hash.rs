//! Hashes as Nix writes them: base 32, base 16, and the 20-byte compressed form inside store paths.

use sha2::Digest;
use std::io;

/// A SHA-256 digest.
pub type Sha256 = [u8; 32];

const ALPHABET: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";

const fn reverse_alphabet() -> [u8; 256] {
    let mut table = [0xff; 256];
    let mut i = 0;
    while i < 32 {
        table[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    table
}
const VALUES: [u8; 256] = reverse_alphabet();

/// SHA-256 of bytes in memory.
pub fn sha256(bytes: &[u8]) -> Sha256 {
    sha2::Sha256::digest(bytes).into()
}

/// A writer that hashes and counts what passes through it.
#[derive(Clone, Default)]
pub struct HashWriter {
    hasher: sha2::Sha256,
    len: u64,
}

impl HashWriter {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The digest of all bytes written, and their number.
    pub fn finish(self) -> (Sha256, u64) {
        (self.hasher.finalize().into(), self.len)
    }
}

impl io::Write for HashWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.hasher.update(buf);
        self.len += buf.len() as u64;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Folds a digest to 20 bytes by exclusive or, as `compressHash` in Nix's `hash.cc`.
pub fn compress(digest: &[u8]) -> [u8; 20] {
    let mut out = [0; 20];
    for (i, byte) in digest.iter().enumerate() {
        out[i % 20] ^= byte;
    }
    out
}

/// Nix base 32: least significant digit last, no padding.
pub fn base32(bytes: &[u8]) -> String {
    let len = (bytes.len() * 8).div_ceil(5);
    let mut out = String::with_capacity(len);
    for n in (0..len).rev() {
        let bit = n * 5;
        let (i, j) = (bit / 8, bit % 8);
        let mut value = u16::from(bytes[i]) >> j;
        if i + 1 < bytes.len() {
            value |= u16::from(bytes[i + 1]) << (8 - j);
        }
        out.push(char::from(ALPHABET[usize::from(value & 0x1f)]));
    }
    out
}

/// Reverse of [`base32`]; `None` when the text is no base 32 of exactly `N` bytes.
pub fn from_base32<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != (N * 8).div_ceil(5) {
        return None;
    }
    let mut out = [0u8; N];
    for (n, c) in text.iter().rev().enumerate() {
        let digit = VALUES[usize::from(*c)];
        if digit == 0xff {
            return None;
        }
        let bit = n * 5;
        let (i, j) = (bit / 8, bit % 8);
        let value = u16::from(digit) << j;
        out[i] |= value as u8;
        let carry = (value >> 8) as u8;
        match out.get_mut(i + 1) {
            Some(next) => *next |= carry,
            None if carry != 0 => return None,
            None => {}
        }
    }
    Some(out)
}

/// Whether a byte is a digit of Nix base 32.
pub fn is_base32_digit(byte: u8) -> bool {
    VALUES[usize::from(byte)] != 0xff
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

/// Reverse of [`hex`]; lower case only; `None` when the text is no hexadecimal.
pub fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    text.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Standard base 64 with padding.
pub fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |a, b| a << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            if i <= chunk.len() {
                out.push(char::from(BASE64[(group >> (18 - 6 * i) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_of_nix_agrees_with_known_values() {
        let digest = sha256(b"");
        assert_eq!(base32(&digest), "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73");
        assert_eq!(from_base32::<32>(base32(&digest).as_bytes()), Some(digest));
        assert_eq!(from_base32::<20>(b"e000000000000000000000000000000z"), None);
    }

    #[test]
    fn base64_agrees_with_known_values() {
        assert_eq!(base64(b"fo"), "Zm8=");
        assert_eq!(base64(b"foo"), "Zm9v");
        assert_eq!(base64(b"foob"), "Zm9vYg==");
    }

    proptest::proptest! {
        #[test]
        fn base32_and_hex_are_reversible(bytes: [u8; 20]) {
            assert_eq!(from_base32::<20>(base32(&bytes).as_bytes()), Some(bytes));
            assert_eq!(from_hex(hex(&bytes).as_bytes()).as_deref(), Some(&bytes[..]));
        }
    }
}
