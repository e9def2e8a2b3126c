//! Large memory, from the kernel itself.

use rustix::mm::{Advice, MapFlags, MremapFlags, ProtFlags, madvise, mmap_anonymous, mremap, munmap};
use std::{alloc::Layout, ptr};

/// Pages that most kernels give only to those who ask. Models of PPMd7 are read all over: in pages of 4 KiB, one takes 1.2 to 1.5
/// times as long.
const HUGE_PAGE: usize = 2 << 20;

/// A multiple of every ordinary page that Linux knows.
const PAGE: usize = 64 << 10;

/// The smallest page that Linux knows: memory that was moved begins at a page, and not at a huge one.
const MAX_ALIGN: usize = 4 << 10;

pub(super) fn is_large(size: usize, align: usize) -> bool {
    size >= HUGE_PAGE && align <= MAX_ALIGN
}

/// Zeroed memory that begins at a huge page; null if there is none.
#[expect(unsafe_code, reason = "memory is mapped")]
#[inline(never)]
pub(super) fn alloc(layout: Layout) -> *mut u8 {
    let len = length(layout.size());
    let Some(all) = len.checked_add(HUGE_PAGE) else { return ptr::null_mut() };
    // SAFETY: the kernel picks the place. What is cut off at both ends is of this mapping, and nobody has seen it.
    unsafe {
        let Ok(begin) = mmap_anonymous(ptr::null_mut(), all, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
        else {
            return ptr::null_mut();
        };
        let before = begin.align_offset(HUGE_PAGE);
        let here = begin.byte_add(before);
        // Where these fail, more address space is taken, and pages are small.
        if before > 0 {
            let _ = munmap(begin, before);
        }
        let _ = munmap(here.byte_add(len), HUGE_PAGE - before);
        let _ = madvise(here, len, Advice::LinuxHugepage);
        here.cast()
    }
}

/// # Safety
/// The pointer came from here, with this layout.
#[expect(unsafe_code, reason = "memory is unmapped")]
#[inline(never)]
pub(super) unsafe fn dealloc(pointer: *mut u8, layout: Layout) {
    // SAFETY: exactly what was mapped.
    let _ = unsafe { munmap(pointer.cast(), length(layout.size())) };
}

/// Moves pages, not bytes; null if there is no room, and then all stays as it was.
///
/// # Safety
/// The pointer came from here, with this layout, and the new size is large too.
#[expect(unsafe_code, reason = "memory is mapped elsewhere")]
#[inline(never)]
pub(super) unsafe fn realloc(pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
    // SAFETY: exactly what was mapped.
    let moved = unsafe { mremap(pointer.cast(), length(layout.size()), length(size), MremapFlags::MAYMOVE) };
    moved.map_or(ptr::null_mut(), <*mut _>::cast)
}

fn length(size: usize) -> usize {
    // A layout is at most isize::MAX.
    size.next_multiple_of(PAGE)
}
