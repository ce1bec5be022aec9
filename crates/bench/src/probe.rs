//! The memory probe: how many copies of a model fit into the endpoint's memory budget.
//!
//! It loads one copy after another with the smallest request, and sends it the largest twice. It reads the endpoint's memory state
//! after both, until a copy
//! passes the threshold, makes the endpoint unload another, or is refused for lack of memory. The first copy brings memory that
//! is taken once, of the runtime or of a GPU's context, so its growth does not count for further ones.

use crate::cancel::unless_cancelled;
use crate::{Endpoint, Error, Result};
use futures_util::future::try_join_all;
use planforge_core::{
    Capacity, CapacityLimit, ConcurrentGrowth, EndpointState, Outcome, ProbeStep, Progress, Published, RequestBody,
    Step,
};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// Longest wait for a copy that is still loading: what clients of the managed service allow.
const PATIENCE: Duration = Duration::from_secs(360);

/// First pause between two attempts on a copy that is still loading; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What the probe sends to each copy.
#[derive(Debug, Clone)]
pub struct ProbeRequests {
    /// The smallest request that it may get.
    pub smallest: RequestBody,
    /// The largest.
    pub largest: RequestBody,
    /// Requests that a copy runs at the same time.
    pub concurrency: NonZeroU32,
}

/// Counts the copies that fit into `threshold` (a share) of the endpoint's budget.
///
/// A copy counts when the number of loaded models grew by it, nothing was unloaded, and the memory in
/// use stayed within the threshold. The status 507 (insufficient storage), of the endpoint or of the
/// model's container, and other responses that name a lack of memory end the probe with [`CapacityLimit::Threshold`].
/// Copies that were loaded before the probe count with the memory the endpoint reports for them.
///
/// # Errors
/// [`Error::Copy`] names the copy that failed, [`Error::NotReady`] the one that was still loading after
/// 360 s; [`Error::UnmeasuredMemory`]; [`Error::Cancelled`]; errors of [`Endpoint::state`].
pub async fn probe<E: Endpoint>(
    endpoint: &E,
    published: &Published,
    requests: &ProbeRequests,
    threshold: f64,
    progress: &dyn Progress,
) -> Result<Capacity> {
    let start = Instant::now();
    let subject = published.variant.id();
    progress.started(Step::Probe, &subject, Some(published.target_models.len() as u64), "copies");
    let session =
        Session { progress, subject: &subject, patience: PATIENCE, ..Session::new(endpoint, requests, progress) };
    let capacity = session.run(&published.target_models, threshold).await?;
    progress.finished(Step::Probe, &subject, Outcome::Built, start.elapsed());
    Ok(capacity)
}

/// One run of the probe.
struct Session<'a, E: Endpoint> {
    endpoint: &'a E,
    smallest: E::Request,
    largest: E::Request,
    concurrency: u32,
    progress: &'a dyn Progress,
    subject: &'a str,
    patience: Duration,
}

/// Measurements so far.
struct ProbeState {
    before: EndpointState,
    copies: u32,
    growths: Growths,
    steps: Vec<ProbeStep>,
}

/// Bytes that copies added. A copy that made the endpoint unload another is not among them.
#[derive(Default)]
struct Growths {
    /// Of the first copy, with what is taken once.
    first: Option<u64>,
    /// Of the others.
    further: Vec<u64>,
}

impl Growths {
    fn add(&mut self, byte_count: u64) {
        match self.first {
            None => self.first = Some(byte_count),
            Some(_) => self.further.push(byte_count),
        }
    }

    /// The mean of all but the first.
    fn mean(&self) -> Option<u64> {
        let sum: u64 = self.further.iter().sum();
        sum.checked_div(self.further.len() as u64)
    }
}

/// What the invocations of one copy have shown.
struct Invoked {
    /// Time of the first, loading included.
    cold: Duration,
    /// Time of one with the largest request.
    warm: Duration,
    /// The endpoint after the smallest request.
    after_smallest: EndpointState,
}

impl<'a, E: Endpoint> Session<'a, E> {
    fn new(endpoint: &'a E, requests: &ProbeRequests, progress: &'a dyn Progress) -> Self {
        Self {
            endpoint,
            smallest: endpoint.prepare(requests.smallest.clone()),
            largest: endpoint.prepare(requests.largest.clone()),
            concurrency: requests.concurrency.get(),
            progress,
            subject: "",
            patience: PATIENCE,
        }
    }

    async fn run(&self, target_models: &[String], threshold: f64) -> Result<Capacity> {
        let before = unless_cancelled(self.progress, self.endpoint.state()).await?;
        if !before.memory_is_measured {
            return Err(Error::UnmeasuredMemory { endpoint: before.endpoint });
        }
        let budget_byte_count = before.budget_byte_count;
        let was_empty = before.models.is_empty();
        let allowed = share(budget_byte_count, threshold);
        let mut state = ProbeState { before, copies: 0, growths: Growths::default(), steps: Vec::new() };
        let mut limit = CapacityLimit::PublishedCopies;
        for target_model in target_models {
            if let Some(reached) = self.copy(target_model, allowed, &mut state).await? {
                limit = reached;
                break;
            }
            self.progress.advanced(Step::Probe, self.subject, state.copies.into());
        }
        let ProbeState { copies, growths, steps, .. } = state;
        let concurrent_growth = match copies.checked_sub(1).and_then(|last| steps.get(last as usize)) {
            Some(last) => self.concurrent_growth(&last.target_model).await?,
            None => None,
        };
        let (first, mean) = (growths.first, growths.mean());
        Ok(Capacity {
            budget_byte_count,
            threshold,
            copies,
            limit,
            base_byte_count: first.filter(|_| was_empty).and_then(|first| Some(first.saturating_sub(mean?))),
            byte_count_per_copy: mean.or(first).unwrap_or(0),
            concurrent_growth,
            predicted: None,
            steps,
        })
    }

    /// Tries one more copy and returns the limit that it met, if any.
    async fn copy(&self, target_model: &str, allowed: u64, state: &mut ProbeState) -> Result<Option<CapacityLimit>> {
        let was_loaded = is_loaded(&state.before, target_model);
        let invoked = match self.invoke(target_model).await {
            Err(error) if error.is_out_of_memory(state.copies > 0) => {
                self.progress.note(Step::Probe, self.subject, format!("`{target_model}` does not fit: {error}"));
                return Ok(Some(CapacityLimit::Threshold));
            }
            outcome => outcome.map_err(|error| of_copy(target_model, error))?,
        };
        let after = unless_cancelled(self.progress, self.endpoint.state()).await?;
        let has_unloaded = has_unloaded(&state.before, &after, was_loaded);
        let growth_until = |after| growth(&state.before, after, target_model);
        let growth = (!has_unloaded).then(|| growth_until(&after));
        let is_new = !has_unloaded && !was_loaded;
        state.steps.push(ProbeStep {
            target_model: target_model.to_owned(),
            cold: (!was_loaded).then_some(invoked.cold),
            warm: invoked.warm,
            used_byte_count: after.used_byte_count,
            growth_byte_count: growth,
            growth_after_smallest_byte_count: is_new.then(|| growth_until(&invoked.after_smallest)),
            loaded: u32::try_from(after.models.len()).unwrap_or(u32::MAX),
        });
        if let Some(growth) = growth {
            state.growths.add(growth);
        }
        let limit = if has_unloaded {
            Some(CapacityLimit::Eviction)
        } else if after.used_byte_count > allowed {
            Some(CapacityLimit::Threshold)
        } else {
            state.copies += 1;
            None
        };
        state.before = after;
        Ok(limit)
    }

    /// All invocations of one copy.
    async fn invoke(&self, target_model: &str) -> Result<Invoked> {
        let start = Instant::now();
        self.invoke_when_ready(&self.smallest, target_model, start).await?;
        let cold = start.elapsed();
        let after_smallest = unless_cancelled(self.progress, self.endpoint.state()).await?;
        self.invoke_when_ready(&self.largest, target_model, Instant::now()).await?;
        let warm = self.invoke_when_ready(&self.largest, target_model, Instant::now()).await?;
        Ok(Invoked { cold, warm, after_smallest })
    }

    /// What several requests at once add to a copy that is loaded. Nothing is known where the endpoint loads or unloads meanwhile, or
    /// has no memory for them.
    async fn concurrent_growth(&self, target_model: &str) -> Result<Option<ConcurrentGrowth>> {
        let before = unless_cancelled(self.progress, self.endpoint.state()).await?;
        if self.concurrency < 2 || !is_loaded(&before, target_model) {
            return Ok(None);
        }
        let at_once =
            (0..self.concurrency).map(|_| self.invoke_when_ready(&self.largest, target_model, Instant::now()));
        match try_join_all(at_once).await {
            Err(error) if error.is_out_of_memory(true) => return Ok(None),
            answers => answers.map_err(|error| of_copy(target_model, error))?,
        };
        let after = unless_cancelled(self.progress, self.endpoint.state()).await?;
        let byte_count = after.used_byte_count.saturating_sub(before.used_byte_count);
        let is_known = !has_unloaded(&before, &after, true);
        Ok(is_known.then_some(ConcurrentGrowth { requests: self.concurrency, byte_count }))
    }

    /// Latency of the first attempt whose response is not "still loading".
    async fn invoke_when_ready(&self, request: &E::Request, target_model: &str, start: Instant) -> Result<Duration> {
        let mut pause = FIRST_PAUSE;
        loop {
            match unless_cancelled(self.progress, self.endpoint.send(request, target_model)).await {
                Ok(invocation) => return Ok(invocation.latency),
                Err(error) if !error.is_not_ready() => return Err(error),
                Err(_) if start.elapsed() >= self.patience => {
                    return Err(Error::NotReady { target_model: target_model.to_owned(), waited: self.patience });
                }
                Err(_) => {}
            }
            let rest = async {
                tokio::time::sleep(pause).await;
                Ok(())
            };
            unless_cancelled(self.progress, rest).await?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// The error with the name of the copy.
fn of_copy(target_model: &str, error: Error) -> Error {
    match error {
        Error::Cancelled | Error::NotReady { .. } => error,
        error => Error::Copy { target_model: target_model.to_owned(), source: Box::new(error) },
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a budget to the byte is more than the kernel's pages allow"
)]
fn share(budget_byte_count: u64, threshold: f64) -> u64 {
    (budget_byte_count as f64 * threshold) as u64
}

fn is_loaded(state: &EndpointState, target_model: &str) -> bool {
    state.models.iter().any(|model| model.target_model == target_model)
}

/// Memory of the copy: the growth of the memory in use, or the size that is reported then of a copy that was loaded before.
fn growth(before: &EndpointState, after: &EndpointState, target_model: &str) -> u64 {
    let reported = after.models.iter().find(|model| model.target_model == target_model);
    match reported.filter(|_| is_loaded(before, target_model)) {
        Some(model) => model.byte_count,
        None => after.used_byte_count.saturating_sub(before.used_byte_count),
    }
}

fn has_unloaded(before: &EndpointState, after: &EndpointState, was_loaded: bool) -> bool {
    let expected = before.models.len() + usize::from(!was_loaded);
    after.evictions > before.evictions || after.models.len() != expected
}

#[cfg(test)]
mod tests;
