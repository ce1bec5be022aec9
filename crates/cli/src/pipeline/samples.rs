//! What exported models are run on: the pipeline's samples, or a person's own.

use crate::pipeline::steps::Run;
use anyhow::{Context, Result};
use planforge_core::{Digest, Dim, ImageSize, Model, NoProgress, Snapshot, digest_file};
use planforge_engine::{Sample, random_images, random_tensors, read_images, tokenize, tokenize_pairs};
use std::path::PathBuf;

/// Pictures, or sets of numbers, made where a pipeline names none.
const RANDOM_SAMPLES: usize = 3;

/// Samples before they are turned into a model's inputs.
#[derive(Debug, Clone)]
pub(crate) enum Samples {
    /// Texts.
    Texts(Vec<String>),
    /// Questions, and the texts that answer them.
    Pairs(Vec<(String, String)>),
    /// Files of pictures.
    Pictures(Vec<PathBuf>),
    /// So many pictures that mean nothing, from this seed.
    RandomPictures(usize, u64),
    /// Random numbers for any inputs: samples, length of each where it has one, seed.
    RandomTensors(usize, usize, u64),
}

impl Run {
    /// The pipeline's samples for `model`: random ones for a graph of the repository's own that takes neither pictures
    /// nor tokens as planforge makes them.
    pub(crate) fn samples(&self, snapshot: &Snapshot, model: &Model) -> Samples {
        let over_images = self.pipeline.task.is_over_images();
        match &self.pipeline.export.samples {
            None if !is_usual(over_images, snapshot, model) => {
                let sequence = self.pipeline.probe_request().1.unwrap_or(1);
                Samples::RandomTensors(RANDOM_SAMPLES, usize::try_from(sequence).unwrap_or(1), 0)
            }
            Some(files) if over_images => Samples::Pictures(files.iter().map(PathBuf::from).collect()),
            None if over_images => Samples::RandomPictures(RANDOM_SAMPLES, 0),
            _ => Samples::Texts(self.pipeline.sentences()),
        }
    }
}

/// Whether a model takes pictures, or the tokens of a tokenizer that is there. All that planforge describes do.
pub(super) fn is_usual(over_images: bool, snapshot: &Snapshot, model: &Model) -> bool {
    if over_images {
        return image_size(model).is_ok();
    }
    let tokens = ["input_ids", "attention_mask", "token_type_ids"];
    let takes_tokens = model.inputs.iter().all(|input| tokens.contains(&input.name.as_str()));
    !model.taken_as_is || takes_tokens && snapshot.file("tokenizer.json").is_some()
}

impl Samples {
    /// All together as one batch for `model`.
    pub(crate) fn batch(&self, snapshot: &Snapshot, model: &Model) -> Result<Sample> {
        let limit = model.max_sequence.unwrap_or(u64::MAX);
        Ok(match self {
            Self::Texts(texts) => Sample::Text(tokenize(snapshot, texts, limit)?),
            Self::Pairs(pairs) => Sample::Text(tokenize_pairs(snapshot, pairs, limit)?),
            Self::Pictures(paths) => Sample::Image(read_images(snapshot, paths, image_size(model)?)?),
            Self::RandomPictures(count, seed) => {
                Sample::Image(random_images(snapshot, *count, image_size(model)?, *seed)?)
            }
            Self::RandomTensors(count, sequence, seed) => {
                Sample::Tensors(random_tensors(model, (*count, *sequence), *seed)?)
            }
        })
    }

    /// Each in a batch of its own.
    pub(crate) fn singles(&self, snapshot: &Snapshot, model: &Model) -> Result<Vec<Sample>> {
        match self {
            Self::Texts(texts) => {
                texts.iter().map(|text| Self::Texts(vec![text.clone()]).batch(snapshot, model)).collect()
            }
            Self::Pairs(pairs) => {
                pairs.iter().map(|pair| Self::Pairs(vec![pair.clone()]).batch(snapshot, model)).collect()
            }
            Self::Pictures(_) | Self::RandomPictures(..) | Self::RandomTensors(..) => {
                let has_batch = model.inputs.iter().all(|input| matches!(input.dims.first(), Some(Dim::Dynamic(_))));
                Ok(match self.batch(snapshot, model)? {
                    Sample::Image(sample) if has_batch => {
                        (0..sample.batch).map(|index| Sample::Image(sample.one(index))).collect()
                    }
                    Sample::Tensors(sample) if has_batch => {
                        (0..sample.batch).map(|index| Sample::Tensors(sample.one(index))).collect()
                    }
                    whole => vec![whole],
                })
            }
        }
    }

    /// What a person calls each.
    pub(crate) fn names(&self) -> Vec<String> {
        match self {
            Self::Texts(texts) => texts.clone(),
            Self::Pairs(pairs) => pairs.iter().map(|(question, _)| question.clone()).collect(),
            Self::Pictures(paths) => paths.iter().map(|path| path.display().to_string()).collect(),
            Self::RandomPictures(count, _) => (1..=*count).map(|number| format!("random picture {number}")).collect(),
            Self::RandomTensors(count, ..) => (1..=*count).map(|number| format!("random numbers {number}")).collect(),
        }
    }

    /// What tells these samples from others.
    pub(crate) fn identity(&self) -> Result<Vec<String>> {
        Ok(match self {
            Self::Texts(texts) => texts.clone(),
            Self::Pairs(pairs) => pairs.iter().map(|(first, second)| format!("{first}\n{second}")).collect(),
            Self::Pictures(paths) => {
                let digests =
                    paths.iter().map(|path| digest_file(path, &NoProgress)).collect::<Result<Vec<Digest>, _>>()?;
                digests.iter().map(ToString::to_string).collect()
            }
            Self::RandomPictures(count, seed) => vec![format!("{count} random pictures from {seed}")],
            Self::RandomTensors(count, sequence, seed) => {
                vec![format!("{count} sets of random numbers of length {sequence} from {seed}")]
            }
        })
    }
}

/// Size of the pictures a model takes.
pub(crate) fn image_size(model: &Model) -> Result<ImageSize> {
    let dims = model.inputs.first().map(|input| input.dims.as_slice());
    let Some([_, Dim::Fixed(3), Dim::Fixed(height), Dim::Fixed(width)]) = dims else {
        anyhow::bail!("the model takes no pictures as three planes of a fixed size");
    };
    let edge = |edge: u64| usize::try_from(edge).context("the model's pictures are too large");
    Ok(ImageSize { height: edge(*height)?, width: edge(*width)? })
}
