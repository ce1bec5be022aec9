//! Reads what a host needs from a `config.pbtxt`. Fields that it does not know are left out, so configurations that
//! other tools wrote are read too.

use crate::configured::{ConfiguredTensor, Reshape};
use crate::files::{MODULE_FILE, ONNX_FILE, PLAN_FILE, PLANFORGE_BACKEND};
use crate::schema::DATA_TYPES;
use crate::text_format::{self, Field, Value, all, last};
use crate::{Error, Result, SyntaxError};
use std::collections::BTreeMap;

/// What runs the model of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// ONNX Runtime over `model.onnx`.
    Onnxruntime,
    /// libtorch over `model.pt`.
    Pytorch,
    /// A plan of classic TensorRT, `model.plan`.
    Tensorrt,
    /// A TensorRT-RTX engine, `model.plan`.
    TensorrtRtx,
}

/// The part of a configuration that a host needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServingConfig {
    /// What runs it.
    pub backend: Backend,
    /// Largest batch of one request; 0 when the model's shapes have no batch dimension.
    pub max_batch_size: u64,
    /// Name of the model file in the version folder; one of them where each GPU type has its own.
    pub model_file: String,
    /// Names of files by the compute capability of the GPUs that take each.
    pub files_by_capability: BTreeMap<String, String>,
    /// Whether the backend takes inputs and outputs that are left out from the model.
    pub is_completed: bool,
    /// Inputs; none where they are left out.
    pub inputs: Vec<ConfiguredTensor>,
    /// Outputs; none where they are left out.
    pub outputs: Vec<ConfiguredTensor>,
    /// Which versions are loaded.
    pub versions: VersionPolicy,
}

/// Which versions of a model a server loads. Requests that name none get the highest of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionPolicy {
    /// The highest, or more, of which the highest answers.
    Highest,
    /// Those of these numbers that exist.
    Specific(Vec<i64>),
}

impl VersionPolicy {
    /// The version that answers; none where no version is loaded.
    #[must_use]
    pub fn choose(&self, versions: impl Iterator<Item = i64>) -> Option<i64> {
        versions
            .filter(|version| match self {
                Self::Highest => true,
                Self::Specific(wanted) => wanted.contains(version),
            })
            .max()
    }
}

impl ServingConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`Error::Syntax`] with the line, [`Error::UnknownBackend`].
    pub fn parse(text: &str) -> Result<Self> {
        let fields = text_format::parse(text)?;
        let (backend, platform) = (string(&fields, "backend")?, string(&fields, "platform")?);
        let max_batch_size = last(&fields, "max_batch_size").map_or(Ok(0), unsigned)?;
        let files_by_capability: BTreeMap<_, _> = all(&fields, "cc_model_filenames").filter_map(pair_of).collect();
        let mut file = string(&fields, "default_model_filename")?;
        if file.is_empty() {
            file = files_by_capability.values().next().map_or("", String::as_str);
        }
        let is_completed = backend != PLANFORGE_BACKEND;
        let (backend, default_file) = match (backend, platform) {
            ("onnxruntime", _) | ("", "onnxruntime_onnx") => (Backend::Onnxruntime, ONNX_FILE),
            ("pytorch", _) | ("", "pytorch_libtorch") => (Backend::Pytorch, MODULE_FILE),
            ("tensorrt", _) | ("", "tensorrt_plan") => (Backend::Tensorrt, PLAN_FILE),
            (PLANFORGE_BACKEND, _) if file.ends_with(".plan") => (Backend::TensorrtRtx, PLAN_FILE),
            (PLANFORGE_BACKEND, _) => (Backend::Onnxruntime, ONNX_FILE),
            ("", other) | (other, _) => return Err(Error::UnknownBackend(other.to_owned())),
        };
        let model_file = if file.is_empty() { default_file } else { file }.to_owned();
        let tensors = |name| all(&fields, name).map(tensor).collect();
        Ok(Self {
            backend,
            max_batch_size,
            model_file,
            files_by_capability,
            is_completed,
            inputs: tensors("input"),
            outputs: tensors("output"),
            versions: versions(&fields),
        })
    }
}

/// The string of a field at the top, or an empty one.
fn string<'a>(fields: &'a [Field], name: &str) -> std::result::Result<&'a str, SyntaxError> {
    match last(fields, name) {
        None => Ok(""),
        Some(Field { value: Value::Text(text), .. }) => Ok(text),
        Some(field) => Err(fault(field, format!("`{name}` must be a string in quotes"))),
    }
}

fn unsigned(field: &Field) -> std::result::Result<u64, SyntaxError> {
    let number = match &field.value {
        Value::Word(word) => text_format::integer(word).and_then(|number| number.try_into().ok()),
        _ => None,
    };
    number.ok_or_else(|| fault(field, format!("`{}` must be a number of 0 or more", field.name)))
}

/// An item of `input` or `output`. Mistakes in it are the server's to refuse, and lint's to name.
fn tensor(item: &Field) -> ConfiguredTensor {
    let text = |name: &str| item.last(name).map_or_else(String::new, |field| field.text().to_owned());
    let numbers = |field: &Field, name: &str| field.all(name).filter_map(Field::number).collect::<Vec<i64>>();
    let data_type = item.last("data_type").map_or_else(String::new, |field| field.word_of(&DATA_TYPES).to_owned());
    ConfiguredTensor {
        name: text("name"),
        data_type,
        dims: numbers(item, "dims"),
        reshape: item.last("reshape").map(|reshape| Reshape { shape: numbers(reshape, "shape") }),
        label_filename: text("label_filename"),
    }
}

fn versions(fields: &[Field]) -> VersionPolicy {
    let specific = last(fields, "version_policy").and_then(|policy| policy.last("specific"));
    specific.map_or(VersionPolicy::Highest, |specific| {
        VersionPolicy::Specific(specific.all("versions").filter_map(Field::number).collect())
    })
}

/// Compute capability and file of one item of `cc_model_filenames`.
fn pair_of(item: &Field) -> Option<(String, String)> {
    let text = |name: &str| item.last(name).map(|field| field.text().to_owned());
    Some((text("key")?, text("value")?))
}

fn fault(field: &Field, reason: String) -> SyntaxError {
    SyntaxError { line: field.line, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        ServingConfig::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn unknown_fields_are_left_out_whole() {
        let text = r#"
# platform: "wrong"
name: 'm' "ore"; parameters [ { key: "a" value { string_value: "} ] max_batch_size: 99" } } ],
input { name: "x" dims: [ -1, 3 ] reshape < shape: [ ] > }
optimization { cuda { graphs: true } } version_policy: { latest { num_versions: 1 } }
x: -1.5e+3 y: -inf
backend: "onnx" 'runtime' max_batch_size: 010,
default_model_filename: "a\056\x6fnnx""#;
        let config = ServingConfig::parse(text).unwrap();
        let model_file = "a.onnx".to_owned();
        assert_eq!(
            config,
            ServingConfig {
                backend: Backend::Onnxruntime,
                max_batch_size: 8,
                model_file,
                files_by_capability: BTreeMap::new(),
                is_completed: true,
                inputs: vec![ConfiguredTensor {
                    name: "x".to_owned(),
                    data_type: String::new(),
                    dims: vec![-1, 3],
                    reshape: Some(Reshape { shape: Vec::new() }),
                    label_filename: String::new(),
                }],
                outputs: Vec::new(),
                versions: VersionPolicy::Highest,
            }
        );
    }

    #[test]
    fn defaults_follow_the_platform() {
        let config = ServingConfig::parse("platform: \"onnxruntime_onnx\"").unwrap();
        assert_eq!((config.max_batch_size, config.model_file.as_str()), (0, "model.onnx"));
        let own = ServingConfig::parse("backend: \"planforge\"").unwrap();
        assert_eq!((own.backend, own.model_file.as_str()), (Backend::Onnxruntime, "model.onnx"));
        let text = "backend: \"planforge\" cc_model_filenames { key: \"8.9\", value: \"b.plan\" }\
                    cc_model_filenames [{ key: \"8.6\" value: \"a.plan\" }]";
        let several = ServingConfig::parse(text).unwrap();
        assert_eq!((several.backend, several.model_file.as_str()), (Backend::TensorrtRtx, "a.plan"));
        assert_eq!(several.files_by_capability["8.9"], "b.plan");
        let engine = ServingConfig::parse("backend: \"planforge\" default_model_filename: \"a.plan\"").unwrap();
        assert_eq!((engine.backend, engine.model_file.as_str()), (Backend::TensorrtRtx, "a.plan"));
        let plan = ServingConfig::parse("platform: \"tensorrt_plan\"").unwrap();
        assert_eq!((plan.backend, plan.model_file.as_str()), (Backend::Tensorrt, "model.plan"));
        assert_eq!(
            fault("backend: \"dali\""),
            "unknown backend `dali` in `config.pbtxt`; expected `onnxruntime`, `pytorch`, `tensorrt` or `planforge`"
        );
    }

    #[test]
    fn mistakes_name_the_line() {
        assert_eq!(
            fault("\nmax_batch_size: -1"),
            "`config.pbtxt` line 2: `max_batch_size` must be a number of 0 or more"
        );
        assert_eq!(
            fault("max_batch_size: \"8\""),
            "`config.pbtxt` line 1: `max_batch_size` must be a number of 0 or more"
        );
        assert_eq!(fault("backend: onnxruntime"), "`config.pbtxt` line 1: `backend` must be a string in quotes");
        assert_eq!(fault("a {\n b: 1"), "`config.pbtxt` line 2: expected `}`, found the end of the text");
        let nested = format!("cc_model_filenames{}", "{a".repeat(1 << 19));
        assert_eq!(fault(&nested), "`config.pbtxt` line 1: more than 100 blocks are within each other");
    }
}
