//! What is done with each key of a configuration: no key that decides the result is ignored.

use crate::Result;
use crate::checkpoint::Checkpoint;
use serde_json::{Map, Value};

/// How a family takes keys of `config.json`.
#[derive(Debug)]
pub(super) struct Keys {
    /// The network is read from them.
    pub(super) read: &'static [&'static str],
    /// They change the result, and one value is described.
    pub(super) fixed: &'static [Fixed],
    /// The result does not depend on them: values of training, of generation, of other heads, and of how to compute.
    pub(super) neutral: &'static [&'static str],
}

/// A key that may only have the values described.
#[derive(Debug)]
pub(super) struct Fixed {
    /// The key.
    pub(super) key: &'static str,
    /// The values, as JSON.
    pub(super) values: &'static [&'static str],
}

/// Keys of every model of transformers.
pub(super) const BASE: Keys = Keys {
    read: &["model_type", "id2label", "num_labels", "problem_type", "function_to_apply"],
    fixed: &[
        // Attention to what comes before only.
        Fixed { key: "is_causal", values: &["null", "false"] },
        // Weights that are stored in another way, or in another file.
        Fixed { key: "quantization_config", values: &["null"] },
        Fixed { key: "transformers_weights", values: &["null"] },
        // Layers that differ from each other, or that are replaced.
        Fixed { key: "per_layer_config", values: &["null", "{}"] },
        Fixed { key: "fusion_config", values: &["null", "{}"] },
        // Read before release 5 only.
        Fixed { key: "pruned_heads", values: &["null", "{}"] },
    ],
    neutral: &[
        "architectures",
        "attention_chunk_size",
        "attention_dropout",
        "attn_implementation",
        "auto_map",
        "bos_token_id",
        "chunk_size_feed_forward",
        "custom_pipelines",
        "distributed_config",
        "dtype",
        "eos_token_id",
        "experts_implementation",
        "features_only",
        "gradient_checkpointing",
        "init_std",
        "initializer_factor",
        "initializer_range",
        "is_encoder_decoder",
        "label2id",
        "layer_types",
        "name_or_path",
        "num_channels",
        "out_indices",
        "output_attentions",
        "output_hidden_states",
        "pad_token_id",
        "prefix",
        "return_dict",
        "rope_scaling",
        "rope_theta",
        "sep_token_id",
        "sliding_window",
        "sub_configs",
        "tie_word_embeddings",
        "torch_dtype",
        "transformers_version",
    ],
};

impl Keys {
    /// The values that `key` may have, where it is not to have any.
    fn fixed(&self, key: &str) -> Option<&'static [&'static str]> {
        self.fixed.iter().find(|fixed| fixed.key == key).map(|fixed| fixed.values)
    }

    /// Whether the table has `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.read.contains(&key) || self.neutral.contains(&key) || self.fixed(key).is_some()
    }
}

/// Refuses values that are not described; keys that are in none of the `tables` are named at `-v`.
///
/// # Errors
/// [`crate::Error::Config`] naming the key and its value.
pub(super) fn check(checkpoint: &Checkpoint, config: &Map<String, Value>, tables: &[&Keys]) -> Result<()> {
    for (key, value) in config {
        let Some(values) = tables.iter().find_map(|table| table.fixed(key)) else { continue };
        if !values.iter().any(|text| serde_json::from_str::<Value>(text).is_ok_and(|allowed| allowed == *value)) {
            let expected = values.join(" or ");
            return Err(checkpoint.config_error(format!("key `{key}`: unsupported value {value}; expected {expected}")));
        }
    }
    let unknown = config.keys().filter(|key| !tables.iter().any(|table| table.has(key)));
    let unknown: Vec<&str> = unknown.map(String::as_str).collect();
    if !unknown.is_empty() {
        tracing::info!(keys = unknown.join(", "), "the reference does not read these keys of `config.json` either");
    }
    if config.get("auto_map").is_some_and(|map| !map.is_null()) {
        tracing::warn!(
            model_type = checkpoint.model_type,
            "the repository names code of its own in key `auto_map` of `config.json`, which is not run: the model is built as \
             transformers builds one of its `model_type` without `trust_remote_code`"
        );
    }
    Ok(())
}
