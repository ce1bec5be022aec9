//! The engine that was built, against the request.

use planforge_core::{ComputeCapability, Dim, Model, TensorSpec};
use planforge_engine_protocol::{WorkerResponse, WorkerTensor};

/// Whether a plan was built on a GPU that it is for, as far as `trtexec` reports its GPU.
pub(super) fn check_plan(targets: &[ComputeCapability], response: &WorkerResponse) -> std::result::Result<(), String> {
    match response.compute_capabilities.iter().find(|found| !targets.contains(found)) {
        Some(found) => Err(format!(
            "it was built on a GPU of compute capability {found}: trtexec builds for the GPU of its machine"
        )),
        None => Ok(()),
    }
}

/// Whether the engine has the requested targets, inputs and outputs.
pub(super) fn check_engine(
    model: &Model,
    outputs: &[TensorSpec],
    targets: &[ComputeCapability],
    response: &WorkerResponse,
) -> std::result::Result<(), String> {
    if response.compute_capabilities != targets {
        let (found, expected) = (listed(&response.compute_capabilities), listed(targets));
        return Err(format!("its header names compute capabilities {found}; expected {expected}"));
    }
    // A prebuilt graph may leave sizes of images open, which the profiles fix.
    let open = model.prebuilt;
    check_tensors("input", &model.inputs, &response.inputs, open)?;
    check_tensors("output", outputs, &response.outputs, open)
}

fn check_tensors(
    what: &str,
    expected: &[TensorSpec],
    found: &[WorkerTensor],
    open: bool,
) -> std::result::Result<(), String> {
    if expected.len() != found.len() {
        return Err(format!("it has {} {what}s; expected {}", found.len(), expected.len()));
    }
    match expected.iter().find(|spec| !found.iter().any(|tensor| is_same(spec, tensor, open))) {
        Some(spec) => Err(format!("its {what} `{}` differs from the model's", spec.name)),
        None => Ok(()),
    }
}

fn listed(capabilities: &[ComputeCapability]) -> String {
    capabilities.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether name, element type and shape agree; where sizes may be `open`, the engine need not fix those that `spec` fixes.
fn is_same(spec: &TensorSpec, tensor: &WorkerTensor, open: bool) -> bool {
    let same_dim = |(dim, found): (&Dim, &i64)| match dim {
        Dim::Fixed(size) => i64::try_from(*size) == Ok(*found) || open && *found == -1,
        Dim::Dynamic(_) => *found == -1,
    };
    spec.name == tensor.name
        && tensor.data_type == Some(spec.data_type)
        && spec.dims.len() == tensor.dims.len()
        && spec.dims.iter().zip(&tensor.dims).all(same_dim)
}
