//! The operations that architectures are written in, and the names of their tensors.

use crate::Result;
use planforge_core::TensorSpec;
use serde::Deserialize;

/// The place of a block's tensors in the checkpoint: a dotted path such as `encoder.layer.0`.
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

/// The factor in [`Activation::QuickGelu`].
pub(crate) const QUICK_GELU: f32 = 1.702;

/// Point-wise functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Gaussian error linear unit, exact form (Hendrycks & Gimpel, arXiv:1606.08415).
    Gelu,
    /// Its approximation by the hyperbolic tangent.
    GeluTanh,
    /// Its approximation by the logistic function, `x sigmoid(1.702 x)`.
    QuickGelu,
    /// Rectified linear unit.
    Relu,
    /// Sigmoid linear unit, `x sigmoid(x)`, also called swish.
    Silu,
    /// Logistic function.
    Sigmoid,
    /// The value itself.
    Identity,
    /// Hyperbolic tangent.
    Tanh,
}

/// How the vectors of a text's tokens become one; names as in sentence-transformers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum PoolingMode {
    /// That of the first token.
    #[serde(rename = "cls")]
    FirstToken,
    /// The largest number in each place.
    #[serde(rename = "max")]
    Max,
    /// The mean.
    #[serde(rename = "mean")]
    Mean,
    /// The sum, divided by the root of the number of tokens.
    #[serde(rename = "mean_sqrt_len_tokens")]
    MeanSqrtLength,
    /// The mean, in which the first token counts once, the second twice, and so on.
    #[serde(rename = "weightedmean")]
    WeightedMean,
    /// That of the last token.
    #[serde(rename = "lasttoken")]
    LastToken,
}

/// What an architecture is written in. Shapes are `[batch, sequence, …]` for text and `[batch, channels,
/// height, width]` for images; batch and sequence are dynamic and never seen as numbers.
///
/// Tensors carry the precision of the export; methods described with "binary32" compute in it in
/// every precision, and return the precision of the export unless their description names another.
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
    fn position_embedding(&mut self, scope: &Scope, table: [usize; 2], ids: &Self::Tensor) -> Result<Self::Tensor>;

    /// Row 0 of the table `weight` `[rows, width]` of `scope`: `[width]`.
    fn first_row(&mut self, scope: &Scope, table: [usize; 2]) -> Result<Self::Tensor>;

    /// Rows of the table `weight` `[rows, width]` of `scope` by position: the tokens of `ids` that are not
    /// `padding` have the positions `padding + 1`, `padding + 2` …, padding has the position `padding`.
    fn padded_position_embedding(
        &mut self,
        scope: &Scope,
        table: [usize; 2],
        ids: &Self::Tensor,
        padding: usize,
    ) -> Result<Self::Tensor>;

    /// `x W^T + b` with `weight` `[output, input]` and `bias` `[output]` of `scope`.
    fn linear(&mut self, scope: &Scope, widths: LinearWidths, x: &Self::Tensor) -> Result<Self::Tensor> {
        self.linear_with(&scope.tensor("weight"), Some(&scope.tensor("bias")), widths, x)
    }

    /// `x W^T + b` with tensors of these full names, for weights in another scope than their bias, or without one.
    fn linear_with(
        &mut self,
        weight: &str,
        bias: Option<&str>,
        widths: LinearWidths,
        x: &Self::Tensor,
    ) -> Result<Self::Tensor>;

    /// Convolution over the last two axes with `weight` `[output, input / groups, kernel, kernel]` and, where
    /// `conv.bias` is set, `bias` `[output]` of `scope`.
    fn conv2d(&mut self, scope: &Scope, conv: Conv2d, x: &Self::Tensor) -> Result<Self::Tensor>;

    /// Batch normalisation over the channels with stored statistics (Ioffe & Szegedy, arXiv:1502.03167): `weight`,
    /// `bias`, `running_mean` and `running_var` of `scope`, all of them kept in binary32.
    fn batch_norm(&mut self, scope: &Scope, channels: usize, epsilon: f32, x: &Self::Tensor) -> Result<Self::Tensor>;

    /// Largest value in each window; padding never wins.
    fn max_pool(&mut self, window: Window, x: &Self::Tensor) -> Self::Tensor;

    /// Mean over the last two axes: `[batch, channels]`.
    fn global_average_pool(&mut self, x: &Self::Tensor) -> Self::Tensor;

    /// `[batch, channels, height, width]` to `[batch, height, width, channels]`.
    fn channels_last(&mut self, x: &Self::Tensor) -> Self::Tensor;

    /// `[batch, height, width, channels]` to `[batch, channels, height, width]`.
    fn channels_first(&mut self, x: &Self::Tensor) -> Self::Tensor;

    /// `[batch, width, rows, columns]` to `[batch, rows * columns, width]`: one token for each patch.
    fn patches_to_tokens(&mut self, x: &Self::Tensor) -> Self::Tensor;

    /// `x` `[batch, sequence, width]` with the parameter `name` `[1, 1, width]` as a token before the others.
    fn prepend_token(&mut self, name: &str, width: usize, x: &Self::Tensor) -> Result<Self::Tensor>;

    /// `x` plus the parameter of this full name and shape, with broadcasting.
    fn add_parameter(&mut self, name: &str, shape: &[usize], x: &Self::Tensor) -> Result<Self::Tensor>;

    /// `x` times the parameter of this full name `[width]` along the last axis.
    fn scale(&mut self, name: &str, width: usize, x: &Self::Tensor) -> Result<Self::Tensor>;

    /// `x` cut into three equal parts along the last axis, each of `width`.
    fn chunk(&mut self, width: usize, x: &Self::Tensor) -> [Self::Tensor; 3];

    /// Number `index` of the last axis: `[.., n]` to `[..]`.
    fn select(&mut self, index: usize, x: &Self::Tensor) -> Self::Tensor;

    /// Half the sum.
    fn average(&mut self, a: &Self::Tensor, b: &Self::Tensor) -> Self::Tensor;

    /// Layer normalisation over the last axis (Ba et al., arXiv:1607.06450), statistics in binary32.
    fn layer_norm(&mut self, scope: &Scope, width: usize, epsilon: f32, x: &Self::Tensor) -> Result<Self::Tensor>;

    /// A point-wise function.
    fn activation(&mut self, kind: Activation, x: &Self::Tensor) -> Self::Tensor;

    /// Sum, with broadcasting.
    fn add(&mut self, a: &Self::Tensor, b: &Self::Tensor) -> Self::Tensor;

    /// Scaled dot-product attention over `heads` heads (Vaswani et al., arXiv:1706.03762): queries,
    /// keys and values `[batch, sequence, width]`; `biases` are added to the scores in order, as made by
    /// [`Ops::relative_bias`] and [`Ops::attention_mask`]; the softmax is computed in binary32.
    fn attention(
        &mut self,
        scope: &Scope,
        shape: AttentionShape,
        qkv: [&Self::Tensor; 3],
        biases: &[&Self::Tensor],
    ) -> Self::Tensor;

    /// A bias for attention scores that depends on how far apart two tokens are (Shaw et al., arXiv:1803.02155),
    /// in binary32: `[1, heads, sequence, sequence]`, with as many tokens as `ids` `[batch, sequence]` has columns.
    fn relative_bias(&mut self, scope: &Scope, bias: RelativeBias<'_>, ids: &Self::Tensor) -> Result<Self::Tensor>;

    /// `mask` `[batch, sequence]` of 1 (token) and 0 (padding) as a binary32 bias
    /// `[batch, 1, 1, sequence]` for attention scores.
    fn attention_mask(&mut self, mask: &Self::Tensor) -> Self::Tensor;

    /// The row of token `index` of `x` `[batch, sequence, width]`: `[batch, width]`.
    fn token(&mut self, index: usize, x: &Self::Tensor) -> Self::Tensor;

    /// One vector of the tokens of `x` `[batch, sequence, width]` that `mask` `[batch, sequence]` keeps, in
    /// binary32: `[batch, width]`. The kept tokens of a text stand next to each other.
    fn pool_tokens(&mut self, mode: PoolingMode, x: &Self::Tensor, mask: &Self::Tensor) -> Self::Tensor;

    /// `first` and `rest` joined along the last axis, in binary32.
    fn join(&mut self, first: &Self::Tensor, rest: &[Self::Tensor]) -> Self::Tensor;

    /// The first `width` numbers of the last axis.
    fn leading_features(&mut self, width: usize, x: &Self::Tensor) -> Self::Tensor;

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

/// A convolution with a square kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// Input channels.
    pub input: usize,
    /// Output channels.
    pub output: usize,
    /// Where the kernel is applied.
    pub window: Window,
    /// Groups of channels that see only each other: 1, or as many as channels for a depthwise convolution.
    pub groups: usize,
    /// Whether there is a bias.
    pub bias: bool,
}

/// A square window that moves over an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Height and width.
    pub size: usize,
    /// Pixels between two positions.
    pub stride: usize,
    /// Pixels added at each edge.
    pub padding: usize,
}

impl Window {
    /// Patches of this size next to each other.
    #[must_use]
    pub const fn patches(size: usize) -> Self {
        Self { size, stride: size, padding: 0 }
    }

    /// A window of odd size around each pixel, every `stride` pixels.
    #[must_use]
    pub const fn centred(size: usize, stride: usize) -> Self {
        Self { size, stride, padding: size / 2 }
    }

    /// Positions along an edge of `length` pixels.
    #[must_use]
    pub const fn positions(self, length: usize) -> usize {
        let padded = length + 2 * self.padding;
        if padded < self.size { 0 } else { (padded - self.size) / self.stride + 1 }
    }
}

/// Which row of the table `weight` `[bucket_count, heads]` of a scope is for which distance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelativeBias<'a> {
    /// Rows of the table.
    pub bucket_count: usize,
    /// Heads of the attention blocks.
    pub heads: usize,
    /// The rows of the distances `1 - n` to `n - 1`, seen from the query, for texts of up to `n` tokens.
    pub buckets: &'a [i64],
}

impl RelativeBias<'_> {
    /// Shape of the table.
    #[must_use]
    pub const fn table(&self) -> [usize; 2] {
        [self.bucket_count, self.heads]
    }

    /// Tokens of the longest text.
    #[must_use]
    pub const fn max_sequence(&self) -> usize {
        self.buckets.len().div_ceil(2)
    }
}

/// Heads of an attention block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape {
    /// Number of heads.
    pub heads: usize,
    /// Features of one head.
    pub head_width: usize,
}
