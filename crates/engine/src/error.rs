//! What can go wrong while exporting and compiling.

use planforge_core::ComputeCapability;
use planforge_core::ErrorKind;
use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A cache, I/O or cancellation error.
    #[error(transparent)]
    Core(#[from] planforge_core::Error),
    /// A file of the snapshot that the export needs is not there.
    #[error("snapshot of `{repo}` has no `{file}`")]
    MissingFile {
        /// Repository or folder.
        repo: String,
        /// The file.
        file: String,
    },
    /// The snapshot has no weights in a format that is read.
    #[error("snapshot of `{repo}` has no `model.safetensors`; there is no `pytorch_model.bin` either")]
    MissingWeights {
        /// Repository or folder.
        repo: String,
    },
    /// A JSON file of the snapshot has another shape than expected.
    #[error("`{}` cannot be read: {message}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Key and reason.
        message: String,
    },
    /// An architecture that planforge does not describe.
    #[error("model type `{model_type}` is not supported; supported: {supported}")]
    UnsupportedModelType {
        /// `model_type` of `config.json`.
        model_type: String,
        /// What is supported.
        supported: String,
    },
    /// A task that the checkpoint cannot do.
    #[error("task `{task}` does not fit `{repo}`: {message}")]
    Task {
        /// The task asked for.
        task: String,
        /// Repository or folder.
        repo: String,
        /// What is missing.
        message: String,
    },
    /// A damaged or hostile safetensors file.
    #[error("`{}` is not a valid safetensors file: {message}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A damaged or hostile PyTorch file.
    #[error("`{}` is not a valid PyTorch checkpoint: {message}", path.display())]
    Pytorch {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A PyTorch file in a format, or with tensors in an order, that is not read.
    #[error("`{}` is a PyTorch checkpoint that cannot be read: {message}", path.display())]
    PytorchUnsupported {
        /// The file.
        path: PathBuf,
        /// What it has.
        message: String,
    },
    /// A PyTorch file that asks for code to be run.
    #[error("`{}` asks for `{global}`, which a checkpoint has no need of; it may be malicious", path.display())]
    PytorchGlobal {
        /// The file.
        path: PathBuf,
        /// Module and name of what it asks for.
        global: String,
    },
    /// A tensor the architecture needs is not in the checkpoint.
    #[error(
        "tensor `{name}` is missing from the checkpoint; check that key `task` is one that the checkpoint was trained for: \
         `architectures` in its config.json names it"
    )]
    MissingTensor {
        /// Its name.
        name: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}")]
    TensorShape {
        /// Its name.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape by the configuration.
        expected: Vec<usize>,
    },
    /// A tensor has an element type that weights cannot have.
    #[error("tensor `{name}` has element type {found}, expected F32, F16 or BF16")]
    TensorType {
        /// Its name.
        name: String,
        /// Type in the file.
        found: String,
    },
    /// Tensors that no part of the architecture uses: the description and the checkpoint disagree.
    #[error("the checkpoint has tensors that model type `{model_type}` does not use: {names}")]
    UnusedTensors {
        /// `model_type`.
        model_type: String,
        /// The first few names.
        names: String,
    },
    /// A weight that the precision cannot hold.
    #[error("tensor `{name}` has the value {value:?}, which {kind} cannot hold (largest: {largest:?})")]
    WeightRange {
        /// Its name.
        name: String,
        /// The value.
        value: f32,
        /// `fp16` or `bf16`.
        kind: String,
        /// The largest number that it holds.
        largest: f32,
    },
    /// A file that is no ONNX graph, or one that cannot be served.
    #[error("`{}` is not a usable ONNX graph: {message}", path.display())]
    Graph {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A model too large for one ONNX file.
    #[error(
        "the model takes {byte_count} bytes, and one ONNX file holds less than 2 GiB; leave `export.self_contained` out"
    )]
    TooLarge {
        /// Its size.
        byte_count: u64,
    },
    /// A value to keep in binary32 that the graph does not have.
    #[error("no value of the graph is called `{name}`, and none lies in a scope of that name")]
    UnknownValue {
        /// The name.
        name: String,
    },
    /// The tokenizer file is damaged, or a text cannot be tokenized.
    #[error("tokenizer `{}` failed: {message}", path.display())]
    Tokenizer {
        /// `tokenizer.json`.
        path: PathBuf,
        /// What the tokenizer said.
        message: String,
    },
    /// An input that no sample can be made for.
    #[error("no sample can be made for input `{name}`: it {message}")]
    SampleInput {
        /// The input.
        name: String,
        /// What is unusual about it.
        message: String,
    },
    /// A file that is not an image, or a damaged one.
    #[error("image `{}` cannot be read: {message}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        message: String,
    },
    /// A profile that the model cannot serve.
    #[error(
        "key `profiles`: a profile has {dimension} up to {asked}, but the model allows {allowed}; lower the largest `{dimension}`"
    )]
    ProfileLimit {
        /// "batch" or "sequence".
        dimension: &'static str,
        /// Largest value asked for.
        asked: u64,
        /// Largest the model allows.
        allowed: u64,
    },
    /// A profile without a dimension that the model has.
    #[error(
        "key `profiles`: a profile has no `{dimension}`, which the model's inputs need; add for example `sequence = [8, 128, \
         256]` to [[profiles]], which takes `batch` and `sequence`"
    )]
    ProfileDimension {
        /// Name of the dimension.
        dimension: String,
    },
    /// An output asked of an engine that the model does not have.
    #[error("key `compile.outputs`: the model has no output `{name}`; it has {known}")]
    UnknownOutput {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// Fewer outputs asked of an engine than a graph that is taken as it is has.
    #[error("key `compile.outputs`: a graph that is taken as it is keeps all its outputs: {known}")]
    FixedOutputs {
        /// The outputs.
        known: String,
    },
    /// The engine was not built; the log has all of it.
    #[error("engine `{subject}` was not built: {message}")]
    Build {
        /// Precision and GPU.
        subject: String,
        /// Last words of the builder.
        message: String,
    },
    /// A network that needs more memory on the GPU than it was given.
    #[error(
        "engine `{subject}` was not built: its activations at the largest shapes take more than `compile.workspace`, \
         {allowed}; raise it, or lower the largest batch: {message}"
    )]
    Workspace {
        /// Precision and GPU.
        subject: String,
        /// The limit.
        allowed: bytesize::ByteSize,
        /// The builder's words.
        message: String,
    },
    /// A build that takes more memory than builds may take.
    #[error(
        "engine `{subject}` was not built: it takes more than the {allowed} that builds may take; raise `--memory`"
    )]
    BuildMemory {
        /// Precision and GPU.
        subject: String,
        /// Most that builds may take.
        allowed: bytesize::ByteSize,
    },
    /// A graph that no engine without weights is built from.
    #[error("key `compile.strip_weights`: `{}` cannot be built without its weights: {message}", path.display())]
    StripWeights {
        /// The graph.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// A native library is missing or unusable.
    #[error("{message}")]
    NativeLibrary {
        /// Which, and where it was looked for.
        message: String,
    },
    /// The program that builds engines is missing.
    #[error("engine worker not found: `{}`; expected the program `{}`", path.display(), planforge_engine_protocol::WORKER_PROGRAM)]
    WorkerMissing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The program that builds engines comes from other sources than this one.
    #[error("unsupported engine worker `{}`: {found}; expected {expected}", path.display())]
    WorkerVersion {
        /// The program.
        path: PathBuf,
        /// Its answer to `--version`.
        found: String,
        /// The answer of a worker that fits.
        expected: String,
    },
    /// A graph with 8-bit floating-point values for a GPU that does not compute in them.
    #[error(
        "the graph has FP8 values, which GPU `{gpu}` of compute capability {capability} does not compute; build it for \
         {first} or later, such as l4, l40s or rtx-pro-6000"
    )]
    Fp8 {
        /// The GPU type.
        gpu: String,
        /// Its compute capability.
        capability: ComputeCapability,
        /// The first that does.
        first: ComputeCapability,
    },
    /// A graph in fp16, taken as it is, with products in binary32 for a GPU without such products.
    #[error("TensorRT-RTX has no fp32 matrix products for GPU `{gpu}`, and the graph has some: {products}")]
    Fp32Products {
        /// The GPU type.
        gpu: String,
        /// The first of them.
        products: String,
    },
    /// An fp16 export that keeps values in binary32, and so has products in it, for a GPU without such products.
    #[error(
        "TensorRT-RTX has no fp32 matrix products for GPU `{gpu}`, and the fp16 export has some, {products}, as it keeps \
         {kept} in fp32; leave `{gpu}` out of `compile.gpus`, or take away the entries of `export.keep_fp32` that cover \
         them where the samples do not need them"
    )]
    KeptProducts {
        /// The GPU type.
        gpu: String,
        /// The first products.
        products: String,
        /// The first values that are kept.
        kept: String,
    },
    /// Values that are to stay in binary32 in a format that knows only one precision.
    #[error(
        "TorchScript in {precision} cannot keep single values in fp32, here {count} such as `{name}`; export it in fp32"
    )]
    ModuleRange {
        /// Precision of the module.
        precision: planforge_core::Precision,
        /// Name of the first.
        name: String,
        /// How many there are.
        count: usize,
    },
    /// libtorch failed.
    #[error("libtorch failed at `{subject}`: {message}")]
    Torch {
        /// Operation, tensor or file.
        subject: String,
        /// libtorch's account.
        message: String,
    },
    /// The engine is not the one asked for.
    #[error("engine `{subject}` is not what was asked for: {message}")]
    EngineMismatch {
        /// Precision and GPU.
        subject: String,
        /// What differs.
        message: String,
    },
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Core(error.into())
    }
}

/// What to do about a PyTorch file that is not read. `weights_only` keeps Python from running its code.
const TO_SAFETENSORS: &str = "convert it to safetensors: for a repository on the Hub \
    https://huggingface.co/spaces/safetensors/convert does so; for a file whose origin you trust, run in its folder: \
    python -c \"import torch, safetensors.torch as s; w = torch.load('pytorch_model.bin', 'cpu', weights_only=True); \
    s.save_file({k: v.clone().contiguous() for k, v in w.items()}, 'model.safetensors')\"";

/// How to get the program that builds engines.
pub const WORKER_HINT: &str = "`cargo build -p planforge` and `cargo install --path crates/cli` make planforge \
    and its engine worker together; --engine-worker names one that is elsewhere";

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Core(error) => error.kind(),
            Self::NativeLibrary { .. } | Self::WorkerMissing { .. } | Self::WorkerVersion { .. } => {
                ErrorKind::Environment
            }
            Self::ProfileLimit { .. }
            | Self::ProfileDimension { .. }
            | Self::Workspace { .. }
            | Self::UnknownOutput { .. }
            | Self::StripWeights { .. }
            | Self::Fp8 { .. }
            | Self::Fp32Products { .. }
            | Self::KeptProducts { .. } => ErrorKind::BadInput,
            _ => ErrorKind::Internal,
        }
    }

    /// The next step, where the text does not name it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Core(error) => error.hint(),
            Self::PytorchUnsupported { .. } | Self::PytorchGlobal { .. } => Some(TO_SAFETENSORS),
            Self::WorkerMissing { .. } | Self::WorkerVersion { .. } => Some(WORKER_HINT),
            Self::UnsupportedModelType { .. } => {
                Some("a repository with an ONNX file of its own can be taken as it is: key `source.graph`")
            }
            _ => None,
        }
    }
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
