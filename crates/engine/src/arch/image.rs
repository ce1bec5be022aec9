//! The input, the output and the configuration that classifiers of images share.

use super::labels::labels;
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

impl ImageTask {
    /// Checks the task. `native` is the size the checkpoint was trained for, `asked` the pipeline's.
    ///
    /// # Errors
    /// Another task, channels other than three, and no class to choose.
    fn new(
        checkpoint: &Checkpoint,
        task: Task,
        (channels, labels): (usize, usize),
        (native, asked): (ImageSize, Option<ImageSize>),
    ) -> Result<Self> {
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
        if channels != CHANNELS {
            return Err(checkpoint.config_error(format!("images have {channels} channels, expected {CHANNELS}")));
        }
        let size = asked.unwrap_or(native);
        let size = ImageSize::try_from(<[usize; 2]>::from(size)).map_err(|message| checkpoint.config_error(message))?;
        Ok(Self { size, labels })
    }

    /// As [`Self::new`], for a configuration of transformers: square images, and a name for each label.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn of_transformers(
        checkpoint: &Checkpoint,
        task: Task,
        (channels, edge): (usize, usize),
        asked: Option<ImageSize>,
    ) -> Result<Self> {
        let (native, labels) = (ImageSize { height: edge, width: edge }, labels(&checkpoint.config).len());
        Self::new(checkpoint, task, (channels, labels), (native, asked))
    }

    /// As [`Self::new`], from timm's configuration.
    ///
    /// # Errors
    /// As [`Self::new`], and another pooling before the head than `pooling`.
    pub(super) fn of_timm(
        checkpoint: &Checkpoint,
        task: Task,
        config: &TimmConfig,
        (pooling, asked): (&str, Option<ImageSize>),
    ) -> Result<Self> {
        let found = config.pooling().unwrap_or(pooling);
        if found != pooling {
            return Err(checkpoint.config_error(format!("`global_pool` is `{found}`, expected `{pooling}`")));
        }
        let [channels, ..] = config.pretrained_cfg.input_size;
        Self::new(checkpoint, task, (channels, config.num_classes), (config.native_size(), asked))
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

/// Far wider than any network; sizes up to it can be multiplied without overflow.
const MAX_WIDTH: usize = 1 << 20;

/// Refuses widths that no network has.
///
/// # Errors
/// [`Error::Config`] naming the key.
pub(super) fn plausible(checkpoint: &Checkpoint, key: &str, widths: &[usize]) -> Result<()> {
    match widths.iter().find(|&&width| width == 0 || width > MAX_WIDTH) {
        Some(width) => {
            Err(checkpoint.config_error(format!("`{key}` has the value {width}, expected 1 to {MAX_WIDTH}")))
        }
        None => Ok(()),
    }
}
