//! The cost of a checkpoint.

use super::counter::{Cost, Counter};
use crate::arch::Architecture;
use crate::checkpoint::Checkpoint;
use crate::undescribed::with_onnx_route;
use crate::{ExportOptions, Result};

/// Cost of `checkpoint`, exported with `options`, for one batch of this size and sequence length (1 for models
/// over images).
///
/// # Errors
/// Those of reading the architecture: unsupported model types, missing or misshapen tensors.
pub fn estimate(checkpoint: &Checkpoint, options: &ExportOptions, batch: u64, sequence: u64) -> Result<Cost> {
    with_onnx_route(&checkpoint.snapshot, count(checkpoint, options, batch, sequence))
}

fn count(checkpoint: &Checkpoint, options: &ExportOptions, batch: u64, sequence: u64) -> Result<Cost> {
    let architecture = Architecture::read(checkpoint, options.task, options.image_size)?;
    let mut parameters = architecture.parameters(checkpoint, &options.ignore_tensors)?;
    let mut counter = Counter::new(options.precision, &mut parameters, batch, sequence);
    architecture.forward(&mut counter)?;
    Ok(counter.cost())
}
