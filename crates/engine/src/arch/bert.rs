//! BERT (Devlin et al., arXiv:1810.04805) and models of its shape, such as MiniLM.
//!
//! Reference: `BertModel` of transformers. Tensor names are the checkpoint's, without the prefix
//! `bert.` that task heads add.

use super::pooling::Pooling;
use crate::checkpoint::Checkpoint;
use crate::ops::{Activation, AttentionShape, LinearWidths};
use crate::{Error, Ops, Result, Scope};
use planforge_core::{DataType, Dim, Task, TensorSpec};
use serde::Deserialize;

pub(super) const PREFIX: &str = "bert.";

/// `config.json`.
#[derive(Debug, Clone, Deserialize)]
struct Config {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f32,
    #[serde(default = "absolute")]
    position_embedding_type: String,
}

fn absolute() -> String {
    "absolute".to_owned()
}

/// A BERT with its task's outputs.
#[derive(Debug)]
pub(crate) struct Bert {
    config: Config,
    activation: Activation,
    pooling: Option<Pooling>,
}

/// Stored position ids are the numbers 0, 1, 2 …, which the graph does not need; heads of other
/// tasks are not part of the encoder.
pub(super) fn may_ignore(name: &str) -> bool {
    name.ends_with("embeddings.position_ids")
        || ["cls.", "classifier.", "qa_outputs."].iter().any(|head| name.starts_with(head))
}

impl Bert {
    pub(super) fn read(checkpoint: &Checkpoint, task: Task) -> Result<Self> {
        let config: Config = checkpoint.config()?;
        let fail = |message: String| Error::Config { path: checkpoint.snapshot.directory.join("config.json"), message };
        let activation = match config.hidden_act.as_str() {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            other => {
                return Err(fail(format!(
                    "`hidden_act` is `{other}`, expected gelu, gelu_new, gelu_pytorch_tanh or relu"
                )));
            }
        };
        if config.position_embedding_type != "absolute" {
            return Err(fail(format!(
                "`position_embedding_type` is `{}`, expected `absolute`",
                config.position_embedding_type
            )));
        }
        if config.num_attention_heads == 0 || !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            return Err(fail(format!(
                "`hidden_size` {} is not a multiple of `num_attention_heads` {}",
                config.hidden_size, config.num_attention_heads
            )));
        }
        let pooling = match task {
            Task::FeatureExtraction => None,
            Task::SentenceEmbedding => Some(Pooling::read(&checkpoint.snapshot)?),
        };
        Ok(Self { config, activation, pooling })
    }

    pub(super) fn max_sequence(&self) -> u64 {
        self.config.max_position_embeddings as u64
    }

    pub(super) fn forward<O: Ops>(&self, ops: &mut O) -> Result<()> {
        let tokens =
            |name| TensorSpec::new(name, DataType::Int64, vec![Dim::dynamic("batch"), Dim::dynamic("sequence")]);
        let input_ids = ops.input(&tokens("input_ids"));
        let attention_mask = ops.input(&tokens("attention_mask"));
        let token_types = (self.config.type_vocab_size > 0).then(|| ops.input(&tokens("token_type_ids")));

        let mask = ops.attention_mask(&attention_mask);
        let mut hidden = self.embeddings(ops, &input_ids, token_types.as_ref())?;
        for layer in 0..self.config.num_hidden_layers {
            hidden = self.layer(ops, &Scope::root().child("encoder.layer").child(layer), &hidden, &mask)?;
        }

        let width = Dim::Fixed(self.config.hidden_size as u64);
        let float = |name, dims| TensorSpec::new(name, DataType::Fp32, dims);
        let per_token = vec![Dim::dynamic("batch"), Dim::dynamic("sequence"), width.clone()];
        let per_text = vec![Dim::dynamic("batch"), width];
        ops.output(&float("last_hidden_state", per_token), &hidden);
        let pooler = Scope::root().child("pooler.dense");
        if ops.has(&pooler, "weight") {
            let first = ops.first_token(&hidden);
            let pooled = ops.linear(&pooler, self.square(), &first)?;
            let pooled = ops.activation(Activation::Tanh, &pooled);
            ops.output(&float("pooler_output", per_text.clone()), &pooled);
        }
        if let Some(pooling) = &self.pooling {
            let embedding = pooling.forward(ops, &hidden, &attention_mask);
            ops.output(&float("sentence_embedding", per_text), &embedding);
        }
        Ok(())
    }

    fn embeddings<O: Ops>(&self, ops: &mut O, ids: &O::Tensor, token_types: Option<&O::Tensor>) -> Result<O::Tensor> {
        let scope = Scope::root().child("embeddings");
        let config = &self.config;
        let width = config.hidden_size;
        let mut sum = ops.embedding(&scope.child("word_embeddings"), [config.vocab_size, width], ids)?;
        if let Some(token_types) = token_types {
            let kinds =
                ops.embedding(&scope.child("token_type_embeddings"), [config.type_vocab_size, width], token_types)?;
            sum = ops.add(&sum, &kinds);
        }
        let positions =
            ops.leading_rows(&scope.child("position_embeddings"), [config.max_position_embeddings, width], ids)?;
        sum = ops.add(&sum, &positions);
        self.layer_norm(ops, &scope, &sum)
    }

    fn layer<O: Ops>(&self, ops: &mut O, scope: &Scope, x: &O::Tensor, mask: &O::Tensor) -> Result<O::Tensor> {
        let attention = scope.child("attention");
        let query = ops.linear(&attention.child("self.query"), self.square(), x)?;
        let key = ops.linear(&attention.child("self.key"), self.square(), x)?;
        let value = ops.linear(&attention.child("self.value"), self.square(), x)?;
        let heads = self.config.num_attention_heads;
        let shape = AttentionShape { heads, head_width: self.config.hidden_size / heads };
        let context = ops.attention(&attention.child("self"), shape, [&query, &key, &value], mask);
        let projected = ops.linear(&attention.child("output.dense"), self.square(), &context)?;
        let residual = ops.add(&projected, x);
        let x = self.layer_norm(ops, &attention.child("output"), &residual)?;

        let (width, inner) = (self.config.hidden_size, self.config.intermediate_size);
        let up = LinearWidths { input: width, output: inner };
        let hidden = ops.linear(&scope.child("intermediate.dense"), up, &x)?;
        let hidden = ops.activation(self.activation, &hidden);
        let down = LinearWidths { input: inner, output: width };
        let hidden = ops.linear(&scope.child("output.dense"), down, &hidden)?;
        let residual = ops.add(&hidden, &x);
        self.layer_norm(ops, &scope.child("output"), &residual)
    }

    fn layer_norm<O: Ops>(&self, ops: &mut O, scope: &Scope, x: &O::Tensor) -> Result<O::Tensor> {
        ops.layer_norm(&scope.child("LayerNorm"), self.config.hidden_size, self.config.layer_norm_eps, x)
    }

    const fn square(&self) -> LinearWidths {
        LinearWidths { input: self.config.hidden_size, output: self.config.hidden_size }
    }
}
