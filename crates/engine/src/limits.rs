//! Graphs that TensorRT-RTX does not build for a GPU type, found before a build whose own error would not name the reason.

use crate::onnx::graph_needs;
use crate::{Error, Result};
use planforge_core::{Builder, CachedArtifact, ComputeCapability, Gpu, Model, Precision};

/// The first compute capability with 8-bit floating-point matrix products.
const FIRST_FP8: ComputeCapability = ComputeCapability { major: 8, minor: 9 };

/// Values that an error names.
const NAMED: usize = 3;

/// Refuses a graph that the builder cannot take for `gpu`.
///
/// # Errors
/// [`Error::Fp8`], [`Error::Fp32Products`], [`Error::KeptProducts`], and a graph that cannot be read.
pub(crate) fn check_graph(model: &CachedArtifact<Model>, gpu: &Gpu) -> Result<()> {
    let takes_fp32 = gpu.precisions(Builder::Rtx).contains(&Precision::Fp32);
    let has_no_fp8 = gpu.compute_capability < FIRST_FP8;
    // Exports of planforge's own have no FP8; a graph may be large.
    if takes_fp32 && !(has_no_fp8 && model.record.prebuilt) {
        return Ok(());
    }
    let needs = graph_needs(&model.path(&model.record.graph))?;
    if needs.fp8 && has_no_fp8 {
        return Err(Error::Fp8 { gpu: gpu.name.clone(), capability: gpu.compute_capability, first: FIRST_FP8 });
    }
    if needs.fp32_products.is_empty() || takes_fp32 {
        return Ok(());
    }
    let products = named(&needs.fp32_products);
    let gpu = gpu.name.clone();
    Err(match model.record.keep_fp32.as_slice() {
        [] => Error::Fp32Products { gpu, products },
        kept => Error::KeptProducts { gpu, products, kept: named(kept) },
    })
}

/// The first few names, and how many there are beyond.
fn named(names: &[String]) -> String {
    let first: Vec<String> = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
