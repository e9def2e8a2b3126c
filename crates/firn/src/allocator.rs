//! Who gives memory.

mod mapped;

use mimalloc::MiMalloc;
use rustix::process::{Resource, getrlimit};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    ptr,
    sync::atomic::{AtomicU8, Ordering},
};

/// mimalloc, as the C library of the static binary gives memory slowly: a third of the time of `convert` went there.
///
/// Except where the address space is limited: mimalloc takes 32 MiB of it for each thread, used or not, and dies of
/// `ulimit -v` where 20 MB are in use.
pub(crate) struct Allocator;

/// Below so much address space the C library gives memory.
const ROOMY: u64 = 4 << 30;

/// Decided by the first allocation, before there is another thread, and never changed: memory goes back where it came from.
static CHOICE: AtomicU8 = AtomicU8::new(UNDECIDED);
const UNDECIDED: u8 = 0;
const MIMALLOC: u8 = 1;
const SYSTEM: u8 = 2;

fn is_roomy() -> bool {
    match CHOICE.load(Ordering::Relaxed) {
        UNDECIDED => decide(),
        choice => choice == MIMALLOC,
    }
}

#[cold]
fn decide() -> bool {
    let roomy = getrlimit(Resource::As).current.is_none_or(|limit| limit >= ROOMY);
    CHOICE.store(if roomy { MIMALLOC } else { SYSTEM }, Ordering::Relaxed);
    roomy
}

enum Source {
    Kernel,
    MiMalloc,
    System,
}

/// Who gives memory of a size and an alignment, and takes it back.
fn source(size: usize, align: usize) -> Source {
    if !is_roomy() {
        Source::System
    } else if mapped::is_large(size, align) {
        Source::Kernel
    } else {
        Source::MiMalloc
    }
}

#[expect(unsafe_code, reason = "the trait is unsafe")]
// SAFETY: every call goes on as it came, and always to the same source for the same layout.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        unsafe {
            match source(layout.size(), layout.align()) {
                Source::Kernel => mapped::alloc(layout),
                Source::MiMalloc => MiMalloc.alloc(layout),
                Source::System => System.alloc(layout),
            }
        }
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        unsafe {
            match source(layout.size(), layout.align()) {
                Source::Kernel => mapped::alloc(layout),
                Source::MiMalloc => MiMalloc.alloc_zeroed(layout),
                Source::System => System.alloc_zeroed(layout),
            }
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe {
            match source(layout.size(), layout.align()) {
                Source::Kernel => mapped::dealloc(pointer, layout),
                Source::MiMalloc => MiMalloc.dealloc(pointer, layout),
                Source::System => System.dealloc(pointer, layout),
            }
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        unsafe {
            match (source(layout.size(), layout.align()), source(size, layout.align())) {
                (Source::Kernel, Source::Kernel) => mapped::realloc(pointer, layout, size),
                (Source::MiMalloc, Source::MiMalloc) => MiMalloc.realloc(pointer, layout, size),
                (Source::System, _) => System.realloc(pointer, layout, size),
                _ => self.copied(pointer, layout, size),
            }
        }
    }
}

impl Allocator {
    /// Memory of another source with the same bytes.
    ///
    /// # Safety
    /// That of [`GlobalAlloc::realloc`].
    #[cold]
    #[expect(unsafe_code, reason = "a part of the trait's unsafe method")]
    unsafe fn copied(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: so many bytes are in both, and the old ones are given back only if there are new ones.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(pointer, new, size.min(layout.size()));
                self.dealloc(pointer, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    /// The test's own allocator is the one above.
    #[test]
    fn bytes_stay_when_memory_moves_between_sources() {
        let byte = |n: usize| (n % 251) as u8;
        let mut bytes = vec![0; 3 << 20];
        assert!(bytes.iter().all(|byte| *byte == 0));
        bytes.clear();
        bytes.shrink_to_fit();
        for n in 0..9 << 20 {
            bytes.push(byte(n));
        }
        for len in [9 << 20, 5 << 20, 1 << 20, 1 << 10] {
            bytes.truncate(len);
            bytes.shrink_to_fit();
            assert!(bytes.iter().enumerate().all(|(n, have)| *have == byte(n)), "{len}");
        }
        bytes.resize(6 << 20, 7);
        assert!(bytes[1 << 10..].iter().all(|byte| *byte == 7));
    }
}
