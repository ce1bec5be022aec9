//! Exported models run on ONNX Runtime, which must have been loaded (`planforge_runtime::load_library`).

use crate::{Error, Result};
use planforge_core::{CachedArtifact, Model, Precision, TensorSpec, Variant};
use planforge_engine::{Sample, SampleValues, emulate_bf16};
use planforge_runtime::{OnnxSession, SessionOptions, Tensor, TensorValues};

/// Why ONNX Runtime cannot run a model here; none where it can.
#[must_use]
pub fn skip_reason(model: &Model) -> Option<&'static str> {
    (model.prebuilt && model.precision == Precision::Bf16)
        .then_some("ONNX Runtime has no bf16 arithmetic on the CPU, and this graph is taken as it is")
}

/// Outputs of an exported model for a batch of samples. A bf16 export runs as a graph that computes each of its
/// operators in fp32 and rounds the result to bf16, since ONNX Runtime has no bf16 arithmetic on the CPU.
///
/// # Errors
/// [`Error::Skipped`] where [`skip_reason`] gives a reason, and errors of ONNX Runtime.
pub fn run_model(model: &CachedArtifact<Model>, sample: &Sample) -> Result<Vec<Tensor>> {
    let precision = model.record.precision;
    if let Some(reason) = skip_reason(&model.record) {
        return Err(Error::Skipped { subject: Variant::onnx(precision).id(), reason });
    }
    let options = SessionOptions {
        intra_op_threads: std::thread::available_parallelism().map_or(1, usize::from),
        ..SessionOptions::default()
    };
    let graph = model.path(&model.record.graph);
    let mut session = match precision {
        Precision::Fp32 | Precision::Fp16 => OnnxSession::load(&graph, &options)?,
        Precision::Bf16 => OnnxSession::load_instead(&graph, &emulate_bf16(&graph)?, &options)?,
    };
    let inputs = input_tensors(session.inputs(), sample)?;
    Ok(session.run(&inputs, &[])?)
}

/// The sample's tensors for those of these inputs that it has values for.
///
/// # Errors
/// Values that do not have the shape of their input.
pub fn input_tensors(specs: &[TensorSpec], sample: &Sample) -> Result<Vec<Tensor>> {
    let tensor = |spec: &TensorSpec| {
        let (shape, values) = sample.input(&spec.name)?;
        let values = match values {
            SampleValues::Int64(values) => TensorValues::Int64(values.to_vec()),
            SampleValues::Fp32(values) => TensorValues::Fp32(values.to_vec()),
        };
        Some(Tensor::new(&spec.name, &shape, values).map_err(Error::from))
    };
    specs.iter().filter_map(tensor).collect()
}
