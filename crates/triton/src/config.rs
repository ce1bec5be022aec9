//! A model's configuration as the server tells it, and whether it fits the model.

use crate::settings::Parameters;
use crate::{Error, Result};
use planforge_core::TensorSpec;
use planforge_triton_config::{ConfiguredTensor, ConfiguredTensors};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The part of Triton's `ModelConfig` (JSON) that matters here.
#[derive(Debug, Deserialize)]
pub(crate) struct ModelConfig {
    #[serde(default)]
    pub(crate) name: String,
    /// 0 where the first dimension is not a batch.
    #[serde(default)]
    pub(crate) max_batch_size: u64,
    #[serde(default)]
    input: Vec<ConfiguredTensor>,
    #[serde(default)]
    output: Vec<ConfiguredTensor>,
    /// Name of the model file; empty for the usual one.
    #[serde(default)]
    pub(crate) default_model_filename: String,
    /// Names of model files by the compute capability of the GPU that takes each, such as `8.6`.
    #[serde(default)]
    pub(crate) cc_model_filenames: BTreeMap<String, String>,
    #[serde(default)]
    parameters: BTreeMap<String, Parameter>,
    #[serde(default)]
    optimization: Optimization,
}

#[derive(Debug, Default, Deserialize)]
struct Optimization {
    #[serde(default)]
    cuda: Option<Cuda>,
}

#[derive(Debug, Deserialize)]
struct Cuda {
    #[serde(default)]
    graphs: bool,
}

#[derive(Debug, Deserialize)]
struct Parameter {
    #[serde(default)]
    string_value: String,
}

impl ModelConfig {
    /// Reads the server's account.
    pub(crate) fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|source| Error::Described { what: "the model's configuration", source })
    }

    /// Its parameters.
    pub(crate) fn parameters(&self) -> Parameters {
        let values = self.parameters.iter().map(|(name, value)| (name.clone(), value.string_value.clone()));
        values.collect::<BTreeMap<_, _>>().into()
    }

    /// Whether kernels are to be recorded as CUDA graphs.
    pub(crate) fn wants_cuda_graphs(&self) -> bool {
        self.optimization.cuda.as_ref().is_some_and(|cuda| cuda.graphs)
    }

    /// Whether the server may put requests together.
    pub(crate) const fn is_batched(&self) -> bool {
        self.max_batch_size > 0
    }

    /// Every input of the model is configured and every configured tensor is one of the model's, with its type and
    /// shape.
    ///
    /// # Errors
    /// [`Error::Config`] with the first difference.
    pub(crate) fn check(&self, inputs: &[TensorSpec], outputs: &[TensorSpec]) -> Result<()> {
        let Self { input, output, max_batch_size, .. } = self;
        let configured = ConfiguredTensors { inputs: input, outputs: output, max_batch_size: *max_batch_size };
        configured.check(inputs, outputs).map_err(Error::Config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::{DataType, Dim};

    const TEXT: &str = r#"{"name":"m","max_batch_size":8,
        "input":[{"name":"ids","data_type":"TYPE_INT64","format":"FORMAT_NONE","dims":[-1]}],
        "output":[{"name":"sums","data_type":"TYPE_FP32","dims":[4]},
                  {"name":"tokens","data_type":"TYPE_INT64","dims":[1],"reshape":{"shape":[]}}],
        "default_model_filename":"model.onnx",
        "parameters":{"intra_op_thread_count":{"string_value":"1"}}}"#;

    fn inputs() -> Vec<TensorSpec> {
        vec![TensorSpec::new("ids", DataType::Int64, vec![Dim::dynamic("batch"), Dim::dynamic("sequence")])]
    }

    fn outputs() -> Vec<TensorSpec> {
        vec![
            TensorSpec::new("sums", DataType::Fp32, vec![Dim::dynamic("batch"), Dim::Fixed(4)]),
            TensorSpec::new("tokens", DataType::Int64, vec![Dim::dynamic("batch")]),
        ]
    }

    fn fault(from: &str, to: &str) -> String {
        assert!(TEXT.contains(from));
        let config = ModelConfig::parse(&TEXT.replace(from, to)).unwrap();
        config.check(&inputs(), &outputs()).unwrap_err().to_string()
    }

    #[test]
    fn a_fitting_configuration_passes() {
        let config = ModelConfig::parse(TEXT).unwrap();
        config.check(&inputs(), &outputs()).unwrap();
        assert!(config.is_batched() && !config.wants_cuda_graphs());
        let recorded = ModelConfig::parse(r#"{"optimization":{"priority":"PRIORITY_DEFAULT","cuda":{"graphs":true}}}"#);
        assert!(recorded.unwrap().wants_cuda_graphs());
        assert_eq!(config.parameters().session_options().unwrap().intra_op_threads, 1);
    }

    #[test]
    fn differences_are_named() {
        let start = "`config.pbtxt` does not fit the model: ";
        assert_eq!(fault("\"ids\"", "\"id\""), format!("{start}input `id` is not one of the model's inputs: `ids`"));
        assert_eq!(
            fault("TYPE_FP32", "TYPE_FP16"),
            format!("{start}output `sums` has data type TYPE_FP16, the model's is TYPE_FP32")
        );
        assert_eq!(
            fault("TYPE_INT64\",\"format", "TYPE_STRING\",\"format"),
            format!("{start}input `ids` has data type TYPE_STRING, which this backend does not handle")
        );
        assert_eq!(
            fault("[4]", "[5]"),
            format!("{start}output `sums` has shape [-1, 5], the batch before its `dims`; the model's is [batch, 4]")
        );
        assert_eq!(
            fault("\"max_batch_size\":8", "\"max_batch_size\":0"),
            format!("{start}input `ids` has shape [-1]; the model's is [batch, sequence]")
        );
    }

    #[test]
    fn what_is_not_configured_is_named() {
        let config = ModelConfig::parse(r#"{"max_batch_size":8}"#).unwrap();
        let error = config.check(&inputs(), &outputs()).unwrap_err().to_string();
        assert!(error.ends_with("input `ids` of the model is not configured"), "{error}");
        assert!(config.check(&[], &outputs()).unwrap_err().to_string().ends_with("no output is configured"));
    }

    #[test]
    fn a_fixed_batch_is_no_batch() {
        let fixed = [TensorSpec::new("ids", DataType::Int64, vec![Dim::Fixed(1), Dim::dynamic("sequence")])];
        let error = ModelConfig::parse(TEXT).unwrap().check(&fixed, &outputs()).unwrap_err().to_string();
        assert!(error.contains("input `ids` has shape [-1, -1]") && error.contains("[1, sequence]"), "{error}");
    }
}
