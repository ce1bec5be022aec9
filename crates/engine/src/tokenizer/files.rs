//! Names of files.

/// A whole tokenizer.
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// Settings of a tokenizer.
pub(super) const SETTINGS: &str = "tokenizer_config.json";
/// Special tokens, as releases before 4.34 wrote them.
pub(super) const SPECIAL_TOKENS: &str = "special_tokens_map.json";
/// Tokens beyond the vocabulary, as releases before 4.34 wrote them.
pub(super) const ADDED_TOKENS: &str = "added_tokens.json";
