//! Who gives memory.

use mimalloc::MiMalloc;
use rustix::process::{Resource, getrlimit};
use std::{
    alloc::{GlobalAlloc, Layout, System},
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

#[expect(unsafe_code, reason = "the trait is unsafe")]
// SAFETY: every call goes on as it came, and always to the same of two allocators.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        unsafe { if is_roomy() { MiMalloc.alloc(layout) } else { System.alloc(layout) } }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        unsafe { if is_roomy() { MiMalloc.alloc_zeroed(layout) } else { System.alloc_zeroed(layout) } }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { if is_roomy() { MiMalloc.dealloc(pointer, layout) } else { System.dealloc(pointer, layout) } }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise is passed on.
        unsafe {
            if is_roomy() { MiMalloc.realloc(pointer, layout, size) } else { System.realloc(pointer, layout, size) }
        }
    }
}
