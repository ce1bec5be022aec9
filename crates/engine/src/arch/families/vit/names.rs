//! Names of the tensors of a Vision Transformer.

use crate::arch::image::Naming;

/// Names of a checkpoint's parts.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) naming: Naming,
    pub(super) class_token: &'static str,
    pub(super) distillation_token: &'static str,
    pub(super) positions: &'static str,
    pub(super) patches: &'static str,
    pub(super) layers: &'static str,
    pub(super) projection: &'static str,
    pub(super) norms: [&'static str; 2],
    pub(super) up: &'static str,
    pub(super) down: &'static str,
    pub(super) final_norm: &'static str,
    pub(super) head: &'static str,
    pub(super) distilled_heads: [&'static str; 2],
}

pub(super) const TIMM: Names = Names {
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

pub(super) const TRANSFORMERS: Names = Names {
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
