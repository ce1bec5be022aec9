//! The input, the output and the configuration that classifiers of images share.

use super::labels::labels;
use super::request::Request;
use super::timm::TimmConfig;
use crate::checkpoint::Checkpoint;
use crate::ops::LinearWidths;
use crate::{Error, Ops, Result, Scope};
use planforge_core::{DataType, Dim, ImageSize, Task, TensorSpec};

/// Names of the input and the output, as Triton's `pytorch` backend numbers them.
const INPUT: &str = "INPUT__0";
const OUTPUT: &str = "OUTPUT__0";

/// Colours of an image; grey and multispectral models are not described.
const CHANNELS: usize = 3;

/// Whose names a checkpoint's tensors have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// pytorch-image-models.
    Timm,
    /// transformers.
    Transformers,
}

/// What a classifier of images is given and gives.
#[derive(Debug, Clone, Copy)]
pub(super) struct ImageTask {
    /// Size of the images.
    pub(super) size: ImageSize,
    /// Number of classes.
    pub(super) labels: usize,
}

/// The images that a checkpoint was trained for.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrainedImages {
    /// Colours.
    pub(super) channels: usize,
    /// Size.
    pub(super) size: ImageSize,
}

impl TrainedImages {
    /// Square images.
    pub(super) const fn square(channels: usize, edge: usize) -> Self {
        Self { channels, size: ImageSize { height: edge, width: edge } }
    }
}

impl ImageTask {
    /// Checks the request for a checkpoint with `labels` classes.
    ///
    /// # Errors
    /// Another task, channels other than three, and no class to choose.
    fn new(checkpoint: &Checkpoint, request: Request, trained: TrainedImages, labels: usize) -> Result<Self> {
        let task = request.task;
        let fail =
            |message: String| Error::Task { task: task.to_string(), repo: checkpoint.snapshot.repo.clone(), message };
        if task != Task::ImageClassification {
            return Err(fail(format!(
                "model type `{}` is for images; use `image-classification`",
                checkpoint.model_type
            )));
        }
        if labels == 0 {
            return Err(fail("it has no classification head".to_owned()));
        }
        if trained.channels != CHANNELS {
            let channels = trained.channels;
            return Err(checkpoint.config_error(format!("images have {channels} channels, expected {CHANNELS}")));
        }
        let size = request.image_size.unwrap_or(trained.size);
        let size = ImageSize::try_from(<[usize; 2]>::from(size)).map_err(|message| checkpoint.config_error(message))?;
        Ok(Self { size, labels })
    }

    /// As [`Self::new`], for a configuration of transformers, which names each label.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn of_transformers(checkpoint: &Checkpoint, request: Request, trained: TrainedImages) -> Result<Self> {
        Self::new(checkpoint, request, trained, labels(&checkpoint.config).len())
    }

    /// As [`Self::new`], from timm's configuration.
    ///
    /// # Errors
    /// As [`Self::new`], and another pooling before the head than `pooling`.
    pub(super) fn of_timm(
        checkpoint: &Checkpoint,
        request: Request,
        config: &TimmConfig,
        pooling: &str,
    ) -> Result<Self> {
        let found = config.pooling().unwrap_or(pooling);
        if found != pooling {
            return Err(checkpoint.config_error(format!("`global_pool` is `{found}`, expected `{pooling}`")));
        }
        let [channels, ..] = config.pretrained_cfg.input_size;
        let trained = TrainedImages { channels, size: config.native_size() };
        Self::new(checkpoint, request, trained, config.num_classes)
    }

    /// The graph input `[batch, 3, height, width]`.
    pub(super) fn input<O: Ops>(self, ops: &mut O) -> O::Tensor {
        let fixed = [CHANNELS, self.size.height, self.size.width].map(|size| Dim::Fixed(size as u64));
        let dims = std::iter::once(Dim::dynamic("batch")).chain(fixed).collect();
        ops.input(&TensorSpec::new(INPUT, DataType::Fp32, dims))
    }

    /// The graph output `[batch, labels]`: the scores by the product in `head`.
    pub(super) fn output<O: Ops>(self, ops: &mut O, head: &Scope, width: usize, pooled: &O::Tensor) -> Result<()> {
        let scores = ops.linear(head, LinearWidths { input: width, output: self.labels }, pooled)?;
        self.output_scores(ops, &scores);
        Ok(())
    }

    /// The graph output `[batch, labels]`.
    pub(super) fn output_scores<O: Ops>(self, ops: &mut O, scores: &O::Tensor) {
        let dims = vec![Dim::dynamic("batch"), Dim::Fixed(self.labels as u64)];
        ops.output(&TensorSpec::new(OUTPUT, DataType::Fp32, dims), scores);
    }
}
