//! `tokenizer_config.json`.

use super::files::SETTINGS;
use super::tokens::Tokens;
use crate::Result;
use crate::json::{file_error, in_folder, read_json_if_there};
use planforge_core::Snapshot;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Settings of a tokenizer; the defaults of its class where a file does not have them.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    /// Name of the class.
    pub(super) class: Option<String>,
    /// Whether texts are lower-cased.
    pub(super) do_lower_case: Option<bool>,
    /// Whether accents are removed; where texts are lower-cased if it is not there.
    pub(super) strip_accents: Option<bool>,
    /// Whether each Chinese character is a word.
    pub(super) tokenize_chinese_chars: Option<bool>,
    /// Whether a text starts as if after a space.
    pub(super) add_prefix_space: Option<bool>,
    /// Whether the bytes of a token leave out the spaces around it.
    pub(super) trim_offsets: Option<bool>,
    /// Most tokens of a text.
    pub(super) max_length: Option<u64>,
    /// Where padding goes.
    pub(super) padding_side: Option<Side>,
    /// Where a text that is too long is cut.
    pub(super) truncation_side: Option<Side>,
    /// Inputs that the tokenizer gives.
    pub(super) model_input_names: Option<Vec<String>>,
    /// Whether special tokens in a text are split like words.
    pub(super) split_special_tokens: bool,
    /// Special tokens and tokens beyond the vocabulary.
    pub(super) tokens: Tokens,
}

/// An end of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Side {
    /// Its start.
    Left,
    /// Its end.
    Right,
}

/// The file, but for tokens.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    tokenizer_class: Option<String>,
    do_lower_case: Option<bool>,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
    add_prefix_space: Option<bool>,
    trim_offsets: Option<bool>,
    model_max_length: Option<f64>,
    max_len: Option<f64>,
    padding_side: Option<Side>,
    truncation_side: Option<Side>,
    model_input_names: Option<Vec<String>>,
    split_special_tokens: Option<bool>,
}

/// Arguments of the reference's own code, which it would take from the file too; no library writes them.
const OF_CODE: [&str; 11] = [
    "_json_padding",
    "_json_truncation",
    "_spm_precompiled_charsmap",
    "gguf_file",
    "init_inputs",
    "merges",
    "post_processor",
    "tokenizer_object",
    "tokenizer_padding",
    "tokenizer_truncation",
    "vocab",
];

/// Refuses values of [`OF_CODE`].
fn refuse_arguments_of_code(values: &Map<String, Value>) -> std::result::Result<(), String> {
    let is_none = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let found = OF_CODE.iter().find_map(|key| Some((key, values.get(*key).filter(|value| !is_none(value))?)));
    found.map_or(Ok(()), |(key, value)| Err(format!("key `{key}`: unsupported value {value}; expected no such key")))
}

impl Settings {
    /// The settings of the tokenizer in `folder`.
    ///
    /// # Errors
    /// Files of another shape, and values that no tokenizer takes.
    pub(super) fn read(snapshot: &Snapshot, folder: &str) -> Result<Self> {
        let file = in_folder(folder, SETTINGS);
        let values: Map<String, Value> = read_json_if_there(snapshot, &file)?.unwrap_or_default();
        let written: Written = serde_json::from_value(Value::Object(values.clone()))
            .map_err(|error| file_error(snapshot, &file, error.to_string()))?;
        let fail = |message: String| file_error(snapshot, &file, message);
        refuse_arguments_of_code(&values).map_err(fail)?;
        Ok(Self {
            max_length: longest(written.model_max_length.or(written.max_len)).map_err(fail)?,
            class: written.tokenizer_class,
            do_lower_case: written.do_lower_case,
            strip_accents: written.strip_accents,
            tokenize_chinese_chars: written.tokenize_chinese_chars,
            // The reference takes `null` for false where the default of the class is true.
            add_prefix_space: written.add_prefix_space.or(values.contains_key("add_prefix_space").then_some(false)),
            trim_offsets: written.trim_offsets,
            padding_side: written.padding_side,
            truncation_side: written.truncation_side,
            model_input_names: written.model_input_names,
            split_special_tokens: written.split_special_tokens.unwrap_or_default(),
            tokens: Tokens::read(snapshot, folder, &file, &values)?,
        })
    }
}

/// Tokens of the longest text; files write 10^30 for no limit.
fn longest(length: Option<f64>) -> std::result::Result<Option<u64>, String> {
    match length {
        None => Ok(None),
        Some(length) if length >= u64::MAX as f64 => Ok(None),
        Some(length) if length >= 1.0 && length.fract() == 0.0 => Ok(Some(length as u64)),
        Some(length) => Err(format!("`model_max_length` is {length}, expected a number of tokens")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::reference;

    /// Keys that this folder reads, and those without an effect on the tokens of a text: of templates of chats, of decoding,
    /// of other ways to load, and defaults of calls that the callers of a tokenizer set themselves. Paths of files, which the
    /// reference replaces by those that it finds, belong to them.
    const READ: [&str; 25] = [
        "add_prefix_space",
        "added_tokens_decoder",
        "additional_special_tokens",
        "bos_token",
        "cls_token",
        "do_lower_case",
        "eos_token",
        "extra_special_tokens",
        "mask_token",
        "max_len",
        "model_input_names",
        "model_max_length",
        "model_specific_special_tokens",
        "pad_token",
        "padding_side",
        "sep_token",
        "split_special_tokens",
        "strip_accents",
        "tokenize_chinese_chars",
        "tokenizer_class",
        "trim_offsets",
        "truncation_side",
        "unk_token",
        // Read by no class that is described: a class of its own sets the frame of a text, `tokenizer.json` has it.
        "add_bos_token",
        "add_eos_token",
    ];
    const NEUTRAL: [&str; 29] = [
        "_commit_hash",
        "auto_map",
        "backend",
        "chat_control_tokens",
        "chat_template",
        "clean_up_tokenization_spaces",
        "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
        "errors",
        "files_loaded",
        "fix_mistral_regex",
        "is_local",
        "local_files_only",
        "max_length",
        "merges_file",
        "name_or_path",
        "pad_to_multiple_of",
        "pad_token_type_id",
        "processor_class",
        "response_schema",
        "response_template",
        "stride",
        "tokenizer",
        "tokenizer_file",
        "trust_remote_code",
        "truncation_strategy",
        // Of a class that builds a tokenizer from a list of pieces in the file.
        "unk_id",
        "use_fast",
        "verbose",
        "vocab_file",
    ];

    /// The list is `scripts/reference/config-keys.py`'s: run it after each release of transformers.
    #[test]
    fn every_key_that_the_reference_reads_is_accounted_for() {
        let accounted = |key: &str| READ.contains(&key) || NEUTRAL.contains(&key) || OF_CODE.contains(&key);
        for (class, keys) in &reference().files.tokenizers {
            let missing: Vec<&String> = keys.keys().filter(|key| !accounted(key)).collect();
            assert!(missing.is_empty(), "{class}: {missing:?}");
        }
    }

    #[test]
    fn arguments_of_the_references_code_are_refused_by_key() {
        let refuse = |text: &str| refuse_arguments_of_code(&serde_json::from_str(text).unwrap());
        assert_eq!(refuse(r#"{"init_inputs": [], "vocab": null, "vocab_file": "x", "unk_id": 0}"#), Ok(()));
        assert!(refuse(r#"{"vocab": {"a": 0}}"#).unwrap_err().contains("key `vocab`: unsupported value {\"a\":0}"));
    }

    #[test]
    fn a_length_beyond_all_texts_is_no_limit() {
        assert_eq!(longest(Some(1e30)), Ok(None));
        assert_eq!(longest(Some(512.0)), Ok(Some(512)));
        assert!(longest(Some(-1.0)).is_err() && longest(Some(0.0)).is_err() && longest(Some(1.5)).is_err());
    }
}
