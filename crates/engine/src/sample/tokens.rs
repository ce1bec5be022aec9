//! Inputs that a tokenizer gives, under the names that exporters give them.

use planforge_core::{Dim, TensorSpec};

/// Names of the inputs over tokens: transformers' own, and those of TensorFlow's BERT and its conversions.
const NAMES: [(&str, &str); 7] = [
    ("input_ids", "input_ids"),
    ("input_word_ids", "input_ids"),
    ("attention_mask", "attention_mask"),
    ("input_mask", "attention_mask"),
    ("token_type_ids", "token_type_ids"),
    ("segment_ids", "token_type_ids"),
    ("input_type_ids", "token_type_ids"),
];

/// transformers' name of the input `name`, if a tokenizer gives its values. TensorFlow's names begin with that of a signature
/// and end in the number of a result.
pub(super) fn token_input(name: &str) -> Option<&'static str> {
    let name = name.strip_prefix("serving_default_").unwrap_or(name);
    let name = name.strip_suffix(":0").unwrap_or(name);
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, of_transformers)| *of_transformers)
}

/// Whether a tokenizer gives the values of an input: one number for each token of each text.
#[must_use]
pub fn is_token_input(input: &TensorSpec) -> bool {
    input.dims.len() == 2 && token_input(&input.name).is_some()
}

/// The number of tokens of a model that takes texts of one length only.
#[must_use]
pub fn fixed_length(inputs: &[TensorSpec]) -> Option<u64> {
    let length = |input: &TensorSpec| match input.dims[1] {
        Dim::Fixed(size) => Some(size),
        Dim::Dynamic(_) => None,
    };
    inputs.iter().filter(|input| is_token_input(input)).find_map(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::DataType;

    #[test]
    fn names_of_other_exporters_stand_for_the_same_inputs() {
        let names = ["input_ids", "input_ids:0", "serving_default_input_mask:0", "segment_ids:0", "position_ids"];
        let expected = [Some("input_ids"), Some("input_ids"), Some("attention_mask"), Some("token_type_ids"), None];
        assert_eq!(names.map(token_input), expected);
    }

    #[test]
    fn the_length_is_fixed_where_an_input_over_tokens_fixes_it() {
        let input = |name: &str, dims: &[Dim]| TensorSpec::new(name, DataType::Int32, dims.to_vec());
        let batch = Dim::dynamic("batch");
        let ids = input("input_ids", &[batch.clone(), Dim::Fixed(8)]);
        assert_eq!(fixed_length(&[input("features", &[batch.clone(), Dim::Fixed(3)]), ids]), Some(8));
        assert_eq!(fixed_length(&[input("input_ids", &[batch, Dim::dynamic("sequence")])]), None);
    }
}
