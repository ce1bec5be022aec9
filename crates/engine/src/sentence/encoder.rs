//! `sentence_bert_config.json` and its older names: how a model's encoder is loaded, and how texts become its tokens.

use crate::Result;
use crate::json::{file_error, in_folder, read_json_if_there};
use planforge_core::Snapshot;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Names of the file, in the order in which the reference looks for them; an empty object counts as no file.
const FILES: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// Keys for the loading of weights, none of which changes a number that is computed in binary32.
const OF_LOADING: [&str; 7] = [
    "add_pooling_layer",
    "attn_implementation",
    "device_map",
    "dtype",
    "low_cpu_mem_usage",
    "torch_dtype",
    "use_safetensors",
];

/// A key for code of the repository's own.
const TRUST: &str = "trust_remote_code";

/// What the file has for texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EncoderSettings {
    /// Most tokens of a text, with those that frame it; none where the tokenizer's own limit holds.
    pub(crate) max_length: Option<u64>,
    /// Whether texts are lower-cased before the tokenizer normalises them.
    pub(crate) do_lower_case: bool,
}

/// What the modules after an encoder take of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EncoderOutput {
    /// The vectors of tokens, for a vector for each text.
    Tokens,
    /// The scores of a classification head, for pairs of texts.
    Scores,
}

impl EncoderOutput {
    /// `transformer_task`, `module_output_name` and the name of the encoder's output.
    const fn names(self) -> [&'static str; 3] {
        match self {
            Self::Tokens => ["feature-extraction", "token_embeddings", "last_hidden_state"],
            Self::Scores => ["sequence-classification", "scores", "logits"],
        }
    }
}

/// The file. Keys for roles of texts (`query_length` and others) have no effect on texts without a role.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    max_seq_length: Option<u64>,
    do_lower_case: Option<bool>,
    tokenizer_name_or_path: Option<String>,
    transformer_task: Option<String>,
    modality_config: Option<Map<String, Value>>,
    module_output_name: Option<String>,
    processing_kwargs: Option<Map<String, Value>>,
    #[serde(alias = "model_kwargs")]
    model_args: Option<Map<String, Value>>,
    #[serde(alias = "processor_kwargs")]
    tokenizer_args: Option<Map<String, Value>>,
    #[serde(alias = "config_kwargs")]
    config_args: Option<Map<String, Value>>,
}

impl EncoderSettings {
    /// The settings of the encoder in `folder`, of which `output` is taken; the defaults where it has no such file.
    ///
    /// # Errors
    /// A file of another shape, and values that are not supported.
    pub(crate) fn read(snapshot: &Snapshot, folder: &str, output: EncoderOutput) -> Result<Self> {
        for name in FILES {
            let file = in_folder(folder, name);
            let found: Option<Map<String, Value>> = read_json_if_there(snapshot, &file)?;
            let Some(found) = found.filter(|found| !found.is_empty()) else { continue };
            let fail = |message: String| file_error(snapshot, &file, message);
            let config: Config =
                serde_json::from_value(Value::Object(found)).map_err(|error| fail(error.to_string()))?;
            return config.settings(output).map_err(fail);
        }
        Ok(Self::default())
    }
}

impl Config {
    fn settings(&self, output: EncoderOutput) -> std::result::Result<EncoderSettings, String> {
        self.check_output(output)?;
        if let Some(other) = &self.tokenizer_name_or_path {
            return Err(format!("`tokenizer_name_or_path` is `{other}`, expected the tokenizer of the snapshot"));
        }
        let is_neutral = |key: &str, value: &Value| OF_LOADING.contains(&key) || value.is_null();
        // The reference removes the trust that a file asks for.
        let allows = |known: &str, key: &str| [known, TRUST].contains(&key);
        refuse_other("model_args", self.model_args.as_ref(), |key, value| is_neutral(key, value) || key == TRUST)?;
        refuse_other("config_args", self.config_args.as_ref(), |key, _| allows("use_cache", key))?;
        refuse_other("tokenizer_args", self.tokenizer_args.as_ref(), |key, _| allows("model_max_length", key))?;
        let of_tokenizer =
            self.tokenizer_args.as_ref().and_then(|args| args.get("model_max_length")).and_then(Value::as_u64);
        let of_call = self.call_length()?;
        Ok(EncoderSettings {
            max_length: of_call.or(of_tokenizer).or(self.max_seq_length),
            do_lower_case: self.do_lower_case.unwrap_or_default(),
        })
    }

    /// Refuses another output of the encoder than `output`. A file without `transformer_task` and `modality_config` is older
    /// than both, and of a model that gives vectors of tokens.
    fn check_output(&self, output: EncoderOutput) -> std::result::Result<(), String> {
        let expect = |key: &str, found: Option<&str>, expected: &str| match found {
            Some(found) if found != expected => Err(format!("`{key}` is `{found}`, expected `{expected}`")),
            _ => Ok(()),
        };
        let [task, feature, name] = output.names();
        expect("transformer_task", self.transformer_task.as_deref(), task)?;
        let Some(modalities) = &self.modality_config else { return Ok(()) };
        expect("module_output_name", self.module_output_name.as_deref(), feature)?;
        if modalities.contains_key("message") {
            return Err("`modality_config` has `message`, which is not supported".to_owned());
        }
        let text = modalities.get("text").ok_or("`modality_config` has no `text`")?;
        let found = text.get("method_output_name").map(|found| {
            found.as_array().map_or(found, |names| names.first().filter(|_| names.len() == 1).unwrap_or(found))
        });
        if text.get("method").and_then(Value::as_str) != Some("forward") || found.and_then(Value::as_str) != Some(name)
        {
            return Err(format!(
                "`modality_config.text` is {text}, expected the method `forward` and its output `{name}`"
            ));
        }
        Ok(())
    }

    /// `max_length` of each call of the tokenizer.
    fn call_length(&self) -> std::result::Result<Option<u64>, String> {
        let Some(kwargs) = &self.processing_kwargs else { return Ok(None) };
        refuse_other("processing_kwargs", Some(kwargs), |key, value| {
            ["text", "audio", "image", "video", "chat_template"].contains(&key)
                || value.as_object().is_some_and(Map::is_empty)
        })?;
        let Some(text) = kwargs.get("text").and_then(Value::as_object) else { return Ok(None) };
        refuse_other("processing_kwargs.text", Some(text), |key, value| match key {
            "max_length" => value.is_u64(),
            "padding" => value == &Value::Bool(true) || value == "longest",
            "truncation" => value == &Value::Bool(true) || value == "longest_first",
            _ => false,
        })?;
        Ok(text.get("max_length").and_then(Value::as_u64))
    }
}

/// Refuses the first key of `values` that `is_known` does not take.
fn refuse_other(
    name: &str,
    values: Option<&Map<String, Value>>,
    is_known: impl Fn(&str, &Value) -> bool,
) -> std::result::Result<(), String> {
    match values.into_iter().flatten().find(|(key, value)| !is_known(key, value)) {
        Some((key, value)) => Err(format!("`{name}.{key}` is {value}, which is not supported")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> std::result::Result<EncoderSettings, String> {
        serde_json::from_str::<Config>(text).unwrap().settings(EncoderOutput::Tokens)
    }

    #[test]
    fn lengths_of_a_call_come_before_those_of_the_tokenizer() {
        let length = |text: &str| settings(text).unwrap().max_length;
        assert_eq!(length("{}"), None);
        assert_eq!(length(r#"{"max_seq_length": 7, "do_lower_case": null}"#), Some(7));
        assert_eq!(length(r#"{"max_seq_length": 7, "tokenizer_args": {"model_max_length": 8}}"#), Some(8));
        let call = r#"{"max_seq_length": 7, "processing_kwargs": {"text": {"max_length": 9, "truncation": true}}}"#;
        assert_eq!(length(call), Some(9));
    }

    #[test]
    fn what_would_change_the_numbers_is_refused_by_name() {
        for (text, named) in [
            (r#"{"transformer_task": "fill-mask"}"#, "transformer_task"),
            (r#"{"config_args": {"num_hidden_layers": 1}}"#, "config_args.num_hidden_layers"),
            (r#"{"tokenizer_kwargs": {}, "tokenizer_args": {"padding_side": "left"}}"#, "tokenizer_args.padding_side"),
            (r#"{"model_kwargs": {"variant": "x"}}"#, "model_args.variant"),
            (r#"{"modality_config": {"text": {"method": "forward", "method_output_name": "pooler_output"}}}"#, "text"),
            (r#"{"processing_kwargs": {"text": {"padding": "max_length"}}}"#, "processing_kwargs.text.padding"),
            (r#"{"tokenizer_name_or_path": "a/b"}"#, "tokenizer_name_or_path"),
        ] {
            assert!(settings(text).unwrap_err().contains(named), "{text}");
        }
        let whole = r#"{"modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
                        "module_output_name": "token_embeddings", "model_args": {"dtype": "float16"},
                        "config_args": {"trust_remote_code": true}}"#;
        assert_eq!(settings(whole), Ok(EncoderSettings::default()));
    }
}
