//! The engine that was built, against the request.

use planforge_core::{ComputeCapability, DataType, Dim, TensorSpec};
use planforge_engine_protocol::{WorkerResponse, WorkerTensor};

/// Whether a plan was built on a GPU that it is for, as far as `trtexec` reports its GPU.
pub(super) fn check_plan(targets: &[ComputeCapability], response: &WorkerResponse) -> std::result::Result<(), String> {
    let is_target = |found: &(u8, u8)| targets.iter().any(|target| (target.major, target.minor) == *found);
    match response.compute_capabilities.iter().find(|found| !is_target(found)) {
        Some((major, minor)) => Err(format!(
            "it was built on a GPU of compute capability {major}.{minor}: trtexec builds for the GPU of its machine"
        )),
        None => Ok(()),
    }
}

/// Whether the engine has the requested targets, inputs and outputs.
pub(super) fn check_engine(
    (inputs, outputs): (&[TensorSpec], &[TensorSpec]),
    targets: &[ComputeCapability],
    response: &WorkerResponse,
) -> std::result::Result<(), String> {
    let wanted: Vec<_> = targets.iter().map(|target| (target.major, target.minor)).collect();
    if response.compute_capabilities != wanted {
        let found = &response.compute_capabilities;
        return Err(format!("its header names compute capabilities {found:?}, not {wanted:?}"));
    }
    for (what, wanted, found) in [("input", inputs, &response.inputs), ("output", outputs, &response.outputs)] {
        if wanted.len() != found.len() {
            return Err(format!("it has {} {what}s, the model has {}", found.len(), wanted.len()));
        }
        if let Some(spec) = wanted.iter().find(|spec| !found.iter().any(|tensor| is_same(spec, tensor))) {
            return Err(format!("its {what} `{}` differs from the model's", spec.name));
        }
    }
    Ok(())
}

fn is_same(spec: &TensorSpec, (name, data_type, dims): &WorkerTensor) -> bool {
    let same_dim = |(dim, found): (&Dim, &i64)| match dim {
        Dim::Fixed(size) => i64::try_from(*size) == Ok(*found),
        Dim::Dynamic(_) => *found == -1,
    };
    spec.name == *name
        && DataType::from_kserve_name(data_type) == Some(spec.data_type)
        && spec.dims.len() == dims.len()
        && spec.dims.iter().zip(dims).all(same_dim)
}
