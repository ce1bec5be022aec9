//! Interpreter of [`Ops`] over shapes.

use super::memory::Memory;
use crate::checkpoint::{Parameters, TensorIdentity};
use crate::ops::{Activation, AttentionShape, Conv2d, LinearWidths, PoolingMode, RelativeBias, Window};
use crate::{Ops, Result, Scope};
use planforge_core::{DataType, Dim, Precision, TensorSpec};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

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

/// Counts while an architecture is written into it.
pub(super) struct Counter<'a> {
    precision: Precision,
    parameters: &'a mut Parameters,
    batch: u64,
    sequence: u64,
    memory: Memory,
    counted: BTreeSet<(usize, TensorIdentity)>,
    cost: Cost,
}

/// A value's shape, and its memory, which views of it share.
#[derive(Debug, Clone)]
pub(super) struct Traced {
    shape: Vec<u64>,
    memory: usize,
}

impl Traced {
    fn element_count(&self) -> u64 {
        self.shape.iter().product()
    }

    fn last(&self) -> u64 {
        self.shape.last().copied().unwrap_or(1)
    }
}

impl<'a> Counter<'a> {
    pub(super) fn new(precision: Precision, parameters: &'a mut Parameters, batch: u64, sequence: u64) -> Self {
        let (memory, counted) = (Memory::default(), BTreeSet::new());
        Self { precision, parameters, batch, sequence, memory, counted, cost: Cost::default() }
    }

    pub(super) fn cost(self) -> Cost {
        Cost { peak_activation_byte_count: self.memory.peak(), ..self.cost }
    }

    /// Counts a tensor of the checkpoint as `data_type`; `trained` for a parameter, not for a statistic.
    fn stored(&mut self, name: &str, shape: &[usize], data_type: DataType, trained: bool) -> Result<()> {
        let found = self.parameters.take(name, shape)?;
        if self.counted.insert((found.file, found.tensor.identity())) {
            let element_count = shape.iter().product();
            self.cost.weight_byte_count += data_type.bytes_of(element_count) as u64;
            self.cost.parameter_count += if trained { element_count as u64 } else { 0 };
        }
        Ok(())
    }

    fn weight(&mut self, name: &str, shape: &[usize]) -> Result<()> {
        self.stored(name, shape, self.precision.data_type(), true)
    }

    fn value(&mut self, shape: Vec<u64>, data_type: DataType, from: &[&Traced]) -> Traced {
        let byte_count = data_type.byte_count() as u64 * shape.iter().product::<u64>();
        let memory = self.memory.make(byte_count, from.iter().map(|value| value.memory));
        Traced { shape, memory }
    }

    /// A value in the precision of the export.
    fn compute(&mut self, shape: Vec<u64>, from: &[&Traced]) -> Traced {
        self.value(shape, self.precision.data_type(), from)
    }

    fn same_shape(&mut self, x: &Traced) -> Traced {
        self.compute(x.shape.clone(), &[x])
    }

    fn rows(&mut self, scope: &Scope, table: [usize; 2], ids: &Traced) -> Result<Traced> {
        self.weight(&scope.tensor("weight"), &table)?;
        let shape = ids.shape.iter().copied().chain([table[1] as u64]).collect();
        Ok(self.compute(shape, &[ids]))
    }
}

/// The same elements under another shape.
fn view(x: &Traced, shape: Vec<u64>) -> Traced {
    Traced { shape, memory: x.memory }
}

/// `[a, b, c, d]` in the order of `axes`.
fn permuted(x: &Traced, axes: &[usize]) -> Vec<u64> {
    axes.iter().map(|&axis| x.shape[axis]).collect()
}

/// Positions of `window` over the last two axes of `x`, with `channels`.
fn windowed(window: Window, channels: u64, x: &Traced) -> Vec<u64> {
    let positions = |length: u64| window.positions(usize::try_from(length).unwrap_or(usize::MAX)) as u64;
    vec![x.shape[0], channels, positions(x.shape[2]), positions(x.shape[3])]
}

impl Ops for Counter<'_> {
    type Tensor = Traced;

    fn input(&mut self, spec: &TensorSpec) -> Traced {
        let size = |dim: &Dim| match dim {
            Dim::Fixed(size) => *size,
            Dim::Dynamic(name) if name == "batch" => self.batch,
            Dim::Dynamic(_) => self.sequence,
        };
        let shape = spec.dims.iter().map(size).collect();
        self.value(shape, spec.data_type, &[])
    }

    fn output(&mut self, spec: &TensorSpec, value: &Traced) {
        let output = self.value(value.shape.clone(), spec.data_type, &[value]);
        self.memory.keep(output.memory);
    }

    fn has(&self, scope: &Scope, name: &str) -> bool {
        self.parameters.contains(&scope.tensor(name))
    }

    fn embedding(&mut self, scope: &Scope, table: [usize; 2], ids: &Traced) -> Result<Traced> {
        self.rows(scope, table, ids)
    }

    fn position_embedding(&mut self, scope: &Scope, table: [usize; 2], _ids: &Traced) -> Result<Traced> {
        self.weight(&scope.tensor("weight"), &table)?;
        Ok(self.compute(vec![1, self.sequence, table[1] as u64], &[]))
    }

    fn first_row(&mut self, scope: &Scope, table: [usize; 2]) -> Result<Traced> {
        self.weight(&scope.tensor("weight"), &table)?;
        Ok(self.compute(vec![1, 1, table[1] as u64], &[]))
    }

    fn padded_position_embedding(
        &mut self,
        scope: &Scope,
        table: [usize; 2],
        ids: &Traced,
        _padding: usize,
    ) -> Result<Traced> {
        self.rows(scope, table, ids)
    }

    fn linear_with(&mut self, name: &str, bias: Option<&str>, widths: LinearWidths, x: &Traced) -> Result<Traced> {
        self.weight(name, &[widths.output, widths.input])?;
        if let Some(bias) = bias {
            self.weight(bias, &[widths.output])?;
        }
        let mut shape = x.shape.clone();
        shape.pop();
        shape.push(widths.output as u64);
        let product = self.compute(shape, &[x]);
        self.cost.operation_count += 2 * product.element_count() * widths.input as u64;
        Ok(if bias.is_some() { self.same_shape(&product) } else { product })
    }

    fn conv2d(&mut self, scope: &Scope, conv: Conv2d, x: &Traced) -> Result<Traced> {
        let (size, inputs) = (conv.window.size, conv.input / conv.groups.max(1));
        self.weight(&scope.tensor("weight"), &[conv.output, inputs, size, size])?;
        if conv.bias {
            self.weight(&scope.tensor("bias"), &[conv.output])?;
        }
        let convolved = self.compute(windowed(conv.window, conv.output as u64, x), &[x]);
        self.cost.operation_count += 2 * convolved.element_count() * (inputs * size * size) as u64;
        Ok(convolved)
    }

    fn batch_norm(&mut self, scope: &Scope, channels: usize, _epsilon: f32, x: &Traced) -> Result<Traced> {
        for (name, trained) in [("weight", true), ("bias", true), ("running_mean", false), ("running_var", false)] {
            self.stored(&scope.tensor(name), &[channels], DataType::Fp32, trained)?;
        }
        Ok(self.same_shape(x))
    }

    fn max_pool(&mut self, window: Window, x: &Traced) -> Traced {
        self.compute(windowed(window, x.shape[1], x), &[x])
    }

    fn global_average_pool(&mut self, x: &Traced) -> Traced {
        self.compute(x.shape[..2].to_vec(), &[x])
    }

    fn channels_last(&mut self, x: &Traced) -> Traced {
        self.compute(permuted(x, &[0, 2, 3, 1]), &[x])
    }

    fn channels_first(&mut self, x: &Traced) -> Traced {
        self.compute(permuted(x, &[0, 3, 1, 2]), &[x])
    }

    fn patches_to_tokens(&mut self, x: &Traced) -> Traced {
        self.compute(vec![x.shape[0], x.shape[2] * x.shape[3], x.shape[1]], &[x])
    }

    fn prepend_token(&mut self, name: &str, width: usize, x: &Traced) -> Result<Traced> {
        self.weight(name, &[1, 1, width])?;
        Ok(self.compute(vec![x.shape[0], x.shape[1] + 1, x.shape[2]], &[x]))
    }

    fn add_parameter(&mut self, name: &str, shape: &[usize], x: &Traced) -> Result<Traced> {
        self.weight(name, shape)?;
        Ok(self.same_shape(x))
    }

    fn scale(&mut self, name: &str, width: usize, x: &Traced) -> Result<Traced> {
        self.weight(name, &[width])?;
        Ok(self.same_shape(x))
    }

    fn chunk(&mut self, width: usize, x: &Traced) -> [Traced; 3] {
        let mut shape = x.shape.clone();
        shape.pop();
        shape.push(width as u64);
        [(); 3].map(|()| self.compute(shape.clone(), &[x]))
    }

    fn select(&mut self, _index: usize, x: &Traced) -> Traced {
        self.compute(x.shape[..x.shape.len() - 1].to_vec(), &[x])
    }

    fn average(&mut self, a: &Traced, b: &Traced) -> Traced {
        self.compute(a.shape.clone(), &[a, b])
    }

    fn layer_norm(&mut self, scope: &Scope, width: usize, _epsilon: f32, x: &Traced) -> Result<Traced> {
        self.weight(&scope.tensor("weight"), &[width])?;
        self.weight(&scope.tensor("bias"), &[width])?;
        Ok(self.same_shape(x))
    }

    fn activation(&mut self, _kind: Activation, x: &Traced) -> Traced {
        self.same_shape(x)
    }

    fn add(&mut self, a: &Traced, b: &Traced) -> Traced {
        let larger = if a.element_count() >= b.element_count() { a } else { b };
        self.compute(larger.shape.clone(), &[a, b])
    }

    fn attention(&mut self, _scope: &Scope, shape: AttentionShape, qkv: [&Traced; 3], biases: &[&Traced]) -> Traced {
        let [query, key, value] = qkv.map(|part| self.same_shape(part));
        let (batch, tokens) = (query.shape[0], query.shape[1]);
        let square = vec![batch, shape.heads as u64, tokens, tokens];
        let scores = self.compute(square.clone(), &[&query, &key]);
        let from: Vec<&Traced> = std::iter::once(&scores).chain(biases.iter().copied()).collect();
        let scores = self.value(square.clone(), DataType::Fp32, &from);
        let weights = self.value(square, DataType::Fp32, &[&scores]);
        let context = self.compute(value.shape.clone(), &[&weights, &value]);
        // Scores and context: two products of [tokens, width] by [width, tokens] in each sample.
        self.cost.operation_count += 2 * 2 * tokens * context.element_count();
        self.same_shape(&context)
    }

    fn relative_bias(&mut self, scope: &Scope, bias: RelativeBias<'_>, ids: &Traced) -> Result<Traced> {
        self.weight(&scope.tensor("weight"), &bias.table())?;
        let tokens = ids.last();
        Ok(self.value(vec![1, bias.heads as u64, tokens, tokens], DataType::Fp32, &[ids]))
    }

    fn attention_mask(&mut self, mask: &Traced) -> Traced {
        let bias = self.value(mask.shape.clone(), DataType::Fp32, &[mask]);
        view(&bias, vec![mask.shape[0], 1, 1, mask.last()])
    }

    fn token(&mut self, _index: usize, x: &Traced) -> Traced {
        self.compute(vec![x.shape[0], x.last()], &[x])
    }

    fn pool_tokens(&mut self, _mode: PoolingMode, x: &Traced, mask: &Traced) -> Traced {
        let kept = self.value(x.shape.clone(), DataType::Fp32, &[x, mask]);
        self.value(vec![x.shape[0], x.last()], DataType::Fp32, &[&kept])
    }

    fn join(&mut self, first: &Traced, rest: &[Traced]) -> Traced {
        let parts: Vec<&Traced> = std::iter::once(first).chain(rest).collect();
        let width = parts.iter().map(|part| part.last()).sum();
        self.value(vec![first.shape[0], width], DataType::Fp32, &parts)
    }

    fn leading_features(&mut self, width: usize, x: &Traced) -> Traced {
        let mut shape = x.shape.clone();
        shape.pop();
        shape.push(width as u64);
        self.compute(shape, &[x])
    }

    fn normalize(&mut self, x: &Traced) -> Traced {
        self.value(x.shape.clone(), DataType::Fp32, &[x])
    }
}
