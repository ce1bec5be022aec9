//! An engine run on inputs in a child process: request, response, and both sides. Tensors travel in files.

use crate::process::{ask, with_causes};
use crate::{Error, Result};
use planforge_core::ChildProgram;
use planforge_core::{ComputeCapability, DataType, Progress};
use planforge_runtime::{EngineModel, ExecutionOptions, KernelSpecialization, Tensor, TensorView};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Loading an engine compiles its kernels for the GPU, which takes some seconds; no run takes longer than this.
const TIMEOUT: Duration = Duration::from_secs(600);

/// What the child process is asked: a line of JSON on its standard input.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineRunRequest {
    /// The library of TensorRT-RTX.
    library: PathBuf,
    /// The engine.
    plan: PathBuf,
    /// Compute capabilities that it was built for.
    compute_capabilities: Vec<ComputeCapability>,
    /// Folder of the tensors' files.
    folder: PathBuf,
    /// Inputs of each batch.
    batches: Vec<Vec<TensorFile>>,
}

/// A tensor whose elements are in a file, in this machine's byte order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TensorFile {
    name: String,
    data_type: DataType,
    shape: Vec<usize>,
    file: String,
}

/// What the child process answers: JSON on its standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EngineRunResponse(Response);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Response {
    /// This machine has no GPU for the run.
    NoGpu(String),
    /// The engine does not take such inputs.
    NotRun(String),
    /// It ran.
    Ran {
        /// Product name of the GPU.
        gpu: String,
        /// Outputs of each batch.
        batches: Vec<Vec<TensorFile>>,
    },
    /// It should have run.
    Failed(String),
}

/// Whether an engine ran, and its outputs.
#[derive(Debug)]
pub(crate) enum EngineRun {
    /// No GPU of this machine runs it, nor any other engine for the same compute capabilities.
    NoGpu(String),
    /// Why it was not run.
    Skipped(String),
    /// It ran.
    Ran {
        /// Product name of the GPU.
        gpu: String,
        /// Outputs of each batch.
        outputs: Vec<Vec<Tensor>>,
    },
}

/// An engine to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunnableEngine<'a> {
    /// The file.
    pub(crate) plan: &'a Path,
    /// Compute capabilities that it was built for.
    pub(crate) compute_capabilities: &'a [ComputeCapability],
}

/// Runs an engine on `batches` in a child process, on the first GPU of this machine that it was built for. `worker`
/// passes its request to [`run_engine_here`], and `library` is that of TensorRT-RTX.
///
/// # Errors
/// An engine that should have run and did not: a crash, a failure of the library or of the driver.
pub(crate) fn run_engine(
    engine: RunnableEngine<'_>,
    batches: &[Vec<Tensor>],
    worker: &ChildProgram,
    library: &Path,
    progress: &dyn Progress,
) -> Result<EngineRun> {
    let folder = tempfile::tempdir()?;
    let write = |(index, tensors): (usize, &Vec<Tensor>)| {
        let views: Vec<_> = tensors.iter().map(Tensor::view).collect();
        write_tensors(folder.path(), &format!("input-{index}"), &views)
    };
    let request = EngineRunRequest {
        library: library.to_owned(),
        plan: engine.plan.to_owned(),
        compute_capabilities: engine.compute_capabilities.to_vec(),
        folder: folder.path().to_owned(),
        batches: batches.iter().enumerate().map(write).collect::<Result<_>>()?,
    };
    let mut command = Command::new(&worker.program);
    command.args(&worker.arguments);
    let EngineRunResponse(response) = ask(command, &request, TIMEOUT, progress)?;
    match response {
        Response::NoGpu(reason) => Ok(EngineRun::NoGpu(reason)),
        Response::NotRun(reason) => Ok(EngineRun::Skipped(reason)),
        Response::Failed(report) => Err(Error::Reported { report }),
        Response::Ran { gpu, batches } => {
            let outputs = batches.iter().map(|files| read_tensors(folder.path(), files)).collect::<Result<_>>()?;
            Ok(EngineRun::Ran { gpu, outputs })
        }
    }
}

/// The child's side: runs the engine in this process.
#[must_use]
pub fn run_engine_here(request: &EngineRunRequest) -> EngineRunResponse {
    EngineRunResponse(run(request).unwrap_or_else(|error| Response::Failed(with_causes(&error))))
}

fn run(request: &EngineRunRequest) -> Result<Response> {
    let gpus = planforge_tensorrt::local_gpus()?;
    let fits = |gpu: &planforge_tensorrt::LocalGpu| request.compute_capabilities.contains(&gpu.compute_capability);
    let Some(ordinal) = gpus.iter().position(fits) else {
        let found: Vec<_> = gpus.iter().map(|gpu| format!("{} ({})", gpu.product, gpu.compute_capability)).collect();
        return Ok(Response::NoGpu(no_gpu(&request.compute_capabilities, &found)));
    };
    let engine = EngineModel::load(&request.library, &request.plan, ordinal)?;
    // Kernels for these very shapes are what is served in the long run.
    let options = ExecutionOptions { specialization: KernelSpecialization::Eager, ..ExecutionOptions::default() };
    let mut session = engine.session(options)?;
    let mut batches = Vec::new();
    for (index, files) in request.batches.iter().enumerate() {
        let inputs = read_tensors(&request.folder, files)?;
        let views: Vec<_> = inputs.iter().map(Tensor::view).collect();
        let write = |found: &[TensorView<'_>]| write_tensors(&request.folder, &format!("output-{index}"), found);
        match session.run_lent(&views, &[], write) {
            Err(planforge_runtime::Error::Engine(error @ planforge_tensorrt::Error::Shape { .. })) => {
                return Ok(Response::NotRun(format!("the samples do not fit it: {error}")));
            }
            other => batches.push(other??),
        }
    }
    Ok(Response::Ran { gpu: gpus[ordinal].product.clone(), batches })
}

/// Why no GPU of this machine runs it.
fn no_gpu(wanted: &[ComputeCapability], found: &[String]) -> String {
    if !planforge_tensorrt::has_cuda_driver() {
        return "there is no CUDA driver here".to_owned();
    }
    let wanted: Vec<_> = wanted.iter().map(ToString::to_string).collect();
    let found = if found.is_empty() { "no GPU at all".to_owned() } else { found.join(", ") };
    format!("it was built for compute capability {}, and here is {found}", wanted.join(", "))
}

fn write_tensors(folder: &Path, prefix: &str, tensors: &[TensorView<'_>]) -> Result<Vec<TensorFile>> {
    let write = |(index, tensor): (usize, &TensorView<'_>)| {
        let file = format!("{prefix}-{index}");
        fs_err::write(folder.join(&file), tensor.bytes)?;
        Ok(TensorFile { name: tensor.name.to_owned(), data_type: tensor.data_type, shape: tensor.shape.to_vec(), file })
    };
    tensors.iter().enumerate().map(write).collect()
}

fn read_tensors(folder: &Path, files: &[TensorFile]) -> Result<Vec<Tensor>> {
    let read = |file: &TensorFile| {
        let bytes = fs_err::read(folder.join(&file.file))?;
        let view = TensorView { name: &file.name, data_type: file.data_type, shape: &file.shape, bytes: &bytes };
        Ok(view.checked_tensor()?)
    };
    files.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_runtime::TensorValues;

    #[test]
    fn tensors_are_read_from_files_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let tensors = [
            Tensor::new("ids", &[2, 1], TensorValues::Int64(vec![1, -2])).unwrap(),
            Tensor::new("mask", &[3], TensorValues::Bool(vec![true, false, true])).unwrap(),
            Tensor::new("empty", &[0, 4], TensorValues::Fp32(Vec::new())).unwrap(),
        ];
        let views: Vec<_> = tensors.iter().map(Tensor::view).collect();
        let files = write_tensors(folder.path(), "input-0", &views).unwrap();
        assert_eq!(read_tensors(folder.path(), &files).unwrap(), tensors);
        fs_err::write(folder.path().join(&files[0].file), [0; 5]).unwrap();
        assert!(read_tensors(folder.path(), &files).unwrap_err().to_string().contains("`ids`"));
    }

    #[test]
    fn an_engine_for_a_gpu_that_is_not_here_is_not_run_and_the_reason_is_named() {
        let capability = ComputeCapability { major: 250, minor: 0 };
        let request = EngineRunRequest {
            library: "/nowhere".into(),
            plan: "/nowhere".into(),
            compute_capabilities: vec![capability],
            folder: PathBuf::new(),
            batches: Vec::new(),
        };
        let text = serde_json::to_string(&run_engine_here(&request)).unwrap();
        let EngineRunResponse(response) = serde_json::from_str(&text).unwrap();
        let Response::NoGpu(reason) = response else { panic!("{response:?}") };
        let expected = if planforge_tensorrt::has_cuda_driver() {
            "it was built for compute capability 250.0, and here is "
        } else {
            "there is no CUDA driver here"
        };
        assert!(reason.starts_with(expected), "{reason}");
    }
}
