//! Runs of models that end when the user cancels, or after the time limit.

use crate::{Error, Result};
use planforge_core::Progress;
use planforge_runtime::RunStop;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Longest run of a model on samples. The largest described models take seconds; a graph that loops takes for ever.
pub(crate) const LONGEST_RUN: Duration = Duration::from_mins(10);
/// Time between two looks at whether the user has cancelled.
const INTERVAL: Duration = Duration::from_millis(50);

/// What `run` returns, unless it is ended first, between two operators.
///
/// # Errors
/// [`Error::RunTimeout`], cancellation, and errors of `run`.
pub(crate) fn bounded<T>(
    limit: Duration,
    progress: &dyn Progress,
    run: impl FnOnce(&RunStop) -> planforge_runtime::Result<T>,
) -> Result<T> {
    let stop = RunStop::new()?;
    let (running, ended) = channel::<()>();
    let start = Instant::now();
    std::thread::scope(|scope| {
        let stop = &stop;
        let watch = scope.spawn(move || {
            while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let reason = match progress.is_cancelled() {
                    true => Error::Core(planforge_core::Error::Cancelled),
                    false if start.elapsed() > limit => Error::RunTimeout { seconds: limit.as_secs() },
                    false => continue,
                };
                stop.stop();
                return Some(reason);
            }
            None
        });
        let result = run(stop);
        drop(running);
        match watch.join() {
            // A run that ended in time all the same is as good as any.
            Ok(Some(reason)) if result.is_err() => Err(reason),
            Ok(_) => Ok(result?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
