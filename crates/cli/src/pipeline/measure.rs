//! Published copies to figures: the endpoint, the probe and the load test.

use crate::failure::Missing;
use crate::pipeline::endpoint::{HostRequest, LocalEndpoint};
use crate::pipeline::steps::{Run, hosted_variant};
use anyhow::{Context, Result};
use planforge_bench::{EndpointClient, Served, load, probe};
use planforge_core::{
    Capacity, InferRequest, InferTensor, LoadResult, Model, Outcome, Published, RequestedOutput, Snapshot, Step,
    Stored, TensorData, endpoint_name,
};
use planforge_engine::{TextSample, random_texts, tokenize};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// What is measured: the copies of one variant, and how they are asked.
pub(crate) struct Target {
    /// The copies.
    pub(crate) published: Published,
    /// The probe's request.
    probe_body: Vec<u8>,
    /// The load test's request.
    load_body: Vec<u8>,
}

impl Run {
    /// The copies that the local endpoint serves, and the requests for them; nothing when the pipeline
    /// makes no ONNX package.
    pub(crate) fn target(
        &mut self,
        snapshot: &Snapshot,
        models: &[Stored<Model>],
        published: &[Published],
    ) -> Result<Option<Target>> {
        let Some(variant) = hosted_variant(&self.pipeline, &self.variants)? else {
            let note = "nothing was served: the local endpoint runs ONNX packages, and this pipeline makes none";
            self.report.notes.push(note.to_owned());
            self.progress().note(Step::Host, self.pipeline.name.as_str(), note);
            return Ok(None);
        };
        let is_served = |published: &&Published| published.variant == variant;
        let published = published.iter().find(is_served).context("the served variant was not published")?.clone();
        let model = models.iter().find(|model| model.record.precision == variant.precision);
        let model = &model.context("the served variant was not exported")?.record;
        let probe = self.sample(snapshot, self.pipeline.probe_request())?;
        let load = self.sample(snapshot, self.pipeline.load_request())?;
        let says = |what: &str, sample: &TextSample| {
            format!("{what} requests carry a batch of {} with {} tokens each.", sample.batch, sample.sequence)
        };
        self.report.notes.push(says("Probe", &probe));
        self.report.notes.push(says("Load", &load));
        Ok(Some(Target { published, probe_body: self.body(model, &probe)?, load_body: self.body(model, &load)? }))
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
            store_folder: planforge_package::Store::parse(&target.published.url)?.folder(""),
            work_folder: self.layout.host().join("models"),
            memory_budget_byte_count: host.memory.byte_count(),
            intra_op_threads: host.intra_op_threads,
            onnx_runtime: library,
        };
        let start = Instant::now();
        let variant = target.published.variant.id();
        self.progress().started(Step::Host, &variant, None, "");
        let endpoint = LocalEndpoint::start(&request, &self.layout.host().join("host.log"), self.settings.verbose)?;
        self.progress().finished(Step::Host, &variant, Outcome::Built, start.elapsed());
        let by = format!(
            "planforge's local endpoint (ONNX Runtime, CPU, {} thread(s) per inference)",
            host.intra_op_threads
        );
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
        let timeout = Duration::from_secs(self.pipeline.load.timeout_seconds);
        Ok(EndpointClient::new(url, &endpoint_name(&self.pipeline.name), timeout)?)
    }

    /// A batch of random tokens, or of the samples when the profiles say nothing of their length.
    fn sample(&self, snapshot: &Snapshot, (batch, sequence): (u64, Option<u64>)) -> Result<TextSample> {
        let batch = usize::try_from(batch)?;
        if let Some(sequence) = sequence {
            return Ok(random_texts(snapshot, (batch, usize::try_from(sequence)?), self.pipeline.load.seed)?);
        }
        let texts: Vec<String> = self.pipeline.export.samples.iter().cycle().take(batch).cloned().collect();
        Ok(tokenize(snapshot, &texts, u64::MAX)?)
    }

    /// A KServe v2 request that asks for the output the task is about.
    fn body(&self, model: &Model, sample: &TextSample) -> Result<Vec<u8>> {
        let shape = vec![i64::try_from(sample.batch)?, i64::try_from(sample.sequence)?];
        let input = |name: &String| {
            Some(InferTensor {
                name: name.clone(),
                shape: shape.clone(),
                datatype: "INT64".to_owned(),
                parameters: serde_json::Map::default(),
                data: TensorData::from_integers(sample.values(name)?),
            })
        };
        let output = self.pipeline.task.main_output();
        let request = InferRequest {
            id: None,
            parameters: serde_json::Map::default(),
            inputs: model.inputs.iter().filter_map(|spec| input(&spec.name)).collect(),
            outputs: vec![RequestedOutput { name: output.to_owned(), parameters: serde_json::Map::default() }],
        };
        Ok(serde_json::to_vec(&request)?)
    }
}
