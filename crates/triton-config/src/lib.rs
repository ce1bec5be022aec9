//! Triton's model configuration, `config.pbtxt`: reading, writing, and checking it and the archive it describes.
//!
//! [`onnx_config`], [`module_config`], [`engine_config`] and [`metrics_config`] write configurations; [`ServingConfig`] is
//! the part of one that a host needs; [`lint()`] predicts what a server makes of an archive.

mod configured;
mod error;
mod fields;
mod files;
mod lint;
mod schema;
mod serving_config;
mod text_format;
mod write;

pub use configured::{ConfiguredTensor, ConfiguredTensors, Reshape};
pub use error::{Error, Result, SyntaxError};
pub use files::{CONFIG_FILE, LABELS_FILE, MAX_CONFIG_BYTES, MODULE_FILE, ONNX_FILE, PLAN_FILE, PLANFORGE_BACKEND};
pub use lint::{Finding, Severity, lint, lint_entries};
pub use serving_config::{Backend, ServingConfig, VersionPolicy};
pub use write::{
    ExtraConfig, SHARING_INSTANCES, ServingOptions, WarmUpInput, capabilities, engine_config, engine_files, label_file,
    max_batch_size, metrics_config, module_config, onnx_config, smallest_batch,
};
