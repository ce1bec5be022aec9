//! ResNet (He et al., arXiv:1512.03385), with the stride of a bottleneck in its 3x3 convolution ("version 1.5").
//!
//! Reference: `resnet18` to `resnet152` of timm, `ResNetModel` and `ResNetForImageClassification` of transformers.
//! Tensor names are the checkpoint's.

use crate::arch::config::{activation, plausible, read as read_config};
use crate::arch::image::{
    ImageOutputs, ImageTask, Naming, TrainedImages, output_hidden, output_pooled, output_scores_of,
};
use crate::arch::keys::Keys;
use crate::arch::request::Request;
use crate::arch::timm::TimmConfig;
use crate::checkpoint::Checkpoint;
use crate::ops::{Activation, Conv2d, LinearWidths, Window};
use crate::{Ops, Result, Scope};
use planforge_core::ImageSize;
use serde::{Deserialize, Serialize};

/// PyTorch's default, which both references leave as it is.
const EPSILON: f32 = 1e-5;

/// Between the convolutions of a block; the key `hidden_act` of transformers is for the stem and the sums only.
const INNER_ACTIVATION: Activation = Activation::Relu;

/// Ratio of a bottleneck's output to its inner channels.
const EXPANSION: usize = 4;

/// Keys of `config.json` of transformers.
pub(super) const KEYS: Keys = Keys {
    read: &[
        "num_channels",
        "embedding_size",
        "hidden_sizes",
        "depths",
        "layer_type",
        "hidden_act",
        "downsample_in_first_stage",
        "downsample_in_bottleneck",
    ],
    fixed: &[],
    // Of a network that only gives features to another.
    neutral: &["out_features", "out_indices", "stage_names"],
};

/// `config.json` of transformers.
#[derive(Debug, Deserialize)]
struct Config {
    num_channels: usize,
    embedding_size: usize,
    hidden_sizes: Vec<usize>,
    depths: Vec<usize>,
    layer_type: Layer,
    hidden_act: String,
    downsample_in_first_stage: bool,
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

/// What a timm name stands for: kind of the blocks, and how many each stage has.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimmBlocks {
    layer: Layer,
    layers: [usize; 4],
}

/// The sizes of a timm name, which a checkpoint's arguments may replace.
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
    /// After the stem and after each sum.
    activation: Activation,
    stem: usize,
    depths: Vec<usize>,
    /// Channels that each stage gives.
    widths: Vec<usize>,
    /// Whether the first stage halves the image as the others do.
    first_stage_strides: bool,
    /// Whether the first convolution of a bottleneck has the stride, as in the paper.
    strides_early: bool,
}

/// Reads a ResNet of either naming.
pub(super) fn read(checkpoint: &Checkpoint, request: Request) -> Result<ResNet> {
    match timm_layers(&checkpoint.model_type) {
        Some(blocks) => ResNet::of_timm(checkpoint, request, blocks),
        None => ResNet::of_transformers(checkpoint, request),
    }
}

impl ResNet {
    fn of_transformers(checkpoint: &Checkpoint, request: Request) -> Result<Self> {
        let config: Config = read_config(checkpoint)?;
        let fail = |message: String| checkpoint.config_error(message);
        if config.hidden_sizes.len() != config.depths.len() || config.depths.is_empty() {
            let (sizes, depths) = (config.hidden_sizes.len(), config.depths.len());
            return Err(fail(format!("`hidden_sizes` has {sizes} stages, `depths` has {depths}")));
        }
        plausible(checkpoint, "hidden_sizes", &config.hidden_sizes)?;
        // The configuration names no size; the originals were trained at 224.
        let images = TrainedImages { channels: config.num_channels, size: ImageSize { height: 224, width: 224 } };
        Ok(Self {
            task: ImageTask::of_transformers(checkpoint, request, images)?,
            naming: Naming::Transformers,
            layer: config.layer_type,
            activation: activation("hidden_act", &config.hidden_act).map_err(fail)?,
            stem: config.embedding_size,
            depths: config.depths,
            widths: config.hidden_sizes,
            first_stage_strides: config.downsample_in_first_stage,
            strides_early: config.downsample_in_bottleneck,
        })
    }

    fn of_timm(checkpoint: &Checkpoint, request: Request, blocks: TimmBlocks) -> Result<Self> {
        let config = TimmConfig::read(checkpoint)?;
        let TimmBlocks { layer, layers } = blocks;
        let sizes = TimmSizes { layers: layers.to_vec(), channels: vec![64, 128, 256, 512] };
        let sizes = config.with_arguments(checkpoint, "resnet", &sizes)?;
        if sizes.layers.len() != sizes.channels.len() || sizes.layers.is_empty() {
            let (layers, channels) = (sizes.layers.len(), sizes.channels.len());
            return Err(checkpoint.config_error(format!("`layers` has {layers} stages, `channels` has {channels}")));
        }
        plausible(checkpoint, "channels", &sizes.channels)?;
        let expansion = if layer == Layer::Bottleneck { EXPANSION } else { 1 };
        Ok(Self {
            task: ImageTask::of_timm(checkpoint, request, &config, "avg")?,
            naming: Naming::Timm,
            layer,
            activation: Activation::Relu,
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
        let scopes = match self.naming {
            Naming::Timm => Scopes::new(&root, "conv1", "bn1"),
            Naming::Transformers => {
                Scopes::new(&root, "embedder.embedder.convolution", "embedder.embedder.normalization")
            }
        };
        let stem = Convolution { input: 3, output: self.stem, window: Window::centred(7, 2) };
        let x = stem.forward(ops, &scopes, &image)?;
        let x = ops.activation(self.activation, &x);
        let mut x = ops.max_pool(Window::centred(3, 2), &x);
        let mut input = self.stem;
        for (stage, (&depth, &output)) in self.depths.iter().zip(&self.widths).enumerate() {
            for block in 0..depth {
                let stride = if block == 0 { self.stride(stage) } else { 1 };
                x = self.block(ops, &self.block_scope(stage, block), BlockSizes { input, output, stride }, &x)?;
                input = output;
            }
        }
        let pooled = ops.global_average_pool(&x);
        let head = match self.naming {
            Naming::Timm => "fc",
            Naming::Transformers => "classifier.1",
        };
        match self.task.outputs {
            ImageOutputs::Scores(output) => {
                output_scores_of(ops, &root.child(head), LinearWidths { input, output }, &pooled)
            }
            ImageOutputs::Features => {
                let ImageSize { height, width } = self.task.size;
                output_hidden(ops, &[input, self.positions(height), self.positions(width)], &x);
                output_pooled(ops, input, &pooled);
                Ok(())
            }
        }
    }

    /// By how much the first block of a stage reduces an edge.
    const fn stride(&self, stage: usize) -> usize {
        if stage > 0 || self.first_stage_strides { 2 } else { 1 }
    }

    /// Positions that are left of an edge of `length` pixels.
    fn positions(&self, length: usize) -> usize {
        let stem = Window::centred(3, 2).positions(Window::centred(7, 2).positions(length));
        let stages = self.depths.iter().enumerate().filter(|(_, depth)| **depth > 0);
        stages.fold(stem, |length, (stage, _)| Window::centred(3, self.stride(stage)).positions(length))
    }

    fn block_scope(&self, stage: usize, block: usize) -> Scope {
        Scope::root().child(match self.naming {
            Naming::Timm => format!("layer{}.{block}", stage + 1),
            Naming::Transformers => format!("encoder.stages.{stage}.layers.{block}"),
        })
    }

    /// The residual sum of a block's convolutions and its shortcut.
    fn block<O: Ops>(&self, ops: &mut O, scope: &Scope, sizes: BlockSizes, x: &O::Tensor) -> Result<O::Tensor> {
        let convolutions = self.convolutions(sizes);
        let mut inner = x.clone();
        for (index, convolution) in convolutions.iter().enumerate() {
            inner = convolution.forward(ops, &self.scopes(scope, index), &inner)?;
            if index + 1 < convolutions.len() {
                inner = ops.activation(INNER_ACTIVATION, &inner);
            }
        }
        let BlockSizes { input, output, stride } = sizes;
        let shortcut = if stride == 1 && input == output {
            x.clone()
        } else {
            let scopes = match self.naming {
                Naming::Timm => Scopes::new(scope, "downsample.0", "downsample.1"),
                Naming::Transformers => Scopes::new(scope, "shortcut.convolution", "shortcut.normalization"),
            };
            Convolution { input, output, window: Window::centred(1, stride) }.forward(ops, &scopes, x)?
        };
        let sum = ops.add(&inner, &shortcut);
        Ok(ops.activation(self.activation, &sum))
    }

    /// The convolutions of a block, in order.
    fn convolutions(&self, BlockSizes { input, output, stride }: BlockSizes) -> Vec<Convolution> {
        let convolution = |input, output, size, stride| {
            let window = Window::centred(size, stride);
            Convolution { input, output, window }
        };
        match self.layer {
            Layer::Basic => vec![convolution(input, output, 3, stride), convolution(output, output, 3, 1)],
            Layer::Bottleneck => {
                let inner = output / EXPANSION;
                let [first, second] = if self.strides_early { [stride, 1] } else { [1, stride] };
                vec![
                    convolution(input, inner, 1, first),
                    convolution(inner, inner, 3, second),
                    convolution(inner, output, 1, 1),
                ]
            }
        }
    }

    /// Scopes of the tensors of a block's convolution.
    fn scopes(&self, scope: &Scope, index: usize) -> Scopes {
        match self.naming {
            Naming::Timm => Scopes::new(scope, &format!("conv{}", index + 1), &format!("bn{}", index + 1)),
            Naming::Transformers => Scopes::new(&scope.child(format!("layer.{index}")), "convolution", "normalization"),
        }
    }
}

/// Channels that a block takes and gives, and its stride.
#[derive(Debug, Clone, Copy)]
struct BlockSizes {
    input: usize,
    output: usize,
    stride: usize,
}

/// Scopes of the tensors of a convolution and of the normalisation after it.
struct Scopes {
    convolution: Scope,
    normalization: Scope,
}

impl Scopes {
    fn new(scope: &Scope, convolution: &str, normalization: &str) -> Self {
        Self { convolution: scope.child(convolution), normalization: scope.child(normalization) }
    }
}

/// A convolution without bias, and the normalisation that gives it one.
#[derive(Debug, Clone, Copy)]
struct Convolution {
    input: usize,
    output: usize,
    window: Window,
}

impl Convolution {
    fn forward<O: Ops>(self, ops: &mut O, scopes: &Scopes, x: &O::Tensor) -> Result<O::Tensor> {
        let Self { input, output, window } = self;
        let x = ops.conv2d(&scopes.convolution, Conv2d { input, output, window, groups: 1, bias: false }, x)?;
        ops.batch_norm(&scopes.normalization, output, EPSILON, &x)
    }
}

/// What a timm name of this family stands for.
pub(super) fn timm_layers(name: &str) -> Option<TimmBlocks> {
    let (layer, layers) = match name {
        "resnet18" => (Layer::Basic, [2, 2, 2, 2]),
        "resnet34" => (Layer::Basic, [3, 4, 6, 3]),
        "resnet26" => (Layer::Bottleneck, [2, 2, 2, 2]),
        "resnet50" => (Layer::Bottleneck, [3, 4, 6, 3]),
        "resnet101" => (Layer::Bottleneck, [3, 4, 23, 3]),
        "resnet152" => (Layer::Bottleneck, [3, 8, 36, 3]),
        _ => return None,
    };
    Some(TimmBlocks { layer, layers })
}
