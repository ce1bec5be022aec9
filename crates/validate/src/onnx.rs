//! Exported models run on ONNX Runtime, which must have been loaded (`planforge_runtime::load_library`).

use crate::bounded::{LONGEST_RUN, bounded};
use crate::{Error, Result};
use planforge_core::{CachedArtifact, Model, Precision, Progress, TensorSpec, Variant, fixed_batch};
use planforge_engine::{Sample, emulate_bf16};
use planforge_runtime::{OnnxSession, SessionOptions, Tensor, TensorView};

/// Why ONNX Runtime cannot run a model here; none where it can.
#[must_use]
pub fn skip_reason(model: &Model) -> Option<&'static str> {
    (model.prebuilt && model.precision == Precision::Bf16)
        .then_some("ONNX Runtime has no bf16 arithmetic on the CPU, and this graph is prebuilt")
}

/// Outputs of an exported model for a batch of samples. A bf16 export runs as a graph that computes each of its
/// operators in fp32 and rounds the result to bf16, since ONNX Runtime has no bf16 arithmetic on the CPU.
///
/// # Errors
/// [`Error::Skipped`] where [`skip_reason`] gives a reason, errors of ONNX Runtime, cancellation, and [`Error::RunTimeout`]
/// after 10 minutes.
pub fn run_model(model: &CachedArtifact<Model>, sample: &Sample, progress: &dyn Progress) -> Result<Vec<Tensor>> {
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
    let mut run = |batch: &Sample| {
        let inputs = input_tensors(&model.record.inputs, batch)?;
        bounded(LONGEST_RUN, progress, |stop| session.run_until(&inputs, &[], Some(stop)))
    };
    let fixed = fixed_batch(&model.record.inputs).and_then(|batch| usize::try_from(batch).ok());
    match fixed.filter(|fixed| *fixed != sample.batch()) {
        None => run(sample),
        Some(fixed) => {
            let outputs = sample.in_batches_of(fixed).iter().map(run).collect::<Result<Vec<_>>>()?;
            joined(&outputs, fixed, sample.batch())
        }
    }
}

/// The first `count` rows of each output of several batches of `size`.
fn joined(batches: &[Vec<Tensor>], size: usize, count: usize) -> Result<Vec<Tensor>> {
    let outputs = batches.first().map_or(0, Vec::len);
    let join = |index: usize| {
        let parts: Vec<_> = batches.iter().map(|outputs| outputs[index].view()).collect();
        let first = parts[0];
        if first.shape.first() != Some(&size) || parts.iter().any(|part| part.shape != first.shape) {
            return Err(Error::NotBatched { name: first.name.to_owned(), shape: first.shape.to_vec(), batch: size });
        }
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.bytes).copied().collect();
        bytes.truncate(first.bytes.len() / size.max(1) * count);
        let shape: Vec<usize> = std::iter::once(count).chain(first.shape.iter().skip(1).copied()).collect();
        Ok(TensorView { shape: &shape, bytes: &bytes, ..first }.checked_tensor()?)
    };
    (0..outputs).map(join).collect()
}

/// The sample's tensors for those of these inputs that it has values for, in the types of the inputs.
///
/// # Errors
/// Values that do not have the shape of their input.
pub fn input_tensors(specs: &[TensorSpec], sample: &Sample) -> Result<Vec<Tensor>> {
    let tensor = |spec: &TensorSpec| {
        let (shape, values) = sample.input(&spec.name)?;
        let bytes = values.to_bytes(spec.data_type);
        let view = TensorView { name: &spec.name, data_type: spec.data_type, shape: &shape, bytes: &bytes };
        Some(view.checked_tensor().map_err(Error::from))
    };
    specs.iter().filter_map(tensor).collect()
}
