//! Counting parameters and arithmetic of a model without running it.

use crate::arch::Architecture;
use crate::checkpoint::{Checkpoint, Parameters};
use crate::ops::{Activation, AttentionShape, LinearWidths};
use crate::{Ops, Result, Scope};
use planforge_core::{Task, TensorSpec};
use serde::{Deserialize, Serialize};

/// What one run of a model costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Parameters the model uses.
    pub parameter_count: u64,
    /// Multiplications and additions of the matrix products (two for each multiply-accumulate); the
    /// point-wise rest, a few percent, is not counted.
    pub operation_count: u64,
}

/// Cost of `checkpoint` with the outputs of `task` for one batch of this size and sequence length.
///
/// # Errors
/// Those of reading the architecture: unsupported model types, missing or misshapen tensors.
pub fn estimate(checkpoint: &Checkpoint, task: Task, batch: u64, sequence: u64) -> Result<Cost> {
    let architecture = Architecture::read(checkpoint, task)?;
    let mut parameters = architecture.parameters(checkpoint);
    let mut counter = Counter { parameters: &mut parameters, batch, sequence, cost: Cost::default() };
    architecture.forward(&mut counter)?;
    Ok(counter.cost)
}

struct Counter<'a> {
    parameters: &'a mut Parameters,
    batch: u64,
    sequence: u64,
    cost: Cost,
}

/// Number of vectors in a value: one for each token, or one for each text.
#[derive(Debug, Clone, Copy)]
struct Rows(u64);

impl Counter<'_> {
    fn weight(&mut self, scope: &Scope, name: &str, shape: &[usize]) -> Result<()> {
        self.parameters.take(&scope.tensor(name), shape)?;
        self.cost.parameter_count += shape.iter().product::<usize>() as u64;
        Ok(())
    }

    const fn tokens(&self) -> Rows {
        Rows(self.batch * self.sequence)
    }
}

impl Ops for Counter<'_> {
    type Tensor = Rows;

    fn input(&mut self, _spec: &TensorSpec) -> Rows {
        self.tokens()
    }

    fn output(&mut self, _spec: &TensorSpec, _value: &Rows) {}

    fn has(&self, scope: &Scope, name: &str) -> bool {
        self.parameters.contains(&scope.tensor(name))
    }

    fn embedding(&mut self, scope: &Scope, table: [usize; 2], _ids: &Rows) -> Result<Rows> {
        self.weight(scope, "weight", &table)?;
        Ok(self.tokens())
    }

    fn leading_rows(&mut self, scope: &Scope, table: [usize; 2], _ids: &Rows) -> Result<Rows> {
        self.weight(scope, "weight", &table)?;
        Ok(self.tokens())
    }

    fn first_row(&mut self, scope: &Scope, table: [usize; 2]) -> Result<Rows> {
        self.weight(scope, "weight", &table)?;
        Ok(Rows(1))
    }

    fn rows_after_padding(&mut self, scope: &Scope, table: [usize; 2], _ids: &Rows, _padding: usize) -> Result<Rows> {
        self.weight(scope, "weight", &table)?;
        Ok(self.tokens())
    }

    fn linear(&mut self, scope: &Scope, widths: LinearWidths, x: &Rows) -> Result<Rows> {
        self.weight(scope, "weight", &[widths.output, widths.input])?;
        self.weight(scope, "bias", &[widths.output])?;
        self.cost.operation_count += 2 * x.0 * (widths.input * widths.output) as u64;
        Ok(*x)
    }

    fn layer_norm(&mut self, scope: &Scope, width: usize, _epsilon: f32, x: &Rows) -> Result<Rows> {
        self.weight(scope, "weight", &[width])?;
        self.weight(scope, "bias", &[width])?;
        Ok(*x)
    }

    fn activation(&mut self, _kind: Activation, x: &Rows) -> Rows {
        *x
    }

    fn add(&mut self, a: &Rows, _b: &Rows) -> Rows {
        *a
    }

    fn attention(&mut self, _scope: &Scope, shape: AttentionShape, _qkv: [&Rows; 3], _mask: &Rows) -> Rows {
        let width = (shape.heads * shape.head_width) as u64;
        // Scores and context: two products of [sequence, width] by [width, sequence] in each text.
        self.cost.operation_count += 2 * 2 * self.batch * self.sequence * self.sequence * width;
        self.tokens()
    }

    fn attention_mask(&mut self, mask: &Rows) -> Rows {
        *mask
    }

    fn first_token(&mut self, _x: &Rows) -> Rows {
        Rows(self.batch)
    }

    fn mean_over_tokens(&mut self, _x: &Rows, _mask: &Rows) -> Rows {
        Rows(self.batch)
    }

    fn normalize(&mut self, x: &Rows) -> Rows {
        *x
    }
}
