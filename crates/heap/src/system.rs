//! Rust's own allocations, which have no part in this: what planforge allocates, and when, may change from version to
//! version and from one way of compiling it to another, and the addresses that the library gets must not.

#![expect(unsafe_code, reason = "global allocators are unsafe to implement")]

use super::interpose::{__libc_calloc, __libc_free, __libc_malloc, __libc_memalign, __libc_realloc};
use std::alloc::{GlobalAlloc, Layout};

/// The C library's heap, even where its `malloc` was replaced: the global allocator of the program.
#[derive(Debug, Clone, Copy)]
pub struct SystemAllocator;

/// Alignment that the C library keeps without being asked.
const ALIGNMENT: usize = 16;

// SAFETY: each function hands on to the C library's own, whose blocks have the size and alignment asked for.
unsafe impl GlobalAlloc for SystemAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: handed on.
        unsafe {
            if layout.align() <= ALIGNMENT {
                __libc_malloc(layout.size()).cast()
            } else {
                __libc_memalign(layout.align(), layout.size()).cast()
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: handed on; a block that is aligned more than usual is zeroed here.
        unsafe {
            if layout.align() <= ALIGNMENT {
                return __libc_calloc(1, layout.size()).cast();
            }
            let block = self.alloc(layout);
            if !block.is_null() {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the block came from one of the functions above.
        unsafe { __libc_free(block.cast()) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the block came from one of the functions above; where more than the usual alignment is asked for it is
        // copied into a new one.
        unsafe {
            if layout.align() <= ALIGNMENT {
                return __libc_realloc(block.cast(), size).cast();
            }
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                new.copy_from_nonoverlapping(block, size.min(layout.size()));
                self.dealloc(block, layout);
            }
            new
        }
    }
}
