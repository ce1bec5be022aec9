//! What an endpoint answers, compared with the fp32 export run here.

use super::check::fp32_reference;
use super::measure::endpoint_client;
use super::precision::model_of;
use super::serve::{ServedVariant, fitting_request};
use crate::context::PipelineContext;
use crate::request_shape::RequestShape;
use crate::response::tensors;
use crate::{Error, Result};
use planforge_bench::Endpoint;
use planforge_core::{
    CachedArtifact, CheckFacts, Model, Outcome, Precision, Profile, ProfileRange, RequestBody, Snapshot, Step, Variant,
};
use planforge_engine::Sample;
use planforge_runtime::Tensor;
use planforge_validate::{
    Comparison, SampleOutputs, Tolerance, append_samples, compare, outputs_per_sample, require_passed, run_model,
};
use std::time::{Duration, Instant};

/// Longest wait for an answer of a model that is not loaded.
const TIMEOUT: Duration = Duration::from_secs(70);

/// What is checked.
#[derive(Debug, Clone, Copy)]
pub struct ServedCheck<'a> {
    /// URL of the endpoint.
    pub url: &'a str,
    /// The copies that it serves.
    pub served: &'a ServedVariant,
    /// The checkpoint.
    pub snapshot: &'a Snapshot,
    /// The exports.
    pub models: &'a [CachedArtifact<Model>],
    /// The profiles that requests are taken from.
    pub profiles: &'a [Profile],
}

/// Compares the answers of the first copy with the fp32 export, or with the graph itself where it was not exported: requests of
/// the smallest, the optimum and the largest size of each profile, as far as a request can carry them.
///
/// # Errors
/// A comparison that does not hold, requests without an answer, a graph that cannot be run here, and errors of the fp32 export.
pub fn check_served(context: &PipelineContext, check: &ServedCheck<'_>) -> Result<Vec<CheckFacts>> {
    let ServedCheck { url, served, snapshot, models, profiles } = *check;
    let own = model_of(models, served.published.variant.precision)?;
    let reference = fp32_reference(context, snapshot, models)?.unwrap_or_else(|| own.clone());
    super::onnx_runtime::load_onnx_runtime(context)?;
    let variant = served.published.variant.id();
    let (start, progress) = (Instant::now(), context.progress());
    progress.started(Step::Check, &format!("{variant}, served"), None, "");
    let target_model = served.published.target_models.first().map_or("", String::as_str);
    let (mut found, mut expected) = (Vec::new(), Vec::new());
    for shape in shapes(profiles) {
        let (sample, body) = fitting_request(context, snapshot, &own.record, shape, None)?;
        let answer = ask(context, url, target_model, body)?;
        append_samples(&mut found, outputs_per_sample(&answer, &sample));
        append_samples(&mut expected, reference_outputs(&reference, &sample, &answer, progress)?);
    }
    let subject = format!("{variant}, served");
    let reference_name = Variant::onnx(reference.record.precision).id();
    let tolerance = tolerance(served.published.variant.precision);
    let comparison = Comparison { subject: &subject, reference: &reference_name, tolerance };
    let facts = compare(&comparison, &found, &expected);
    require_passed(&facts, None)?;
    progress.finished(Step::Check, &subject, Outcome::Built, start.elapsed());
    Ok(facts)
}

/// fp32 as it is between libraries; half precisions by the direction of each sample's output, as `check` does.
const fn tolerance(precision: Precision) -> Tolerance {
    match precision {
        Precision::Fp32 => Tolerance::RelativeError(2e-4),
        Precision::Fp16 => Tolerance::Cosine(0.999),
        Precision::Bf16 => Tolerance::Cosine(0.99),
    }
}

/// The smallest, the optimum and the largest request of each profile, and the smallest batch of the longest sequence.
fn shapes(profiles: &[Profile]) -> Vec<RequestShape> {
    let mut shapes = Vec::new();
    for Profile { batch, sequence } in profiles {
        let of = |batch, pick: fn(&ProfileRange) -> u64| RequestShape { batch, sequence: sequence.as_ref().map(pick) };
        let own = [
            of(batch.min, |range| range.min),
            of(batch.opt, |range| range.opt),
            of(batch.max, |range| range.max),
            of(batch.min, |range| range.max),
        ];
        for shape in own {
            if !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
    }
    shapes
}

fn ask(context: &PipelineContext, url: &str, target_model: &str, body: RequestBody) -> Result<Vec<Tensor>> {
    let client = endpoint_client(context, url, TIMEOUT)?;
    let request = client.prepare(body);
    let answer = context.runtime.block_on(client.send(&request, target_model))?;
    tensors(&answer.content_type, &answer.body)
}

/// Outputs of the reference in the order of the answer.
fn reference_outputs(
    reference: &CachedArtifact<Model>,
    sample: &Sample,
    answer: &[Tensor],
    progress: &dyn planforge_core::Progress,
) -> Result<Vec<SampleOutputs>> {
    let outputs = run_model(reference, sample, progress)?;
    let of_answer = answer.iter().map(|output| {
        let found = outputs.iter().find(|own| own.name == output.name).cloned();
        found.ok_or_else(|| Error::NoOutput { name: output.name.clone() })
    });
    Ok(outputs_per_sample(&of_answer.collect::<Result<Vec<_>>>()?, sample))
}
