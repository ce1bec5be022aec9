//! Counting parameters, arithmetic and memory of a model without running it.

mod counter;
mod memory;

use crate::arch::Architecture;
use crate::checkpoint::Checkpoint;
use crate::{ExportOptions, Result};
use counter::Counter;
use serde::{Deserialize, Serialize};

/// What one run of a model costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Parameters the model uses.
    pub parameter_count: u64,
    /// Multiplications and additions of matrix products and convolutions (two for each multiply-accumulate); the
    /// point-wise rest, a few percent, is not counted.
    pub operation_count: u64,
    /// Bytes of the weights.
    pub weight_byte_count: u64,
    /// Bytes of the inputs and intermediate values that live at once when every operation is run on its own, in
    /// order, and a value is freed after its last use. Runtimes that fuse operations need less.
    pub peak_activation_byte_count: u64,
}

/// Cost of `checkpoint`, exported with `options`, for one batch of this size and sequence length (1 for models
/// over images).
///
/// # Errors
/// Those of reading the architecture: unsupported model types, missing or misshapen tensors.
pub fn estimate(checkpoint: &Checkpoint, options: &ExportOptions, batch: u64, sequence: u64) -> Result<Cost> {
    let architecture = Architecture::read(checkpoint, options.task, options.image_size)?;
    let mut parameters = architecture.parameters(checkpoint);
    let mut counter = Counter::new(options.precision, &mut parameters, (batch, sequence));
    architecture.forward(&mut counter)?;
    Ok(counter.cost())
}
