//! The record of a run: what its stages returned. The lock and the report are made from it.

use crate::context::PipelineContext;
use crate::lock::{LIBTORCH, ONNX_RUNTIME, TRITON_BACKEND, builder_tool, lock_of_source, locked_files};
use crate::plan::BuildPlan;
use crate::stages::{
    BuiltEngines, Checks, CompileRequest, EngineChecks, Exports, FetchedSource, PackagedVariants, PublishedVariant,
};
use planforge_core::{
    ArtifactFile, Capacity, CheckFacts, LoadResult, Lock, LockedEngine, LockedFile, Model, Precision,
};
use planforge_report::{Library, Served};
use planforge_store::ObjectStore;
use planforge_validate::LIBTORCH_VERSION;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// Name of ONNX Runtime in reports.
pub(crate) const ONNX_RUNTIME_NAME: &str = "ONNX Runtime";

/// What the stages of one pipeline returned; those that did not run have empty results.
pub struct RunRecord<'a> {
    /// The pipeline.
    pub context: &'a PipelineContext,
    /// When the run began.
    pub started: Instant,
    /// The resolved plan.
    pub plan: BuildPlan,
    /// The snapshot.
    pub source: FetchedSource,
    /// The store, where the run publishes.
    pub store: Option<Arc<dyn ObjectStore>>,
    /// Exported models.
    pub exports: Exports,
    /// Comparisons of the exports.
    pub checks: Checks,
    /// Engines.
    pub built: BuiltEngines,
    /// Comparisons of the engines.
    pub engine_checks: EngineChecks,
    /// Archives.
    pub packaged: PackagedVariants,
    /// Sentences about artifacts that were not reproduced.
    pub lock_notes: Vec<String>,
    /// Published copies.
    pub published: Vec<PublishedVariant>,
    /// What the endpoint was measured at.
    pub measured: Measured,
}

/// Measurements of an endpoint.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// What was served.
    pub served: Option<Served>,
    /// Result of the probe.
    pub capacity: Option<Capacity>,
    /// Result of the load test.
    pub load: Option<LoadResult>,
    /// What the endpoint answers, compared with the fp32 export.
    pub checks: Vec<CheckFacts>,
    /// Sentences for the report.
    pub notes: Vec<String>,
}

impl<'a> RunRecord<'a> {
    /// The record of a run that has fetched its source.
    pub(crate) fn new(
        context: &'a PipelineContext,
        started: Instant,
        source: FetchedSource,
        store: Option<Arc<dyn ObjectStore>>,
        plan: BuildPlan,
    ) -> Self {
        Self {
            context,
            started,
            plan,
            source,
            store,
            exports: Exports::default(),
            checks: Checks::default(),
            built: BuiltEngines::default(),
            engine_checks: EngineChecks::default(),
            packaged: PackagedVariants::default(),
            lock_notes: Vec::new(),
            published: Vec::new(),
            measured: Measured::default(),
        }
    }

    /// The engines to build.
    pub(crate) fn compile_request(&self) -> CompileRequest<'_> {
        CompileRequest { context: self.context, plan: &self.plan, models: &self.exports.models }
    }

    /// The native libraries that were used, each once.
    #[must_use]
    pub fn libraries(&self) -> Vec<Library> {
        let library = |version: &String| Library { name: ONNX_RUNTIME_NAME.to_owned(), version: version.clone() };
        self.onnx_runtime().map(library).into_iter().chain(self.built.library.clone()).collect()
    }

    /// Version of ONNX Runtime, where it was used.
    fn onnx_runtime(&self) -> Option<&String> {
        self.exports.onnx_runtime.as_ref().or(self.checks.onnx_runtime.as_ref())
    }

    /// Versions of the libraries that decided bytes of artifacts.
    fn deciding_tools(&self) -> BTreeMap<String, String> {
        let mut tools = BTreeMap::new();
        let is_measured = |model: &Model| model.precision == Precision::Fp16 && !model.prebuilt;
        if self.context.spec.export.measure_ranges
            && self.exports.models.iter().any(|model| is_measured(&model.record))
            && let Some(version) = self.onnx_runtime()
        {
            tools.insert(ONNX_RUNTIME.to_owned(), version.clone());
        }
        if let Some(engine) = self.built.engines.first().map(|engine| &engine.record) {
            tools.insert(builder_tool(engine.builder).to_owned(), engine.header.version.clone());
        }
        if let Some(version) = LIBTORCH_VERSION.filter(|_| !self.exports.modules.is_empty()) {
            tools.insert(LIBTORCH.to_owned(), version.to_owned());
        }
        if let Some(digest) = &self.packaged.backend_digest {
            tools.insert(TRITON_BACKEND.to_owned(), format!("sha256:{digest}"));
        }
        tools
    }
}

impl From<&RunRecord<'_>> for Lock {
    /// The lock of what was made.
    fn from(record: &RunRecord<'_>) -> Self {
        let mut lock = lock_of_source(&record.context.spec, &record.source.snapshot);
        lock.tools.extend(record.deciding_tools());
        for model in record.exports.models.iter().chain(&record.exports.modules) {
            let id = format!("{}-{}", model.record.format, model.record.precision);
            lock.exports.insert(id, locked_files(&model.files));
        }
        for (target, engine) in record.plan.selection.targets.iter().zip(&record.built.engines) {
            if let Some(ArtifactFile { byte_count, sha256, .. }) = engine.file(&engine.record.plan).cloned() {
                let gpus = target.gpus.iter().map(|gpu| gpu.name.clone()).collect();
                lock.engines.insert(target.variant.id(), LockedEngine { byte_count, sha256, gpus });
            }
        }
        for archive in record.packaged.archives.iter().map(|archive| &archive.record) {
            let file = LockedFile { byte_count: archive.byte_count, sha256: archive.sha256.clone() };
            lock.archives.insert(archive.variant.id(), file);
        }
        lock
    }
}
