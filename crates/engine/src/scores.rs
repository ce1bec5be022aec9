//! What becomes of a classifier's scores before a person reads them.
//!
//! References: the pipelines `text-classification` and `image-classification` of transformers 5.23, whose rules are the same;
//! `CrossEncoder.predict` of sentence-transformers 6.2 for repositories that its files or keys name as a cross encoder.

use crate::Result;
use crate::json::{file_error, in_folder, read_json_if_there};
use crate::onnx::operator_of;
use crate::pass_through::config_file;
use crate::sentence::{ModelSettings, encoder_folder};
use planforge_core::{CachedArtifact, Model, Snapshot, Task};
use serde_json::Value;

/// What becomes of the scores of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoreFunction {
    /// They become probabilities that sum to 1: one label of several.
    Softmax,
    /// Each becomes a probability of its own: any number of labels.
    Sigmoid,
    /// They stay values, such as those of a regression.
    Identity,
    /// They are probabilities, which the graph computes.
    Probability,
}

impl ScoreFunction {
    /// What becomes of the `labels` scores that `model` gives for each sample: an export of `snapshot`, or its own `graph`.
    ///
    /// # Errors
    /// A graph that cannot be read; values of `config.json` and `config_sentence_transformers.json` that are not supported.
    pub fn read(
        snapshot: &Snapshot,
        model: &CachedArtifact<Model>,
        graph: Option<&str>,
        labels: usize,
    ) -> Result<Self> {
        let task = model.record.task;
        if model.record.prebuilt && gives_probabilities(model)? {
            return Ok(Self::Probability);
        }
        let file = match graph {
            Some(graph) => config_file(snapshot, graph),
            None => Some(in_folder(&encoder_folder(snapshot, task)?, "config.json")),
        };
        let Some(file) = file else {
            return Ok(if labels == 1 { Self::Identity } else { Self::Softmax });
        };
        let config: Value = read_json_if_there(snapshot, &file)?.unwrap_or_default();
        let settings = ModelSettings::read(snapshot)?;
        let is_cross_encoder = settings.model_type() == ModelSettings::CROSS_ENCODER;
        let activation_of_model = match &settings.activation_fn {
            Some(name) if is_cross_encoder => {
                activation(name).map_err(|message| file_error(snapshot, ModelSettings::FILE, message))?
            }
            _ => None,
        };
        if let Some(found) = activation_of_model.filter(|_| task == Task::TextClassification) {
            return Ok(found);
        }
        let found = match cross_encoder_activation(&config) {
            _ if task != Task::TextClassification => of_config(&config, labels),
            None if !is_cross_encoder => of_config(&config, labels),
            name => of_cross_encoder(name, labels),
        };
        found.map_err(|message| file_error(snapshot, &file, message))
    }
}

/// Whether the graph of `model` ends in probabilities.
fn gives_probabilities(model: &CachedArtifact<Model>) -> Result<bool> {
    let outputs = model.record.main_outputs();
    let Some(output) = outputs.first() else { return Ok(false) };
    let operator = operator_of(&model.path(&model.record.graph), output)?;
    Ok(["Softmax", "Sigmoid"].map(Some).contains(&operator.as_deref()))
}

/// The rule of transformers.
fn of_config(config: &Value, labels: usize) -> std::result::Result<ScoreFunction, String> {
    let unsupported = |found: &Value, expected: &str| {
        Err(format!("key `problem_type`: unsupported value {found}; expected {expected}"))
    };
    let problem = config.get("problem_type").filter(|problem| !problem.is_null());
    match (problem, problem.and_then(Value::as_str)) {
        (_, Some("regression")) => Ok(ScoreFunction::Identity),
        (_, Some("multi_label_classification")) => Ok(ScoreFunction::Sigmoid),
        (Some(found), Some("single_label_classification")) if labels == 1 => {
            unsupported(found, "\"regression\" or more than one label")
        }
        (None, _) if labels == 1 => Ok(ScoreFunction::Sigmoid),
        (None, _) | (_, Some("single_label_classification")) => Ok(ScoreFunction::Softmax),
        (Some(found), _) => unsupported(found, "regression, single_label_classification or multi_label_classification"),
    }
}

/// The key by which releases before 6 make a configuration one of a cross encoder; those before 4 wrote it under the older name.
fn cross_encoder_activation(config: &Value) -> Option<&Value> {
    let older = || config.get("sbert_ce_default_activation_function").filter(|name| !name.is_null());
    config.pointer("/sentence_transformers/activation_fn").or_else(older)
}

/// The rule of sentence-transformers for cross encoders, with the class that `config.json` names.
fn of_cross_encoder(name: Option<&Value>, labels: usize) -> std::result::Result<ScoreFunction, String> {
    let named = match name.and_then(Value::as_str) {
        Some(name) => activation(name)?,
        None => None,
    };
    Ok(named.unwrap_or(if labels == 1 { ScoreFunction::Sigmoid } else { ScoreFunction::Identity }))
}

/// The function of the class `name`; none for a class outside torch, in whose place the reference takes its default.
fn activation(name: &str) -> std::result::Result<Option<ScoreFunction>, String> {
    if !name.starts_with("torch.") {
        tracing::warn!(
            activation_fn = name,
            "the class is code of the repository, which is not run; the default is used"
        );
        return Ok(None);
    }
    let class = name.strip_prefix("torch.nn.").and_then(|name| name.rsplit('.').next());
    match class {
        Some("Sigmoid") => Ok(Some(ScoreFunction::Sigmoid)),
        Some("Identity") => Ok(Some(ScoreFunction::Identity)),
        Some("Softmax") => Ok(Some(ScoreFunction::Softmax)),
        _ => Err(format!(
            "key `activation_fn`: unsupported value `{name}`; expected Sigmoid, Identity or Softmax of torch.nn"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_problem_type_comes_before_the_number_of_labels() {
        let of = |problem: Value, labels| of_config(&json!({ "problem_type": problem }), labels);
        assert_eq!(of(Value::Null, 3), Ok(ScoreFunction::Softmax));
        assert_eq!(of(Value::Null, 1), Ok(ScoreFunction::Sigmoid));
        assert_eq!(of("regression".into(), 1), Ok(ScoreFunction::Identity));
        assert_eq!(of("regression".into(), 3), Ok(ScoreFunction::Identity));
        assert_eq!(of("multi_label_classification".into(), 3), Ok(ScoreFunction::Sigmoid));
        assert_eq!(of("single_label_classification".into(), 2), Ok(ScoreFunction::Softmax));
        assert!(of("single_label_classification".into(), 1).unwrap_err().contains("more than one label"));
        assert!(of("ranking".into(), 3).unwrap_err().contains("unsupported value \"ranking\""));
    }

    #[test]
    fn a_cross_encoder_is_known_by_its_keys() {
        let known = |config: &Value| cross_encoder_activation(config).cloned();
        assert_eq!(known(&json!({ "sentence_transformers": { "version": "5.0.0" } })), None);
        assert_eq!(known(&json!({ "sbert_ce_default_activation_function": null })), None);
        let mut config = json!({ "sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity" });
        assert_eq!(known(&config), Some("torch.nn.modules.linear.Identity".into()));
        config["sentence_transformers"] = json!({ "activation_fn": null });
        assert_eq!(known(&config), Some(Value::Null));
    }

    #[test]
    fn a_cross_encoder_has_the_activation_that_is_named() {
        let of = |name: &str, labels| of_cross_encoder(Some(&name.into()), labels);
        assert_eq!(of("torch.nn.modules.activation.Sigmoid", 3), Ok(ScoreFunction::Sigmoid));
        assert_eq!(of("torch.nn.modules.linear.Identity", 1), Ok(ScoreFunction::Identity));
        assert_eq!(of("torch.nn.Softmax", 3), Ok(ScoreFunction::Softmax));
        assert_eq!(of("own.Activation", 1), Ok(ScoreFunction::Sigmoid));
        assert_eq!(of("own.Activation", 3), Ok(ScoreFunction::Identity));
        assert_eq!(of_cross_encoder(None, 1), Ok(ScoreFunction::Sigmoid));
        assert!(of("torch.nn.modules.activation.Tanh", 1).unwrap_err().contains("activation.Tanh"));
    }
}
