//! What can go wrong when models and engines are run and compared.

use planforge_core::CheckFacts;
use planforge_types::{ErrorKind, io_hint};
use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cache, or a file of the shared kinds.
    #[error("{0}")]
    Core(#[from] planforge_core::Error),
    /// Samples that cannot be prepared, or a graph that cannot be rewritten.
    #[error("{0}")]
    Engine(#[from] planforge_engine::Error),
    /// A model or an engine that does not load or run.
    #[error("{0}")]
    Runtime(#[from] planforge_runtime::Error),
    /// The GPUs of this machine cannot be listed.
    #[error("{0}")]
    Tensorrt(#[from] planforge_tensorrt::Error),
    /// A file could not be read or written; the text names the path.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A comparison that does not hold.
    #[error("{}", describe_difference(facts, gpu.as_deref()))]
    OutputDiffers {
        /// The comparison.
        facts: Box<CheckFacts>,
        /// Product name of the GPU that computed the output; none for the CPU.
        gpu: Option<String>,
    },
    /// A model that ONNX Runtime cannot run here.
    #[error("`{subject}` cannot be run: {reason}")]
    Skipped {
        /// The variant.
        subject: String,
        /// Why, as [`crate::skip_reason`] gives it.
        reason: &'static str,
    },
    /// A model without an input for images.
    #[error(
        "unsupported model input for images: {}; expected one input [batch, 3, height, width] of a fixed size; send \
         tensors to the packages, or export the model in that layout",
        inputs.join(", ")
    )]
    NoImageInput {
        /// The inputs with their shapes.
        inputs: Vec<String>,
    },
    /// A run that did not end.
    #[error("the model did not end within {seconds} s; a loop in its graph may have no end")]
    RunTimeout {
        /// The limit.
        seconds: u64,
    },
    /// An output that does not have a row for each sample.
    #[error("output `{name}` has shape {shape:?}; expected {batch} in its first dimension, the batch of the inputs")]
    NotBatched {
        /// The output.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The batch.
        batch: usize,
    },
    /// An engine artifact without its plan.
    #[error("`{subject}` has no engine file")]
    NoPlan {
        /// The variant.
        subject: String,
    },
    /// TorchScript in a program that was built without libtorch.
    #[error("this planforge was built without TorchScript: cargo build --features torch after scripts/setup --torch")]
    NoLibtorch,
    /// An engine that should have run on this machine and did not.
    #[error("engine `{subject}` was built, and failed when it was run")]
    EngineRun {
        /// The variant.
        subject: String,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// The failure that a child process reported.
    #[error("{report}")]
    Reported {
        /// The child's error with its causes.
        report: String,
    },
    /// A child process that does not start.
    #[error("cannot start `{}`", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A child process that ended without a response.
    #[error("its process {end}; {log}")]
    NoResponse {
        /// How it ended.
        end: String,
        /// Its last log lines.
        log: String,
    },
    /// A child process that took too long.
    #[error("it took longer than {seconds} s")]
    Timeout {
        /// The limit.
        seconds: u64,
    },
}

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Core(error) => error.kind(),
            Self::Engine(error) => error.kind(),
            Self::Runtime(error) => error.kind(),
            Self::Tensorrt(error) => error.kind(),
            Self::Io(error) => ErrorKind::of_io(error),
            Self::OutputDiffers { .. } => ErrorKind::CheckFailed,
            Self::NoLibtorch => ErrorKind::Environment,
            Self::EngineRun { source, .. } => source.kind(),
            Self::NoImageInput { .. } | Self::NotBatched { .. } | Self::RunTimeout { .. } => ErrorKind::BadInput,
            Self::Skipped { .. }
            | Self::NoPlan { .. }
            | Self::Reported { .. }
            | Self::Start { .. }
            | Self::NoResponse { .. }
            | Self::Timeout { .. } => ErrorKind::Internal,
        }
    }

    /// The next step, where the text does not name it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Core(error) => error.hint(),
            Self::Engine(error) => error.hint(),
            Self::Runtime(error) => error.hint(),
            Self::Tensorrt(error) => error.hint(),
            Self::Io(error) => io_hint(error),
            Self::EngineRun { source, .. } => source.hint(),
            _ => None,
        }
    }
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

fn describe_difference(facts: &CheckFacts, gpu: Option<&str>) -> String {
    let place = gpu.map_or_else(String::new, |gpu| format!(" on {gpu}"));
    if !facts.max_absolute_error.is_finite() {
        return format!(
            "output `{}` of `{}`{place} cannot be compared with {}: one has NaN or infinite values, or fewer values; expected \
             finite numbers",
            facts.output, facts.subject, facts.reference
        );
    }
    format!(
        "output `{}` of `{}`{place} differs from {}: cosine {:.6}, max absolute error {:.2e}",
        facts.output, facts.subject, facts.reference, facts.min_cosine, facts.max_absolute_error
    )
}
