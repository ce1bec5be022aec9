//! Writes Triton's model configuration, `config.pbtxt`: protobuf text of `inference.ModelConfig`
//! (triton-inference-server/common, `protobuf/model_config.proto`).

mod engines;
mod extra;
mod models;
mod serving;
mod tensors;
mod text;

pub use engines::{capabilities, engine_config, engine_files, smallest_batch};
pub use extra::ExtraConfig;
pub use models::{metrics_config, module_config, onnx_config};
pub use serving::{SHARING_INSTANCES, ServingOptions, WarmUpInput};
pub use tensors::{label_file, max_batch_size};
