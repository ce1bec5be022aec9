//! A model of an ensemble, as its configuration tells it.

use super::super::layout::{self, ModelFolder};
use super::super::listing::Listing;
use super::super::runner::{ENSEMBLE, Runner};
use super::super::versions;
use crate::schema::DATA_TYPES;
use crate::text_format::{self, Field, all, last};

/// A tensor of a model.
#[derive(Clone)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) data_type: String,
    pub(super) dims: Vec<i64>,
    pub(super) is_optional: bool,
}

impl Tensor {
    fn of(field: &Field) -> Self {
        let data_type = field.last("data_type").map_or(DATA_TYPES[0], |field| field.word_of(&DATA_TYPES));
        Self {
            name: field.last("name").map_or("", Field::text).to_owned(),
            data_type: data_type.to_owned(),
            dims: field.all("dims").filter_map(Field::number).collect(),
            is_optional: field.last("optional").is_some_and(Field::is_true),
        }
    }

    /// Whether its configuration has type and dims.
    pub(super) fn is_complete(&self) -> bool {
        self.data_type != DATA_TYPES[0] && !self.dims.is_empty()
    }
}

/// Inputs or outputs of a configuration.
pub(super) fn tensors(fields: &[Field], kind: &str) -> Vec<Tensor> {
    all(fields, kind).map(Tensor::of).collect()
}

/// The same as an ensemble shows them to its steps: reshaped.
pub(super) fn reshaped(fields: &[Field], kind: &str) -> Vec<Tensor> {
    let reshaped = |field: &Field| {
        let own = Tensor::of(field);
        let shape = |reshape: &Field| reshape.all("shape").filter_map(Field::number).collect();
        Tensor { dims: field.last("reshape").map_or_else(|| own.dims.clone(), shape), ..own }
    };
    all(fields, kind).map(reshaped).collect()
}

/// A model of an ensemble.
pub(super) struct Member {
    pub(super) max_batch_size: i64,
    pub(super) inputs: Vec<Tensor>,
    pub(super) outputs: Vec<Tensor>,
    /// Whether its backend may have inputs that the configuration has not.
    pub(super) may_add_inputs: bool,
    /// Whether its backend may have outputs that the configuration has not.
    pub(super) may_add_outputs: bool,
    /// Whether it answers a request with any number of responses.
    pub(super) is_decoupled: bool,
    /// The versions of it that are loaded.
    pub(super) versions: Vec<i64>,
}

impl Member {
    /// The model in a folder; none where nothing is known of it.
    pub(super) fn read(folder: &str, listing: &Listing) -> Option<Self> {
        let (model, _) = layout::model_in(listing, folder).ok()?;
        let fields = text_format::parse(listing.text(&model.path("config.pbtxt")).unwrap_or_default()).ok()?;
        let versions = versions::served(&fields, &model.versions);
        let (inputs, outputs) = (tensors(&fields, "input"), tensors(&fields, "output"));
        let (is_script, completes) = completion(&fields, &model, listing, &versions);
        let policy = last(&fields, "model_transaction_policy").and_then(|policy| policy.last("decoupled"));
        Some(Self {
            max_batch_size: last(&fields, "max_batch_size").and_then(Field::number).unwrap_or(0),
            may_add_inputs: completes && (is_script || inputs.is_empty()),
            may_add_outputs: completes && (is_script || outputs.is_empty()),
            inputs,
            outputs,
            is_decoupled: policy.is_some_and(Field::is_true),
            versions,
        })
    }
}

/// Whether a model is a Python script, and whether its backend completes its configuration.
fn completion(fields: &[Field], model: &ModelFolder, listing: &Listing, versions: &[i64]) -> (bool, bool) {
    let runner = Runner::new(fields, model, listing);
    if runner.backend != "python" {
        let completes = ["onnxruntime", "tensorrt", "tensorflow", "openvino"].contains(&runner.backend.as_str());
        return (false, completes && runner.platform != ENSEMBLE);
    }
    let script = |version: &i64| listing.text(&model.path(&format!("{version}/{}", runner.file)));
    // A script that was not read may do so.
    let completes = |script: Option<&str>| script.is_none_or(|script| script.contains("auto_complete_config"));
    (true, versions.iter().any(|version| completes(script(version))))
}
