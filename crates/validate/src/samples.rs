//! What models are run on: the pipeline's samples, or those of a caller.

use crate::{Error, Result};
use planforge_core::{Dim, ImageSize, Model, NoProgress, Pipeline, Snapshot, digest_file};
use planforge_engine::{Sample, random_images, random_tensors, read_images, tokenize, tokenize_pairs};
use std::path::PathBuf;

/// Number of random samples for a pipeline that names none.
const RANDOM_SAMPLES: usize = 3;

/// Samples before they are turned into a model's inputs.
#[derive(Debug, Clone)]
pub enum Samples {
    /// Texts.
    Texts(Vec<String>),
    /// Questions, each with the text that has its answer.
    Pairs(Vec<(String, String)>),
    /// Image files.
    Images(Vec<PathBuf>),
    /// Images of random pixels.
    RandomImages {
        /// Number of images.
        count: usize,
        /// Seed of the random numbers.
        seed: u64,
    },
    /// Random numbers for any inputs.
    RandomTensors {
        /// Number of samples.
        count: usize,
        /// Length of each dynamic dimension other than the batch.
        sequence: usize,
        /// Seed of the random numbers.
        seed: u64,
    },
}

/// Whether planforge prepares the inputs that a model takes: images, or the tokens of the snapshot's tokenizer. A graph
/// that is taken as it is may take others.
#[must_use]
pub fn takes_prepared_inputs(model: &Model, over_images: bool, snapshot: &Snapshot) -> bool {
    if over_images {
        return image_size(model).is_ok();
    }
    let tokens = ["input_ids", "attention_mask", "token_type_ids"];
    let takes_tokens = model.inputs.iter().all(|input| tokens.contains(&input.name.as_str()));
    !model.prebuilt || takes_tokens && snapshot.file("tokenizer.json").is_some()
}

impl Samples {
    /// The samples of a pipeline for `model`: those that it names, else the default ones, else random numbers where
    /// planforge does not prepare the model's inputs.
    #[must_use]
    pub fn of_pipeline(spec: &Pipeline, snapshot: &Snapshot, model: &Model) -> Self {
        let over_images = spec.task.is_over_images();
        match &spec.export.samples {
            None if !takes_prepared_inputs(model, over_images, snapshot) => {
                let (_, sequence) = spec.probe_request();
                let sequence = usize::try_from(sequence.unwrap_or(1)).unwrap_or(1);
                Self::RandomTensors { count: RANDOM_SAMPLES, sequence, seed: 0 }
            }
            Some(files) if over_images => Self::Images(files.iter().map(PathBuf::from).collect()),
            None if over_images => Self::RandomImages { count: RANDOM_SAMPLES, seed: 0 },
            _ => Self::Texts(spec.sample_texts()),
        }
    }

    /// All samples as one batch for `model`.
    ///
    /// # Errors
    /// Samples that cannot be read or that the model does not take.
    pub fn batch(&self, snapshot: &Snapshot, model: &Model) -> Result<Sample> {
        let limit = model.max_sequence.unwrap_or(u64::MAX);
        Ok(match self {
            Self::Texts(texts) => Sample::Text(tokenize(snapshot, texts, limit)?),
            Self::Pairs(pairs) => Sample::Text(tokenize_pairs(snapshot, pairs, limit)?),
            Self::Images(paths) => Sample::Image(read_images(snapshot, paths, image_size(model)?)?),
            Self::RandomImages { count, seed } => {
                Sample::Image(random_images(snapshot, *count, image_size(model)?, *seed)?)
            }
            Self::RandomTensors { count, sequence, seed } => {
                Sample::Tensors(random_tensors(model, *count, *sequence, *seed)?)
            }
        })
    }

    /// Each sample as a batch of its own; one batch of all where the model has no dynamic batch dimension.
    ///
    /// # Errors
    /// As [`Samples::batch`].
    pub fn singles(&self, snapshot: &Snapshot, model: &Model) -> Result<Vec<Sample>> {
        match self {
            Self::Texts(texts) => {
                texts.iter().map(|text| Self::Texts(vec![text.clone()]).batch(snapshot, model)).collect()
            }
            Self::Pairs(pairs) => {
                pairs.iter().map(|pair| Self::Pairs(vec![pair.clone()]).batch(snapshot, model)).collect()
            }
            Self::Images(_) | Self::RandomImages { .. } | Self::RandomTensors { .. } => {
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

    /// A name for each sample, for people: the text, the question or the file.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Texts(texts) => texts.clone(),
            Self::Pairs(pairs) => pairs.iter().map(|(question, _)| question.clone()).collect(),
            Self::Images(paths) => paths.iter().map(|path| path.display().to_string()).collect(),
            Self::RandomImages { count, .. } => (1..=*count).map(|number| format!("random image {number}")).collect(),
            Self::RandomTensors { count, .. } => {
                (1..=*count).map(|number| format!("random numbers {number}")).collect()
            }
        }
    }

    /// What tells these samples from others, for cache keys.
    ///
    /// # Errors
    /// Image files that cannot be read.
    pub fn identity(&self) -> Result<Vec<String>> {
        Ok(match self {
            Self::Texts(texts) => texts.clone(),
            Self::Pairs(pairs) => pairs.iter().map(|(first, second)| format!("{first}\n{second}")).collect(),
            Self::Images(paths) => {
                let digest = |path: &PathBuf| Ok(digest_file(path, &NoProgress)?.to_string());
                paths.iter().map(digest).collect::<Result<_>>()?
            }
            // prose: part of cache keys
            Self::RandomImages { count, seed } => vec![format!("{count} random pictures from {seed}")],
            Self::RandomTensors { count, sequence, seed } => {
                vec![format!("{count} sets of random numbers of length {sequence} from {seed}")]
            }
        })
    }
}

/// Size of the images that a model takes.
fn image_size(model: &Model) -> Result<ImageSize> {
    let dims = model.inputs.first().map(|input| input.dims.as_slice());
    let Some([_, Dim::Fixed(3), Dim::Fixed(height), Dim::Fixed(width)]) = dims else {
        return Err(Error::NoImageInput);
    };
    let edge = |edge: u64| usize::try_from(edge).map_err(|_| Error::NoImageInput);
    Ok(ImageSize { height: edge(*height)?, width: edge(*width)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_told_apart_by_all_that_decides_them() {
        let random = |count, seed| Samples::RandomImages { count, seed }.identity().unwrap();
        assert_ne!(random(2, 0), random(2, 1));
        assert_ne!(random(2, 0), random(3, 0));
        let texts = Samples::Texts(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(texts.identity().unwrap(), ["a", "b"]);
        assert_eq!(texts.names(), ["a", "b"]);
    }

    #[test]
    fn an_image_file_that_cannot_be_read_is_an_error_that_names_it() {
        let error = Samples::Images(vec!["/nowhere/cat.png".into()]).identity().unwrap_err().to_string();
        assert!(error.contains("/nowhere/cat.png"), "{error}");
    }
}
