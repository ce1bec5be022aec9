//! A build by NVIDIA's tool, watched by this process.

use super::{WorkerRequest, WorkerResponse, input_shapes, native_error, peak_resident_byte_count};
use crate::Result;
use planforge_core::{HardwareCompatibility, Precision};
use planforge_tensorrt::{PlanRequest, PlanType, build_plan};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf, absolute};

/// The tool, and what only it needs to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerTool {
    /// `trtexec`.
    pub program: PathBuf,
    /// Arithmetic of the graph.
    pub precision: Precision,
    /// Whether the graph has values in another precision.
    pub mixes_types: bool,
    /// Timings of this GPU type and version; one build at a time uses them.
    pub timing_cache: PathBuf,
}

/// Builds with the tool, one build at a time for each timing cache: builds beside each other would spoil the timings.
pub(super) fn build_with(tool: &WorkerTool, request: &WorkerRequest) -> Result<WorkerResponse> {
    let _lock = lock(&tool.timing_cache)?;
    let mut log = fs_err::File::create(&request.log)?;
    let plan_request = plan_request(tool, request)?;
    let built = build_plan(&tool.program, &plan_request, |line| {
        // A log line that cannot be written is no reason to lose the engine.
        let _ = writeln!(log, "{line}");
    })
    .map_err(|error| native_error(&error))?;
    Ok(WorkerResponse {
        version: built.version.to_string(),
        plan_sha256: None,
        compute_capabilities: built.compute_capability.map_or_else(Vec::new, |capability| vec![capability]),
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
        profiles: request.profiles.iter().map(|profile| profile.iter().map(input_shapes).collect()).collect(),
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
        hardware_compatibility: match options.hardware_compatibility {
            HardwareCompatibility::None => planforge_tensorrt::HardwareCompatibility::None,
            HardwareCompatibility::AmperePlus => planforge_tensorrt::HardwareCompatibility::AmperePlus,
            HardwareCompatibility::SameComputeCapability => {
                planforge_tensorrt::HardwareCompatibility::SameComputeCapability
            }
        },
        timing_cache: absolute(&tool.timing_cache)?,
        plan: absolute(&request.plan)?,
    })
}

/// Waits for the timing cache; free again when the file is closed.
fn lock(timing_cache: &Path) -> Result<std::fs::File> {
    if let Some(folder) = timing_cache.parent() {
        fs_err::create_dir_all(folder)?;
    }
    let file = fs_err::File::create(timing_cache.with_extension("lock"))?.into_parts().0;
    file.lock()?;
    Ok(file)
}
