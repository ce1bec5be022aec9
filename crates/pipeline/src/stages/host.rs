//! Published copies → a local endpoint that serves them.

use super::serve::ServedVariant;
use crate::Result;
use crate::context::PipelineContext;
use planforge_core::{Outcome, Step, endpoint_name};
use planforge_host::{EngineOptions, HostRequest, LocalEndpoint};
use planforge_report::Served;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

/// Starts the local endpoint on a port of this machine; port 0 stands for a free one.
///
/// # Errors
/// ONNX Runtime that is not there, and an endpoint that does not start.
pub fn start_endpoint(context: &PipelineContext, served: &ServedVariant, port: u16) -> Result<LocalEndpoint> {
    let PipelineContext { spec, options, layout, .. } = context;
    let onnx_runtime = options.native.existing_onnx_runtime()?;
    let engines =
        served.gpu.as_ref().map(|gpu| EngineOptions { library: options.native.tensorrt_library(), gpu: gpu.ordinal });
    let request = HostRequest {
        endpoint: endpoint_name(&spec.name),
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        store_url: served.published.url.clone(),
        store: spec.store.clone(),
        work_folder: layout.host().join("models"),
        memory_budget_byte_count: spec.host.memory.byte_count(),
        intra_op_threads: spec.host.intra_op_threads,
        onnx_runtime,
        engines,
    };
    let start = Instant::now();
    let variant = served.published.variant.id();
    let progress = context.progress();
    progress.started(Step::Host, &variant, None, "");
    let worker = &options.workers.host;
    let log = layout.host().join("host.log");
    let endpoint = LocalEndpoint::start(&worker.program, &worker.arguments, &request, &log)?;
    progress.finished(Step::Host, &variant, Outcome::Built, start.elapsed());
    Ok(endpoint)
}

/// Runs `work` with the URL of an endpoint that lives as long as the work.
///
/// # Errors
/// As [`start_endpoint`], an endpoint that ends by itself, and errors of `work`.
pub fn with_endpoint<T>(
    context: &PipelineContext,
    served: &ServedVariant,
    work: impl FnOnce(&str) -> Result<T>,
) -> Result<T> {
    let mut endpoint = start_endpoint(context, served, 0)?;
    let result = work(&endpoint.url);
    // An endpoint that has ended explains the failures of the work.
    endpoint.ensure_alive()?;
    let result = result?;
    endpoint.stop()?;
    Ok(result)
}

/// What the report states about the local endpoint.
pub(crate) fn describe_endpoint(context: &PipelineContext, served: &ServedVariant) -> Served {
    let by = match &served.gpu {
        Some(gpu) => format!("planforge's local endpoint (TensorRT-RTX, {})", gpu.product),
        None => format!(
            "planforge's local endpoint (ONNX Runtime, CPU, {} thread(s) per inference)",
            context.spec.host.intra_op_threads
        ),
    };
    Served { variant: served.published.variant.id(), by }
}
