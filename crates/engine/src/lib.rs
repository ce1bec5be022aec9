//! Exports a snapshot to ONNX and compiles engines from it.
//!
//! A checkpoint is read as `config.json` plus safetensors, or as what `torch.save` wrote. Each
//! architecture is written once, in `arch`, against the small [`Ops`] trait; interpreters turn it into
//! an ONNX graph, into a count of its parameters and arithmetic or, with the Cargo feature `torch`, into
//! TorchScript.

mod arch;
mod checkpoint;
mod compile;
mod convert;
mod cost;
mod error;
mod error_kind;
mod export;
mod image_processor;
mod json;
mod limits;
mod onnx;
mod ops;
mod pass_through;
mod pattern;
mod reference;
mod reporter;
mod sample;
mod scores;
mod self_contained;
mod sentence;
mod tokenizer;
#[cfg(feature = "torch")]
mod torch;
mod undescribed;

pub use arch::{FAMILIES, Family};
pub use checkpoint::Checkpoint;
pub use compile::{
    BuildLimits, CompileJob, CompileOptions, EngineWorker, builder_figures, check_profiles, compile_all, find_engine,
    place_weights,
};
pub use cost::{Cost, estimate};
pub use error::{Error, Result};
pub use error_kind::WORKER_HINT;
pub use export::{ExportOptions, RANGE_PREFIX, export, export_ranges};
pub use onnx::{emulate_bf16, graph_text};
pub use ops::{Activation, AttentionShape, Conv2d, LinearWidths, Ops, PoolingMode, RelativeBias, Scope, Window};
pub use pass_through::{GraphRequest, pass_through};
pub use sample::{
    ImageSample, Sample, SampleValues, TensorSample, TextSample, Vocabulary, fixed_length, is_token_input,
    random_images, random_tensors, random_texts, random_tokens, read_images, tokenize, tokenize_pairs,
};
pub use scores::ScoreFunction;
pub use tokenizer::missing_tokenizer;
#[cfg(feature = "torch")]
pub use torch::{LIBTORCH_VERSION, export_torchscript};
