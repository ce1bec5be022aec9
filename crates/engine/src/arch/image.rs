//! The input, the outputs and the configuration that models over images share.

use super::labels::labels;
use super::request::Request;
use super::timm::TimmConfig;
use crate::checkpoint::Checkpoint;
use crate::image_processor::ImageProcessor;
use crate::ops::LinearWidths;
use crate::{Error, Ops, Result, Scope};
use planforge_core::{DataType, Dim, ImageSize, Task, TensorSpec};

/// Names of the input and of the classifier's output, as Triton's `pytorch` backend numbers them.
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

/// What a model over images is given and gives.
#[derive(Debug, Clone, Copy)]
pub(super) struct ImageTask {
    /// Size of the images.
    pub(super) size: ImageSize,
    /// Its outputs.
    pub(super) outputs: ImageOutputs,
}

/// The outputs of a model over images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImageOutputs {
    /// A score for each class; their number.
    Scores(usize),
    /// The last hidden state and the vector that a head would be given.
    Features,
}

/// The images that a checkpoint was trained for.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrainedImages {
    /// Colours.
    pub(super) channels: usize,
    /// Size.
    pub(super) size: ImageSize,
}

impl ImageTask {
    /// Checks the request for a checkpoint with `labels` classes.
    ///
    /// # Errors
    /// A task over texts, channels other than three, and no class to choose.
    fn new(checkpoint: &Checkpoint, request: Request, trained: TrainedImages, labels: usize) -> Result<Self> {
        let task = request.task;
        let fail =
            |message: String| Error::Task { task: task.to_string(), repo: checkpoint.snapshot.repo.clone(), message };
        let outputs = match task {
            Task::ImageClassification if labels == 0 => {
                return Err(fail("it has no classification head; use `image-feature-extraction`".to_owned()));
            }
            Task::ImageClassification => ImageOutputs::Scores(labels),
            Task::ImageFeatureExtraction => ImageOutputs::Features,
            _ => {
                let model_type = &checkpoint.model_type;
                return Err(fail(format!(
                    "model type `{model_type}` is for images; use `image-classification` or `image-feature-extraction`"
                )));
            }
        };
        if trained.channels != CHANNELS {
            let channels = trained.channels;
            return Err(checkpoint.config_error(format!("images have {channels} channels, expected {CHANNELS}")));
        }
        let size = request.image_size.unwrap_or(trained.size);
        let size = ImageSize::try_from(<[usize; 2]>::from(size)).map_err(|message| checkpoint.config_error(message))?;
        Ok(Self { size, outputs })
    }

    /// As [`Self::new`], for a configuration of transformers, which names each label. Where the checkpoint describes how
    /// images are prepared, their size is that of the prepared images.
    ///
    /// # Errors
    /// As [`Self::new`], and a preparation that is not described.
    pub(super) fn of_transformers(checkpoint: &Checkpoint, request: Request, trained: TrainedImages) -> Result<Self> {
        let prepared = match request.image_size {
            Some(size) => Some(size),
            None => ImageProcessor::find(&checkpoint.snapshot)?.and_then(|processor| processor.output_size()),
        };
        let request = Request { image_size: prepared, ..request };
        Self::new(checkpoint, request, trained, labels(checkpoint)?.len())
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
        Self::new(checkpoint, request, trained, config.num_classes())
    }

    /// The graph input `[batch, 3, height, width]`.
    pub(super) fn input<O: Ops>(self, ops: &mut O) -> O::Tensor {
        let fixed = [CHANNELS, self.size.height, self.size.width].map(|size| Dim::Fixed(size as u64));
        let dims = std::iter::once(Dim::dynamic("batch")).chain(fixed).collect();
        ops.input(&TensorSpec::new(INPUT, DataType::Fp32, dims))
    }
}

/// The graph output `[batch, labels]`: the scores by the product in `head`.
pub(super) fn output_scores_of<O: Ops>(
    ops: &mut O,
    head: &Scope,
    widths: LinearWidths,
    pooled: &O::Tensor,
) -> Result<()> {
    let scores = ops.linear(head, widths, pooled)?;
    output_scores(ops, widths.output, &scores);
    Ok(())
}

/// The graph output `[batch, labels]`.
pub(super) fn output_scores<O: Ops>(ops: &mut O, labels: usize, scores: &O::Tensor) {
    output(ops, OUTPUT, &[labels], scores);
}

/// The graph output `last_hidden_state`: `[batch, tokens, width]`, or `[batch, channels, height, width]`.
pub(super) fn output_hidden<O: Ops>(ops: &mut O, dims: &[usize], hidden: &O::Tensor) {
    output(ops, "last_hidden_state", dims, hidden);
}

/// The graph output `pooler_output` `[batch, width]`.
pub(super) fn output_pooled<O: Ops>(ops: &mut O, width: usize, pooled: &O::Tensor) {
    output(ops, "pooler_output", &[width], pooled);
}

fn output<O: Ops>(ops: &mut O, name: &str, dims: &[usize], value: &O::Tensor) {
    let dims = dims.iter().map(|&size| Dim::Fixed(size as u64));
    let dims = std::iter::once(Dim::dynamic("batch")).chain(dims).collect();
    ops.output(&TensorSpec::new(name, DataType::Fp32, dims), value);
}
