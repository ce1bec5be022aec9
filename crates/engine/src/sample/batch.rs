//! A batch of either kind.

use super::image::ImageSample;
use super::tensors::TensorSample;
use super::text::TextSample;
use super::values::SampleValues;

/// What a model is run on.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// Tokenized texts.
    Text(TextSample),
    /// Preprocessed images.
    Image(ImageSample),
    /// Random numbers for inputs that are neither.
    Tensors(TensorSample),
}

impl Sample {
    /// Number of texts or images.
    #[must_use]
    pub const fn batch(&self) -> usize {
        match self {
            Self::Text(sample) => sample.batch,
            Self::Image(sample) => sample.batch,
            Self::Tensors(sample) => sample.batch,
        }
    }

    /// Shape and values of the model input `name`, if there are any for it.
    #[must_use]
    pub fn input(&self, name: &str) -> Option<(Vec<usize>, SampleValues<'_>)> {
        match self {
            Self::Text(sample) => {
                Some((vec![sample.batch, sample.sequence], SampleValues::Int64(sample.values(name)?)))
            }
            Self::Image(sample) => {
                let shape = vec![sample.batch, 3, sample.size.height, sample.size.width];
                Some((shape, SampleValues::Fp32(&sample.values)))
            }
            Self::Tensors(sample) => sample.input(name),
        }
    }

    /// A description of the batch: "a batch of 2 with 16 tokens each".
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Text(sample) => format!("a batch of {} with {} tokens each", sample.batch, sample.sequence),
            Self::Image(sample) => format!("a batch of {} images of {}", sample.batch, sample.size),
            Self::Tensors(sample) => format!("a batch of {} of random numbers", sample.batch),
        }
    }
}
