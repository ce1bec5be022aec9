//! What modules are applied to.

/// What a module is applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feature {
    /// The vector of each token.
    Tokens,
    /// The vector of each text.
    Sentence,
}

/// What a module is applied to, by the names of its input and output.
pub(super) fn feature(input: Option<&str>, output: Option<&str>) -> std::result::Result<Feature, String> {
    let input = input.unwrap_or("sentence_embedding");
    let output = output.unwrap_or(input);
    match input {
        _ if input != output => {
            Err(format!("`module_output_name` is `{output}`, expected `{input}` as `module_input_name`"))
        }
        "sentence_embedding" => Ok(Feature::Sentence),
        "token_embeddings" => Ok(Feature::Tokens),
        _ => Err(format!("`module_input_name` is `{input}`, expected sentence_embedding or token_embeddings")),
    }
}
