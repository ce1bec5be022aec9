//! A build by NVIDIA's `trtexec`, which this process starts and watches.

use crate::error::Result;
use planforge_core::{Precision, peak_resident_byte_count};
use planforge_engine_protocol::{WorkerRequest, WorkerResponse, WorkerTool};
use planforge_tensorrt::{PlanRequest, PlanType, build_plan};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, absolute};

/// Builds with `trtexec`, one build at a time for each timing cache: two at once would disturb each other's timings.
pub(crate) fn build(tool: &WorkerTool, request: &WorkerRequest) -> Result<WorkerResponse> {
    let _lock = lock(&tool.timing_cache)?;
    let mut log = fs_err::File::create(&request.log)?;
    let plan_request = plan_request(tool, request)?;
    let built = build_plan(&tool.program, &plan_request, |line| {
        // A log line that cannot be written must not fail the build.
        let _ = writeln!(log, "{line}");
    })?;
    Ok(WorkerResponse {
        version: built.version.to_string(),
        plan_sha256: None,
        compute_capabilities: built.compute_capability.into_iter().collect(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        layer_count: 0,
        layer_counts: BTreeMap::new(),
        products: Vec::new(),
        left_out: Vec::new(),
        is_repeatable: false,
        peak_byte_count: peak_resident_byte_count(),
        builder_duration: built.duration,
    })
}

fn plan_request(tool: &WorkerTool, request: &WorkerRequest) -> Result<PlanRequest> {
    let options = request.options;
    Ok(PlanRequest {
        graph: absolute(&request.graph)?,
        profiles: request.profiles.clone(),
        plan_type: match tool.precision {
            Precision::Fp32 => PlanType::Fp32,
            Precision::Fp16 => PlanType::Fp16,
            Precision::Bf16 => PlanType::Bf16,
        },
        mixes_types: tool.mixes_types,
        optimization_level: options.optimization_level,
        workspace_byte_count: options.workspace_byte_count,
        strip_weights: options.strip_weights,
        version_compatible: options.version_compatible,
        hardware_compatibility: options.hardware_compatibility,
        timing_cache: absolute(&tool.timing_cache)?,
        plan: absolute(&request.plan)?,
    })
}

/// Waits for the timing cache, which is free again when the file is closed.
fn lock(timing_cache: &Path) -> io::Result<std::fs::File> {
    if let Some(folder) = timing_cache.parent() {
        fs_err::create_dir_all(folder)?;
    }
    let file = fs_err::File::create(timing_cache.with_extension("lock"))?.into_parts().0;
    // Where files cannot be locked, one of two builds at once loses its timings, and nothing else.
    let _ = file.lock();
    Ok(file)
}
