//! What the local endpoint serves, and the requests that it is measured with.

use super::precision::model_of;
use super::publish::PublishedVariant;
use crate::context::PipelineContext;
use crate::estimate::estimate_copy;
use crate::plan::BuildPlan;
use crate::request_shape::RequestShape;
use crate::{Error, Result, Unserved};
use planforge_bench::ProbeRequests;
use planforge_core::{
    Builder, CachedArtifact, CopyMemory, DataType, EngineTarget, HostContainer, InferRequest, InferTensor,
    MAX_BODY_BYTE_COUNT, Model, Platform, Precision, Published, RequestBody, RequestedOutput, Snapshot, TensorData,
    TensorSpec, Variant, fixed_batch,
};
use planforge_engine::{Sample, SampleValues, random_texts, random_tokens};
use planforge_triton_config::SHARING_INSTANCES;
use planforge_validate::{Samples, lacks_tokenizer, takes_prepared_inputs};
use std::collections::BTreeSet;
use std::num::NonZeroU32;

/// The copies of one variant, and the requests that it is measured with.
#[derive(Debug, Clone)]
pub struct ServedVariant {
    /// The copies.
    pub published: Published,
    /// The probe's requests.
    pub probe: ProbeRequests,
    /// Memory of a copy as it is predicted, for the probe's largest request; none for prebuilt graphs.
    pub predicted: Option<CopyMemory>,
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
    serve(context, plan, snapshot, models, published).map(Some)
}

/// The copies of every variant that the local endpoint can serve.
///
/// # Errors
/// Requests that are too large.
pub fn select_all_served(
    context: &PipelineContext,
    plan: &BuildPlan,
    snapshot: &Snapshot,
    models: &[CachedArtifact<Model>],
    published: &[PublishedVariant],
) -> Result<Vec<ServedVariant>> {
    let is_embedded = context.spec.host.container == HostContainer::Embedded;
    let can_run = |it: &Variant| !is_embedded && it.platform != Platform::Tensorrt || runs_on_cpu(it);
    let all = published.iter().map(|published| &published.published).filter(|published| can_run(&published.variant));
    all.map(|published| serve(context, plan, snapshot, models, published)).collect()
}

/// What planforge's own endpoint runs on the CPU.
fn runs_on_cpu(variant: &Variant) -> bool {
    variant.platform == Platform::Onnx && variant.precision != Precision::Bf16
}

fn serve(
    context: &PipelineContext,
    plan: &BuildPlan,
    snapshot: &Snapshot,
    models: &[CachedArtifact<Model>],
    published: &Published,
) -> Result<ServedVariant> {
    let variant = &published.variant;
    let gpu = gpu_for(context, plan, variant)?;
    let model = &model_of(models, variant.precision)?.record;
    let named = context.spec.probe.batch.map(|_| "probe.batch");
    let (largest, largest_body) = fitting_request(context, snapshot, model, plan.probe_request, named)?;
    let (smallest, smallest_body) = fitting_request(context, snapshot, model, smallest_request(plan), None)?;
    let concurrency = concurrency(context, variant);
    let probe = ProbeRequests { smallest: smallest_body, largest: largest_body, concurrency };
    let shape = RequestShape { batch: largest.batch() as u64, ..plan.probe_request };
    let predicted = estimate_copy(&context.spec, variant.precision, shape, snapshot)?;
    let load = sample(context, snapshot, model, plan.load_request)?;
    let notes = [("Probe", &largest), ("Smallest probe", &smallest), ("Load", &load)];
    let notes = notes.map(|(what, sample)| format!("{what} requests carry {}.", sample.describe())).to_vec();
    let load_body = request_body("load.batch", model, &load)?;
    Ok(ServedVariant { published: published.clone(), probe, predicted, load_body, gpu, notes })
}

/// The smallest batch of the profiles with the shortest sequence.
fn smallest_request(plan: &BuildPlan) -> RequestShape {
    let batch = plan.profiles.iter().map(|profile| profile.batch.min).min().unwrap_or(1);
    let sequence = plan.profiles.iter().filter_map(|profile| Some(profile.sequence?.min)).min();
    RequestShape { batch, sequence: sequence.or(plan.probe_request.sequence) }
}

/// Requests that one copy runs at the same time: as many as it has instances. planforge's own process runs one.
fn concurrency(context: &PipelineContext, variant: &Variant) -> NonZeroU32 {
    let PipelineContext { spec, .. } = context;
    let is_own_backend = variant.platform == Platform::Onnx && spec.is_served_by_planforge(Platform::Onnx);
    let default = if is_own_backend { SHARING_INSTANCES } else { NonZeroU32::MIN };
    match spec.host.container {
        HostContainer::Embedded => NonZeroU32::MIN,
        HostContainer::Triton | HostContainer::Address(_) => spec.triton.instances.unwrap_or(default),
    }
}

/// Samples and request of a shape; of the largest batch that a request can carry, where no `key` asks for this one.
pub(super) fn fitting_request(
    context: &PipelineContext,
    snapshot: &Snapshot,
    model: &Model,
    mut shape: RequestShape,
    key: Option<&'static str>,
) -> Result<(Sample, RequestBody)> {
    loop {
        let sample = sample(context, snapshot, model, shape)?;
        match request_body(key.unwrap_or("profiles"), model, &sample) {
            Err(Error::RequestTooLarge { byte_count, limit, .. }) if key.is_none() && shape.batch > 1 => {
                let fitting = u128::from(shape.batch) * limit as u128 / byte_count as u128;
                shape.batch = u64::try_from(fitting).unwrap_or(1).clamp(1, shape.batch - 1);
            }
            body => return Ok((sample, body?)),
        }
    }
}

/// The copies of the first ONNX variant that runs on the CPU, or of the variant that the pipeline names.
fn served<'a>(context: &PipelineContext, published: &'a [PublishedVariant]) -> Result<Option<&'a Published>> {
    let spec = &context.spec;
    let mut all = published.iter().map(|published| &published.published);
    let is_embedded = spec.host.container == HostContainer::Embedded;
    let Some(wanted) = &spec.host.variant else {
        return Ok(all.find(|published| runs_on_cpu(&published.variant)));
    };
    let known = || published.iter().map(|it| it.published.variant.id()).collect();
    let found = all.find(|published| published.variant.id() == *wanted);
    let found = found.ok_or_else(|| Error::UnknownHostVariant { variant: wanted.clone(), known: known() })?;
    let reason = match found.variant.platform {
        // The container decides.
        _ if !is_embedded => return Ok(Some(found)),
        Platform::Tensorrt if spec.compile.builder == Builder::Trtexec => Unserved::TensorrtPlan,
        Platform::Onnx if found.variant.precision == Precision::Bf16 => Unserved::OnnxBf16,
        Platform::Onnx | Platform::Tensorrt => return Ok(Some(found)),
        Platform::Pytorch => Unserved::TorchScript,
    };
    Err(Error::UnservedVariant { variant: wanted.clone(), reason })
}

/// The first GPU of this machine that runs an engine of a variant; none for variants without engines.
fn gpu_for(context: &PipelineContext, plan: &BuildPlan, variant: &Variant) -> Result<Option<ServingGpu>> {
    let targets = plan.selection.targets.iter().filter(|target| context.spec.is_packed(target, variant));
    let wanted: BTreeSet<_> = targets.flat_map(EngineTarget::compute_capabilities).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    let gpus = planforge_tensorrt::local_gpus()?;
    let found = gpus.into_iter().enumerate().find(|(_, gpu)| wanted.contains(&gpu.compute_capability));
    let found = found.map(|(ordinal, gpu)| ServingGpu { ordinal, product: gpu.product });
    let missing = || Error::NoGpuForVariant { variant: variant.id(), wanted: wanted.iter().copied().collect() };
    found.ok_or_else(missing).map(Some)
}

/// A batch of random tokens or images; of the pipeline's samples where the profiles have no sequence length. A graph may
/// take one batch only.
fn sample(context: &PipelineContext, snapshot: &Snapshot, model: &Model, shape: RequestShape) -> Result<Sample> {
    let (spec, seed) = (&context.spec, context.spec.load.seed);
    let count = to_usize("batch", fixed_batch(&model.inputs).unwrap_or(shape.batch))?;
    let over_images = spec.task.is_over_images();
    let samples = if !takes_prepared_inputs(model, over_images, snapshot) {
        Samples::RandomTensors { count, sequence: to_usize("sequence", shape.sequence.unwrap_or(1))?, seed }
    } else if over_images {
        Samples::RandomImages { count, seed }
    } else if let Some(sequence) = shape.sequence {
        let sequence = to_usize("sequence", sequence)?;
        return Ok(Sample::Text(if lacks_tokenizer(snapshot, model).is_some() {
            random_tokens(snapshot, spec.task, &vec![sequence; count], seed)?
        } else {
            random_texts(snapshot, spec.task, count, sequence, seed)?
        }));
    } else {
        Samples::Texts(spec.sample_texts().into_iter().cycle().take(count).collect())
    };
    Ok(samples.batch(snapshot, model)?)
}

fn to_usize(what: &'static str, value: u64) -> Result<usize> {
    usize::try_from(value).map_err(|_| Error::OutOfRange { what, value })
}

/// A KServe v2 request that asks for the outputs that the task is about: integers as JSON, inputs with others as raw bytes.
/// `key` sets its batch.
pub(crate) fn request_body(key: &'static str, model: &Model, sample: &Sample) -> Result<RequestBody> {
    let is_integer = |spec: &TensorSpec| matches!(spec.data_type, DataType::Int64 | DataType::Int32);
    let is_raw = !model.inputs.iter().all(is_integer);
    let (mut inputs, mut raw) = (Vec::new(), Vec::new());
    for spec in &model.inputs {
        let Some((shape, values)) = sample.input(&spec.name) else { continue };
        let data = match values {
            SampleValues::Int64(values) if !is_raw => TensorData::from_integers(values),
            _ => {
                raw.push(values.to_bytes(spec.data_type));
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
    let output = |name: String| {
        let mut parameters = serde_json::Map::default();
        let spec = model.outputs.iter().find(|output| output.name == name);
        // Triton sends 16-bit numbers as raw bytes alone.
        if spec.is_some_and(|spec| matches!(spec.data_type, DataType::Fp16 | DataType::Bf16)) {
            parameters.insert("binary_data".to_owned(), true.into());
        }
        RequestedOutput { name, parameters }
    };
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
