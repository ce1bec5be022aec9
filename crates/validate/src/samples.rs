//! What models are run on: the pipeline's samples, or those of a caller.

use crate::{Error, Result};
use planforge_core::{Dim, ImageSize, Model, NoProgress, Pipeline, Snapshot, digest_file, fixed_batch};
use planforge_engine::{
    Sample, fixed_length, is_token_input, missing_tokenizer, random_images, random_tensors, random_tokens, read_images,
    tokenize, tokenize_pairs,
};
use std::path::PathBuf;

/// Number of random samples for a pipeline that names none.
const RANDOM_SAMPLES: usize = 3;

/// Samples before they are turned into a model's inputs.
#[derive(Debug, Clone)]
pub enum Samples {
    /// Texts.
    Texts(Vec<String>),
    /// Pairs of texts: questions, each with the text that has its answer; queries with passages; premises with hypotheses.
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
    /// Random tokens, where there is no tokenizer for texts.
    RandomTokens {
        /// Number of texts.
        count: usize,
        /// Tokens of the longest.
        sequence: usize,
        /// Seed of the random numbers.
        seed: u64,
        /// Why there is no tokenizer.
        reason: String,
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

/// Whether planforge prepares the inputs that a model takes: images, or the tokens of the snapshot's tokenizer. A prebuilt
/// graph may take others.
#[must_use]
pub fn takes_prepared_inputs(model: &Model, over_images: bool, snapshot: &Snapshot) -> bool {
    if over_images {
        return image_size(model).is_ok();
    }
    let takes_tokens = model.inputs.iter().all(is_token_input);
    !model.prebuilt || takes_tokens && lacks_tokenizer(snapshot, model).is_none()
}

/// Why there is no tokenizer for the texts of a model; none where there is one, even if it is damaged.
#[must_use]
pub fn lacks_tokenizer(snapshot: &Snapshot, model: &Model) -> Option<String> {
    missing_tokenizer(snapshot, model.task).ok().flatten()
}

impl Samples {
    /// The samples of a pipeline for `model`: those that it names, else the default ones; random tokens where there is no
    /// tokenizer for these, and random numbers where planforge does not prepare the model's inputs.
    #[must_use]
    pub fn of_pipeline(spec: &Pipeline, snapshot: &Snapshot, model: &Model) -> Self {
        let over_images = spec.task.is_over_images();
        let (_, sequence) = spec.probe_request();
        let sequence = usize::try_from(sequence.unwrap_or(1)).unwrap_or(1);
        let pairs = &spec.export.sample_pairs;
        match &spec.export.samples {
            None if !pairs.is_empty() => {
                Self::Pairs(pairs.iter().map(|[first, second]| (first.clone(), second.clone())).collect())
            }
            None if !takes_prepared_inputs(model, over_images, snapshot) => {
                Self::RandomTensors { count: RANDOM_SAMPLES, sequence, seed: 0 }
            }
            Some(files) if over_images => Self::Images(files.iter().map(PathBuf::from).collect()),
            None if over_images => Self::RandomImages { count: RANDOM_SAMPLES, seed: 0 },
            None => match lacks_tokenizer(snapshot, model) {
                Some(reason) => Self::RandomTokens { count: RANDOM_SAMPLES, sequence, seed: 0, reason },
                None => Self::Texts(spec.sample_texts()),
            },
            Some(_) => Self::Texts(spec.sample_texts()),
        }
    }

    /// A sentence for the report, where the samples are not what people expect.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let Self::RandomTokens { seed, reason, .. } = self else { return None };
        Some(format!("The samples are random tokens from seed {seed}, since there is no tokenizer: {reason}."))
    }

    /// All samples as one batch for `model`.
    ///
    /// # Errors
    /// Samples that cannot be read or that the model does not take.
    pub fn batch(&self, snapshot: &Snapshot, model: &Model) -> Result<Sample> {
        let limit = model.max_sequence.unwrap_or(u64::MAX);
        let length = length_of(model);
        Ok(match self {
            Self::Texts(texts) => Sample::Text(tokenize(snapshot, model.task, texts, limit)?.padded_to(length)),
            Self::Pairs(pairs) => Sample::Text(tokenize_pairs(snapshot, model.task, pairs, limit)?.padded_to(length)),
            Self::RandomTokens { count, sequence, seed, .. } => {
                let longest = usize::try_from(limit).unwrap_or(usize::MAX).min(*sequence);
                // Of several lengths, so that padding is seen.
                let lengths = (0..*count).map(|index| (longest * (count - index) / count).max(1));
                let lengths: Vec<usize> = lengths.collect();
                Sample::Text(random_tokens(snapshot, model.task, &lengths, *seed)?.padded_to(length))
            }
            Self::Images(paths) => Sample::Image(read_images(snapshot, paths, image_size(model)?)?),
            Self::RandomImages { count, seed } => {
                Sample::Image(random_images(snapshot, *count, image_size(model)?, *seed)?)
            }
            Self::RandomTensors { count, sequence, seed } => {
                Sample::Tensors(random_tensors(model, *count, *sequence, *seed)?)
            }
        })
    }

    /// Each sample as a batch of its own; one batch of all where the inputs are random numbers for a fixed batch.
    ///
    /// # Errors
    /// As [`Samples::batch`].
    pub fn singles(&self, snapshot: &Snapshot, model: &Model) -> Result<Vec<Sample>> {
        Ok(match self.batch(snapshot, model)? {
            Sample::Text(texts) => {
                let length = length_of(model);
                (0..texts.batch).map(|index| Sample::Text(texts.one(index).padded_to(length))).collect()
            }
            whole @ Sample::Tensors(_) if fixed_batch(&model.inputs).is_some() => vec![whole],
            whole => (0..whole.batch()).map(|number| whole.select(&[number])).collect(),
        })
    }

    /// The second text of each pair; empty for other samples.
    #[must_use]
    pub fn second_texts(&self) -> Vec<String> {
        match self {
            Self::Pairs(pairs) => pairs.iter().map(|(_, second)| second.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// A name for each sample, for people: the text, the first of a pair or the file.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Texts(texts) => texts.clone(),
            Self::Pairs(pairs) => pairs.iter().map(|(first, _)| first.clone()).collect(),
            Self::Images(paths) => paths.iter().map(|path| path.display().to_string()).collect(),
            Self::RandomImages { count, .. } => (1..=*count).map(|number| format!("random image {number}")).collect(),
            Self::RandomTokens { count, .. } => (1..=*count).map(|number| format!("random tokens {number}")).collect(),
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
            Self::RandomTokens { count, sequence, seed, .. } => {
                vec![format!("{count} texts of up to {sequence} random tokens from {seed}")]
            }
            Self::RandomTensors { count, sequence, seed } => {
                vec![format!("{count} sets of random numbers of length {sequence} from {seed}")]
            }
        })
    }
}

/// Tokens that every text is padded to, for a graph that takes one length only; 0 for others.
fn length_of(model: &Model) -> usize {
    fixed_length(&model.inputs).and_then(|length| usize::try_from(length).ok()).unwrap_or(0)
}

/// Size of the images that a model takes.
fn image_size(model: &Model) -> Result<ImageSize> {
    let unfit = || Error::NoImageInput { inputs: model.inputs.iter().map(ToString::to_string).collect() };
    let [input] = model.inputs.as_slice() else { return Err(unfit()) };
    let [_, Dim::Fixed(3), Dim::Fixed(height), Dim::Fixed(width)] = input.dims.as_slice() else { return Err(unfit()) };
    let edge = |edge: u64| usize::try_from(edge).map_err(|_| unfit());
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
