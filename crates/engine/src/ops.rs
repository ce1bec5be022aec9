//! The operations that architectures are written in, and the names of their tensors.

use crate::Result;
use planforge_core::TensorSpec;

/// Where in the checkpoint a block's tensors lie: a dotted path such as `encoder.layer.0`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope(String);

impl Scope {
    /// The top of the checkpoint.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// The part `name` of this scope.
    #[must_use]
    pub fn child(&self, name: impl std::fmt::Display) -> Self {
        Self(self.tensor(&name.to_string()))
    }

    /// Full name of the tensor `name` of this scope.
    #[must_use]
    pub fn tensor(&self, name: &str) -> String {
        if self.0.is_empty() { name.to_owned() } else { format!("{}.{name}", self.0) }
    }
}

/// Point-wise functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Gaussian error linear unit, exact form (Hendrycks & Gimpel, arXiv:1606.08415).
    Gelu,
    /// Its approximation by the hyperbolic tangent.
    GeluTanh,
    /// Rectified linear unit.
    Relu,
    /// Hyperbolic tangent.
    Tanh,
}

/// What an architecture is written in. Shapes are `[batch, sequence, …]`; batch and sequence are
/// dynamic and never seen as numbers.
///
/// Tensors carry the precision of the export; methods that say "binary32" compute in it whatever the
/// precision is, and return the precision of the export unless they say otherwise.
pub trait Ops {
    /// A value of the graph.
    type Tensor: Clone;

    /// A graph input.
    fn input(&mut self, spec: &TensorSpec) -> Self::Tensor;

    /// A graph output; floating-point values leave as binary32.
    fn output(&mut self, spec: &TensorSpec, value: &Self::Tensor);

    /// Whether the checkpoint has a tensor `name` in `scope`, for parts that only some have.
    fn has(&self, scope: &Scope, name: &str) -> bool;

    /// Rows of the table `weight` `[rows, width]` of `scope` for `ids` `[batch, sequence]`.
    fn embedding(&mut self, scope: &Scope, table: [usize; 2], ids: &Self::Tensor) -> Result<Self::Tensor>;

    /// The first rows of the table `weight` `[rows, width]` of `scope`, as many as `ids` has columns.
    fn leading_rows(&mut self, scope: &Scope, table: [usize; 2], ids: &Self::Tensor) -> Result<Self::Tensor>;

    /// Row 0 of the table `weight` `[rows, width]` of `scope`: `[width]`.
    fn first_row(&mut self, scope: &Scope, table: [usize; 2]) -> Result<Self::Tensor>;

    /// Rows of the table `weight` `[rows, width]` of `scope` by position: the tokens of `ids` that are not
    /// `padding` have the positions `padding + 1`, `padding + 2` …, padding has the position `padding`.
    fn rows_after_padding(
        &mut self,
        scope: &Scope,
        table: [usize; 2],
        ids: &Self::Tensor,
        padding: usize,
    ) -> Result<Self::Tensor>;

    /// `x W^T + b` with `weight` `[output, input]` and `bias` `[output]` of `scope`.
    fn linear(&mut self, scope: &Scope, widths: LinearWidths, x: &Self::Tensor) -> Result<Self::Tensor>;

    /// Layer normalisation over the last axis (Ba et al., arXiv:1607.06450), statistics in binary32.
    fn layer_norm(&mut self, scope: &Scope, width: usize, epsilon: f32, x: &Self::Tensor) -> Result<Self::Tensor>;

    /// A point-wise function.
    fn activation(&mut self, kind: Activation, x: &Self::Tensor) -> Self::Tensor;

    /// Sum, with broadcasting.
    fn add(&mut self, a: &Self::Tensor, b: &Self::Tensor) -> Self::Tensor;

    /// Scaled dot-product attention over `heads` heads (Vaswani et al., arXiv:1706.03762): queries,
    /// keys and values `[batch, sequence, width]`, `mask` as made by [`Ops::attention_mask`]; the
    /// softmax is computed in binary32.
    fn attention(
        &mut self,
        scope: &Scope,
        shape: AttentionShape,
        qkv: [&Self::Tensor; 3],
        mask: &Self::Tensor,
    ) -> Self::Tensor;

    /// `mask` `[batch, sequence]` of 1 (token) and 0 (padding) as a binary32 summand
    /// `[batch, 1, 1, sequence]` for attention scores.
    fn attention_mask(&mut self, mask: &Self::Tensor) -> Self::Tensor;

    /// The first token's row of `x` `[batch, sequence, width]`: `[batch, width]`.
    fn first_token(&mut self, x: &Self::Tensor) -> Self::Tensor;

    /// Mean over the tokens of `x` `[batch, sequence, width]` that `mask` `[batch, sequence]` keeps, in
    /// binary32: `[batch, width]`.
    fn mean_over_tokens(&mut self, x: &Self::Tensor, mask: &Self::Tensor) -> Self::Tensor;

    /// Rows divided by their Euclidean length, in binary32.
    fn normalize(&mut self, x: &Self::Tensor) -> Self::Tensor;
}

/// Widths of a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearWidths {
    /// Input features.
    pub input: usize,
    /// Output features.
    pub output: usize,
}

/// Heads of an attention block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape {
    /// Number of heads.
    pub heads: usize,
    /// Features of one head.
    pub head_width: usize,
}
