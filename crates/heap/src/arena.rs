//! The memory of one thread, at addresses of its own.

use super::sizes::{CLASS_COUNT, class_of, size_of_class};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Arenas of a process: that of the thread that builds, and those of the threads that it starts.
const ARENA_COUNT: usize = 1 + 1024;
/// Address of the first arena: above programs that are not relocated, and below programs that are, libraries,
/// stacks and the C library's heap.
const START: usize = 1 << 44;
/// Address space of one size class in the first arena, and in each of the others.
const CLASS_SPANS: [usize; 2] = [1 << 35, 1 << 28];
const ARENA_SPANS: [usize; 2] = [CLASS_SPANS[0] * CLASS_COUNT, CLASS_SPANS[1] * CLASS_COUNT];
/// Memory is taken from the kernel in steps of this many bytes.
const GROWTH: usize = 1 << 16;
/// Blocks of at least this many bytes go back to the kernel as soon as they are free.
const LARGE: usize = 1 << 17;

static SHARED: [Shared; ARENA_COUNT] =
    [const { Shared { live: AtomicUsize::new(0), is_closed: AtomicBool::new(false) } }; ARENA_COUNT];
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Memory that one thread allocates from.
pub(super) struct Arena {
    number: usize,
    start: usize,
    class_span: usize,
    classes: [Class; CLASS_COUNT],
}

/// What all threads may know of an arena.
struct Shared {
    /// Blocks in use.
    live: AtomicUsize,
    /// Whether its thread has ended.
    is_closed: AtomicBool,
}

/// Blocks of one size, side by side.
struct Class {
    /// Blocks that were in use at some time.
    used: usize,
    /// Bytes taken from the kernel.
    mapped: usize,
    /// Those of the used blocks that the thread itself has freed.
    free: BinaryHeap<Reverse<u32>>,
}

/// Some memory.
pub(super) struct Block {
    /// Its address.
    pub(super) address: usize,
    /// Whether it may hold anything but zeros.
    pub(super) is_used: bool,
}

/// Where an address of an arena belongs.
struct Place {
    arena: usize,
    class: usize,
    index: usize,
}

impl Arena {
    /// The next arena; `None` when all are given away.
    pub(super) fn next() -> Option<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        if number >= ARENA_COUNT {
            return None;
        }
        let classes = std::array::from_fn(|_| Class { used: 0, mapped: 0, free: BinaryHeap::new() });
        Some(Self { number, start: start_of(number), class_span: CLASS_SPANS[number.min(1)], classes })
    }

    /// Whether this is the first arena of the process.
    pub(super) fn is_first(&self) -> bool {
        self.number == 0
    }

    /// A block of at least `byte_count` bytes at a multiple of `alignment`, a power of two; `None` when the address space
    /// for this size is used up or the kernel gives no memory.
    pub(super) fn allocate(&mut self, byte_count: usize, alignment: usize) -> Option<Block> {
        // Blocks whose size is a power of two are at multiples of it, all blocks at multiples of 16.
        let byte_count =
            if alignment <= 16 { byte_count } else { byte_count.max(alignment).checked_next_power_of_two()? };
        if byte_count > self.class_span {
            return None;
        }
        let number = class_of(byte_count);
        let (size, start) = (size_of_class(number), self.start + number * self.class_span);
        let class = self.classes.get_mut(number)?;
        let (index, is_used) = match class.free.pop() {
            Some(Reverse(index)) => (index as usize, size < LARGE),
            None => (class.grow(start, size, self.class_span)?, false),
        };
        SHARED[self.number].live.fetch_add(1, Ordering::Relaxed);
        Some(Block { address: start + index * size, is_used })
    }

    /// Frees a block that this arena gave out.
    pub(super) fn release(&mut self, address: usize) {
        let Place { class, index, .. } = place(address);
        return_to_kernel(address, size_of_class(class));
        self.classes[class].free.push(Reverse(u32::try_from(index).expect("a class has less than 2^32 blocks")));
        SHARED[self.number].live.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether an address is this arena's.
    pub(super) fn owns(&self, address: usize) -> bool {
        contains(address) && place(address).arena == self.number
    }

    /// Ends allocation from this arena. Blocks in use stay; the last one freed takes the arena's memory along.
    pub(super) fn close(self) {
        let shared = &SHARED[self.number];
        shared.is_closed.store(true, Ordering::SeqCst);
        if shared.live.load(Ordering::SeqCst) == 0 {
            return_all(self.number);
        }
    }
}

/// Whether an address is in any arena.
pub(super) fn contains(address: usize) -> bool {
    (START..start_of(ARENA_COUNT)).contains(&address)
}

/// Whether a block of just `byte_count` bytes would be as large as the one at an address of an arena.
pub(super) fn is_fitting(address: usize, byte_count: usize) -> bool {
    class_of(byte_count) == place(address).class
}

/// Bytes that fit into the block at an address of an arena.
pub(super) fn capacity(address: usize) -> usize {
    size_of_class(place(address).class)
}

/// Frees a block of an arena whose thread is not the calling one.
pub(super) fn free_remote(address: usize) {
    let Place { arena, class, .. } = place(address);
    return_to_kernel(address, size_of_class(class));
    let shared = &SHARED[arena];
    if shared.live.fetch_sub(1, Ordering::SeqCst) == 1 && shared.is_closed.load(Ordering::SeqCst) {
        return_all(arena);
    }
}

const fn start_of(arena: usize) -> usize {
    match arena.checked_sub(1) {
        None => START,
        Some(beyond) => START + ARENA_SPANS[0] + beyond * ARENA_SPANS[1],
    }
}

fn place(address: usize) -> Place {
    let (arena, kind) = match (address - START).checked_sub(ARENA_SPANS[0]) {
        None => (0, 0),
        Some(beyond) => (1 + beyond / ARENA_SPANS[1], 1),
    };
    let offset = address - start_of(arena);
    let class = offset / CLASS_SPANS[kind];
    Place { arena, class, index: offset % CLASS_SPANS[kind] / size_of_class(class) }
}

impl Class {
    /// The index of a block that was never used.
    fn grow(&mut self, start: usize, size: usize, span: usize) -> Option<usize> {
        let needed = (self.used + 1) * size;
        if needed > self.mapped {
            let end = needed.next_multiple_of(GROWTH);
            if end > span || !map(start + self.mapped, end - self.mapped) {
                return None;
            }
            self.mapped = end;
        }
        self.used += 1;
        Some(self.used - 1)
    }
}

fn return_to_kernel(address: usize, byte_count: usize) {
    if byte_count >= LARGE {
        advise_unneeded(address, byte_count);
    }
}

/// Gives back the memory of an arena that has no block in use and will have none.
fn return_all(arena: usize) {
    // What is not mapped in this range is passed over.
    advise_unneeded(start_of(arena), start_of(arena + 1) - start_of(arena));
}

/// Takes memory from the kernel at just this address.
#[expect(unsafe_code, reason = "only the kernel gives memory at an address of one's choice")]
fn map(address: usize, byte_count: usize) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    let wanted = std::ptr::with_exposed_provenance_mut(address);
    // SAFETY: a new mapping, which replaces none.
    let mapped = unsafe { libc::mmap(wanted, byte_count, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if mapped != wanted && mapped != libc::MAP_FAILED {
        // A kernel before 4.17 takes the address as a hint.
        // SAFETY: the mapping was just made and no other code knows it.
        unsafe { libc::munmap(mapped, byte_count) };
    }
    mapped == wanted
}

/// Gives the pages of a range back; they read as zeros afterwards.
#[expect(unsafe_code, reason = "pages are given back by a system call")]
fn advise_unneeded(address: usize, byte_count: usize) {
    let start = std::ptr::with_exposed_provenance_mut(address);
    // SAFETY: the callers pass whole pages of arenas that hold no block in use. A refusal costs memory only.
    unsafe { libc::madvise(start, byte_count, libc::MADV_DONTNEED) };
}

#[cfg(test)]
#[expect(unsafe_code, reason = "blocks are written and read")]
mod tests {
    use super::*;

    fn arena() -> Arena {
        Arena::next().unwrap()
    }

    #[test]
    fn the_lowest_free_block_is_taken_first() {
        let mut arena = arena();
        let blocks: Vec<usize> = (0..4).map(|_| arena.allocate(100, 16).unwrap().address).collect();
        assert_eq!(blocks[1] - blocks[0], 112);
        for block in [3, 1, 2] {
            assert!(arena.owns(blocks[block]));
            arena.release(blocks[block]);
        }
        let again = arena.allocate(112, 16).unwrap();
        assert_eq!(again.address, blocks[1]);
        assert!(again.is_used);
        assert_eq!(arena.allocate(97, 16).unwrap().address, blocks[2]);
    }

    #[test]
    fn a_block_freed_by_another_thread_is_not_given_out_again() {
        let mut arena = arena();
        let first = arena.allocate(100, 16).unwrap().address;
        free_remote(first);
        assert_ne!(arena.allocate(100, 16).unwrap().address, first);
    }

    #[test]
    fn alignment_is_kept_and_too_much_is_refused() {
        let mut arena = arena();
        for alignment in [16, 64, 4096, 1 << 21] {
            assert_eq!(arena.allocate(100, alignment).unwrap().address % alignment, 0);
        }
        assert!(arena.allocate(1 << 40, 16).is_none());
        assert!(arena.allocate(usize::MAX, 64).is_none());
    }

    #[test]
    fn large_blocks_are_zero_again() {
        let mut arena = arena();
        let first = arena.allocate(1 << 20, 16).unwrap().address;
        // SAFETY: the block was just given out.
        unsafe { std::ptr::with_exposed_provenance_mut::<u8>(first).write(7) };
        arena.release(first);
        let again = arena.allocate(1 << 20, 16).unwrap();
        assert!(again.address == first && !again.is_used);
        // SAFETY: the block was just given out again, and a new page is zero.
        assert_eq!(unsafe { std::ptr::with_exposed_provenance::<u8>(first).read() }, 0);
    }

    #[test]
    fn the_memory_of_a_closed_arena_goes_with_its_last_block() {
        let mut arena = arena();
        let block = arena.allocate(100, 16).unwrap().address;
        // SAFETY: the block was just given out.
        unsafe { std::ptr::with_exposed_provenance_mut::<u8>(block).write(7) };
        arena.close();
        // SAFETY: the block is still in use; afterwards its page is still mapped.
        let read = || unsafe { std::ptr::with_exposed_provenance::<u8>(block).read() };
        assert_eq!(read(), 7);
        free_remote(block);
        assert_eq!(read(), 0);
    }
}
