//! Several engines at once.

use super::context::BuildContext;
use super::engine::compile;
use super::job::CompileJob;
use super::scheduler::BuildLimits;
use super::worker::EngineWorker;
use crate::{Error, Result};
use planforge_core::{Cache, CachedArtifact, Engine, Event, Progress};
use std::sync::atomic::{AtomicBool, Ordering};

/// Finds or builds every engine and returns them in the order of `jobs`. Builds start in that order, unless one has to wait
/// for another process that builds the same, and run at once within `limits`: the memory of a build is estimated before it starts and watched while it runs. One that would pass the limit together with
/// others is ended, and started again when it can have all of it.
///
/// # Errors
/// The first in the order of `jobs`: a GPU the builder cannot target, profiles beyond the model, a failed, crashed or
/// timed-out build with the last lines of its log, a missing worker or one of another version, a build that needs more
/// memory than all of it, an engine that is not what was asked for, and cancellation. The other builds are then ended too.
pub fn compile_all(
    jobs: &[CompileJob<'_>],
    worker: &EngineWorker,
    limits: BuildLimits,
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<Vec<CachedArtifact<Engine>>> {
    let context = BuildContext::new(worker, limits, cache);
    let progress = Stoppable { inner: progress, failed: AtomicBool::new(false) };
    let results: Vec<_> = std::thread::scope(|scope| {
        let start = |(order, job)| {
            let (context, progress) = (&context, &progress);
            let thread = scope.spawn(move || {
                let result = compile(job, order, context, progress).inspect_err(|_| progress.fail());
                context.scheduler.settle(order);
                result
            });
            context.scheduler.await_arrival(order);
            thread
        };
        let threads: Vec<_> = jobs.iter().enumerate().map(start).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let is_stop = |error: &Error| matches!(error, Error::Core(planforge_core::Error::Cancelled));
    match results.iter().position(|result| result.as_ref().is_err_and(|error| !is_stop(error))) {
        Some(failed) => results.into_iter().nth(failed).into_iter().collect(),
        None => results.into_iter().collect(),
    }
}

/// Passes everything on, and stops the other builds when one has failed.
struct Stoppable<'a> {
    inner: &'a dyn Progress,
    failed: AtomicBool,
}

impl Stoppable<'_> {
    fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }
}

impl Progress for Stoppable<'_> {
    fn send(&self, event: Event) {
        self.inner.send(event);
    }

    fn is_cancelled(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.inner.is_cancelled()
    }
}
