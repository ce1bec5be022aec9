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
mod export;
mod limits;
mod onnx;
mod ops;
mod pass_through;
mod reporter;
mod sample;
mod self_contained;
#[cfg(feature = "torch")]
mod torch;

pub use arch::{FAMILIES, Family};
pub use checkpoint::Checkpoint;
pub use compile::{
    BuildLimits, CompileJob, CompileOptions, EngineWorker, builder_figures, check_profiles, compile_all, find_engine,
    place_weights,
};
pub use cost::{Cost, estimate};
pub use error::{Error, Result, WORKER_HINT};
pub use export::{ExportOptions, RANGE_PREFIX, export, export_ranges};
pub use onnx::{emulate_bf16, graph_text};
pub use ops::{Activation, AttentionShape, Conv2d, LinearWidths, Ops, RelativeBias, Scope, Window};
pub use pass_through::pass_through;
pub use sample::{
    ImageSample, Sample, SampleValues, TensorSample, TextSample, Vocabulary, random_images, random_tensors,
    random_texts, read_images, tokenize, tokenize_pairs,
};
#[cfg(feature = "torch")]
pub use torch::{LIBTORCH_VERSION, export_torchscript};
