//! The class of each error, and the next step.

use crate::Error;
use planforge_core::{ErrorKind, io_hint};

/// The next step for an unsupported PyTorch file. `weights_only` keeps Python from running its code.
const TO_SAFETENSORS: &str = "convert it to safetensors: for a repository on the Hub \
    https://huggingface.co/spaces/safetensors/convert does so; for a file whose origin you trust, run in its folder: \
    python -c \"import torch, safetensors.torch as s; w = torch.load('pytorch_model.bin', 'cpu', weights_only=True); \
    s.save_file({k: v.clone().contiguous() for k, v in w.items()}, 'model.safetensors')\"";

/// The next step for a checkpoint that is not described, whose repository has no ONNX file.
const TO_ONNX: &str = "any model can be used as an ONNX file: export it with its own library, for example by `optimum-cli export \
    onnx --model REPOSITORY FOLDER`, and set `path = \"FOLDER\"` and `graph = \"model.onnx\"` in [source]";

/// How to get the program that builds engines.
pub const WORKER_HINT: &str = "`cargo build -p planforge` and `cargo install --path crates/cli` make planforge \
    and its engine worker together; --engine-worker names one that is elsewhere";

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Core(error) => error.kind(),
            Self::Undescribed { refusal, .. } => refusal.kind(),
            Self::NativeLibrary { .. }
            | Self::WorkerMissing { .. }
            | Self::WorkerVersion { .. }
            | Self::BuildDisk { .. } => ErrorKind::Environment,
            Self::Build { .. } | Self::BuildMemory { .. } | Self::Torch { .. } | Self::EngineMismatch { .. } => {
                ErrorKind::Internal
            }
            // Files of the repository, and keys of the pipeline.
            Self::MissingFile { .. }
            | Self::MissingWeights { .. }
            | Self::Json { .. }
            | Self::Config { .. }
            | Self::UnsupportedModelType { .. }
            | Self::Task { .. }
            | Self::Safetensors { .. }
            | Self::Pytorch { .. }
            | Self::PytorchUnsupported { .. }
            | Self::PytorchGlobal { .. }
            | Self::MissingTensor { .. }
            | Self::SameTensor { .. }
            | Self::TensorShape { .. }
            | Self::EmptyTensor { .. }
            | Self::TensorType { .. }
            | Self::UnusedTensors { .. }
            | Self::WeightRange { .. }
            | Self::Graph { .. }
            | Self::TooLarge { .. }
            | Self::UnknownValue { .. }
            | Self::NoTokenizer { .. }
            | Self::Tokenizer { .. }
            | Self::SampleInput { .. }
            | Self::Image { .. }
            | Self::ProfileLimit { .. }
            | Self::ProfileFixed { .. }
            | Self::ProfileDimension { .. }
            | Self::UnknownOutput { .. }
            | Self::FixedOutputs { .. }
            | Self::Workspace { .. }
            | Self::StripWeights { .. }
            | Self::Fp8 { .. }
            | Self::Fp32Products { .. }
            | Self::KeptProducts { .. }
            | Self::ModuleRange { .. } => ErrorKind::BadInput,
        }
    }

    /// The next step, where the text does not name it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Core(error) => error.hint(),
            Self::PytorchUnsupported { .. } | Self::PytorchGlobal { .. } => Some(TO_SAFETENSORS),
            Self::WorkerMissing { .. } | Self::WorkerVersion { .. } => Some(WORKER_HINT),
            Self::BuildDisk { .. } => io_hint(&std::io::ErrorKind::StorageFull.into()),
            Self::Undescribed { graphs, .. } if graphs.is_empty() => Some(TO_ONNX),
            _ => None,
        }
    }
}
