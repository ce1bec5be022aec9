//! What exported models are run on: the pipeline's samples, or a person's own.

use crate::pipeline::steps::Run;
use anyhow::{Context, Result};
use planforge_core::{Digest, Dim, ImageSize, Model, NoProgress, Snapshot, digest_file};
use planforge_engine::{Sample, random_images, read_images, tokenize, tokenize_pairs};
use std::path::PathBuf;

/// Pictures made where a pipeline names none.
const RANDOM_PICTURES: usize = 3;

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
}

impl Run {
    /// The pipeline's samples.
    pub(crate) fn samples(&self) -> Samples {
        match &self.pipeline.export.samples {
            Some(files) if self.pipeline.task.is_over_images() => {
                Samples::Pictures(files.iter().map(PathBuf::from).collect())
            }
            None if self.pipeline.task.is_over_images() => Samples::RandomPictures(RANDOM_PICTURES, 0),
            _ => Samples::Texts(self.pipeline.sentences()),
        }
    }
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
            Self::Pictures(_) | Self::RandomPictures(..) => match self.batch(snapshot, model)? {
                Sample::Image(sample) => Ok((0..sample.batch).map(|index| Sample::Image(sample.one(index))).collect()),
                text @ Sample::Text(_) => Ok(vec![text]),
            },
        }
    }

    /// What a person calls each.
    pub(crate) fn names(&self) -> Vec<String> {
        match self {
            Self::Texts(texts) => texts.clone(),
            Self::Pairs(pairs) => pairs.iter().map(|(question, _)| question.clone()).collect(),
            Self::Pictures(paths) => paths.iter().map(|path| path.display().to_string()).collect(),
            Self::RandomPictures(count, _) => (1..=*count).map(|number| format!("random picture {number}")).collect(),
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
        })
    }
}

/// Size of the pictures a model takes.
pub(crate) fn image_size(model: &Model) -> Result<ImageSize> {
    let dims = model.inputs.first().map(|input| input.dims.as_slice());
    let Some([_, _, Dim::Fixed(height), Dim::Fixed(width)]) = dims else {
        anyhow::bail!("the model takes no pictures of a fixed size");
    };
    let edge = |edge: u64| usize::try_from(edge).context("the model's pictures are too large");
    Ok(ImageSize { height: edge(*height)?, width: edge(*width)? })
}
