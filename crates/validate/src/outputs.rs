//! Outputs of a batch, split by sample, without the values of padding.

use planforge_engine::{Sample, TextSample};
use planforge_runtime::Tensor;

/// Outputs of question answering, which have one value for each token.
const ONE_VALUE_PER_TOKEN: [&str; 2] = ["start_logits", "end_logits"];

/// One output of a model, for each sample.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleOutputs {
    /// Name of the output.
    pub name: String,
    /// The values of each sample, without those of padding.
    pub values: Vec<Vec<f32>>,
}

/// The floating-point `outputs` of a model that was run on the batch `sample`, split by sample.
#[must_use]
pub fn outputs_per_sample(outputs: &[Tensor], sample: &Sample) -> Vec<SampleOutputs> {
    let split = |tensor: &Tensor| {
        let values = tensor.values.floats()?;
        let count = values.len() / sample.batch().max(1);
        let of_sample = |index: usize| {
            let all = &values[index * count..(index + 1) * count];
            match sample {
                Sample::Text(text) if is_per_token(tensor, text) => without_padding(all, text, index),
                _ => all.to_vec(),
            }
        };
        Some(SampleOutputs { name: tensor.name.clone(), values: (0..sample.batch()).map(of_sample).collect() })
    };
    outputs.iter().filter_map(split).collect()
}

/// Appends the samples of `more` to those of the same outputs in `outputs`.
pub fn append_samples(outputs: &mut Vec<SampleOutputs>, more: Vec<SampleOutputs>) {
    for output in more {
        match outputs.iter_mut().find(|known| known.name == output.name) {
            Some(known) => known.values.extend(output.values),
            None => outputs.push(output),
        }
    }
}

/// Whether an output has values for each token. The names of the two outputs with one value for each token tell a
/// sequence length from a width of the same size.
#[must_use]
pub fn is_per_token(tensor: &Tensor, sample: &TextSample) -> bool {
    let one_value = ONE_VALUE_PER_TOKEN.contains(&tensor.name.as_str());
    tensor.shape.get(1) == Some(&sample.sequence) && (tensor.shape.len() == 3 || one_value)
}

/// The rows of `values` whose tokens are not padding.
fn without_padding(values: &[f32], sample: &TextSample, index: usize) -> Vec<f32> {
    let mask = &sample.attention_mask[index * sample.sequence..(index + 1) * sample.sequence];
    let rows = values.chunks((values.len() / sample.sequence.max(1)).max(1)).zip(mask);
    rows.filter(|(_, kept)| **kept != 0).flat_map(|(row, _)| row.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_runtime::TensorValues;

    #[test]
    fn values_of_padding_are_left_out_of_outputs_per_token() {
        let sample = TextSample {
            batch: 2,
            sequence: 2,
            input_ids: vec![1, 2, 3, 0],
            attention_mask: vec![1, 1, 1, 0],
            token_type_ids: vec![0; 4],
            tokens: Vec::new(),
            second_spans: Vec::new(),
        };
        let tensor = Tensor::new("x", &[2, 2, 1], TensorValues::Fp32(vec![1.0, 2.0, 3.0, 9.0])).unwrap();
        let found = outputs_per_sample(&[tensor], &Sample::Text(sample));
        assert_eq!(found[0].values, [vec![1.0, 2.0], vec![3.0]]);
    }

    #[test]
    fn samples_are_appended_to_the_output_of_the_same_name() {
        let output = |name: &str, value: f32| SampleOutputs { name: name.to_owned(), values: vec![vec![value]] };
        let mut outputs = vec![output("a", 1.0)];
        append_samples(&mut outputs, vec![output("b", 2.0), output("a", 3.0)]);
        assert_eq!(outputs[0].values, [[1.0], [3.0]]);
        assert_eq!(outputs[1], output("b", 2.0));
    }
}
