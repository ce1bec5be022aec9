//! ResNet (He et al., arXiv:1512.03385), with the stride of a bottleneck in its 3x3 convolution ("version 1.5").
//!
//! Reference: `resnet18` to `resnet152` of timm and `ResNetForImageClassification` of transformers. Tensor names
//! are the checkpoint's.

use super::image::{ImageTask, Naming, plausible};
use super::registry::unsupported;
use super::timm::TimmConfig;
use crate::checkpoint::Checkpoint;
use crate::ops::{Activation, Conv2d, Window};
use crate::{Ops, Result, Scope};
use planforge_core::{ImageSize, Task};
use serde::{Deserialize, Serialize};

/// What task heads of transformers put before the names.
pub(super) const PREFIX: &str = "resnet.";

/// PyTorch's default, which both references leave as it is.
const EPSILON: f32 = 1e-5;

/// Ratio of a bottleneck's output to its inner channels.
const EXPANSION: usize = 4;

/// `config.json` of transformers.
#[derive(Debug, Deserialize)]
struct Config {
    num_channels: usize,
    embedding_size: usize,
    hidden_sizes: Vec<usize>,
    depths: Vec<usize>,
    layer_type: Layer,
    hidden_act: String,
    #[serde(default)]
    downsample_in_first_stage: bool,
    #[serde(default)]
    downsample_in_bottleneck: bool,
}

/// Kind of block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Layer {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3, 1x1.
    Bottleneck,
}

/// What a timm name stands for.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct TimmSizes {
    layers: Vec<usize>,
    channels: Vec<usize>,
}

/// A ResNet with its head.
#[derive(Debug)]
pub(crate) struct ResNet {
    task: ImageTask,
    naming: Naming,
    layer: Layer,
    stem: usize,
    depths: Vec<usize>,
    /// Channels that each stage gives.
    widths: Vec<usize>,
    /// Whether the first stage halves the image as the others do.
    first_stage_strides: bool,
    /// Whether a bottleneck's stride lies in its first convolution, as in the paper.
    strides_early: bool,
}

/// timm's names of this family.
pub(super) const TIMM_NAMES: &str = "resnet18, resnet26, resnet34, resnet50, resnet101, resnet152";

/// BatchNorm's count of training steps.
pub(super) fn may_ignore(name: &str) -> bool {
    name.ends_with(".num_batches_tracked")
}

impl ResNet {
    pub(super) fn read(checkpoint: &Checkpoint, task: Task, asked: Option<ImageSize>) -> Result<Self> {
        let config: Config = checkpoint.config()?;
        let fail = |message: String| checkpoint.config_error(message);
        if config.hidden_act != "relu" {
            return Err(fail(format!("`hidden_act` is `{}`, expected `relu`", config.hidden_act)));
        }
        if config.hidden_sizes.len() != config.depths.len() || config.depths.is_empty() {
            let (sizes, depths) = (config.hidden_sizes.len(), config.depths.len());
            return Err(fail(format!("`hidden_sizes` has {sizes} stages, `depths` has {depths}")));
        }
        plausible(checkpoint, "hidden_sizes", &config.hidden_sizes)?;
        // The configuration names no size; the originals were trained at 224.
        let images = (config.num_channels, 224);
        Ok(Self {
            task: ImageTask::of_transformers(checkpoint, task, images, asked)?,
            naming: Naming::Transformers,
            layer: config.layer_type,
            stem: config.embedding_size,
            depths: config.depths,
            widths: config.hidden_sizes,
            first_stage_strides: config.downsample_in_first_stage,
            strides_early: config.downsample_in_bottleneck,
        })
    }

    pub(super) fn read_timm(checkpoint: &Checkpoint, task: Task, asked: Option<ImageSize>) -> Result<Self> {
        let config = TimmConfig::read(checkpoint)?;
        let (layer, layers) = timm_layers(&config.architecture).ok_or_else(|| unsupported(checkpoint))?;
        let sizes = TimmSizes { layers, channels: vec![64, 128, 256, 512] };
        let sizes = config.with_arguments(checkpoint, &sizes)?;
        if sizes.layers.len() != sizes.channels.len() || sizes.layers.is_empty() {
            let (layers, channels) = (sizes.layers.len(), sizes.channels.len());
            return Err(checkpoint.config_error(format!("`layers` has {layers} stages, `channels` has {channels}")));
        }
        plausible(checkpoint, "channels", &sizes.channels)?;
        let expansion = if layer == Layer::Bottleneck { EXPANSION } else { 1 };
        Ok(Self {
            task: ImageTask::of_timm(checkpoint, task, &config, ("avg", asked))?,
            naming: Naming::Timm,
            layer,
            stem: 64,
            depths: sizes.layers,
            widths: sizes.channels.iter().map(|channels| channels * expansion).collect(),
            first_stage_strides: false,
            strides_early: false,
        })
    }

    pub(super) fn forward<O: Ops>(&self, ops: &mut O) -> Result<()> {
        let image = self.task.input(ops);
        let root = Scope::root();
        let (convolution, normalisation) = match self.naming {
            Naming::Timm => ("conv1", "bn1"),
            Naming::Transformers => ("embedder.embedder.convolution", "embedder.embedder.normalization"),
        };
        let names = (root.child(convolution), root.child(normalisation));
        let x = convolve(ops, &names, (3, self.stem), Window::centred(7, 2), &image)?;
        let x = ops.activation(Activation::Relu, &x);
        let mut x = ops.max_pool(Window::centred(3, 2), &x);
        let mut input = self.stem;
        for (stage, (&depth, &output)) in self.depths.iter().zip(&self.widths).enumerate() {
            for block in 0..depth {
                let strides = block == 0 && (stage > 0 || self.first_stage_strides);
                let stride = if strides { 2 } else { 1 };
                x = self.block(ops, &self.block_scope(stage, block), (input, output, stride), &x)?;
                input = output;
            }
        }
        let pooled = ops.global_average_pool(&x);
        let head = match self.naming {
            Naming::Timm => "fc",
            Naming::Transformers => "classifier.1",
        };
        self.task.output(ops, &root.child(head), input, &pooled)
    }

    fn block_scope(&self, stage: usize, block: usize) -> Scope {
        Scope::root().child(match self.naming {
            Naming::Timm => format!("layer{}.{block}", stage + 1),
            Naming::Transformers => format!("encoder.stages.{stage}.layers.{block}"),
        })
    }

    /// The residual sum of a block's convolutions and its shortcut.
    fn block<O: Ops>(
        &self,
        ops: &mut O,
        scope: &Scope,
        (input, output, stride): (usize, usize, usize),
        x: &O::Tensor,
    ) -> Result<O::Tensor> {
        let convolutions = self.convolutions((input, output, stride));
        let mut inner = x.clone();
        for (index, &(widths, window)) in convolutions.iter().enumerate() {
            inner = convolve(ops, &self.names(scope, index), widths, window, &inner)?;
            if index + 1 < convolutions.len() {
                inner = ops.activation(Activation::Relu, &inner);
            }
        }
        let shortcut = if stride == 1 && input == output {
            x.clone()
        } else {
            let (convolution, normalisation) = match self.naming {
                Naming::Timm => ("downsample.0", "downsample.1"),
                Naming::Transformers => ("shortcut.convolution", "shortcut.normalization"),
            };
            let names = (scope.child(convolution), scope.child(normalisation));
            convolve(ops, &names, (input, output), Window::centred(1, stride), x)?
        };
        let sum = ops.add(&inner, &shortcut);
        Ok(ops.activation(Activation::Relu, &sum))
    }

    /// Channels and window of each convolution of a block.
    fn convolutions(&self, (input, output, stride): (usize, usize, usize)) -> Vec<((usize, usize), Window)> {
        match self.layer {
            Layer::Basic => {
                vec![((input, output), Window::centred(3, stride)), ((output, output), Window::centred(3, 1))]
            }
            Layer::Bottleneck => {
                let inner = output / EXPANSION;
                let (first, second) = if self.strides_early { (stride, 1) } else { (1, stride) };
                vec![
                    ((input, inner), Window::centred(1, first)),
                    ((inner, inner), Window::centred(3, second)),
                    ((inner, output), Window::centred(1, 1)),
                ]
            }
        }
    }

    /// Scopes of a block's convolution and of the normalisation after it.
    fn names(&self, scope: &Scope, index: usize) -> (Scope, Scope) {
        match self.naming {
            Naming::Timm => (scope.child(format!("conv{}", index + 1)), scope.child(format!("bn{}", index + 1))),
            Naming::Transformers => {
                let layer = scope.child(format!("layer.{index}"));
                (layer.child("convolution"), layer.child("normalization"))
            }
        }
    }
}

/// What a timm name of this family stands for.
pub(super) fn timm_layers(name: &str) -> Option<(Layer, Vec<usize>)> {
    let (layer, layers) = match name {
        "resnet18" => (Layer::Basic, [2, 2, 2, 2]),
        "resnet34" => (Layer::Basic, [3, 4, 6, 3]),
        "resnet26" => (Layer::Bottleneck, [2, 2, 2, 2]),
        "resnet50" => (Layer::Bottleneck, [3, 4, 6, 3]),
        "resnet101" => (Layer::Bottleneck, [3, 4, 23, 3]),
        "resnet152" => (Layer::Bottleneck, [3, 8, 36, 3]),
        _ => return None,
    };
    Some((layer, layers.to_vec()))
}

/// A convolution without bias, and the normalisation that gives it one.
fn convolve<O: Ops>(
    ops: &mut O,
    (convolution, normalisation): &(Scope, Scope),
    (input, output): (usize, usize),
    window: Window,
    x: &O::Tensor,
) -> Result<O::Tensor> {
    let x = ops.conv2d(convolution, Conv2d { input, output, window, groups: 1, bias: false }, x)?;
    ops.batch_norm(normalisation, output, EPSILON, &x)
}
