//! The Transformer encoder with normalisation after each residual sum (Vaswani et al., arXiv:1706.03762), which
//! BERT and its relatives share; only the names of its tensors differ.

use crate::ops::{Activation, AttentionShape, LinearWidths};
use crate::{Ops, Result, Scope};

/// Sizes of an encoder, and the names of its tensors.
#[derive(Debug, Clone)]
pub(crate) struct Encoder {
    /// Scope of the list of layers.
    pub(crate) layers: &'static str,
    /// Names in a layer.
    pub(crate) names: &'static LayerNames,
    /// Number of layers.
    pub(crate) layer_count: usize,
    /// Width of the hidden states.
    pub(crate) hidden_size: usize,
    /// Width inside the feed-forward part.
    pub(crate) intermediate_size: usize,
    /// Attention heads.
    pub(crate) heads: usize,
    /// Added to the variance in layer normalisation.
    pub(crate) epsilon: f32,
    /// Between the two feed-forward products.
    pub(crate) activation: Activation,
}

/// Names in a layer, relative to it.
#[derive(Debug)]
pub(crate) struct LayerNames {
    /// Scope that attention's own values are named in.
    pub(crate) attention: &'static str,
    /// Query, key and value projections.
    pub(crate) query_key_value: [&'static str; 3],
    /// Projection of the attention's result.
    pub(crate) projection: &'static str,
    /// Normalisation after attention.
    pub(crate) attention_norm: &'static str,
    /// First feed-forward product.
    pub(crate) up: &'static str,
    /// Second feed-forward product.
    pub(crate) down: &'static str,
    /// Normalisation after the feed-forward part.
    pub(crate) output_norm: &'static str,
}

impl Encoder {
    /// Refuses a hidden size that the heads do not divide.
    ///
    /// # Errors
    /// What is wrong, with the names of the two keys.
    pub(crate) fn check(&self, width_key: &str, heads_key: &str) -> std::result::Result<(), String> {
        if self.heads == 0 || !self.hidden_size.is_multiple_of(self.heads) {
            return Err(format!(
                "`{width_key}` {} is not a multiple of `{heads_key}` {}",
                self.hidden_size, self.heads
            ));
        }
        Ok(())
    }

    /// All layers over `hidden` `[batch, sequence, hidden_size]`, with these `biases` of every [`Ops::attention`].
    pub(crate) fn forward<O: Ops>(&self, ops: &mut O, hidden: O::Tensor, biases: &[&O::Tensor]) -> Result<O::Tensor> {
        let layers = Scope::root().child(self.layers);
        (0..self.layer_count).try_fold(hidden, |hidden, layer| self.layer(ops, &layers.child(layer), &hidden, biases))
    }

    /// Widths of a product that keeps the hidden size.
    pub(crate) const fn square(&self) -> LinearWidths {
        LinearWidths { input: self.hidden_size, output: self.hidden_size }
    }

    /// Normalisation with the tensors of `scope`.
    pub(crate) fn norm<O: Ops>(&self, ops: &mut O, scope: &Scope, x: &O::Tensor) -> Result<O::Tensor> {
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
