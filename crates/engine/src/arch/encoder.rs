//! The Transformer encoder with normalisation after each residual sum (Vaswani et al., arXiv:1706.03762), which
//! BERT and its relatives share; only the names of its tensors differ.

use crate::ops::{Activation, AttentionShape, LinearWidths};
use crate::{Ops, Result, Scope};

/// Sizes of an encoder, and the names of its tensors.
#[derive(Debug, Clone)]
pub(super) struct Encoder {
    /// Scope of the list of layers.
    pub(super) layers: &'static str,
    /// Names in a layer.
    pub(super) names: &'static LayerNames,
    /// Number of layers.
    pub(super) layer_count: usize,
    /// Width of the hidden states.
    pub(super) hidden_size: usize,
    /// Width inside the feed-forward part.
    pub(super) intermediate_size: usize,
    /// Attention heads.
    pub(super) heads: usize,
    /// Added to the variance in layer normalisation.
    pub(super) epsilon: f32,
    /// Between the two feed-forward products.
    pub(super) activation: Activation,
}

/// Names in a layer, relative to it.
#[derive(Debug)]
pub(super) struct LayerNames {
    /// Scope that attention's own values are named in.
    pub(super) attention: &'static str,
    /// Query, key and value projections.
    pub(super) query_key_value: [&'static str; 3],
    /// Projection of the attention's result.
    pub(super) projection: &'static str,
    /// Normalisation after attention.
    pub(super) attention_norm: &'static str,
    /// First feed-forward product.
    pub(super) up: &'static str,
    /// Second feed-forward product.
    pub(super) down: &'static str,
    /// Normalisation after the feed-forward part.
    pub(super) output_norm: &'static str,
}

impl Encoder {
    /// Refuses a hidden size that the heads do not divide.
    ///
    /// # Errors
    /// What is wrong, with the names of the two keys.
    pub(super) fn check(&self, width_key: &str, heads_key: &str) -> std::result::Result<(), String> {
        if self.heads == 0 || !self.hidden_size.is_multiple_of(self.heads) {
            return Err(format!(
                "`{width_key}` {} is not a multiple of `{heads_key}` {}",
                self.hidden_size, self.heads
            ));
        }
        Ok(())
    }

    /// All layers over `hidden` `[batch, sequence, hidden_size]`, with these `biases` of every [`Ops::attention`].
    pub(super) fn forward<O: Ops>(&self, ops: &mut O, hidden: O::Tensor, biases: &[&O::Tensor]) -> Result<O::Tensor> {
        let layers = Scope::root().child(self.layers);
        (0..self.layer_count).try_fold(hidden, |hidden, layer| self.layer(ops, &layers.child(layer), &hidden, biases))
    }

    /// Widths of a product that keeps the hidden size.
    pub(super) const fn square(&self) -> LinearWidths {
        LinearWidths { input: self.hidden_size, output: self.hidden_size }
    }

    /// Normalisation with the tensors of `scope`.
    pub(super) fn norm<O: Ops>(&self, ops: &mut O, scope: &Scope, x: &O::Tensor) -> Result<O::Tensor> {
        ops.layer_norm(scope, self.hidden_size, self.epsilon, x)
    }

    fn layer<O: Ops>(&self, ops: &mut O, scope: &Scope, x: &O::Tensor, biases: &[&O::Tensor]) -> Result<O::Tensor> {
        let part = |name: &str| scope.child(name);
        let names = self.names;
        let [query, key, value] = names.query_key_value;
        let query = ops.linear(&part(query), self.square(), x)?;
        let key = ops.linear(&part(key), self.square(), x)?;
        let value = ops.linear(&part(value), self.square(), x)?;
        let shape = AttentionShape { heads: self.heads, head_width: self.hidden_size / self.heads };
        let context = ops.attention(&part(names.attention), shape, [&query, &key, &value], biases);
        let projected = ops.linear(&part(names.projection), self.square(), &context)?;
        let residual = ops.add(&projected, x);
        let x = self.norm(ops, &part(names.attention_norm), &residual)?;

        let up = LinearWidths { input: self.hidden_size, output: self.intermediate_size };
        let hidden = ops.linear(&part(names.up), up, &x)?;
        let hidden = ops.activation(self.activation, &hidden);
        let down = LinearWidths { input: self.intermediate_size, output: self.hidden_size };
        let hidden = ops.linear(&part(names.down), down, &hidden)?;
        let residual = ops.add(&hidden, &x);
        self.norm(ops, &part(names.output_norm), &residual)
    }
}

/// The activation of this name in `config.json`.
///
/// # Errors
/// What is wrong with the value of `key`.
pub(super) fn activation(key: &str, name: &str) -> std::result::Result<Activation, String> {
    match name {
        "gelu" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        other => Err(format!("`{key}` is `{other}`, expected gelu, gelu_new, gelu_pytorch_tanh or relu")),
    }
}
