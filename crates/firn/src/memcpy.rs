//! `memcpy` and `memmove` of the static binary for x86_64.
//!
//! Those of musl begin a string instruction for however few bytes, which takes longer than most of our copies (models of PPMd7
//! move 12 to 96 bytes at a time), and go backwards byte by byte: a tenth of the time of every command that packs or unpacks.
//! Not without optimization: there a copy of one of these pieces may be a call of the function itself.

use std::{
    arch::{
        asm,
        x86_64::{__m128i, _mm_loadu_si128, _mm_storeu_si128},
    },
    sync::atomic::{Ordering, compiler_fence},
};

/// # Safety
/// That of C: `n` bytes can be read and written, and do not overlap.
#[cfg(all(target_env = "musl", not(any(test, debug_assertions))))]
#[expect(unsafe_code, reason = "the C library has it too, and the linker takes this one")]
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: it promises more than is asked for.
    unsafe { copy(to, from, n) };
    to
}

/// # Safety
/// That of C: `n` bytes can be read and written; they may overlap.
#[cfg(all(target_env = "musl", not(any(test, debug_assertions))))]
#[expect(unsafe_code, reason = "the C library has it too, and the linker takes this one")]
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: the same promise.
    unsafe { copy(to, from, n) };
    to
}

/// Up to 128 bytes all are read before one is written, so it does not matter how they overlap.
///
/// # Safety
/// `n` bytes can be read and written; they may overlap.
#[expect(unsafe_code, reason = "bytes behind pointers")]
#[inline(always)]
unsafe fn copy(to: *mut u8, from: *const u8, n: usize) {
    // SAFETY: every access is below `n`: of each size, one piece at the beginning and one that ends at the end.
    unsafe {
        let read = |at: usize| _mm_loadu_si128(from.add(at).cast());
        let write = |at: usize, piece: __m128i| _mm_storeu_si128(to.add(at).cast(), piece);
        match n {
            0 => {}
            1..4 => {
                let (first, middle, last) = (*from, *from.add(n / 2), *from.add(n - 1));
                *to = first;
                *to.add(n / 2) = middle;
                *to.add(n - 1) = last;
            }
            4..8 => {
                let (first, last) =
                    (from.cast::<u32>().read_unaligned(), from.add(n - 4).cast::<u32>().read_unaligned());
                to.cast::<u32>().write_unaligned(first);
                to.add(n - 4).cast::<u32>().write_unaligned(last);
            }
            8..16 => {
                let (first, last) =
                    (from.cast::<u64>().read_unaligned(), from.add(n - 8).cast::<u64>().read_unaligned());
                to.cast::<u64>().write_unaligned(first);
                to.add(n - 8).cast::<u64>().write_unaligned(last);
            }
            16..=32 => {
                let (first, last) = (read(0), read(n - 16));
                write(0, first);
                write(n - 16, last);
            }
            33..=64 => {
                let (first, last) = ([read(0), read(16)], [read(n - 32), read(n - 16)]);
                write(0, first[0]);
                write(16, first[1]);
                write(n - 32, last[0]);
                write(n - 16, last[1]);
            }
            65..=128 => {
                let first = [read(0), read(16), read(32), read(48)];
                let last = [read(n - 64), read(n - 48), read(n - 32), read(n - 16)];
                write(0, first[0]);
                write(16, first[1]);
                write(32, first[2]);
                write(48, first[3]);
                write(n - 64, last[0]);
                write(n - 48, last[1]);
                write(n - 32, last[2]);
                write(n - 16, last[3]);
            }
            // Forward unless `to` is within what is still to be read.
            _ if to.addr().wrapping_sub(from.addr()) >= n => {
                asm!("rep movsb", inout("rcx") n => _, inout("rdi") to => _, inout("rsi") from => _,
                    options(nostack, preserves_flags));
            }
            _ => {
                let first = [read(0), read(16), read(32), read(48)];
                let mut end = n;
                while end > 64 {
                    let pieces = [read(end - 16), read(end - 32), read(end - 48), read(end - 64)];
                    write(end - 16, pieces[0]);
                    write(end - 32, pieces[1]);
                    write(end - 48, pieces[2]);
                    write(end - 64, pieces[3]);
                    end -= 64;
                    // Else a compiler may see a copy in this loop, and call the one that this is.
                    compiler_fence(Ordering::SeqCst);
                }
                write(0, first[0]);
                write(16, first[1]);
                write(32, first[2]);
                write(48, first[3]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(unsafe_code, reason = "what is tested is unsafe")]
    fn bytes_are_moved_however_they_overlap() {
        let bytes: Vec<u8> = (0..6000u32).map(|n| (n * n % 251) as u8).collect();
        for n in (0..300).chain([511, 512, 513, 1000, 2001]) {
            let distances = [0, 1, 7, 15, 16, 17, 63, 64, 65, 127, 128, 129, 2500];
            for (from, to) in distances.into_iter().flat_map(|by| [(100, 100 + by), (100 + by, 100)]) {
                let (mut moved, mut wanted) = (bytes.clone(), bytes.clone());
                wanted.copy_within(from..from + n, to);
                // SAFETY: both runs are within the vector.
                unsafe { copy(moved.as_mut_ptr().add(to), moved.as_ptr().add(from), n) };
                assert!(moved == wanted, "{n} bytes from {from} to {to}");
            }
        }
    }
}
