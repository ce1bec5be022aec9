//! From token vectors to one vector for each text, as the modules of a sentence-transformers checkpoint do it.

use crate::checkpoint::Checkpoint;
use crate::ops::{LinearWidths, PoolingMode};
use crate::sentence::{Dense, Feature, Module, SentenceModules};
use crate::tokenizer::pads_left;
use crate::{Error, Ops, Result, Scope};
use planforge_core::Task;
use std::path::PathBuf;

/// The list of modules.
const MODULES: &str = "modules.json";

/// Added to the variance in a `LayerNorm` module.
const EPSILON: f32 = 1e-5;

/// The modules after the encoder.
#[derive(Debug)]
pub(crate) struct SentenceHead {
    modules: SentenceModules,
    /// Whether the first token of a text may stand anywhere.
    is_left_padded: bool,
    /// `modules.json`, for errors.
    path: PathBuf,
}

/// The vector of each text.
pub(super) struct SentenceVector<T> {
    /// `[batch, width]`.
    pub(super) value: T,
    /// Numbers of each.
    pub(super) width: usize,
}

impl SentenceHead {
    /// The modules of `checkpoint`.
    ///
    /// # Errors
    /// A checkpoint that was not read for sentence embeddings.
    pub(super) fn read(checkpoint: &Checkpoint) -> Result<Self> {
        let missing = || Error::MissingFile { repo: checkpoint.snapshot.repo.clone(), file: MODULES.to_owned() };
        let modules = checkpoint.sentence.clone().ok_or_else(missing)?;
        let is_left_padded = pads_left(&checkpoint.snapshot, Task::SentenceEmbedding)?;
        Ok(Self { modules, is_left_padded, path: checkpoint.snapshot.directory.join(MODULES) })
    }

    /// The vector of each text, from hidden states of width `hidden_size`.
    ///
    /// # Errors
    /// Modules whose widths do not fit, and their tensors.
    pub(super) fn forward<O: Ops>(
        &self,
        ops: &mut O,
        hidden_size: usize,
        hidden: &O::Tensor,
        mask: &O::Tensor,
    ) -> Result<SentenceVector<O::Tensor>> {
        let (mut value, mut width) = (hidden.clone(), hidden_size);
        for module in &self.modules.modules {
            width =
                output_width(module, width).map_err(|message| Error::Config { path: self.path.clone(), message })?;
            value = self.forward_module(module, ops, &value, mask)?;
        }
        Ok(match self.modules.truncate_dim {
            Some(kept) if kept < width => SentenceVector { value: ops.leading_features(kept, &value), width: kept },
            _ => SentenceVector { value, width },
        })
    }

    fn forward_module<O: Ops>(
        &self,
        module: &Module,
        ops: &mut O,
        x: &O::Tensor,
        mask: &O::Tensor,
    ) -> Result<O::Tensor> {
        Ok(match module {
            Module::Pooling { modes, .. } => {
                let mut pooled: Vec<O::Tensor> = modes.iter().map(|&mode| self.pool(mode, ops, x, mask)).collect();
                let first = pooled.remove(0);
                if pooled.is_empty() { first } else { ops.join(&first, &pooled) }
            }
            Module::Dense { folder, dense } => forward_dense(dense, &Scope::root().child(folder), ops, x)?,
            Module::LayerNorm { folder, width } => {
                ops.layer_norm(&Scope::root().child(folder).child("norm"), *width, EPSILON, x)?
            }
            Module::Normalize(Feature::Tokens | Feature::Sentence) => ops.normalize(x),
        })
    }

    /// One vector of a text's tokens.
    fn pool<O: Ops>(&self, mode: PoolingMode, ops: &mut O, x: &O::Tensor, mask: &O::Tensor) -> O::Tensor {
        match mode {
            PoolingMode::FirstToken if !self.is_left_padded => ops.token(0, x),
            mode => ops.pool_tokens(mode, x, mask),
        }
    }
}

/// Width of a module's result for an input of `width`.
fn output_width(module: &Module, width: usize) -> std::result::Result<usize, String> {
    let expect = |key: &str, expected: usize| {
        if expected == width {
            Ok(())
        } else {
            Err(format!("`{key}` is {expected}, expected {width} as its input has"))
        }
    };
    match module {
        Module::Pooling { modes, width: of_file } => {
            expect("embedding_dimension` of `Pooling", of_file.unwrap_or(width))?;
            Ok(modes.len() * width)
        }
        Module::Dense { folder, dense } => {
            expect(&format!("in_features` of `{folder}"), dense.widths.input)?;
            Ok(dense.widths.output)
        }
        Module::LayerNorm { folder, width: of_file } => {
            expect(&format!("dimension` of `{folder}"), *of_file)?;
            Ok(width)
        }
        Module::Normalize(_) => Ok(width),
    }
}

fn forward_dense<O: Ops>(dense: &Dense, scope: &Scope, ops: &mut O, x: &O::Tensor) -> Result<O::Tensor> {
    let linear = scope.child("linear");
    let bias = dense.bias.then(|| linear.tensor("bias"));
    let product = ops.linear_with(&linear.tensor("weight"), bias.as_deref(), dense.widths, x)?;
    let activated = match dense.activation {
        Some(activation) => ops.activation(activation, &product),
        None => product,
    };
    if !dense.use_residual {
        return Ok(activated);
    }
    let LinearWidths { input, output } = dense.widths;
    if input == output {
        return Ok(ops.add(&activated, x));
    }
    let residual = ops.linear_with(&scope.child("residual").tensor("weight"), None, dense.widths, x)?;
    Ok(ops.add(&activated, &residual))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Activation;

    #[test]
    fn widths_follow_from_module_to_module() {
        let pooling = |modes: usize, width| Module::Pooling { modes: vec![PoolingMode::Mean; modes], width };
        assert_eq!(output_width(&pooling(2, Some(8)), 8), Ok(16));
        assert_eq!(output_width(&pooling(1, None), 8), Ok(8));
        assert!(output_width(&pooling(1, Some(7)), 8).unwrap_err().contains("embedding_dimension"));
        let widths = LinearWidths { input: 16, output: 4 };
        let dense = Dense {
            widths,
            bias: true,
            activation: Some(Activation::Tanh),
            feature: Feature::Sentence,
            use_residual: false,
        };
        let dense = Module::Dense { folder: "2_Dense".to_owned(), dense };
        assert_eq!(output_width(&dense, 16), Ok(4));
        assert!(output_width(&dense, 8).unwrap_err().contains("`in_features` of `2_Dense` is 16, expected 8"));
    }
}
