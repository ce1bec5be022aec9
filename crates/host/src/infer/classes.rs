//! Triton's classification extension: the largest values of an output with their classes, as text.

use super::interface::Interface;
use crate::api_error::ApiError;
use planforge_runtime::{Tensor, TensorValues};

/// An output of texts.
#[derive(Debug)]
pub(super) struct Classes {
    /// Its shape.
    pub(super) shape: Vec<usize>,
    /// `value:class` or `value:class:label`, the largest value first.
    pub(super) texts: Vec<String>,
}

impl Classes {
    /// The `count` largest values of each row of a batch; without a batch, of all elements.
    ///
    /// # Errors
    /// Element types that Triton does not classify.
    pub(super) fn of(output: &Tensor, count: usize, interface: &Interface) -> Result<Self, ApiError> {
        let is_batched = interface.max_batch_size > 0;
        let rows = if is_batched { output.shape.first().copied().unwrap_or(1) } else { 1 };
        let width = output.values.len().checked_div(rows).unwrap_or(0);
        let count = count.min(width);
        let values = numbers(output)?;
        let mut texts = Vec::with_capacity(rows * count);
        for row in values.chunks(width.max(1)) {
            let mut order: Vec<usize> = (0..row.len()).collect();
            order.sort_by(|&left, &right| row[right].total_cmp(&row[left]));
            texts.extend(order.into_iter().take(count).map(|class| {
                let value = shown(row[class], &output.values);
                let label = interface
                    .label(&output.name, class)
                    .filter(|label| !label.is_empty())
                    .map_or_else(String::new, |label| format!(":{label}"));
                format!("{value}:{class}{label}")
            }));
        }
        let shape = if is_batched { vec![rows, count] } else { vec![count] };
        Ok(Self { shape, texts })
    }

    /// Each text after its length of four bytes.
    pub(super) fn append_bytes(&self, bytes: &mut Vec<u8>) {
        for text in &self.texts {
            bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend(text.bytes());
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "values are only put in order; larger ones than 2^53 may tie")]
fn numbers(output: &Tensor) -> Result<Vec<f64>, ApiError> {
    Ok(match &output.values {
        TensorValues::Fp32(values) => values.iter().map(|&value| f64::from(value)).collect(),
        TensorValues::Int64(values) => values.iter().map(|&value| value as f64).collect(),
        TensorValues::Int32(values) => values.iter().map(|&value| f64::from(value)).collect(),
        TensorValues::Fp16(_) | TensorValues::Bf16(_) | TensorValues::Bool(_) => {
            let text = format!(
                "class result not available for output due to unsupported type '{}'",
                output.data_type().kserve_name()
            );
            return Err(ApiError::bad_input(text));
        }
    })
}

/// Six digits after the point, as C's `%f` has; integers as they are.
fn shown(value: f64, values: &TensorValues) -> String {
    match values {
        TensorValues::Int64(_) | TensorValues::Int32(_) => format!("{value:.0}"),
        _ => format!("{value:.6}"),
    }
}
