//! What the local endpoint serves, and the requests that it is measured with.

use super::precision::model_of;
use super::publish::PublishedVariant;
use crate::context::PipelineContext;
use crate::plan::{BuildPlan, RequestShape};
use crate::{Error, Result, Unserved};
use planforge_core::{
    Builder, CachedArtifact, ComputeCapability, DataType, Dim, EngineTarget, InferRequest, InferTensor,
    MAX_BODY_BYTE_COUNT, Model, Platform, Precision, Published, RequestBody, RequestedOutput, Snapshot, TensorData,
    Variant,
};
use planforge_engine::{Sample, SampleValues, random_texts};
use planforge_tensorrt::LocalGpu;
use planforge_validate::{Samples, takes_prepared_inputs};
use std::collections::BTreeSet;

/// Bytes of a request's JSON before its pixels, which are some hundred.
const JSON_BYTE_COUNT: usize = 4096;

/// The copies of one variant, and the requests that it is measured with.
#[derive(Debug, Clone)]
pub struct ServedVariant {
    /// The copies.
    pub published: Published,
    /// The probe's request.
    pub probe_body: RequestBody,
    /// The load test's request.
    pub load_body: RequestBody,
    /// The GPU that engines run on; none for other variants.
    pub gpu: Option<ServingGpu>,
    /// Sentences for the report.
    pub notes: Vec<String>,
}

/// A GPU of this machine.
#[derive(Debug, Clone)]
pub struct ServingGpu {
    /// Its number.
    pub ordinal: usize,
    /// Its product name.
    pub product: String,
}

/// The copies that the local endpoint serves, and the requests for them; none where the pipeline makes no package that it
/// runs on the CPU.
///
/// # Errors
/// A variant of `host.variant` that is unknown or not served here, and requests that are too large.
pub fn select_served(
    context: &PipelineContext,
    plan: &BuildPlan,
    snapshot: &Snapshot,
    models: &[CachedArtifact<Model>],
    published: &[PublishedVariant],
) -> Result<Option<ServedVariant>> {
    let Some(published) = served(context, published)? else { return Ok(None) };
    let variant = &published.variant;
    let gpu = gpu_for(context, plan, variant)?;
    let model = &model_of(models, variant.precision)?.record;
    let mut probe_request = plan.probe_request;
    if context.spec.probe.batch.is_none() && context.spec.task.is_over_images() {
        probe_request.batch = probe_request.batch.min(largest_image_batch(model));
    }
    let probe = sample(context, snapshot, model, probe_request)?;
    let load = sample(context, snapshot, model, plan.load_request)?;
    let notes = [("Probe", &probe), ("Load", &load)];
    let notes = notes.map(|(what, sample)| format!("{what} requests carry {}.", sample.describe())).to_vec();
    let probe_body = request_body("probe.batch", model, &probe)?;
    let load_body = request_body("load.batch", model, &load)?;
    Ok(Some(ServedVariant { published: published.clone(), probe_body, load_body, gpu, notes }))
}

/// The copies of the first ONNX variant that runs on the CPU, or of the variant that the pipeline names.
fn served<'a>(context: &PipelineContext, published: &'a [PublishedVariant]) -> Result<Option<&'a Published>> {
    let spec = &context.spec;
    let mut all = published.iter().map(|published| &published.published);
    let Some(wanted) = &spec.host.variant else {
        let runs_on_cpu = |it: &Variant| it.platform == Platform::Onnx && it.precision != Precision::Bf16;
        return Ok(all.find(|published| runs_on_cpu(&published.variant)));
    };
    let known = || published.iter().map(|it| it.published.variant.id()).collect();
    let found = all.find(|published| published.variant.id() == *wanted);
    let found = found.ok_or_else(|| Error::UnknownHostVariant { variant: wanted.clone(), known: known() })?;
    let reason = match found.variant.platform {
        Platform::Tensorrt if spec.compile.builder == Builder::Trtexec => Unserved::TensorrtPlan,
        Platform::Onnx if found.variant.precision == Precision::Bf16 => Unserved::OnnxBf16,
        Platform::Onnx | Platform::Tensorrt => return Ok(Some(found)),
        Platform::Pytorch => Unserved::TorchScript,
    };
    Err(Error::UnservedVariant { variant: wanted.clone(), reason })
}

/// The first GPU of this machine that runs an engine of a variant; none for variants without engines.
fn gpu_for(context: &PipelineContext, plan: &BuildPlan, variant: &Variant) -> Result<Option<ServingGpu>> {
    let targets = plan.targets.iter().filter(|target| context.spec.is_packed(target, variant));
    let wanted: BTreeSet<_> = targets.flat_map(EngineTarget::compute_capabilities).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    let runs = |gpu: &LocalGpu| {
        let (major, minor) = gpu.compute_capability;
        wanted.contains(&ComputeCapability { major, minor })
    };
    let gpus = planforge_tensorrt::local_gpus()?;
    let found = gpus.into_iter().enumerate().find(|(_, gpu)| runs(gpu));
    let found = found.map(|(ordinal, gpu)| ServingGpu { ordinal, product: gpu.product });
    let missing = || Error::NoGpuForVariant { variant: variant.id(), wanted: wanted.iter().copied().collect() };
    found.ok_or_else(missing).map(Some)
}

/// A batch of random tokens or images; of the pipeline's samples where the profiles have no sequence length.
fn sample(context: &PipelineContext, snapshot: &Snapshot, model: &Model, shape: RequestShape) -> Result<Sample> {
    let (spec, seed) = (&context.spec, context.spec.load.seed);
    let count = to_usize("batch", shape.batch)?;
    let over_images = spec.task.is_over_images();
    let samples = if !takes_prepared_inputs(model, over_images, snapshot) {
        Samples::RandomTensors { count, sequence: to_usize("sequence", shape.sequence.unwrap_or(1))?, seed }
    } else if over_images {
        Samples::RandomImages { count, seed }
    } else if let Some(sequence) = shape.sequence {
        return Ok(Sample::Text(random_texts(snapshot, count, to_usize("sequence", sequence)?, seed)?));
    } else {
        Samples::Texts(spec.sample_texts().into_iter().cycle().take(count).collect())
    };
    Ok(samples.batch(snapshot, model)?)
}

fn to_usize(what: &'static str, value: u64) -> Result<usize> {
    usize::try_from(value).map_err(|_| Error::OutOfRange { what, value })
}

/// A KServe v2 request that asks for the outputs that the task is about: tokens as JSON, pixels as raw bytes. `key` sets its
/// batch.
fn request_body(key: &'static str, model: &Model, sample: &Sample) -> Result<RequestBody> {
    let (mut inputs, mut raw) = (Vec::new(), Vec::new());
    for spec in &model.inputs {
        let Some((shape, values)) = sample.input(&spec.name) else { continue };
        let data = match values {
            SampleValues::Int64(values) => TensorData::from_integers(values),
            SampleValues::Fp32(values) => {
                raw.push(values.iter().flat_map(|value| value.to_le_bytes()).collect());
                TensorData::default()
            }
        };
        let size = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
        inputs.push(InferTensor {
            name: spec.name.clone(),
            shape: shape.into_iter().map(size).collect(),
            datatype: spec.data_type.kserve_name().to_owned(),
            parameters: serde_json::Map::default(),
            data,
        });
    }
    let output = |name: String| RequestedOutput { name, parameters: serde_json::Map::default() };
    let request = InferRequest {
        id: None,
        parameters: serde_json::Map::default(),
        inputs,
        outputs: model.main_outputs().into_iter().map(output).collect(),
    };
    let body = if raw.is_empty() { RequestBody::json(&request) } else { RequestBody::binary(request, &raw) };
    let body = body.expect("a request is plain data");
    // SageMaker accepts bodies up to a size, and so does the local endpoint.
    let (byte_count, limit) = (body.bytes.len(), MAX_BODY_BYTE_COUNT);
    if byte_count > limit { Err(Error::RequestTooLarge { key, byte_count, limit }) } else { Ok(body) }
}

/// Images that fit into one request.
fn largest_image_batch(model: &Model) -> u64 {
    let fixed = |dim: &Dim| match dim {
        Dim::Fixed(size) => usize::try_from(*size).ok(),
        Dim::Dynamic(_) => None,
    };
    let pixels = model.inputs.first().map_or(1, |input| input.dims.iter().filter_map(fixed).product::<usize>());
    let room = MAX_BODY_BYTE_COUNT - JSON_BYTE_COUNT;
    (room / DataType::Fp32.bytes_of(pixels).max(1)).max(1) as u64
}
