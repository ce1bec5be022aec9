//! A batch of either kind.

use super::image::ImageSample;
use super::tensors::TensorSample;
use super::text::TextSample;
use super::tokens::token_input;
use super::values::{SampleValues, select_rows};

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
                let values = sample.values(token_input(name)?)?;
                Some((vec![sample.batch, sample.sequence], SampleValues::Int64(values)))
            }
            Self::Image(sample) => {
                let shape = vec![sample.batch, 3, sample.size.height, sample.size.width];
                Some((shape, SampleValues::Fp32(&sample.values)))
            }
            Self::Tensors(sample) => sample.input(name),
        }
    }

    /// The samples of these numbers as a batch of their own, each as often as its number is there.
    #[must_use]
    pub fn select(&self, numbers: &[usize]) -> Self {
        match self {
            Self::Text(sample) => Self::Text(select_texts(sample, numbers)),
            Self::Image(sample) => {
                let values = select_rows(&sample.values, sample.batch, numbers);
                Self::Image(ImageSample { batch: numbers.len(), values, ..*sample })
            }
            Self::Tensors(sample) => Self::Tensors(sample.select(numbers)),
        }
    }

    /// Batches of exactly `size` samples; the last is filled up with the first samples.
    #[must_use]
    pub fn in_batches_of(&self, size: usize) -> Vec<Self> {
        let numbers: Vec<usize> = (0..self.batch().next_multiple_of(size.max(1))).map(|at| at % self.batch()).collect();
        numbers.chunks(size.max(1)).map(|numbers| self.select(numbers)).collect()
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

fn select_texts(sample: &TextSample, numbers: &[usize]) -> TextSample {
    TextSample {
        batch: numbers.len(),
        sequence: sample.sequence,
        input_ids: select_rows(&sample.input_ids, sample.batch, numbers),
        attention_mask: select_rows(&sample.attention_mask, sample.batch, numbers),
        token_type_ids: select_rows(&sample.token_type_ids, sample.batch, numbers),
        tokens: select_rows(&sample.tokens, sample.batch, numbers),
        second_spans: select_rows(&sample.second_spans, sample.batch, numbers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_batch_of_a_fixed_size_is_filled_up() {
        let sample = Sample::Text(TextSample {
            batch: 3,
            sequence: 2,
            input_ids: vec![1, 2, 3, 4, 5, 6],
            attention_mask: vec![1, 1, 1, 1, 1, 0],
            token_type_ids: vec![0; 6],
            tokens: Vec::new(),
            second_spans: Vec::new(),
        });
        let ids = |sample: &Sample| match sample.input("input_ids") {
            Some((shape, SampleValues::Int64(ids))) => (shape, ids.to_vec()),
            _ => panic!(),
        };
        let batches: Vec<_> = sample.in_batches_of(2).iter().map(ids).collect();
        assert_eq!(batches, [(vec![2, 2], vec![1, 2, 3, 4]), (vec![2, 2], vec![5, 6, 1, 2])]);
    }
}
