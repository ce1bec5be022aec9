//! An exported model run on a person's own texts.

use crate::pipeline::check::run;
use crate::pipeline::steps::Run;
use anyhow::{Context, Result};
use planforge_core::Precision;
use planforge_engine::tokenize;
use planforge_runtime::TensorValues;
use serde::Serialize;

/// What the task is about, for each text.
#[derive(Debug, Serialize)]
pub(crate) struct Inference {
    /// The texts.
    pub(crate) texts: Vec<String>,
    /// Name of the output.
    pub(crate) output: String,
    /// Its shape, texts first.
    pub(crate) shape: Vec<usize>,
    /// For each text its values, in row-major order.
    pub(crate) values: Vec<Vec<f32>>,
    /// Names of the values of a text, for classification.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) labels: Vec<String>,
}

impl Run {
    /// Runs the export of `precision` on `texts` together, padded to the longest.
    pub(crate) fn infer(
        &mut self,
        runtime: &tokio::runtime::Runtime,
        texts: Vec<String>,
        precision: Option<Precision>,
    ) -> Result<Inference> {
        self.load_onnx_runtime()?;
        let snapshot = self.fetch(runtime)?;
        let precision = precision.unwrap_or(self.pipeline.export.precisions[0]);
        let model = self.export_precision(&snapshot, precision)?;
        let sample = tokenize(&snapshot, &texts, model.record.max_sequence.unwrap_or(u64::MAX))?;
        let name = self.pipeline.task.main_output();
        let output = run(&model, &sample)?.into_iter().find(|output| output.name == name);
        let output = output.with_context(|| format!("the model has no output `{name}`"))?;
        let TensorValues::Fp32(values) = output.values else {
            anyhow::bail!("output `{name}` is not of type FP32");
        };
        let per_text = values.len() / texts.len().max(1);
        let values = values.chunks(per_text.max(1)).map(<[f32]>::to_vec).collect();
        let labels = model.record.labels.clone();
        Ok(Inference { texts, output: output.name, shape: output.shape, values, labels })
    }
}
