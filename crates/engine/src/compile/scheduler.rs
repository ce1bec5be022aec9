//! How many builds run at once: a number of processes, and an amount of memory that they share.

use crate::Result;
use planforge_core::{Error, Progress};
use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Waiting builds check for cancellation this often.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long the next build waits for the one before it to come.
const ARRIVAL: Duration = Duration::from_millis(200);

/// What builds may take together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildLimits {
    /// Most resident memory of all build processes in bytes.
    pub memory_byte_count: u64,
    /// Most build processes at once, at least one.
    pub processes: usize,
}

/// Hands out permits within the limits.
#[derive(Debug)]
pub(super) struct BuildScheduler {
    limits: BuildLimits,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    taken_byte_count: u64,
    running: usize,
    waiting: BTreeSet<usize>,
    /// Those that have come so far, or will not come.
    arrived: BTreeSet<usize>,
}

/// A place among the builds that run, with an amount of memory; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    scheduler: Arc<BuildScheduler>,
    byte_count: u64,
    has_place: bool,
}

impl BuildScheduler {
    pub(super) fn new(limits: BuildLimits) -> Self {
        Self { limits, state: Mutex::default(), freed: Condvar::new() }
    }

    /// Waits for a place with `byte_count` of memory, or with all of it where that is less. Of those who wait, the one
    /// with the lowest `order` comes first, so that a large build is not kept waiting by small ones.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub(super) fn acquire(self: &Arc<Self>, order: usize, byte_count: u64, progress: &dyn Progress) -> Result<Permit> {
        let byte_count = byte_count.min(self.limits.memory_byte_count);
        let mut state = self.state();
        state.waiting.insert(order);
        state.arrived.insert(order);
        self.freed.notify_all();
        loop {
            let fits = state.taken_byte_count + byte_count <= self.limits.memory_byte_count;
            let has_place = state.running < self.limits.processes.max(1);
            let first = state.waiting.first() == Some(&order);
            if progress.is_cancelled() || (first && fits && has_place) {
                break;
            }
            state = self.freed.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.waiting.remove(&order);
        self.freed.notify_all();
        if progress.is_cancelled() {
            return Err(Error::Cancelled.into());
        }
        state.taken_byte_count += byte_count;
        state.running += 1;
        Ok(Permit { scheduler: Arc::clone(self), byte_count, has_place: true })
    }

    /// Notes that `order` will not come for a place, or not again.
    pub(super) fn settle(&self, order: usize) {
        self.state().arrived.insert(order);
        self.freed.notify_all();
    }

    /// Waits until `order` has come for a place or will not, so that those started one after another come in order. Only
    /// for a moment: it may have to wait for another process that builds the same.
    pub(super) fn await_arrival(&self, order: usize) {
        let has_not_come = |state: &mut State| !state.arrived.contains(&order);
        drop(self.freed.wait_timeout_while(self.state(), ARRIVAL, has_not_come));
    }

    /// A thread that panicked holds no half-made state.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Whether the permit covers at least `byte_count`, after taking free memory where it needs more.
    pub(super) fn holds(&mut self, byte_count: u64) -> bool {
        if byte_count <= self.byte_count {
            return true;
        }
        let mut state = self.scheduler.state();
        let more = byte_count - self.byte_count;
        if state.taken_byte_count + more > self.scheduler.limits.memory_byte_count {
            return false;
        }
        state.taken_byte_count += more;
        self.byte_count = byte_count;
        true
    }

    /// Gives the place back and keeps the memory, for a process that only has to end.
    pub(super) fn leave(&mut self) {
        if std::mem::take(&mut self.has_place) {
            self.scheduler.state().running -= 1;
            self.scheduler.freed.notify_all();
        }
    }

    /// Most that it could be made.
    pub(super) fn most(&self) -> u64 {
        self.scheduler.limits.memory_byte_count
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.leave();
        self.scheduler.state().taken_byte_count -= self.byte_count;
        self.scheduler.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::{Event, NoProgress};
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Stopped;

    impl Progress for Stopped {
        fn send(&self, _event: Event) {}

        fn is_cancelled(&self) -> bool {
            true
        }
    }

    fn scheduler(processes: usize) -> Arc<BuildScheduler> {
        Arc::new(BuildScheduler::new(BuildLimits { memory_byte_count: 100, processes }))
    }

    #[test]
    fn permits_never_pass_the_limits() {
        let scheduler = scheduler(3);
        let (memory, processes) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for order in 0..24 {
                let (scheduler, memory, processes) = (&scheduler, &memory, &processes);
                scope.spawn(move || {
                    let byte_count = [10, 45, 70, 500][order % 4];
                    let permit = scheduler.acquire(order, byte_count, &NoProgress).unwrap();
                    let taken = byte_count.min(100);
                    assert!(memory.fetch_add(taken, Ordering::SeqCst) + taken <= 100);
                    assert!(processes.fetch_add(1, Ordering::SeqCst) < 3);
                    std::thread::yield_now();
                    processes.fetch_sub(1, Ordering::SeqCst);
                    memory.fetch_sub(taken, Ordering::SeqCst);
                    drop(permit);
                });
            }
        });
        let state = scheduler.state();
        assert_eq!((state.taken_byte_count, state.running), (0, 0));
    }

    #[test]
    fn the_next_waits_until_the_one_before_has_come_or_will_not_but_not_for_ever() {
        let scheduler = scheduler(1);
        std::thread::scope(|scope| {
            let permit = scheduler.acquire(0, 1, &NoProgress).unwrap();
            scheduler.await_arrival(0);
            scope.spawn(|| drop(scheduler.acquire(1, 1, &NoProgress).unwrap()));
            scope.spawn(|| scheduler.settle(2));
            scheduler.await_arrival(1);
            scheduler.await_arrival(2);
            assert_eq!(scheduler.state().waiting.first(), Some(&1));
            scheduler.await_arrival(3);
            drop(permit);
        });
        assert_eq!(scheduler.state().running, 0);
    }

    #[test]
    fn a_permit_grows_into_what_is_free() {
        let scheduler = scheduler(2);
        let mut first = scheduler.acquire(0, 40, &NoProgress).unwrap();
        let second = scheduler.acquire(1, 40, &NoProgress).unwrap();
        assert!(first.holds(60) && !first.holds(61));
        drop(second);
        assert!(first.holds(100) && !first.holds(101));
        assert_eq!(first.most(), 100);
    }

    #[test]
    fn who_leaves_makes_room_for_another_process_and_not_for_its_memory() {
        let scheduler = scheduler(1);
        let mut first = scheduler.acquire(0, 60, &NoProgress).unwrap();
        first.leave();
        first.leave();
        let mut second = scheduler.acquire(1, 40, &NoProgress).unwrap();
        assert!(!second.holds(41));
        drop(first);
        assert!(second.holds(100));
        drop(second);
        let state = scheduler.state();
        assert_eq!((state.taken_byte_count, state.running), (0, 0));
    }

    #[test]
    fn a_waiting_build_can_be_cancelled() {
        let scheduler = scheduler(1);
        let _permit = scheduler.acquire(0, 1, &NoProgress).unwrap();
        assert!(matches!(scheduler.acquire(1, 1, &Stopped), Err(crate::Error::Core(Error::Cancelled))));
        assert!(scheduler.state().waiting.is_empty());
    }
}
