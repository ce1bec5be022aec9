//! The tables of a pipeline file and their defaults. Doc comments and attributes here are what the reference of the
//! pipeline file is generated from, and what files are checked against.

use super::checksums::Checksums;
use super::schema::Listed;
use super::values::{Copies, ImageSize, MaxBatch, MemorySize, OptimizationLevel, StorageClass, Threshold, TokenType};
use crate::{Builder, HardwareCompatibility, ModelFormat, OnnxBackend, Platform, Precision};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The checkpoint: a repository on the Hugging Face Hub, or a local folder with the same layout. Exactly one of `repo` and
/// `path` must be given.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = {"repo": "sentence-transformers/all-MiniLM-L6-v2", "revision": "main"}))]
pub struct SourceSpec {
    /// Repository on the Hub.
    #[schemars(
        extend("x-example" = "sentence-transformers/all-MiniLM-L6-v2", "x-allowed" = "`owner/name`", "x-default" = "none; needed unless `path` is given",
            "x-also" = ["model", "model_id", "repo_id", "repository", "checkpoint", "id"])
    )]
    pub repo: Option<String>,
    /// Branch, tag or commit of the repository.
    #[serde(default = "default_revision")]
    #[schemars(extend("x-example" = "main", "x-allowed" = "any branch, tag or commit", "x-also" = ["branch", "commit", "tag"]))]
    pub revision: String,
    /// Local folder with the checkpoint, relative to the pipeline file.
    #[schemars(
        extend("x-example" = "../models/my-fine-tune", "x-allowed" = "a path to a folder", "x-default" = "none; needed unless `repo` is given",
            "x-also" = ["folder", "dir", "directory", "local"])
    )]
    pub path: Option<PathBuf>,
    /// ONNX file of the repository to use unchanged, for architectures that planforge does not export itself.
    #[schemars(
        extend("x-example" = "onnx/model.onnx", "x-allowed" = "a path within the repository", "x-default" = "none; planforge exports the model itself",
            "x-also" = ["onnx", "onnx_file", "file"])
    )]
    pub graph: Option<String>,
}

fn default_revision() -> String {
    "main".to_owned()
}

/// How the model is exported.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("x-example" = {"precisions": ["fp32", "fp16"], "keep_fp32": ["blocks.3"]}))]
pub struct ExportSpec {
    /// Formats to export to. `onnx` must be among them: packages and engines are built from it.
    #[schemars(extend("x-example" = ["onnx"], "x-also" = ["format"]))]
    pub formats: Vec<ModelFormat>,
    /// Precisions to export.
    #[schemars(with = "Vec<Listed<Precision>>", extend("x-example" = ["fp32", "fp16"], "x-also" = ["precision", "dtype", "dtypes"]))]
    pub precisions: Vec<Precision>,
    /// Inputs that the exported model is run on by `check`: texts, or image files relative to the pipeline file.
    #[schemars(
        extend("x-example" = ["A small sample.", "Another sample."], "x-allowed" = "texts, or paths to images", "x-default" = "two built-in texts; for images, random images", "x-also" = ["texts", "sentences", "images"])
    )]
    pub samples: Option<Vec<String>>,
    /// Pairs of texts in place of `samples`, for models over two texts: queries with passages, questions each with the text
    /// that has its answer, premises with hypotheses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-example" = [["who sat on the mat ?", "the cat sat on the mat ."]], "x-allowed" = "a first and a second text each", "x-default" = "`[]`", "x-also" = ["pairs", "text_pairs", "contexts"]))]
    pub sample_pairs: Vec<[String; 2]>,
    /// Size of the images that the model takes. A prebuilt graph (`source.graph`) must leave it open.
    #[schemars(extend("x-example" = [224, 224], "x-default" = "the checkpoint's own", "x-also" = ["size", "resolution"]))]
    pub image_size: Option<ImageSize>,
    /// Whether the samples are run in fp32 before an fp16 export, to find the values that fp16 cannot represent. Those
    /// values stay in fp32.
    #[schemars(extend("x-example" = true))]
    pub measure_ranges: bool,
    /// Whether the weights are written into the ONNX file itself, which can then be moved on its own; at most 2 GiB.
    #[schemars(extend("x-example" = false))]
    pub self_contained: bool,
    /// Values that stay in fp32 in an fp16 or bf16 export, regardless of their range: names of values, or scopes such as
    /// `blocks.3`.
    #[schemars(extend("x-example" = ["blocks.3"], "x-allowed" = "names of values or scopes"))]
    pub keep_fp32: Vec<String>,
    /// Tensors of the checkpoint that the model does without, such as those of training: names, in which a `*` stands for
    /// anything. Without this, a tensor that nothing uses is an error.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-example" = ["fit_denses.*"], "x-allowed" = "names of tensors, with `*`", "x-default" = "`[]`", "x-also" = ["ignore", "ignore_unexpected", "keys_to_ignore_on_load_unexpected"]))]
    pub ignore_tensors: Vec<String>,
    /// Type of the inputs over tokens. `int32` is for clients that send INT32; the graph converts them.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(with = "Listed<TokenType>", extend("x-example" = "int32", "x-default" = "`int64`", "x-also" = ["input_type", "token_dtype"]))]
    pub token_type: TokenType,
    /// Whether the files of an export are hard links to those of the checkpoint and the cache. Python's `onnx` refuses weights
    /// with more than one link; with `false` they are copies, which share their blocks where the file system can do that.
    #[serde(skip_serializing_if = "is_true")]
    #[schemars(extend("x-example" = false, "x-default" = "`true`", "x-also" = ["hardlink", "hard_links", "links"]))]
    pub link: bool,
}

fn is_default(value: &TokenType) -> bool {
    *value == TokenType::default()
}

const fn is_true(value: &bool) -> bool {
    *value
}

impl Default for ExportSpec {
    fn default() -> Self {
        Self {
            formats: vec![ModelFormat::Onnx],
            precisions: vec![Precision::Fp32],
            samples: None,
            sample_pairs: Vec::new(),
            image_size: None,
            measure_ranges: true,
            self_contained: false,
            keep_fp32: Vec::new(),
            ignore_tensors: Vec::new(),
            token_type: TokenType::Int64,
            link: true,
        }
    }
}

/// Sentences for pipelines that name none.
pub(super) const SAMPLE_TEXTS: [&str; 2] = [
    "A small sample that every export is run on.",
    "The second one is longer, so that the first needs padding and the attention mask matters.",
];

/// How engines are built.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("x-example" = {"gpus": ["t4", "a10g", "l4"], "max_batch": "auto", "timeout_seconds": 3600}))]
pub struct CompileSpec {
    /// What builds the engines.
    #[schemars(extend("x-example" = "rtx"))]
    pub builder: Builder,
    /// GPU types to build engines for: names that `planforge gpus` lists, or AWS instance types such as `ml.g5.2xlarge`.
    /// `all` stands for every type in AWS's instances that the builder supports, `auto` for the GPUs of this machine.
    #[schemars(extend("x-example" = ["t4", "a10g", "l4"], "x-allowed" = "GPU types, AWS instance types, `all`, `auto`", "x-also" = ["gpu", "targets", "devices", "instances", "gpu_types"]))]
    pub gpus: Vec<String>,
    /// Whether one engine is built for all GPU types, rather than one for each.
    #[schemars(extend("x-example" = false, "x-also" = ["multi_target"]))]
    #[serde(rename = "fat")]
    pub multi_target: bool,
    /// Whether the profiles' largest batch is used as it is, or lowered so that more copies fit.
    #[schemars(extend("x-example" = "auto", "x-also" = ["max_batch_size"]))]
    pub max_batch: MaxBatch,
    /// How long the builder searches for fast kernels; each level takes more time than the last.
    #[schemars(extend("x-example" = 3, "x-default" = "the builder's own, 3"))]
    pub optimization_level: Option<OptimizationLevel>,
    /// Limit of the scratch memory on the GPU that one layer may use. TensorRT-RTX 1.7 treats a whole network as one layer,
    /// so that all activations at the largest shapes must fit.
    #[schemars(extend("x-example" = "2 GiB", "x-default" = "the builder's own", "x-also" = ["workspace_size"]))]
    pub workspace: Option<MemorySize>,
    /// Whether weights are left out of the engine and added when it is loaded, so that checkpoints of one architecture
    /// share one engine.
    #[schemars(extend("x-example" = false, "x-also" = ["refit", "refittable"]))]
    pub strip_weights: bool,
    /// Whether later versions of TensorRT load the plan too. Builder `trtexec` only.
    #[schemars(extend("x-example" = false))]
    pub version_compatible: bool,
    /// Other GPUs that the plan runs on: none, all of compute capability 8.0 and later, or those of its own compute
    /// capability. Kernels are then limited to those that all of them have. Builder `trtexec` only.
    #[schemars(with = "Listed<HardwareCompatibility>", extend("x-example" = "ampere-plus"))]
    pub hardware_compatibility: HardwareCompatibility,
    /// Release of Triton that loads the plans; its TensorRT must be the one that builds them. Builder `trtexec` only.
    #[schemars(extend("x-example" = "25.09", "x-allowed" = "a release such as `25.09`", "x-default" = "none; the version is not checked"))]
    pub triton: Option<String>,
    /// File with additional GPU types, relative to the pipeline file; `planforge gpus --help` shows its form.
    #[schemars(extend("x-example" = "gpus.toml", "x-allowed" = "a path to a file", "x-default" = "none; the built-in GPU types", "x-also" = ["catalog"]))]
    pub catalogue: Option<PathBuf>,
    /// Outputs of the engines.
    #[schemars(extend("x-example" = ["sentence_embedding"], "x-allowed" = "names of the model's outputs", "x-default" = "the output of the task; of a prebuilt graph, all"))]
    pub outputs: Option<Vec<String>>,
    /// Limit of the time for building one engine, in seconds.
    #[schemars(range(min = 1), extend("x-example" = 1800, "x-also" = ["timeout"]))]
    pub timeout_seconds: u64,
}

impl Default for CompileSpec {
    fn default() -> Self {
        Self {
            builder: Builder::Rtx,
            gpus: Vec::new(),
            multi_target: false,
            max_batch: MaxBatch::Profile,
            optimization_level: None,
            workspace: None,
            strip_weights: false,
            version_compatible: false,
            hardware_compatibility: HardwareCompatibility::None,
            triton: None,
            catalogue: None,
            outputs: None,
            timeout_seconds: 1800,
        }
    }
}

/// How models and engines are packaged for Triton.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("x-elsewhere" = {"max_batch_size": "the largest `batch` of all [[profiles]] is `max_batch_size`; set it there"}))]
#[schemars(extend("x-example" = {"platforms": ["onnx", "tensorrt"], "copies": 50}))]
pub struct PackageSpec {
    /// Platforms to package for.
    #[schemars(
        extend("x-example" = ["onnx", "tensorrt"], "x-default" = "`[\"onnx\"]`; `[\"onnx\", \"tensorrt\"]` where `compile.gpus` is set", "x-also" = ["platform", "backend", "backends"])
    )]
    pub platforms: Vec<Platform>,
    /// Precisions of platform `pytorch`.
    #[schemars(with = "Option<Vec<Listed<Precision>>>", extend("x-example" = ["fp32"], "x-default" = "those of `export.precisions`"))]
    pub pytorch_precisions: Option<Vec<Precision>>,
    /// Triton backend that serves ONNX exports.
    #[schemars(extend("x-example" = "planforge"))]
    pub onnx_backend: OnnxBackend,
    /// Whether archives contain planforge's Triton backend, for servers that do not have it installed. Each archive then
    /// loads its own copy of it; ONNX Runtime is shared in any case.
    #[schemars(extend("x-example" = false))]
    pub include_backend: bool,
    /// Whether the files of an archive are in a folder with the model's name.
    #[schemars(extend("x-example" = true))]
    pub top_folder: bool,
    /// Whether one archive contains the engines for all GPU types, of which the server loads the one for its own, rather
    /// than one archive for each.
    #[schemars(extend("x-example" = false))]
    #[serde(rename = "fat")]
    pub multi_target: bool,
    /// Number of copies to publish.
    #[schemars(extend("x-example" = 8, "x-also" = ["replicas", "count"]))]
    pub copies: Copies,
}

impl Default for PackageSpec {
    fn default() -> Self {
        Self {
            platforms: vec![Platform::Onnx],
            pytorch_precisions: None,
            onnx_backend: OnnxBackend::Onnxruntime,
            include_backend: false,
            top_folder: true,
            multi_target: false,
            copies: Copies(8),
        }
    }
}

/// Where copies are published. All keys but `url` need a store on S3.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("x-example" = {"url": "s3://my-bucket/models", "region": "eu-central-1", "tags": {"team": "search"}}))]
pub struct StoreSpec {
    /// Address of the store.
    #[schemars(
        extend("x-example" = "s3://my-bucket/models", "x-allowed" = "`file:///folder` or `s3://bucket/prefix`", "x-default" = "the folder `store` of the run's results",
            "x-also" = ["bucket", "path", "uri"])
    )]
    pub url: Option<String>,
    /// Region of the bucket.
    #[schemars(extend("x-example" = "eu-central-1", "x-allowed" = "an AWS region", "x-default" = "the region of the AWS configuration"))]
    pub region: Option<String>,
    /// Whether the bucket is named in the path of requests rather than in the host.
    #[schemars(extend("x-example" = true, "x-default" = "true only for endpoints other than AWS's"))]
    pub path_style: Option<bool>,
    /// AWS KMS key that encrypts objects.
    #[schemars(
        extend("x-example" = "alias/models", "x-allowed" = "a key id, an ARN or `alias/name`", "x-default" = "the bucket's own")
    )]
    pub kms_key: Option<String>,
    /// S3 storage class of objects.
    #[schemars(extend("x-example" = "STANDARD_IA", "x-default" = "the bucket's own"))]
    pub storage_class: Option<StorageClass>,
    /// Tags of every object; at most 10.
    #[schemars(extend("x-example" = {"team": "search"}, "x-allowed" = "names and values of S3 tags"))]
    pub tags: BTreeMap<String, String>,
    /// Whether uploads carry S3's checksums; `auto` sends `Content-MD5` to a store that does not know them.
    #[schemars(with = "Listed<Checksums>", extend("x-example" = "off", "x-also" = ["checksum", "checksum_algorithm"]))]
    pub checksums: Checksums,
    /// Limit of the time for one request before it is tried again, in seconds.
    #[schemars(range(min = 1), extend("x-example" = 300, "x-also" = ["timeout"]))]
    pub timeout_seconds: u64,
}

impl Default for StoreSpec {
    fn default() -> Self {
        Self {
            url: None,
            region: None,
            path_style: None,
            kms_key: None,
            storage_class: None,
            tags: BTreeMap::new(),
            checksums: Checksums::Auto,
            timeout_seconds: 300,
        }
    }
}

/// The measurement of how many copies fit.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("x-example" = {"threshold": 0.9, "batch": 1}))]
pub struct ProbeSpec {
    /// Share of the memory budget that loaded copies may use.
    #[schemars(extend("x-example" = 0.9))]
    pub threshold: Threshold,
    /// Batch size of the request that each copy gets; memory is that of a copy that has answered it.
    #[schemars(
        range(min = 1),
        extend("x-example" = 1, "x-allowed" = "from 1 to the largest batch of all profiles", "x-default" = "the largest of all profiles",
            "x-also" = ["batch_size"])
    )]
    pub batch: Option<u64>,
    /// Sequence length of that request's texts, in tokens.
    #[schemars(
        range(min = 1),
        extend("x-example" = 128, "x-allowed" = "from 1 to the largest sequence of all profiles", "x-default" = "the largest of all profiles",
            "x-also" = ["seq_len", "sequence_length", "tokens"])
    )]
    pub sequence: Option<u64>,
}

impl Default for ProbeSpec {
    fn default() -> Self {
        Self { threshold: Threshold(0.9), batch: None, sequence: None }
    }
}

/// The load test.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("x-example" = {"stages": [{"users": 1, "seconds": 20}, {"users": 4, "seconds": 20}]}))]
pub struct LoadSpec {
    /// Stages of the test, in order.
    #[schemars(extend("x-example" = [{"users": 4, "seconds": 20}], "x-also" = ["stage", "steps"]))]
    pub stages: Vec<LoadStage>,
    /// Seed of the random choice of copies.
    #[schemars(extend("x-example" = 0))]
    pub seed: u64,
    /// Limit of the time for one request, in seconds.
    #[schemars(range(min = 1), extend("x-example" = 70, "x-also" = ["timeout"]))]
    pub timeout_seconds: u64,
    /// Batch size of each request.
    #[schemars(
        range(min = 1),
        extend("x-example" = 1, "x-allowed" = "from 1 to the largest batch of all profiles", "x-also" = ["batch_size"])
    )]
    pub batch: u64,
    /// Sequence length of each request's texts, in tokens.
    #[schemars(
        range(min = 1),
        extend("x-example" = 128, "x-allowed" = "from 1 to the largest sequence of all profiles", "x-default" = "`opt` of the first profile",
            "x-also" = ["seq_len", "sequence_length", "tokens"])
    )]
    pub sequence: Option<u64>,
}

/// One stage of the load test: a number of users for a length of time. Each user sends its next request when the last is
/// answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-example" = {"users": 4, "seconds": 20, "spawn_rate": 2}))]
pub struct LoadStage {
    /// Number of concurrent users.
    #[schemars(range(min = 1), extend("x-example" = 4, "x-also" = ["concurrency", "clients"]))]
    pub users: u32,
    /// Length of the stage, in seconds.
    #[schemars(range(min = 1), extend("x-example" = 20, "x-also" = ["duration", "time", "length"]))]
    pub seconds: u32,
    /// Users added or removed per second until `users` is reached.
    #[schemars(range(min = 1), extend("x-example" = 2, "x-default" = "all at once"))]
    pub spawn_rate: Option<u32>,
}

impl Default for LoadSpec {
    fn default() -> Self {
        let stages =
            [(1, 3), (2, 3), (4, 3), (8, 3)].map(|(users, seconds)| LoadStage { users, seconds, spawn_rate: None });
        Self { stages: stages.to_vec(), seed: 0, timeout_seconds: 70, batch: 1, sequence: None }
    }
}
