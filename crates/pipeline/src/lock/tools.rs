//! Tools that decide bytes: their names in a lock, and of which variants.

use planforge_core::{Builder, Pipeline, Platform, Precision, Variant};

/// ONNX Runtime, which measures ranges for fp16 exports.
pub(crate) const ONNX_RUNTIME: &str = "onnxruntime";
/// libtorch, which writes TorchScript.
pub(crate) const LIBTORCH: &str = "libtorch";
/// planforge's Triton backend, where archives carry it; its version is its digest.
pub(crate) const TRITON_BACKEND: &str = "triton-backend";
const TENSORRT: &str = "tensorrt";
const TENSORRT_RTX: &str = "tensorrt-rtx";

/// The name of a builder's library.
pub(crate) const fn builder_tool(builder: Builder) -> &'static str {
    match builder {
        Builder::Rtx => TENSORRT_RTX,
        Builder::Trtexec => TENSORRT,
    }
}

/// Whether a tool of a lock decides bytes of a variant's archive.
pub(crate) fn decides_bytes(tool: &str, variant: &Variant, spec: &Pipeline) -> bool {
    match tool {
        ONNX_RUNTIME => variant.precision == Precision::Fp16,
        LIBTORCH => variant.platform == Platform::Pytorch,
        TENSORRT_RTX | TENSORRT => variant.platform == Platform::Tensorrt,
        TRITON_BACKEND => carries_backend(variant, spec),
        _ => true,
    }
}

/// Whether the archive of a variant has planforge's Triton backend in it.
pub(crate) fn carries_backend(variant: &Variant, spec: &Pipeline) -> bool {
    spec.package.include_backend && spec.is_served_by_planforge(variant.platform)
}
