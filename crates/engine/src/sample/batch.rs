//! A batch of either kind.

use super::{ImageSample, TextSample};

/// What a model is run on.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// Tokenized texts.
    Text(TextSample),
    /// Preprocessed pictures.
    Image(ImageSample),
}

/// Elements of an input in row-major order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SampleValues<'a> {
    /// Token numbers and masks.
    Int64(&'a [i64]),
    /// Pixels.
    Fp32(&'a [f32]),
}

impl Sample {
    /// Number of texts or pictures.
    #[must_use]
    pub const fn batch(&self) -> usize {
        match self {
            Self::Text(sample) => sample.batch,
            Self::Image(sample) => sample.batch,
        }
    }

    /// Shape of every input.
    #[must_use]
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Text(sample) => vec![sample.batch, sample.sequence],
            Self::Image(sample) => vec![sample.batch, 3, sample.size.height, sample.size.width],
        }
    }

    /// The values of the model input `name`, if there are any for it.
    #[must_use]
    pub fn values(&self, name: &str) -> Option<SampleValues<'_>> {
        match self {
            Self::Text(sample) => sample.values(name).map(SampleValues::Int64),
            Self::Image(sample) => Some(SampleValues::Fp32(&sample.values)),
        }
    }

    /// The batch in words: "a batch of 2 with 16 tokens each".
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Text(sample) => format!("a batch of {} with {} tokens each", sample.batch, sample.sequence),
            Self::Image(sample) => format!("a batch of {} pictures of {}", sample.batch, sample.size),
        }
    }
}
