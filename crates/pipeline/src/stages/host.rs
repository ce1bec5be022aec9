//! Published copies → a local endpoint that serves them.

use super::serve::ServedVariant;
use crate::context::PipelineContext;
use crate::lock::carries_backend;
use crate::{Error, Result};
use planforge_core::{HostContainer, Outcome, Platform, Step, Variant, endpoint_name, symlink_or_copy};
use planforge_host::{ContainerOptions, EngineOptions, HostRequest, LocalEndpoint, RunningContainer, TritonOptions};
use planforge_report::Served;
use std::io::ErrorKind::NotFound;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Starts the local endpoint at an address of this machine; port 0 stands for a free one.
///
/// # Errors
/// ONNX Runtime that is not there, and an endpoint that does not start.
pub fn start_endpoint(context: &PipelineContext, served: &ServedVariant, address: SocketAddr) -> Result<LocalEndpoint> {
    let PipelineContext { spec, options, layout, .. } = context;
    let onnx_runtime = options.native.existing_onnx_runtime()?;
    let container = container_options(context, &served.published.variant)?;
    let engines =
        served.gpu.as_ref().map(|gpu| EngineOptions { library: options.native.tensorrt_library(), gpu: gpu.ordinal });
    let request = HostRequest {
        endpoint: endpoint_name(&spec.name),
        address,
        token: options.endpoint_token.clone(),
        store_url: served.published.url.clone(),
        store: spec.store.clone(),
        work_folder: layout.host().join("models"),
        memory_budget_byte_count: spec.host.memory.byte_count(),
        intra_op_threads: spec.host.intra_op_threads,
        onnx_runtime,
        container,
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

/// What runs the models of `variant`.
fn container_options(context: &PipelineContext, variant: &Variant) -> Result<ContainerOptions> {
    let PipelineContext { spec, options, layout, .. } = context;
    let place = || PathBuf::from("/opt/ml/models");
    Ok(match spec.host.container {
        HostContainer::Embedded => ContainerOptions::Embedded,
        HostContainer::Address(address) => {
            let folder = spec.host.container_models.clone().unwrap_or_else(place);
            ContainerOptions::Running(RunningContainer { address, folder })
        }
        HostContainer::Triton => {
            let server = spec.host.tritonserver.clone().unwrap_or_else(|| options.native.tritonserver());
            if !server.is_file() {
                return Err(Error::NoTritonserver { path: server });
            }
            ContainerOptions::Triton(TritonOptions {
                backends: Some(backends_folder(context, variant, &server)?),
                server,
                arguments: Vec::new(),
                log: layout.host().join("triton.log"),
                program: options.workers.isolated.program.clone(),
                program_arguments: options.workers.isolated.arguments.clone(),
            })
        }
    })
}

/// A folder with the backends of a server and planforge's own, which also runs ONNX models where the server has no backend
/// for them.
///
/// # Errors
/// Copies of `variant` that need planforge's own where that is missing, and I/O errors.
fn backends_folder(context: &PipelineContext, variant: &Variant, server: &Path) -> Result<PathBuf> {
    let native = &context.options.native;
    let folder = context.layout.host().join("backends");
    // Of an earlier run.
    fs_err::remove_dir_all(&folder).or_else(|error| if error.kind() == NotFound { Ok(()) } else { Err(error) })?;
    fs_err::create_dir_all(&folder)?;
    let installed = server.ancestors().nth(2).map(|home| home.join("backends")).filter(|folder| folder.is_dir());
    for item in installed.iter().flat_map(fs_err::read_dir).flatten() {
        let item = item?;
        symlink_or_copy(&item.path(), &folder.join(item.file_name()))?;
    }
    let backend = match variant.platform {
        platform if context.spec.is_served_by_planforge(platform) => "planforge",
        Platform::Onnx => "onnxruntime",
        Platform::Pytorch | Platform::Tensorrt => "",
    };
    for name in ["planforge", "onnxruntime"] {
        let own = folder.join(name);
        if own.exists() {
            continue;
        }
        if !native.triton_backend.is_file() {
            if name == backend && !carries_backend(variant, &context.spec) {
                let path = native.triton_backend.clone();
                return Err(Error::Package(planforge_package::Error::MissingBackend { path }));
            }
            continue;
        }
        fs_err::create_dir(&own)?;
        symlink_or_copy(&native.triton_backend, &own.join(format!("libtriton_{name}.so")))?;
        for library in [native.onnx_runtime(), native.tensorrt_library()] {
            let file = library.file_name().unwrap_or_default();
            symlink_or_copy(&library, &own.join(file))?;
        }
    }
    Ok(folder)
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
    let mut endpoint = start_endpoint(context, served, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let result = work(&endpoint.url());
    // An endpoint that has ended explains the failures of the work.
    endpoint.ensure_alive()?;
    let result = result?;
    endpoint.stop()?;
    Ok(result)
}

/// What the report states about the local endpoint.
pub(crate) fn describe_endpoint(context: &PipelineContext, served: &ServedVariant) -> Served {
    let container = String::from(context.spec.host.container.clone());
    let by = match &served.gpu {
        _ if context.spec.host.container != HostContainer::Embedded => {
            format!("planforge's local endpoint (container `{container}`)")
        }
        Some(gpu) => format!("planforge's local endpoint (TensorRT-RTX, {})", gpu.product),
        None => format!(
            "planforge's local endpoint (ONNX Runtime, CPU, {} thread(s) per inference)",
            context.spec.host.intra_op_threads
        ),
    };
    Served { variant: served.published.variant.id(), by }
}
