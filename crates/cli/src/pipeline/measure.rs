//! Published copies to figures: the endpoint, the probe and the load test.

use crate::failure::{BadUsage, Missing};
use crate::pipeline::endpoint::{HostRequest, LocalEndpoint};
use crate::pipeline::samples::{Samples, is_usual};
use crate::pipeline::steps::Run;
use anyhow::{Context, Result};
use planforge_bench::{EndpointClient, load, probe};
use planforge_core::{
    Builder, CachedArtifact, Capacity, ComputeCapability, DataType, Dim, EngineTarget, InferRequest, InferTensor,
    LoadResult, MAX_BODY_BYTE_COUNT, Model, Outcome, Pipeline, Platform, Precision, Published, RequestBody,
    RequestedOutput, Snapshot, Step, TensorData, Variant, endpoint_name,
};
use planforge_engine::{Sample, SampleValues, random_texts};
use planforge_report::Served;
use planforge_tensorrt::LocalGpu;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// What is measured: the copies of one variant, and how they are asked.
pub(crate) struct Target {
    /// The copies.
    pub(crate) published: Published,
    /// The probe's request.
    probe_body: RequestBody,
    /// The load test's request.
    load_body: RequestBody,
    /// For engines, number and name of the GPU that they run on.
    gpu: Option<(usize, String)>,
}

impl Run {
    /// The copies that the local endpoint serves, and the requests for them; nothing when the pipeline
    /// makes no ONNX package.
    pub(crate) fn target(
        &mut self,
        snapshot: &Snapshot,
        models: &[CachedArtifact<Model>],
        published: &[Published],
    ) -> Result<Option<Target>> {
        let Some(variant) = hosted_variant(&self.pipeline, &self.variants)? else {
            let note = "nothing was served: the local endpoint runs ONNX packages in fp32 and fp16, and this pipeline \
                        makes none";
            self.report.notes.push(note.to_owned());
            self.progress().note(Step::Host, self.pipeline.name.as_str(), note);
            return Ok(None);
        };
        let gpu = self.gpu_of(&variant)?;
        let is_served = |published: &&Published| published.variant == variant;
        let published = published.iter().find(is_served).context("the served variant was not published")?.clone();
        let model = models.iter().find(|model| model.record.precision == variant.precision);
        let model = &model.context("the served variant was not exported")?.record;
        let (mut batch, sequence) = self.pipeline.probe_request();
        if self.pipeline.probe.batch.is_none() && self.pipeline.task.is_over_images() {
            batch = batch.min(largest_batch(model));
        }
        let probe = self.sample(snapshot, model, (batch, sequence))?;
        let load = self.sample(snapshot, model, self.pipeline.load_request())?;
        for (what, sample) in [("Probe", &probe), ("Load", &load)] {
            self.report.notes.push(format!("{what} requests carry {}.", sample.describe()));
        }
        let (probe_body, load_body) = (self.body(model, &probe)?, self.body(model, &load)?);
        refuse_oversized("probe.batch", &probe_body)?;
        refuse_oversized("load.batch", &load_body)?;
        Ok(Some(Target { published, probe_body, load_body, gpu }))
    }

    /// Number and name of the first GPU here that runs an engine of this variant; none for other variants.
    ///
    /// # Errors
    /// [`BadUsage`] where there is no such GPU.
    fn gpu_of(&self, variant: &Variant) -> Result<Option<(usize, String)>> {
        let targets = self.targets.iter().filter(|target| self.pipeline.is_packed(target, variant));
        let wanted: BTreeSet<_> = targets.flat_map(EngineTarget::compute_capabilities).collect();
        if wanted.is_empty() {
            return Ok(None);
        }
        let runs = |gpu: &LocalGpu| {
            let (major, minor) = gpu.compute_capability;
            wanted.contains(&ComputeCapability { major, minor })
        };
        let gpus = planforge_tensorrt::local_gpus()?;
        let found = gpus.iter().position(runs).map(|ordinal| (ordinal, gpus[ordinal].product.clone()));
        Ok(Some(found.ok_or_else(|| {
            let wanted: Vec<_> = wanted.iter().map(ToString::to_string).collect();
            let wanted = wanted.join(" or ");
            let id = variant.id();
            BadUsage(format!(
                "key `host.variant`: `{id}` needs a GPU of compute capability {wanted}, and there is none here"
            ))
        })?))
    }

    /// Starts the local endpoint over the copies' store.
    pub(crate) fn start_endpoint(&mut self, target: &Target, port: u16) -> Result<LocalEndpoint> {
        let library = self.settings.onnx_runtime();
        if !library.exists() {
            return Err(Missing(format!("ONNX Runtime was not found at `{}`", library.display())).into());
        }
        let host = &self.pipeline.host;
        let request = HostRequest {
            endpoint: endpoint_name(&self.pipeline.name),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            store_url: target.published.url.clone(),
            store: self.pipeline.store.clone(),
            work_folder: self.layout.host().join("models"),
            memory_budget_byte_count: host.memory.byte_count(),
            intra_op_threads: host.intra_op_threads,
            onnx_runtime: library,
            engines: target.gpu.as_ref().map(|(ordinal, _)| (self.settings.tensorrt_library(), *ordinal)),
        };
        let start = Instant::now();
        let variant = target.published.variant.id();
        self.progress().started(Step::Host, &variant, None, "");
        let endpoint = LocalEndpoint::start(&request, &self.layout.host().join("host.log"), self.settings.verbose)?;
        self.progress().finished(Step::Host, &variant, Outcome::Built, start.elapsed());
        let by = match &target.gpu {
            Some((_, gpu)) => format!("planforge's local endpoint (TensorRT-RTX, {gpu})"),
            None => format!(
                "planforge's local endpoint (ONNX Runtime, CPU, {} thread(s) per inference)",
                self.pipeline.host.intra_op_threads
            ),
        };
        self.report.served = Some(Served { variant, by });
        Ok(endpoint)
    }

    /// Runs `work` with the URL of an endpoint that lives as long as the work.
    pub(crate) fn with_endpoint<T>(
        &mut self,
        target: &Target,
        work: impl FnOnce(&mut Self, &str) -> Result<T>,
    ) -> Result<T> {
        let mut endpoint = self.start_endpoint(target, 0)?;
        let url = endpoint.url.clone();
        let result = work(self, &url);
        // An endpoint that has ended explains the failures of the work.
        endpoint.ensure_alive()?;
        let result = result?;
        endpoint.stop()?;
        Ok(result)
    }

    /// Counts the copies that fit.
    pub(crate) fn probe(&mut self, runtime: &tokio::runtime::Runtime, url: &str, target: &Target) -> Result<Capacity> {
        let client = self.client(url)?;
        let threshold = f64::from(self.pipeline.probe.threshold);
        let probing = probe(&client, &target.published, &target.probe_body, threshold, self.progress());
        let capacity = runtime.block_on(probing)?;
        self.report.capacity = Some(capacity.clone());
        Ok(capacity)
    }

    /// Puts load on the first `copies` of the target.
    pub(crate) fn load(
        &mut self,
        runtime: &tokio::runtime::Runtime,
        url: &str,
        target: &Target,
        copies: usize,
    ) -> Result<LoadResult> {
        let client = self.client(url)?;
        let targets = &target.published.target_models;
        let targets = &targets[..copies.min(targets.len())];
        let loading = load(&client, targets, &target.load_body, &self.pipeline.load, self.progress());
        let result = runtime.block_on(loading)?;
        self.report.load = Some(result.clone());
        Ok(result)
    }

    fn client(&self, url: &str) -> Result<EndpointClient> {
        let timeout = Duration::from_secs(self.pipeline.load.timeout_seconds.max(1));
        Ok(EndpointClient::new(url, &endpoint_name(&self.pipeline.name), timeout)?)
    }

    /// A batch of random tokens or pictures, or of the samples when the profiles say nothing of their length.
    fn sample(&self, snapshot: &Snapshot, model: &Model, (batch, sequence): (u64, Option<u64>)) -> Result<Sample> {
        let (batch, seed) = (usize::try_from(batch)?, self.pipeline.load.seed);
        let over_images = self.pipeline.task.is_over_images();
        if !is_usual(over_images, snapshot, model) {
            let sequence = usize::try_from(sequence.unwrap_or(1))?;
            return Samples::RandomTensors(batch, sequence, seed).batch(snapshot, model);
        }
        if over_images {
            return Samples::RandomPictures(batch, seed).batch(snapshot, model);
        }
        if let Some(sequence) = sequence {
            return Ok(Sample::Text(random_texts(snapshot, (batch, usize::try_from(sequence)?), seed)?));
        }
        Samples::Texts(self.pipeline.sentences().into_iter().cycle().take(batch).collect()).batch(snapshot, model)
    }

    /// A KServe v2 request that asks for the outputs the task is about: token numbers as JSON, pixels as raw bytes.
    fn body(&self, model: &Model, sample: &Sample) -> Result<RequestBody> {
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
            inputs.push(InferTensor {
                name: spec.name.clone(),
                shape: shape.into_iter().map(i64::try_from).collect::<Result<Vec<_>, _>>()?,
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
        Ok(if raw.is_empty() { RequestBody::json(&request)? } else { RequestBody::binary(request, &raw)? })
    }
}

/// Pictures that fit into one request.
fn largest_batch(model: &Model) -> u64 {
    let pixels = model.inputs.first().map_or(1, |input| input.dims.iter().filter_map(fixed).product::<usize>());
    // The JSON before the pixels takes some hundred bytes.
    let room = MAX_BODY_BYTE_COUNT - 4096;
    (room / DataType::Fp32.bytes_of(pixels).max(1)).max(1) as u64
}

fn fixed(dim: &Dim) -> Option<usize> {
    match dim {
        Dim::Fixed(size) => usize::try_from(*size).ok(),
        Dim::Dynamic(_) => None,
    }
}

/// SageMaker takes bodies up to a size, and so does the local endpoint.
fn refuse_oversized(key: &str, body: &RequestBody) -> Result<()> {
    let (size, most) = (body.bytes.len(), MAX_BODY_BYTE_COUNT);
    if size > most {
        let message = format!("key `{key}`: a request of {size} bytes is beyond the {most} that SageMaker accepts");
        return Err(BadUsage(format!("{message}; use a smaller batch")).into());
    }
    Ok(())
}

/// The first ONNX variant that runs on the CPU, or the one the pipeline names.
fn hosted_variant(pipeline: &Pipeline, variants: &[Variant]) -> Result<Option<Variant>> {
    let Some(wanted) = &pipeline.host.variant else {
        let is_hosted = |variant: &&Variant| variant.platform == Platform::Onnx && variant.precision != Precision::Bf16;
        return Ok(variants.iter().find(is_hosted).cloned());
    };
    let found = variants.iter().find(|variant| variant.id() == *wanted).cloned().ok_or_else(|| {
        let known: Vec<_> = variants.iter().map(Variant::id).collect();
        BadUsage(format!("key `host.variant`: `{wanted}` is not among the pipeline's variants: {}", known.join(", ")))
    })?;
    match found.platform {
        Platform::Tensorrt if pipeline.compile.builder == Builder::Trtexec => Err(BadUsage(format!(
            "key `host.variant`: `{wanted}` is a plan of TensorRT, and the local endpoint runs engines of TensorRT-RTX"
        ))
        .into()),
        Platform::Onnx if found.precision == Precision::Bf16 => Err(BadUsage(format!(
            "key `host.variant`: the local endpoint runs on the CPU, where ONNX Runtime has no bf16; `{wanted}` needs a GPU"
        ))
        .into()),
        Platform::Onnx | Platform::Tensorrt => Ok(Some(found)),
        Platform::Pytorch => Err(BadUsage(format!(
            "key `host.variant`: the local endpoint runs ONNX and engines; `{wanted}` is TorchScript"
        ))
        .into()),
    }
}
