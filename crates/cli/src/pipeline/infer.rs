//! An exported model run on a person's own texts.

use crate::pipeline::check::run;
use crate::pipeline::steps::Run;
use anyhow::{Context, Result};
use planforge_core::Precision;
use planforge_engine::{TextSample, tokenize};
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
    /// For each text its tokens, without padding, where there are values for each token.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tokens: Vec<Vec<String>>,
    /// Names of the values of a text or token, for classification.
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
        let tokens = if output.shape.len() == 3 { tokens(&sample) } else { Vec::new() };
        Ok(Inference { texts, output: output.name, shape: output.shape, values, tokens, labels })
    }
}

/// The tokens of each text that are not padding.
fn tokens(sample: &TextSample) -> Vec<Vec<String>> {
    let texts = sample.tokens.chunks(sample.sequence.max(1)).zip(sample.attention_mask.chunks(sample.sequence.max(1)));
    let kept = |(tokens, mask): (&[String], &[i64])| {
        tokens.iter().zip(mask).filter(|(_, kept)| **kept != 0).map(|(token, _)| token.clone()).collect()
    };
    texts.map(kept).collect()
}
