//! `malloc` and its kin, and `pthread_create`, for the whole process.
//!
//! The linker exports these from the program because the C library defines them too, so every library that is opened
//! later uses them. In threads without an arena they hand on to the C library.

#![expect(unsafe_code, reason = "the functions have the C library's names and contracts")]

use super::arena::{self, Arena, Block};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::{null_mut, with_exposed_provenance_mut};
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    /// The thread's arena; null in all but those that build, and while an arena is at work.
    static ARENA: Cell<*mut Arena> = const { Cell::new(null_mut()) };
}

/// Whether memory that was to come from an arena did not.
static IS_INCOMPLETE: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    pub(super) fn __libc_malloc(byte_count: usize) -> *mut c_void;
    pub(super) fn __libc_calloc(count: usize, byte_count: usize) -> *mut c_void;
    pub(super) fn __libc_realloc(block: *mut c_void, byte_count: usize) -> *mut c_void;
    pub(super) fn __libc_memalign(alignment: usize, byte_count: usize) -> *mut c_void;
    pub(super) fn __libc_free(block: *mut c_void);
}

type Start = extern "C" fn(*mut c_void) -> *mut c_void;
type PthreadCreate =
    unsafe extern "C" fn(*mut libc::pthread_t, *const libc::pthread_attr_t, Start, *mut c_void) -> c_int;

/// A thread's way into its arena, and out of it when dropped.
struct Inside;

/// What a thread with an arena starts with.
struct Launch {
    arena: Option<Arena>,
    start: Start,
    argument: *mut c_void,
}

/// Runs `work` with heap addresses that are the same in every process, in this thread and in those that it starts, and
/// returns whether they were. That holds for the first call of a process, as long as there are memory and address space.
pub fn with_deterministic_allocator<T>(work: impl FnOnce() -> T) -> (T, bool) {
    let arena = Arena::next().inspect(|arena| note(arena.is_first()));
    note(arena.is_some() && is_exported());
    let inside = Inside::enter(arena);
    let result = work();
    drop(inside);
    (result, !IS_INCOMPLETE.load(Ordering::Relaxed))
}

fn note(is_complete: bool) {
    if !is_complete {
        IS_INCOMPLETE.store(true, Ordering::Relaxed);
    }
}

/// Whether libraries that are opened find this `malloc`.
fn is_exported() -> bool {
    // SAFETY: a look-up by name.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"malloc".as_ptr()) };
    std::ptr::eq(found, malloc as *const c_void)
}

impl Inside {
    fn enter(arena: Option<Arena>) -> Self {
        ARENA.set(arena.map_or(null_mut(), |arena| Box::into_raw(Box::new(arena))));
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let arena = ARENA.replace(null_mut());
        if !arena.is_null() {
            // SAFETY: it came from a box, and only this thread knew it.
            unsafe { Box::from_raw(arena) }.close();
        }
    }
}

/// Lets the arena work while this thread has none, so that its own tables are on the C library's heap.
fn with_arena<T>(work: impl FnOnce(&mut Arena) -> T) -> Option<T> {
    let arena = ARENA.replace(null_mut());
    // SAFETY: only this thread knows the arena, and this is the only reference while the cell is null.
    let result = unsafe { arena.as_mut() }.map(work);
    ARENA.set(arena);
    result
}

/// A block from this thread's arena; `None` where it has none, and where it has no room.
fn from_arena(byte_count: usize, alignment: usize) -> Option<Block> {
    if ARENA.get().is_null() {
        return None;
    }
    let block = with_arena(|arena| arena.allocate(byte_count, alignment)).flatten();
    note(block.is_some());
    block
}

fn pointer(block: &Block) -> *mut c_void {
    with_exposed_provenance_mut(block.address)
}

/// As in C.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn malloc(byte_count: usize) -> *mut c_void {
    match from_arena(byte_count, 1) {
        Some(block) => pointer(&block),
        // SAFETY: handed on.
        None => unsafe { __libc_malloc(byte_count) },
    }
}

/// As in C.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn calloc(count: usize, byte_count: usize) -> *mut c_void {
    let total = count.checked_mul(byte_count);
    let Some((total, block)) = total.and_then(|total| Some((total, from_arena(total, 1)?))) else {
        // SAFETY: handed on.
        return unsafe { __libc_calloc(count, byte_count) };
    };
    if block.is_used {
        // SAFETY: the block has room for this many bytes and no other code knows it.
        unsafe { pointer(&block).cast::<u8>().write_bytes(0, total) };
    }
    pointer(&block)
}

/// As in C.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn realloc(block: *mut c_void, byte_count: usize) -> *mut c_void {
    let address = block.addr();
    if block.is_null() {
        // SAFETY: C defines this for a null pointer.
        return unsafe { malloc(byte_count) };
    }
    if !arena::contains(address) {
        // SAFETY: handed on.
        return unsafe { __libc_realloc(block, byte_count) };
    }
    if byte_count > 0 && arena::is_fitting(address, byte_count) {
        return block;
    }
    // SAFETY: both blocks have room for what is copied, and the old one is not used afterwards.
    unsafe {
        let new = if byte_count == 0 { null_mut() } else { malloc(byte_count) };
        if !new.is_null() {
            let kept = byte_count.min(arena::capacity(address));
            new.cast::<u8>().copy_from_nonoverlapping(block.cast::<u8>(), kept);
        }
        if !new.is_null() || byte_count == 0 {
            free(block);
        }
        new
    }
}

/// As in C.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn free(block: *mut c_void) {
    let address = block.addr();
    if !arena::contains(address) {
        // SAFETY: handed on.
        return unsafe { __libc_free(block) };
    }
    let was_own = with_arena(|arena| arena.owns(address).then(|| arena.release(address)).is_some());
    if was_own != Some(true) {
        arena::free_remote(address);
    }
}

/// As in C.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn memalign(alignment: usize, byte_count: usize) -> *mut c_void {
    match from_arena(byte_count, alignment) {
        Some(block) => pointer(&block),
        // SAFETY: handed on.
        None => unsafe { __libc_memalign(alignment, byte_count) },
    }
}

/// As in C.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn aligned_alloc(alignment: usize, byte_count: usize) -> *mut c_void {
    // SAFETY: the same contract.
    unsafe { memalign(alignment, byte_count) }
}

/// As in POSIX.
///
/// # Safety
/// As in POSIX.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn posix_memalign(result: *mut *mut c_void, alignment: usize, byte_count: usize) -> c_int {
    if !alignment.is_power_of_two() || !alignment.is_multiple_of(size_of::<usize>()) {
        return libc::EINVAL;
    }
    // SAFETY: the alignment is valid.
    let block = unsafe { memalign(alignment, byte_count) };
    if block.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller gives a place for the result.
    unsafe { result.write(block) };
    0
}

/// As in POSIX; threads that a thread with an arena starts get the next arenas.
///
/// # Safety
/// As in POSIX.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    // What the C library keeps for the thread stays on its own heap: whether it needs any depends on timing.
    let started = with_arena(|_| {
        let arena = Arena::next();
        note(arena.is_some());
        let launch = Box::into_raw(Box::new(Launch { arena, start, argument }));
        // SAFETY: the C library's function, with a start routine that takes what it is given.
        let code = unsafe { real_pthread_create()(thread, attributes, launch_thread, launch.cast()) };
        if code != 0 {
            // SAFETY: no thread was started that could know it.
            drop(unsafe { Box::from_raw(launch) });
        }
        code
    });
    // SAFETY: handed on.
    started.unwrap_or_else(|| unsafe { real_pthread_create()(thread, attributes, start, argument) })
}

extern "C" fn launch_thread(launch: *mut c_void) -> *mut c_void {
    // SAFETY: `pthread_create` above made it for this thread.
    let Launch { arena, start, argument } = *unsafe { Box::from_raw(launch.cast::<Launch>()) };
    let _inside = Inside::enter(arena);
    start(argument)
}

fn real_pthread_create() -> PthreadCreate {
    // SAFETY: a look-up by name of a function that POSIX declares like this.
    unsafe {
        let found = libc::dlsym(libc::RTLD_NEXT, c"pthread_create".as_ptr());
        assert!(!found.is_null(), "the C library has pthread_create");
        std::mem::transmute::<*mut c_void, PthreadCreate>(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address<T: ?Sized>(value: &T) -> usize {
        std::ptr::from_ref(value).addr()
    }

    #[test]
    fn a_thread_and_those_it_starts_have_arenas_and_what_they_made_outlives_them() {
        let outside = vec![1_u8; 100];
        let ((inside, from_thread), _) = with_deterministic_allocator(|| {
            let started = std::thread::spawn(|| vec![3_u8; 100]);
            let mut inside = vec![2_u8; 100];
            assert!(arena::contains(address(inside.as_slice())));
            inside.resize(5000, 4);
            (inside, started.join().unwrap())
        });
        assert!(arena::contains(address(inside.as_slice())) && arena::contains(address(from_thread.as_slice())));
        assert!(!arena::contains(address(outside.as_slice())));
        assert!(!arena::contains(address(vec![0_u8; 100].as_slice())));
        assert_eq!((inside[99], inside[4999], from_thread.as_slice()), (2, 4, [3; 100].as_slice()));
        drop((outside, inside, from_thread));
    }

    #[test]
    fn blocks_are_zeroed_aligned_and_kept_when_they_grow() {
        with_deterministic_allocator(|| {
            drop(vec![7_u8; 300]);
            // SAFETY: the functions are used as C defines them.
            unsafe {
                let zeros = calloc(30, 10).cast::<u8>();
                assert!(arena::contains(zeros.addr()));
                assert!((0..300).all(|index| zeros.add(index).read() == 0));
                assert!(std::hint::black_box(calloc(usize::MAX, 2)).is_null());
                zeros.write(9);
                let grown = realloc(zeros.cast(), 1 << 20).cast::<u8>();
                assert_eq!((grown.read(), grown.add(299).read()), (9, 0));
                assert!(realloc(grown.cast(), 0).is_null());
                let mut aligned = null_mut();
                assert_eq!(posix_memalign(&raw mut aligned, 4096, 10), 0);
                assert_eq!(aligned.addr() % 4096, 0);
                assert_eq!(posix_memalign(&raw mut aligned, 24, 10), libc::EINVAL);
                free(aligned);
            }
        });
    }
}
