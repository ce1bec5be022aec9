//! Vision Transformer (Dosovitskiy et al., arXiv:2010.11929) and DeiT (Touvron et al., arXiv:2012.12877), with its
//! distillation token where a checkpoint has one.
//!
//! Reference: `vit_*_patch*` and `deit_*_patch16_*` of timm, `ViTModel`, `ViTForImageClassification`, `DeiTModel` and
//! `DeiTForImageClassificationWithTeacher` of transformers. Tensor names are the checkpoint's.

mod names;

use self::names::{Names, TIMM, TRANSFORMERS};
use crate::arch::config::{Edges, activation, plausible, read as read_config};
use crate::arch::image::{
    ImageOutputs, ImageTask, Naming, TrainedImages, output_hidden, output_pooled, output_scores, output_scores_of,
};
use crate::arch::keys::Keys;
use crate::arch::request::Request;
use crate::arch::timm::TimmConfig;
use crate::checkpoint::Checkpoint;
use crate::ops::{Activation, AttentionShape, Conv2d, LinearWidths, Window};
use crate::{Ops, Result, Scope};
use planforge_core::ImageSize;
use serde::{Deserialize, Serialize};

/// Fixed in timm.
const TIMM_EPSILON: f32 = 1e-6;

/// Keys of `config.json` of transformers.
pub(super) const KEYS: Keys = Keys {
    read: &[
        "num_channels",
        "image_size",
        "patch_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "head_dim",
        "intermediate_size",
        "hidden_act",
        "layer_norm_eps",
        "qkv_bias",
        "pooler_output_size",
        "pooler_act",
    ],
    fixed: &[],
    neutral: &[
        "attention_probs_dropout_prob",
        // Of the head for masked images.
        "encoder_stride",
        "hidden_dropout_prob",
    ],
};

/// `config.json` of transformers.
#[derive(Debug, Deserialize)]
struct Config {
    num_channels: usize,
    image_size: Edges,
    patch_size: Edges,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    layer_norm_eps: f32,
    qkv_bias: bool,
    head_dim: Option<usize>,
    pooler_output_size: Option<usize>,
    pooler_act: String,
}

/// What a timm name stands for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct TimmSizes {
    patch_size: usize,
    embed_dim: usize,
    depth: usize,
    num_heads: usize,
    mlp_ratio: f64,
    qkv_bias: bool,
    init_values: Option<f32>,
}

/// A Vision Transformer with its head.
#[derive(Debug)]
pub(crate) struct Vit {
    task: ImageTask,
    names: &'static Names,
    patch: usize,
    width: usize,
    intermediate_size: usize,
    layer_count: usize,
    heads: usize,
    head_width: usize,
    epsilon: f32,
    activation: Activation,
    pooler: Pooler,
    qkv_bias: bool,
    /// Whether each branch's result is scaled by a parameter for each feature.
    layer_scale: bool,
}

/// A product over the class token; timm has none.
#[derive(Debug, Clone, Copy)]
struct Pooler {
    width: usize,
    activation: Activation,
}

/// Reads a Vision Transformer or a DeiT of either naming.
pub(super) fn read(checkpoint: &Checkpoint, request: Request) -> Result<Vit> {
    match timm_sizes(&checkpoint.model_type) {
        Some(sizes) => Vit::of_timm(checkpoint, request, &sizes),
        None => Vit::of_transformers(checkpoint, request),
    }
}

impl Vit {
    fn of_transformers(checkpoint: &Checkpoint, request: Request) -> Result<Self> {
        let config: Config = read_config(checkpoint)?;
        let images = TrainedImages { channels: config.num_channels, size: config.image_size.size() };
        let fail = |message: String| checkpoint.config_error(message);
        let heads = config.num_attention_heads;
        if heads == 0 || (config.head_dim.is_none() && !config.hidden_size.is_multiple_of(heads)) {
            let width = config.hidden_size;
            return Err(fail(format!("`hidden_size` {width} is not a multiple of `num_attention_heads` {heads}")));
        }
        let model = Self {
            task: ImageTask::of_transformers(checkpoint, request, images)?,
            names: &TRANSFORMERS,
            patch: config.patch_size.square("patch_size").map_err(fail)?,
            width: config.hidden_size,
            intermediate_size: config.intermediate_size,
            layer_count: config.num_hidden_layers,
            heads,
            head_width: config.head_dim.unwrap_or(config.hidden_size / heads),
            epsilon: config.layer_norm_eps,
            activation: activation("hidden_act", &config.hidden_act).map_err(fail)?,
            pooler: Pooler {
                // A width of 0 is as good as none.
                width: config.pooler_output_size.filter(|&width| width > 0).unwrap_or(config.hidden_size),
                activation: activation("pooler_act", &config.pooler_act).map_err(fail)?,
            },
            qkv_bias: config.qkv_bias,
            layer_scale: false,
        };
        model.check(checkpoint, images.size)
    }

    fn of_timm(checkpoint: &Checkpoint, request: Request, sizes: &TimmSizes) -> Result<Self> {
        let config = TimmConfig::read(checkpoint)?;
        let sizes = config.with_arguments(checkpoint, "vit", sizes)?;
        let (width, heads) = (sizes.embed_dim, sizes.num_heads);
        if heads == 0 || !width.is_multiple_of(heads) {
            return Err(
                checkpoint.config_error(format!("`embed_dim` {width} is not a multiple of `num_heads` {heads}"))
            );
        }
        let model = Self {
            task: ImageTask::of_timm(checkpoint, request, &config, "token")?,
            names: &TIMM,
            patch: sizes.patch_size,
            width,
            intermediate_size: (sizes.embed_dim as f64 * sizes.mlp_ratio) as usize,
            layer_count: sizes.depth,
            heads,
            head_width: width / heads,
            epsilon: TIMM_EPSILON,
            activation: Activation::Gelu,
            pooler: Pooler { width, activation: Activation::Identity },
            qkv_bias: sizes.qkv_bias,
            layer_scale: sizes.init_values.is_some(),
        };
        model.check(checkpoint, config.native_size())
    }

    /// The position table is made for one size of images, cut into whole patches.
    fn check(self, checkpoint: &Checkpoint, native: ImageSize) -> Result<Self> {
        let fail = |message: String| Err(checkpoint.config_error(message));
        let (size, patch) = (self.task.size, self.patch);
        plausible(checkpoint, "hidden_size", &[self.width, self.intermediate_size, self.head_width, self.heads])?;
        if patch == 0 || !size.height.is_multiple_of(patch) || !size.width.is_multiple_of(patch) {
            return fail(format!("images of {size} cannot be cut into patches of {patch}x{patch}"));
        }
        if size != native {
            return fail(format!(
                "its position table is for images of {native}; expected the same of `export.image_size` and of the \
                 image processor, found {size}"
            ));
        }
        Ok(self)
    }

    pub(super) fn forward<O: Ops>(&self, ops: &mut O) -> Result<()> {
        let image = self.task.input(ops);
        let root = Scope::root();
        let distilled = ops.has(&root, self.names.distillation_token);
        let mut x = self.embeddings(ops, distilled, &image)?;
        for layer in 0..self.layer_count {
            x = self.layer(ops, &root.child(self.names.layers).child(layer), &x)?;
        }
        let x = ops.layer_norm(&root.child(self.names.final_norm), self.width, self.epsilon, &x)?;
        match self.task.outputs {
            ImageOutputs::Scores(labels) => self.scores(ops, labels, &x),
            ImageOutputs::Features => self.features(ops, distilled, &x),
        }
    }

    fn scores<O: Ops>(&self, ops: &mut O, labels: usize, x: &O::Tensor) -> Result<()> {
        let root = Scope::root();
        let class = ops.token(0, x);
        let [head, teacher] = self.names.distilled_heads;
        let widths = LinearWidths { input: self.width, output: labels };
        if !ops.has(&root.child(teacher), "weight") {
            return output_scores_of(ops, &root.child(self.names.head), widths, &class);
        }
        // Two heads were trained, one of them on a teacher's answers; together they decide.
        let class = ops.linear(&root.child(head), widths, &class)?;
        let distillation = ops.token(1, x);
        let distillation = ops.linear(&root.child(teacher), widths, &distillation)?;
        let scores = ops.average(&class, &distillation);
        output_scores(ops, labels, &scores);
        Ok(())
    }

    /// The tokens, and the vector of the class: what timm gives a head, or the pooler of transformers where the
    /// checkpoint has one.
    fn features<O: Ops>(&self, ops: &mut O, distilled: bool, x: &O::Tensor) -> Result<()> {
        output_hidden(ops, &[self.tokens(distilled), self.width], x);
        let class = ops.token(0, x);
        match self.names.naming {
            Naming::Timm if distilled => {
                let distillation = ops.token(1, x);
                let pooled = ops.average(&class, &distillation);
                output_pooled(ops, self.width, &pooled);
            }
            Naming::Timm => output_pooled(ops, self.width, &class),
            Naming::Transformers => {
                let scope = Scope::root().child("pooler.dense");
                if ops.has(&scope, "weight") {
                    let widths = LinearWidths { input: self.width, output: self.pooler.width };
                    let pooled = ops.linear(&scope, widths, &class)?;
                    let pooled = ops.activation(self.pooler.activation, &pooled);
                    output_pooled(ops, self.pooler.width, &pooled);
                }
            }
        }
        Ok(())
    }

    /// The patches of an image, the class token and, where there is one, the distillation token.
    const fn tokens(&self, distilled: bool) -> usize {
        let size = self.task.size;
        (size.height / self.patch) * (size.width / self.patch) + if distilled { 2 } else { 1 }
    }

    fn embeddings<O: Ops>(&self, ops: &mut O, distilled: bool, image: &O::Tensor) -> Result<O::Tensor> {
        let names = self.names;
        let window = Window::patches(self.patch);
        let patches = Conv2d { input: 3, output: self.width, window, groups: 1, bias: true };
        let x = ops.conv2d(&Scope::root().child(names.patches), patches, image)?;
        let mut x = ops.patches_to_tokens(&x);
        if distilled {
            x = ops.prepend_token(names.distillation_token, self.width, &x)?;
        }
        let x = ops.prepend_token(names.class_token, self.width, &x)?;
        ops.add_parameter(names.positions, &[1, self.tokens(distilled), self.width], &x)
    }

    fn layer<O: Ops>(&self, ops: &mut O, scope: &Scope, x: &O::Tensor) -> Result<O::Tensor> {
        let names = self.names;
        let [before_attention, before_products] = names.norms.map(|name| scope.child(name));
        let normed = ops.layer_norm(&before_attention, self.width, self.epsilon, x)?;
        let [query, key, value] = self.query_key_value(ops, scope, &normed)?;
        let shape = AttentionShape { heads: self.heads, head_width: self.head_width };
        let context = ops.attention(&scope.child("attention"), shape, [&query, &key, &value], &[]);
        let joined = LinearWidths { input: self.heads * self.head_width, output: self.width };
        let mut branch = ops.linear(&scope.child(names.projection), joined, &context)?;
        if self.layer_scale {
            branch = ops.scale(&scope.tensor("ls1.gamma"), self.width, &branch)?;
        }
        let x = ops.add(&branch, x);

        let normed = ops.layer_norm(&before_products, self.width, self.epsilon, &x)?;
        let up = LinearWidths { input: self.width, output: self.intermediate_size };
        let hidden = ops.linear(&scope.child(names.up), up, &normed)?;
        let hidden = ops.activation(self.activation, &hidden);
        let down = LinearWidths { input: self.intermediate_size, output: self.width };
        let mut branch = ops.linear(&scope.child(names.down), down, &hidden)?;
        if self.layer_scale {
            branch = ops.scale(&scope.tensor("ls2.gamma"), self.width, &branch)?;
        }
        Ok(ops.add(&branch, &x))
    }

    /// timm stores the three projections as one.
    fn query_key_value<O: Ops>(&self, ops: &mut O, scope: &Scope, x: &O::Tensor) -> Result<[O::Tensor; 3]> {
        let mut project = |name: &str, output: usize| {
            let scope = scope.child(name);
            let bias = scope.tensor("bias");
            let bias = self.qkv_bias.then_some(bias.as_str());
            ops.linear_with(&scope.tensor("weight"), bias, LinearWidths { input: self.width, output }, x)
        };
        match self.names.naming {
            Naming::Timm => {
                let together = project("attn.qkv", 3 * self.width)?;
                Ok(ops.chunk(self.width, &together))
            }
            Naming::Transformers => {
                let mut part =
                    |name: &str| project(&format!("attention.attention.{name}"), self.heads * self.head_width);
                Ok([part("query")?, part("key")?, part("value")?])
            }
        }
    }
}

/// What a timm name of this family stands for: `vit_base_patch16_224`, `deit_small_distilled_patch16_224`.
pub(super) fn timm_sizes(name: &str) -> Option<TimmSizes> {
    let (family, rest) = name.split_once('_')?;
    let (size, rest) = rest.split_once('_')?;
    let rest = if family == "deit" { rest.strip_prefix("distilled_").unwrap_or(rest) } else { rest };
    let (patch, edge) = rest.strip_prefix("patch")?.split_once('_')?;
    edge.parse::<usize>().ok()?;
    matches!(family, "vit" | "deit").then_some(())?;
    TimmSizes::of(size, patch.parse().ok()?)
}

impl TimmSizes {
    fn of(size: &str, patch_size: usize) -> Option<Self> {
        let (embed_dim, depth, num_heads) = match size {
            "tiny" => (192, 12, 3),
            "small" => (384, 12, 6),
            "base" => (768, 12, 12),
            "large" => (1024, 24, 16),
            "huge" => (1280, 32, 16),
            _ => return None,
        };
        Some(Self { patch_size, embed_dim, depth, num_heads, mlp_ratio: 4.0, qkv_bias: true, init_values: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_sizes() {
        let large = timm_sizes("vit_large_patch16_224").unwrap();
        assert_eq!((large.embed_dim, large.depth, large.num_heads, large.patch_size), (1024, 24, 16, 16));
        assert_eq!(timm_sizes("vit_base_patch32_384").unwrap().patch_size, 32);
        assert_eq!(timm_sizes("deit_tiny_distilled_patch16_224").unwrap().embed_dim, 192);
        for other in [
            "vit_base_patch16_clip_224",
            "vit_base_patch16_224_miil",
            "vit_giant_patch14_224",
            "deit3_base_patch16_224",
        ] {
            assert_eq!(timm_sizes(other), None, "{other}");
        }
    }
}
