//! What can go wrong while exporting and compiling.

use planforge_core::ComputeCapability;
use std::path::PathBuf;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A cache, I/O or cancellation error.
    #[error(transparent)]
    Core(#[from] planforge_core::Error),
    /// A file that the export needs is missing from the snapshot.
    #[error("missing file in the snapshot of `{repo}`: `{file}`")]
    MissingFile {
        /// Repository or folder.
        repo: String,
        /// The file.
        file: String,
    },
    /// The snapshot has no weights in a format that is read.
    #[error("missing weights in the snapshot of `{repo}`; expected `model.safetensors` or `pytorch_model.bin`")]
    MissingWeights {
        /// Repository or folder.
        repo: String,
    },
    /// A file of the snapshot that is not JSON, or whose keys have other types than expected.
    #[error("cannot read `{}`: {message}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Place and reason.
        message: String,
    },
    /// A JSON file of the snapshot with a value that is not supported.
    #[error("cannot use `{}`: {message}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Key and reason.
        message: String,
    },
    /// A checkpoint that planforge does not describe.
    #[error("{refusal}{}", planforge_core::onnx_route(graphs))]
    Undescribed {
        /// What is not described.
        refusal: Box<Error>,
        /// ONNX files of the repository.
        graphs: Vec<String>,
    },
    /// An architecture that planforge does not describe.
    #[error("unsupported model type `{model_type}`; expected one of {supported}")]
    UnsupportedModelType {
        /// `model_type` of `config.json`, or timm's name.
        model_type: String,
        /// What is supported.
        supported: String,
    },
    /// A task that the checkpoint cannot do.
    #[error("unsupported task `{task}` for `{repo}`: {message}")]
    Task {
        /// The task asked for.
        task: String,
        /// Repository or folder.
        repo: String,
        /// What is missing.
        message: String,
    },
    /// A damaged or hostile safetensors file.
    #[error("invalid safetensors file `{}`: {message}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A damaged or hostile PyTorch file.
    #[error("invalid PyTorch checkpoint `{}`: {message}", path.display())]
    Pytorch {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A PyTorch file in a format, or with tensors in an order, that is not read.
    #[error("unsupported PyTorch checkpoint `{}`: {message}", path.display())]
    PytorchUnsupported {
        /// The file.
        path: PathBuf,
        /// What it has.
        message: String,
    },
    /// A PyTorch file that asks for code to be run.
    #[error("unsafe PyTorch checkpoint `{}`: it asks for `{global}`, which no checkpoint needs; it may be malicious", path.display())]
    PytorchGlobal {
        /// The file.
        path: PathBuf,
        /// Module and name of what it asks for.
        global: String,
    },
    /// A tensor the architecture needs is not in the checkpoint.
    #[error("missing tensor in the checkpoint: `{name}`; {advice}")]
    MissingTensor {
        /// Its name.
        name: String,
        /// What to check, or to change in the checkpoint.
        advice: String,
    },
    /// Two tensors that stand for one and differ.
    #[error("tensors {one} and {two} stand for one and differ; remove one, or name it in `export.ignore_tensors`")]
    SameTensor {
        /// Name and file of the first.
        one: String,
        /// Name and file of the second.
        two: String,
    },
    /// A tensor does not have the shape that follows from the configuration.
    #[error("invalid shape of tensor `{name}`: {found:?}; expected {expected:?}")]
    TensorShape {
        /// Its name.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape by the configuration.
        expected: Vec<usize>,
    },
    /// A weight without elements, from a size of 0 in the configuration.
    #[error("tensor `{name}` has no elements: its shape is {shape:?}; expected sizes of at least 1 in config.json")]
    EmptyTensor {
        /// Its name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A tensor has an element type that weights cannot have.
    #[error("unsupported element type of tensor `{name}`: {found}; expected F32, F16, BF16 or F64")]
    TensorType {
        /// Its name.
        name: String,
        /// Type in the file.
        found: String,
    },
    /// Tensors that no part of the architecture uses: the description and the checkpoint disagree.
    #[error(
        "unexpected tensors in the checkpoint of model type `{model_type}`: {names}; where the model does without them, as \
         with tensors of training, set for example `ignore_tensors = [\"{example}\"]` in [export]"
    )]
    UnusedTensors {
        /// `model_type`.
        model_type: String,
        /// The first few names.
        names: String,
        /// A pattern that matches the first.
        example: String,
    },
    /// A weight that the precision cannot hold.
    #[error("value of tensor `{name}` out of range for {kind}: {value:?}; expected at most {largest:?}")]
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
    /// A file that is not an ONNX graph, or a graph that cannot be served.
    #[error("unusable ONNX graph `{}`: {message}", path.display())]
    Graph {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A model too large for one ONNX file.
    #[error(
        "model too large for one ONNX file: {byte_count} bytes; expected less than 2 GiB; remove `export.self_contained`"
    )]
    TooLarge {
        /// Its size.
        byte_count: u64,
    },
    /// A value to keep in binary32 that the graph does not have.
    #[error("unknown value `{name}`; expected a value of the graph, or a scope that contains one")]
    UnknownValue {
        /// The name.
        name: String,
    },
    /// The snapshot has no tokenizer, or one that is not supported.
    #[error("no usable tokenizer in the snapshot of `{repo}`: {message}")]
    NoTokenizer {
        /// Repository or folder.
        repo: String,
        /// The files that would do, or what is not supported.
        message: String,
    },
    /// The tokenizer file is damaged, or a text cannot be tokenized.
    #[error("tokenizer `{}` failed: {message}", path.display())]
    Tokenizer {
        /// The file of its vocabulary.
        path: PathBuf,
        /// The tokenizer's message.
        message: String,
    },
    /// An input that planforge cannot generate a sample for.
    #[error("cannot generate a sample for input `{name}`: it {message}")]
    SampleInput {
        /// The input.
        name: String,
        /// What is unusual about it.
        message: String,
    },
    /// A file that is not an image, or a damaged one.
    #[error("cannot read image `{}`: {message}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// The decoder's message.
        message: String,
    },
    /// A profile that the model cannot serve.
    #[error(
        "key `profiles`: sequence of a profile too large: {asked}; expected at most {allowed}; lower the largest `sequence`"
    )]
    ProfileLimit {
        /// Largest value asked for.
        asked: u64,
        /// Largest the model allows.
        allowed: u64,
    },
    /// A profile with another size than the one that a graph takes.
    #[error(
        "key `profiles`: invalid {dimension} of a profile: {asked:?}; expected [{fixed}, {fixed}, {fixed}], the only {dimension} \
         that the graph takes; write `{dimension} = [{fixed}, {fixed}, {fixed}]`, or export the graph with an open {dimension}"
    )]
    ProfileFixed {
        /// `batch` or `sequence`.
        dimension: &'static str,
        /// Smallest, most frequent and largest size asked for.
        asked: [u64; 3],
        /// The size that it takes.
        fixed: u64,
    },
    /// A profile without a dimension that the model has.
    #[error(
        "key `profiles`: missing `{dimension}` in a profile, which the model's inputs need; add for example `sequence = [8, 128, \
         256]` to [[profiles]], which takes `batch` and `sequence`"
    )]
    ProfileDimension {
        /// Name of the dimension.
        dimension: String,
    },
    /// An output asked of an engine that the model does not have.
    #[error("key `compile.outputs`: unknown output `{name}`; expected one of {known}")]
    UnknownOutput {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// Fewer outputs asked of an engine than a prebuilt graph has.
    #[error("key `compile.outputs`: missing outputs of a prebuilt graph, which keeps all of them; expected {known}")]
    FixedOutputs {
        /// The outputs.
        known: String,
    },
    /// The build of an engine failed; its log has the details.
    #[error("building engine `{subject}` failed: {message}")]
    Build {
        /// Precision and GPU.
        subject: String,
        /// The builder's message, or the last lines of its log.
        message: String,
    },
    /// An engine was built and could not be written: the disk is full or read-only.
    #[error("building engine `{subject}` failed: {message}")]
    BuildDisk {
        /// Precision and GPU.
        subject: String,
        /// The error of the file.
        message: String,
    },
    /// A network that needs more memory on the GPU than it was given.
    #[error(
        "building engine `{subject}` failed: its activations at the largest shapes take more than `compile.workspace`, \
         {allowed}; raise it, or lower the largest batch: {message}"
    )]
    Workspace {
        /// Precision and GPU.
        subject: String,
        /// The limit.
        allowed: bytesize::ByteSize,
        /// The builder's message.
        message: String,
    },
    /// A build that takes more memory than builds may take.
    #[error(
        "building engine `{subject}` failed: it takes more than the {allowed} that builds may take; raise `--memory`"
    )]
    BuildMemory {
        /// Precision and GPU.
        subject: String,
        /// Most that builds may take.
        allowed: bytesize::ByteSize,
    },
    /// A graph that the builder cannot build without its weights.
    #[error("key `compile.strip_weights`: cannot build `{}` without its weights: {message}", path.display())]
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
    /// The program that builds engines has another version than this one.
    #[error("unsupported engine worker `{}`: {found}; expected {expected}", path.display())]
    WorkerVersion {
        /// The program.
        path: PathBuf,
        /// Its answer to `--version`.
        found: String,
        /// The answer of a worker of this version.
        expected: String,
    },
    /// A graph with 8-bit floating-point values for a GPU that does not compute in them.
    #[error(
        "the graph has FP8 values, which GPU `{gpu}` of compute capability {capability} does not support; build it for \
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
    /// A prebuilt graph in fp16 with products in binary32 for a GPU without such products.
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
         {kept} in fp32; leave `{gpu}` out of `compile.gpus`, or remove the entries of `export.keep_fp32` that \
         cover them, where the samples do not need them"
    )]
    KeptProducts {
        /// The GPU type.
        gpu: String,
        /// The first products.
        products: String,
        /// The first values that are kept.
        kept: String,
    },
    /// Values to keep in binary32 in a format that has only one precision.
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
        /// libtorch's message.
        message: String,
    },
    /// The engine differs from the one that was requested.
    #[error("engine `{subject}` differs from the request: {message}")]
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

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;
