//! An engine run on inputs in a process of its own: what that is asked, and what it answers. Tensors lie in files.

use crate::child::ask;
use anyhow::{Context, Result};
use planforge_core::{ComputeCapability, DataType, Progress};
use planforge_runtime::{EngineModel, ExecutionOptions, KernelSpecialization, Tensor, TensorView};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Loading an engine compiles its kernels for the GPU, which takes some seconds; no run takes longer than this.
const TIMEOUT: Duration = Duration::from_secs(600);

/// What the process is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EngineRunRequest {
    /// The library of TensorRT-RTX.
    library: PathBuf,
    /// The engine.
    plan: PathBuf,
    /// Compute capabilities that it is for.
    compute_capabilities: Vec<ComputeCapability>,
    /// Folder of the tensors' files.
    folder: PathBuf,
    /// Inputs of each batch.
    batches: Vec<Vec<TensorFile>>,
}

/// A tensor whose elements lie in a file, as this machine holds them in memory.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TensorFile {
    name: String,
    data_type: DataType,
    shape: Vec<usize>,
    file: String,
}

/// What the process answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EngineRunAnswer {
    /// There is no GPU to run it on.
    NoGpu(String),
    /// The engine does not take such inputs.
    NotRun(String),
    /// Product name of the GPU, and outputs of each batch.
    Ran(String, Vec<Vec<TensorFile>>),
    /// It should have run.
    Failed(String),
}

/// Whether an engine ran, and what came of it.
#[derive(Debug)]
pub(super) enum EngineRun {
    /// There is no GPU to run it on, nor any other engine for the same GPUs.
    NoGpu(String),
    /// Why not.
    Not(String),
    /// Product name of the GPU, and outputs of each batch.
    On(String, Vec<Vec<Tensor>>),
}

/// Runs the engine `plan` on `batches` in a process of its own, on the first GPU of this machine that it was built for.
///
/// # Errors
/// An engine that should have run and did not: a crash, a failure of the library or of the driver.
pub(super) fn run_engine(
    (library, plan): (&Path, &Path),
    compute_capabilities: &[ComputeCapability],
    batches: &[Vec<Tensor>],
    progress: &dyn Progress,
) -> Result<EngineRun> {
    let folder = tempfile::tempdir()?;
    let write = |(index, tensors): (usize, &Vec<Tensor>)| {
        let views: Vec<_> = tensors.iter().map(Tensor::view).collect();
        write_tensors(folder.path(), &format!("input-{index}"), &views)
    };
    let request = EngineRunRequest {
        library: library.to_owned(),
        plan: plan.to_owned(),
        compute_capabilities: compute_capabilities.to_vec(),
        folder: folder.path().to_owned(),
        batches: batches.iter().enumerate().map(write).collect::<Result<_>>()?,
    };
    let mut command = Command::new(std::env::current_exe().context("the path of this program is unknown")?);
    command.args(["internal", "run-engine"]);
    match ask(command, &request, TIMEOUT, progress)? {
        EngineRunAnswer::NoGpu(reason) => Ok(EngineRun::NoGpu(reason)),
        EngineRunAnswer::NotRun(reason) => Ok(EngineRun::Not(reason)),
        EngineRunAnswer::Failed(message) => anyhow::bail!(message),
        EngineRunAnswer::Ran(gpu, batches) => {
            let outputs = batches.iter().map(|files| read_tensors(folder.path(), files)).collect::<Result<_>>()?;
            Ok(EngineRun::On(gpu, outputs))
        }
    }
}

/// The other side: runs the engine in this process, and answers as JSON.
pub(crate) fn answer_engine_run(request: &EngineRunRequest) -> Result<String> {
    let answer = run(request).unwrap_or_else(|error| EngineRunAnswer::Failed(format!("{error:#}")));
    Ok(serde_json::to_string(&answer)?)
}

fn run(request: &EngineRunRequest) -> Result<EngineRunAnswer> {
    let gpus = planforge_tensorrt::local_gpus()?;
    let capability = |gpu: &planforge_tensorrt::LocalGpu| {
        let (major, minor) = gpu.compute_capability;
        ComputeCapability { major, minor }
    };
    let Some(ordinal) = gpus.iter().position(|gpu| request.compute_capabilities.contains(&capability(gpu))) else {
        let found: Vec<_> = gpus.iter().map(|gpu| format!("{} ({})", gpu.product, capability(gpu))).collect();
        return Ok(EngineRunAnswer::NoGpu(no_gpu(&request.compute_capabilities, &found)));
    };
    let engine = EngineModel::load(&request.library, &request.plan, ordinal)?;
    // Kernels for the very shapes are what is served in the long run.
    let options = ExecutionOptions { specialization: KernelSpecialization::Eager, ..ExecutionOptions::default() };
    let mut session = engine.session(options)?;
    let mut outputs = Vec::new();
    for (index, files) in request.batches.iter().enumerate() {
        let inputs = read_tensors(&request.folder, files)?;
        let views: Vec<_> = inputs.iter().map(Tensor::view).collect();
        let write = |found: &[TensorView<'_>]| write_tensors(&request.folder, &format!("output-{index}"), found);
        match session.run_lent(&views, &[], write) {
            Err(planforge_runtime::Error::Engine(error @ planforge_tensorrt::Error::Shape { .. })) => {
                return Ok(EngineRunAnswer::NotRun(format!("the samples do not fit it: {error}")));
            }
            other => outputs.push(other??),
        }
    }
    Ok(EngineRunAnswer::Ran(gpus[ordinal].product.clone(), outputs))
}

/// Why no GPU will do.
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
    fn tensors_go_through_files_unchanged() {
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
    fn without_a_gpu_for_it_an_engine_is_not_run_and_the_reason_is_told() {
        let capability = ComputeCapability { major: 250, minor: 0 };
        let request = EngineRunRequest {
            library: "/nowhere".into(),
            plan: "/nowhere".into(),
            compute_capabilities: vec![capability],
            folder: PathBuf::new(),
            batches: Vec::new(),
        };
        let answer = serde_json::from_str(&answer_engine_run(&request).unwrap()).unwrap();
        let EngineRunAnswer::NoGpu(reason) = answer else { panic!("{answer:?}") };
        let expected = if planforge_tensorrt::has_cuda_driver() {
            "it was built for compute capability 250.0, and here is "
        } else {
            "there is no CUDA driver here"
        };
        assert!(reason.starts_with(expected), "{reason}");
    }
}
