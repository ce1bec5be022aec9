//! ConvNeXt (Liu et al., arXiv:2201.03545).
//!
//! Reference: `convnext_tiny` to `convnext_xlarge` of timm, `ConvNextModel` and `ConvNextForImageClassification` of transformers.
//! Tensor names are the checkpoint's.

use crate::arch::config::{Edges, activation, plausible, read as read_config};
use crate::arch::image::{
    ImageOutputs, ImageTask, Naming, TrainedImages, output_hidden, output_pooled, output_scores_of,
};
use crate::arch::keys::Keys;
use crate::arch::request::Request;
use crate::arch::timm::TimmConfig;
use crate::checkpoint::Checkpoint;
use crate::ops::{Activation, Conv2d, LinearWidths, Window};
use crate::{Ops, Result, Scope};
use serde::{Deserialize, Serialize};

/// In the normalisations of stem, blocks and downsampling; fixed in both references.
const EPSILON: f32 = 1e-6;

/// Edge of the depthwise convolution's kernel.
const KERNEL: usize = 7;

/// Ratio of a block's inner width to its own.
const EXPANSION: usize = 4;

/// Keys of `config.json` of transformers.
pub(super) const KEYS: Keys = Keys {
    read: &[
        "num_channels",
        "patch_size",
        "num_stages",
        "hidden_sizes",
        "depths",
        "hidden_act",
        "layer_norm_eps",
        "layer_scale_init_value",
        "image_size",
    ],
    fixed: &[],
    // Of a network that only gives features to another, and of training.
    neutral: &["drop_path_rate", "out_features", "out_indices", "stage_names"],
};

/// `config.json` of transformers.
#[derive(Debug, Deserialize)]
struct Config {
    num_channels: usize,
    patch_size: Edges,
    num_stages: usize,
    hidden_sizes: Vec<usize>,
    depths: Vec<usize>,
    hidden_act: String,
    layer_norm_eps: f32,
    layer_scale_init_value: f32,
    image_size: Edges,
}

/// What a timm name stands for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TimmSizes {
    depths: Vec<usize>,
    dims: Vec<usize>,
    ls_init_value: Option<f32>,
}

/// A ConvNeXt with its head.
#[derive(Debug)]
pub(crate) struct ConvNext {
    task: ImageTask,
    names: &'static Names,
    patch: usize,
    depths: Vec<usize>,
    widths: Vec<usize>,
    /// Whether each block's result is scaled by a parameter for each channel.
    layer_scale: bool,
    activation: Activation,
    /// In the normalisation before the head.
    head_epsilon: f32,
}

/// Names of a checkpoint's parts.
#[derive(Debug)]
struct Names {
    naming: Naming,
    stem: [&'static str; 2],
    depthwise: &'static str,
    norm: &'static str,
    up: &'static str,
    down: &'static str,
    layer_scale: &'static str,
    head_norm: &'static str,
    head: &'static str,
}

const TIMM: Names = Names {
    naming: Naming::Timm,
    stem: ["stem.0", "stem.1"],
    depthwise: "conv_dw",
    norm: "norm",
    up: "mlp.fc1",
    down: "mlp.fc2",
    layer_scale: "gamma",
    head_norm: "head.norm",
    head: "head.fc",
};

const TRANSFORMERS: Names = Names {
    naming: Naming::Transformers,
    stem: ["embeddings.patch_embeddings", "embeddings.layernorm"],
    depthwise: "dwconv",
    norm: "layernorm",
    up: "pwconv1",
    down: "pwconv2",
    layer_scale: "layer_scale_parameter",
    head_norm: "layernorm",
    head: "classifier",
};

/// Reads a ConvNeXt of either naming.
pub(super) fn read(checkpoint: &Checkpoint, request: Request) -> Result<ConvNext> {
    match timm_sizes(&checkpoint.model_type) {
        Some(sizes) => ConvNext::of_timm(checkpoint, request, &sizes),
        None => ConvNext::of_transformers(checkpoint, request),
    }
}

impl ConvNext {
    fn of_transformers(checkpoint: &Checkpoint, request: Request) -> Result<Self> {
        let config: Config = read_config(checkpoint)?;
        let images = TrainedImages { channels: config.num_channels, size: config.image_size.size() };
        let fail = |message: String| checkpoint.config_error(message);
        let (stages, found) = (config.num_stages, config.depths.len());
        if stages != found {
            return Err(fail(format!(
                "key `num_stages`: unsupported value {stages}; expected {found}, as `depths` has"
            )));
        }
        let model = Self {
            task: ImageTask::of_transformers(checkpoint, request, images)?,
            names: &TRANSFORMERS,
            patch: config.patch_size.square("patch_size").map_err(fail)?,
            depths: config.depths,
            widths: config.hidden_sizes,
            layer_scale: config.layer_scale_init_value > 0.0,
            activation: activation("hidden_act", &config.hidden_act).map_err(fail)?,
            head_epsilon: config.layer_norm_eps,
        };
        model.check(checkpoint, ["hidden_sizes", "depths"])
    }

    fn of_timm(checkpoint: &Checkpoint, request: Request, sizes: &TimmSizes) -> Result<Self> {
        let config = TimmConfig::read(checkpoint)?;
        let sizes = config.with_arguments(checkpoint, "convnext", sizes)?;
        let model = Self {
            task: ImageTask::of_timm(checkpoint, request, &config, "avg")?,
            names: &TIMM,
            patch: 4,
            depths: sizes.depths,
            widths: sizes.dims,
            layer_scale: sizes.ls_init_value.is_some(),
            activation: Activation::Gelu,
            head_epsilon: EPSILON,
        };
        model.check(checkpoint, ["dims", "depths"])
    }

    fn check(self, checkpoint: &Checkpoint, [widths_key, depths_key]: [&str; 2]) -> Result<Self> {
        let (widths, depths) = (self.widths.len(), self.depths.len());
        if widths != depths || depths == 0 {
            let message = format!("`{widths_key}` has {widths} stages, `{depths_key}` has {depths}");
            return Err(checkpoint.config_error(message));
        }
        plausible(checkpoint, widths_key, &self.widths)?;
        // The stem and the later stages leave out what does not fill a patch.
        let halvings = u32::try_from(depths - 1).unwrap_or(u32::MAX);
        let smallest = self.patch.saturating_mul(2_usize.saturating_pow(halvings));
        let size = self.task.size;
        if self.patch == 0 || size.height < smallest || size.width < smallest {
            return Err(checkpoint.config_error(format!("images of {size} are smaller than {smallest} pixels")));
        }
        Ok(self)
    }

    pub(super) fn forward<O: Ops>(&self, ops: &mut O) -> Result<()> {
        let image = self.task.input(ops);
        let root = Scope::root();
        let [stem, stem_norm] = self.names.stem;
        let mut x =
            reduce(ops, &root.child(stem), LinearWidths { input: 3, output: self.widths[0] }, self.patch, &image)?;
        x = norm_channels(ops, &root.child(stem_norm), self.widths[0], &x)?;
        for (stage, (&depth, &width)) in self.depths.iter().zip(&self.widths).enumerate() {
            if stage > 0 {
                let scope = self.downsampling(stage);
                let before = self.widths[stage - 1];
                x = norm_channels(ops, &scope.child(0), before, &x)?;
                x = reduce(ops, &scope.child(1), LinearWidths { input: before, output: width }, 2, &x)?;
            }
            for block in 0..depth {
                x = self.block(ops, &self.block_scope(stage, block), width, &x)?;
            }
        }
        let width = self.widths[self.widths.len() - 1];
        let pooled = ops.global_average_pool(&x);
        let pooled = ops.layer_norm(&root.child(self.names.head_norm), width, self.head_epsilon, &pooled)?;
        match self.task.outputs {
            ImageOutputs::Scores(output) => {
                output_scores_of(ops, &root.child(self.names.head), LinearWidths { input: width, output }, &pooled)
            }
            ImageOutputs::Features => {
                let size = self.task.size;
                output_hidden(ops, &[width, self.positions(size.height), self.positions(size.width)], &x);
                output_pooled(ops, width, &pooled);
                Ok(())
            }
        }
    }

    /// Positions that are left of an edge of `length` pixels.
    fn positions(&self, length: usize) -> usize {
        (1..self.widths.len()).fold(length / self.patch, |length, _| length / 2)
    }

    fn downsampling(&self, stage: usize) -> Scope {
        Scope::root().child(match self.names.naming {
            Naming::Timm => format!("stages.{stage}.downsample"),
            Naming::Transformers => format!("encoder.stages.{stage}.downsampling_layer"),
        })
    }

    fn block_scope(&self, stage: usize, block: usize) -> Scope {
        Scope::root().child(match self.names.naming {
            Naming::Timm => format!("stages.{stage}.blocks.{block}"),
            Naming::Transformers => format!("encoder.stages.{stage}.layers.{block}"),
        })
    }

    fn block<O: Ops>(&self, ops: &mut O, scope: &Scope, width: usize, x: &O::Tensor) -> Result<O::Tensor> {
        let names = self.names;
        let window = Window::centred(KERNEL, 1);
        let depthwise = Conv2d { input: width, output: width, window, groups: width, bias: true };
        let inner = ops.conv2d(&scope.child(names.depthwise), depthwise, x)?;
        let inner = ops.channels_last(&inner);
        let inner = ops.layer_norm(&scope.child(names.norm), width, EPSILON, &inner)?;
        let up = LinearWidths { input: width, output: EXPANSION * width };
        let inner = ops.linear(&scope.child(names.up), up, &inner)?;
        let inner = ops.activation(self.activation, &inner);
        let down = LinearWidths { input: EXPANSION * width, output: width };
        let mut inner = ops.linear(&scope.child(names.down), down, &inner)?;
        if self.layer_scale {
            inner = ops.scale(&scope.tensor(names.layer_scale), width, &inner)?;
        }
        let inner = ops.channels_first(&inner);
        Ok(ops.add(&inner, x))
    }
}

/// A convolution that gives one position for each patch.
fn reduce<O: Ops>(
    ops: &mut O,
    scope: &Scope,
    LinearWidths { input, output }: LinearWidths,
    patch: usize,
    x: &O::Tensor,
) -> Result<O::Tensor> {
    ops.conv2d(scope, Conv2d { input, output, window: Window::patches(patch), groups: 1, bias: true }, x)
}

/// Layer normalisation over the channels at each pixel.
fn norm_channels<O: Ops>(ops: &mut O, scope: &Scope, width: usize, x: &O::Tensor) -> Result<O::Tensor> {
    let x = ops.channels_last(x);
    let x = ops.layer_norm(scope, width, EPSILON, &x)?;
    Ok(ops.channels_first(&x))
}

/// What a timm name of this family stands for.
pub(super) fn timm_sizes(name: &str) -> Option<TimmSizes> {
    let (depths, first) = match name {
        "convnext_tiny" => ([3, 3, 9, 3], 96),
        "convnext_small" => ([3, 3, 27, 3], 96),
        "convnext_base" => ([3, 3, 27, 3], 128),
        "convnext_large" => ([3, 3, 27, 3], 192),
        "convnext_xlarge" => ([3, 3, 27, 3], 256),
        _ => return None,
    };
    let dims = (0..4).map(|stage| first << stage).collect();
    Some(TimmSizes { depths: depths.to_vec(), dims, ls_init_value: Some(1e-6) })
}
