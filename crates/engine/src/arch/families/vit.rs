//! Vision Transformer (Dosovitskiy et al., arXiv:2010.11929) and DeiT (Touvron et al., arXiv:2012.12877), with its
//! distillation token where a checkpoint has one.
//!
//! Reference: `vit_*_patch*` and `deit_*_patch16_*` of timm, `ViTForImageClassification` and
//! `DeiTForImageClassificationWithTeacher` of transformers. Tensor names are the checkpoint's.

use crate::arch::config::{activation, plausible};
use crate::arch::image::{ImageTask, Naming, TrainedImages};
use crate::arch::request::Request;
use crate::arch::timm::TimmConfig;
use crate::checkpoint::Checkpoint;
use crate::ops::{Activation, AttentionShape, Conv2d, LinearWidths, Window};
use crate::{Ops, Result, Scope};
use planforge_core::ImageSize;
use serde::{Deserialize, Serialize};

/// Fixed in timm.
const TIMM_EPSILON: f32 = 1e-6;

/// `config.json` of transformers.
#[derive(Debug, Deserialize)]
struct Config {
    num_channels: usize,
    image_size: usize,
    patch_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    layer_norm_eps: f32,
    #[serde(default = "yes")]
    qkv_bias: bool,
}

const fn yes() -> bool {
    true
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
    epsilon: f32,
    activation: Activation,
    qkv_bias: bool,
    /// Whether each branch's result is scaled by a parameter for each feature.
    layer_scale: bool,
}

/// Names of a checkpoint's parts.
#[derive(Debug)]
struct Names {
    naming: Naming,
    class_token: &'static str,
    distillation_token: &'static str,
    positions: &'static str,
    patches: &'static str,
    layers: &'static str,
    projection: &'static str,
    norms: [&'static str; 2],
    up: &'static str,
    down: &'static str,
    final_norm: &'static str,
    head: &'static str,
    distilled_heads: [&'static str; 2],
}

const TIMM: Names = Names {
    naming: Naming::Timm,
    class_token: "cls_token",
    distillation_token: "dist_token",
    positions: "pos_embed",
    patches: "patch_embed.proj",
    layers: "blocks",
    projection: "attn.proj",
    norms: ["norm1", "norm2"],
    up: "mlp.fc1",
    down: "mlp.fc2",
    final_norm: "norm",
    head: "head",
    distilled_heads: ["head", "head_dist"],
};

const TRANSFORMERS: Names = Names {
    naming: Naming::Transformers,
    class_token: "embeddings.cls_token",
    distillation_token: "embeddings.distillation_token",
    positions: "embeddings.position_embeddings",
    patches: "embeddings.patch_embeddings.projection",
    layers: "encoder.layer",
    projection: "attention.output.dense",
    norms: ["layernorm_before", "layernorm_after"],
    up: "intermediate.dense",
    down: "output.dense",
    final_norm: "layernorm",
    head: "classifier",
    distilled_heads: ["cls_classifier", "distillation_classifier"],
};

/// Reads a Vision Transformer or a DeiT of either naming.
pub(super) fn read(checkpoint: &Checkpoint, request: Request) -> Result<Vit> {
    match timm_sizes(&checkpoint.model_type) {
        Some(sizes) => Vit::of_timm(checkpoint, request, &sizes),
        None => Vit::of_transformers(checkpoint, request),
    }
}

impl Vit {
    fn of_transformers(checkpoint: &Checkpoint, request: Request) -> Result<Self> {
        let config: Config = checkpoint.config()?;
        let images = TrainedImages::square(config.num_channels, config.image_size);
        let fail = |message: String| checkpoint.config_error(message);
        let model = Self {
            task: ImageTask::of_transformers(checkpoint, request, images)?,
            names: &TRANSFORMERS,
            patch: config.patch_size,
            width: config.hidden_size,
            intermediate_size: config.intermediate_size,
            layer_count: config.num_hidden_layers,
            heads: config.num_attention_heads,
            epsilon: config.layer_norm_eps,
            activation: activation("hidden_act", &config.hidden_act).map_err(fail)?,
            qkv_bias: config.qkv_bias,
            layer_scale: false,
        };
        model.check(checkpoint, images.size)
    }

    fn of_timm(checkpoint: &Checkpoint, request: Request, sizes: &TimmSizes) -> Result<Self> {
        let config = TimmConfig::read(checkpoint)?;
        let sizes = config.with_arguments(checkpoint, sizes)?;
        let model = Self {
            task: ImageTask::of_timm(checkpoint, request, &config, "token")?,
            names: &TIMM,
            patch: sizes.patch_size,
            width: sizes.embed_dim,
            intermediate_size: (sizes.embed_dim as f64 * sizes.mlp_ratio) as usize,
            layer_count: sizes.depth,
            heads: sizes.num_heads,
            epsilon: TIMM_EPSILON,
            activation: Activation::Gelu,
            qkv_bias: sizes.qkv_bias,
            layer_scale: sizes.init_values.is_some(),
        };
        model.check(checkpoint, config.native_size())
    }

    /// The position table is made for one size of images, cut into whole patches.
    fn check(self, checkpoint: &Checkpoint, native: ImageSize) -> Result<Self> {
        let fail = |message: String| Err(checkpoint.config_error(message));
        let (size, patch) = (self.task.size, self.patch);
        plausible(checkpoint, "hidden_size", &[self.width, self.intermediate_size])?;
        if self.heads == 0 || !self.width.is_multiple_of(self.heads) {
            return fail(format!("a width of {} is not a multiple of {} attention heads", self.width, self.heads));
        }
        if patch == 0 || !size.height.is_multiple_of(patch) || !size.width.is_multiple_of(patch) {
            return fail(format!("images of {size} cannot be cut into patches of {patch}x{patch}"));
        }
        if size != native {
            return fail(format!(
                "its position table is for images of {native}; key `export.image_size` asks for {size}"
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
        let class = ops.token(0, &x);
        let [head, teacher] = self.names.distilled_heads;
        if !ops.has(&root.child(teacher), "weight") {
            return self.task.output(ops, &root.child(self.names.head), self.width, &class);
        }
        // Two heads were trained, one of them on a teacher's answers; together they decide.
        let widths = LinearWidths { input: self.width, output: self.task.labels };
        let class = ops.linear(&root.child(head), widths, &class)?;
        let distillation = ops.token(1, &x);
        let distillation = ops.linear(&root.child(teacher), widths, &distillation)?;
        let scores = ops.average(&class, &distillation);
        self.task.output_scores(ops, &scores);
        Ok(())
    }

    fn embeddings<O: Ops>(&self, ops: &mut O, distilled: bool, image: &O::Tensor) -> Result<O::Tensor> {
        let names = self.names;
        let window = Window::patches(self.patch);
        let patches = Conv2d { input: 3, output: self.width, window, groups: 1, bias: true };
        let x = ops.conv2d(&Scope::root().child(names.patches), patches, image)?;
        let mut x = ops.patches_to_tokens(&x);
        let size = self.task.size;
        let mut rows = (size.height / self.patch) * (size.width / self.patch) + 1;
        if distilled {
            x = ops.prepend_token(names.distillation_token, self.width, &x)?;
            rows += 1;
        }
        let x = ops.prepend_token(names.class_token, self.width, &x)?;
        ops.add_parameter(names.positions, &[1, rows, self.width], &x)
    }

    fn layer<O: Ops>(&self, ops: &mut O, scope: &Scope, x: &O::Tensor) -> Result<O::Tensor> {
        let names = self.names;
        let [before_attention, before_products] = names.norms.map(|name| scope.child(name));
        let normed = ops.layer_norm(&before_attention, self.width, self.epsilon, x)?;
        let [query, key, value] = self.query_key_value(ops, scope, &normed)?;
        let shape = AttentionShape { heads: self.heads, head_width: self.width / self.heads };
        let context = ops.attention(&scope.child("attention"), shape, [&query, &key, &value], &[]);
        let square = LinearWidths { input: self.width, output: self.width };
        let mut branch = ops.linear(&scope.child(names.projection), square, &context)?;
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
                let mut part = |name: &str| project(&format!("attention.attention.{name}"), self.width);
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
