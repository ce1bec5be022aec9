//! An endpoint → how many copies fit, and how much traffic they take.

use super::serve::ServedVariant;
use crate::Result;
use crate::context::PipelineContext;
use planforge_bench::{Endpoint as _, EndpointClient};
use planforge_core::{Capacity, LoadResult, PredictedCapacity, endpoint_name};
use std::time::Duration;

/// Counts the copies that fit into the memory of the endpoint at `url`.
///
/// # Errors
/// An endpoint that does not answer, and cancellation.
pub fn probe(context: &PipelineContext, url: &str, served: &ServedVariant) -> Result<Capacity> {
    let client = client(context, url)?;
    let threshold = f64::from(context.spec.probe.threshold);
    let probing = planforge_bench::probe(&client, &served.published, &served.probe, threshold, context.progress());
    let mut capacity = context.runtime.block_on(probing)?;
    capacity.predicted = served.predicted.map(|memory| PredictedCapacity {
        copies: match served.gpu {
            Some(_) => memory.copies(capacity.budget_byte_count, threshold),
            None => memory.copies_beside(0, capacity.budget_byte_count, threshold),
        },
        byte_count_per_copy: memory.byte_count(),
    });
    Ok(capacity)
}

/// Puts load on the first `copies` of a variant behind the endpoint at `url`; on all where there are fewer.
///
/// # Errors
/// An endpoint that does not answer, and cancellation.
pub fn load(context: &PipelineContext, url: &str, served: &ServedVariant, copies: usize) -> Result<LoadResult> {
    let client = client(context, url)?;
    // An endpoint of another name, or one that asks for another token, would refuse every request.
    context.runtime.block_on(client.state())?;
    let targets = &served.published.target_models;
    let targets = &targets[..copies.min(targets.len())];
    let loading = planforge_bench::load(&client, targets, &served.load_body, &context.spec.load, context.progress());
    Ok(context.runtime.block_on(loading)?)
}

fn client(context: &PipelineContext, url: &str) -> Result<EndpointClient> {
    endpoint_client(context, url, Duration::from_secs(context.spec.load.timeout_seconds.max(1)))
}

/// A client of the pipeline's endpoint at `url`.
pub(crate) fn endpoint_client(context: &PipelineContext, url: &str, timeout: Duration) -> Result<EndpointClient> {
    let token = context.options.endpoint_token.as_ref();
    Ok(EndpointClient::new(url, &endpoint_name(&context.spec.name), timeout, token)?)
}
