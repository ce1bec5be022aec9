//! A build with TensorRT-RTX, in this process.

use crate::error::{Error, Result};
use crate::plan_file::write_and_digest;
use planforge_core::{DataType, EngineWeight, peak_resident_byte_count};
use planforge_engine_protocol::{WorkerProduct, WorkerRequest, WorkerResponse, WorkerTensor};
use planforge_heap::with_deterministic_allocator;
use planforge_tensorrt::{
    BuildRequest, BuiltEngine, EngineTensor, LeftOut, Libraries, Product, Severity, build_engine,
};
use std::io::{self, Write};
use std::path::{Path, PathBuf, absolute};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Builds an engine and writes it to the plan of `request`.
pub(crate) fn build(request: &WorkerRequest) -> Result<WorkerResponse> {
    let (plan, libraries) = (absolute(&request.plan)?, absolute(&request.libraries)?);
    let log = Mutex::new(fs_err::File::create(&request.log)?);
    let build_request = build_request(request)?;
    let start = Instant::now();
    let libraries = Libraries::in_folder(&libraries).open()?;
    let log = move |severity, line: &str| {
        if severity < Severity::Verbose
            && let Ok(mut log) = log.lock()
        {
            // A log line that cannot be written must not fail the build.
            let _ = writeln!(log, "[{severity:?}] {line}");
        }
    };
    let (built, is_repeatable) = with_deterministic_allocator(|| build_engine(&libraries, &build_request, log));
    let built = built?;
    let builder_duration = start.elapsed();
    write_response(&plan, built, is_repeatable, builder_duration)
}

fn build_request(request: &WorkerRequest) -> Result<BuildRequest> {
    Ok(BuildRequest {
        graph: enter_folder_of(&request.graph)?,
        compute_capabilities: request.compute_capabilities.clone(),
        profiles: request.profiles.clone(),
        optimization_level: request.options.optimization_level,
        workspace_byte_count: request.options.workspace_byte_count.map(usize::try_from).transpose().unwrap_or(None),
        left_out: request.left_out.clone(),
    })
}

/// Makes the folder of `graph` the current one, so that the path the library sees is the same wherever the build runs.
fn enter_folder_of(graph: &Path) -> io::Result<PathBuf> {
    if let Some(folder) = graph.parent() {
        std::env::set_current_dir(folder)?;
    }
    Ok(graph.file_name().map_or_else(|| graph.to_owned(), PathBuf::from))
}

fn write_response(
    plan: &Path,
    built: BuiltEngine,
    is_repeatable: bool,
    builder_duration: Duration,
) -> Result<WorkerResponse> {
    let response = WorkerResponse {
        version: built.header.version.map(|number| number.to_string()).join("."),
        plan_sha256: Some(write_and_digest(plan, &built.bytes)?),
        compute_capabilities: built.header.compute_capabilities,
        inputs: built.inputs.into_iter().map(worker_tensor).collect(),
        outputs: built.outputs.into_iter().map(worker_tensor).collect(),
        layer_count: built.layer_count,
        layer_counts: built.types.layer_counts,
        products: built.types.products.into_iter().map(worker_product).collect(),
        left_out: built.left_out.into_iter().map(engine_weight).collect::<Result<_>>()?,
        is_repeatable,
        peak_byte_count: peak_resident_byte_count(),
        builder_duration,
    };
    // The response does not wait until the engine is freed, as the process ends with it.
    std::mem::forget(built.bytes);
    Ok(response)
}

fn worker_tensor(EngineTensor { name, data_type, dims }: EngineTensor) -> WorkerTensor {
    WorkerTensor { name, data_type: DataType::from_kserve_name(&data_type), dims }
}

fn worker_product(Product { output, inputs, data_type }: Product) -> WorkerProduct {
    WorkerProduct { output, inputs, data_type }
}

fn engine_weight(weight: LeftOut) -> Result<EngineWeight<String>> {
    let LeftOut { name, data_type, element_count, transform, sources } = weight;
    let Some(data_type) = DataType::from_kserve_name(&data_type) else {
        return Err(Error::WeightType { name, data_type });
    };
    Ok(EngineWeight { name, data_type, element_count, transform, sources })
}
