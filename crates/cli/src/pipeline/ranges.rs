//! Which values of a model binary16 would not hold.
//!
//! The samples are run in fp32 by ONNX Runtime. A value is kept in binary32 when its largest magnitude comes within
//! [`HEADROOM`] of binary16's largest, since other inputs may give more, or when all of it lies below binary16's
//! normal numbers, where digits are lost. Comparing outputs would not show it: on the CPU, ONNX Runtime computes
//! fp16 graphs in binary32.

use crate::pipeline::check::run;
use crate::pipeline::steps::Run;
use anyhow::Result;
use planforge_core::{CacheKey, CacheKind, Digest, Snapshot, Step};
use planforge_engine::{ExportOptions, RANGE_PREFIX, export_ranges};
use planforge_runtime::{Tensor, TensorValues};
use std::collections::BTreeSet;

/// Largest finite binary16 number.
const LARGEST: f32 = 65_504.0;

/// Smallest normal binary16 number, 2^-14.
const SMALLEST: f32 = 6.103_515_6e-5;

/// How much more than on the samples a value may become.
const HEADROOM: f32 = 4.0;

/// Bumped whenever the same ranges give other values.
const FORMAT: u32 = 1;

impl Run {
    /// The values that an fp16 export keeps in binary32: those the pipeline names, and those the samples show.
    pub(super) fn wide_values(&mut self, snapshot: &Snapshot, options: &ExportOptions) -> Result<BTreeSet<String>> {
        let mut wide: BTreeSet<String> = self.pipeline.export.keep_fp32.iter().cloned().collect();
        if !self.pipeline.export.measure_ranges {
            return Ok(wide);
        }
        if !self.pipeline.task.is_over_images() && snapshot.file("tokenizer.json").is_none() {
            let note = "fp16 ranges were not measured: the checkpoint has no tokenizer.json for the samples.";
            self.progress().note(Step::Export, "onnx-fp16", note);
            self.report.notes.push(note.to_owned());
            return Ok(wide);
        }
        let library = self.load_onnx_runtime()?;
        let model = export_ranges(snapshot, options, self.cache(), self.progress())?;
        let digests: Vec<&Digest> = model.files.iter().map(|file| &file.sha256).collect();
        let samples = self.samples(snapshot, &model.record);
        let key = CacheKey::of(&("ranges", FORMAT, digests, samples.identity()?, library));
        let found = self.cache().get_or_build(CacheKind::Check, &key, self.progress(), |_| {
            let batch = samples.batch(snapshot, &model.record)?;
            Ok::<_, anyhow::Error>(unfit(&run(&model, &batch)?))
        })?;
        if !found.record.is_empty() {
            let note = format!("fp16 would not hold {}; kept in fp32.", listed(&found.record));
            self.progress().note(Step::Export, "onnx-fp16", note.clone());
            self.report.notes.push(note);
        }
        wide.extend(found.record);
        Ok(wide)
    }
}

/// Names of the values that binary16 would not hold, from their largest magnitudes.
fn unfit(ranges: &[Tensor]) -> Vec<String> {
    let is_unfit =
        |largest: f32| largest.is_finite() && (largest > LARGEST / HEADROOM || (largest > 0.0 && largest < SMALLEST));
    let name = |tensor: &Tensor| match &tensor.values {
        TensorValues::Fp32(values) if values.first().is_some_and(|largest| is_unfit(*largest)) => {
            let name = tensor.name.strip_prefix(RANGE_PREFIX)?;
            // Values of one name are told apart by a number; both are kept.
            Some(name.split('#').next().unwrap_or(name).to_owned())
        }
        _ => None,
    };
    let names: BTreeSet<String> = ranges.iter().filter_map(name).collect();
    names.into_iter().collect()
}

/// The first few names.
fn listed(names: &[String]) -> String {
    let shown = names.iter().take(3).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len() {
        0..=3 => shown,
        more => format!("{shown} and {} more values", more - 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_near_either_end_are_kept() {
        let range = |name: &str, largest: f32| {
            Tensor::new(&format!("{RANGE_PREFIX}{name}"), &[], TensorValues::Fp32(vec![largest])).unwrap()
        };
        let ranges = [
            range("usual", 12.0),
            range("large#2", 20_000.0),
            range("tiny", 3e-5),
            range("zero", 0.0),
            range("infinite", f32::INFINITY),
        ];
        assert_eq!(unfit(&ranges), ["large", "tiny"]);
    }
}
