//! TorchScript modules beside the ONNX exports: made from the same snapshot, and compared with ONNX in fp32.

use crate::libtorch;
use crate::pipeline::check::{Gate, compare, digests, half_gate, inputs, per_sample, preparation_digests, run};
use crate::pipeline::steps::Run;
use anyhow::Result;
use planforge_core::{CacheKey, CacheKind, CachedArtifact, Model, ModelFormat, Outcome, Snapshot, Step, Variant};
use planforge_engine::ExportOptions;
use planforge_report::CheckFacts;
use std::time::Instant;

/// Largest difference of an fp32 module from ONNX, relative to the largest value.
const FP32_GATE: Gate = Gate::LargestError(1e-5);
/// Bumped whenever the same module and samples give other facts.
const FORMAT: u32 = 1;

impl Run {
    /// Snapshot to the TorchScript modules that the pipeline asks for: of each ONNX model, or of those that are
    /// packaged for PyTorch.
    pub(super) fn export_modules(
        &mut self,
        snapshot: &Snapshot,
        models: &[CachedArtifact<Model>],
    ) -> Result<Vec<CachedArtifact<Model>>> {
        let mut modules = Vec::new();
        let all = self.pipeline.export.formats.contains(&ModelFormat::TorchScript);
        for Model { precision, wide_values, .. } in models.iter().map(|model| &model.record) {
            let variant = Variant::pytorch(*precision);
            if !all && !self.variants.contains(&variant) {
                continue;
            }
            if !wide_values.is_empty() && models.len() > 1 {
                let note = format!("TorchScript is not made in {precision}: it cannot keep single values in fp32.");
                self.progress().note(Step::Export, "skipped", note.clone());
                self.report.notes.push(note);
                self.variants.retain(|other| *other != variant);
                continue;
            }
            let options =
                ExportOptions { wide: wide_values.iter().cloned().collect(), ..self.export_options(*precision) };
            let module = libtorch::export(snapshot, &options, self.cache(), self.progress())?;
            self.add_export(&module)?;
            modules.push(module);
        }
        Ok(modules)
    }

    /// Compares a module with the fp32 ONNX export on the samples, or finds an earlier comparison of the same files.
    pub(super) fn check_module(
        &self,
        snapshot: &Snapshot,
        (module, reference): (&CachedArtifact<Model>, &CachedArtifact<Model>),
        library_version: &str,
    ) -> Result<Vec<CheckFacts>> {
        let precision = module.record.precision;
        let subject = format!("{}-{precision}", module.record.format);
        self.progress().started(Step::Check, &subject, None, "");
        let start = Instant::now();
        let samples = self.samples(snapshot, &module.record);
        let key = CacheKey::of(&(
            (&subject, FORMAT, libtorch::VERSION, library_version),
            digests(module),
            digests(reference),
            samples.identity()?,
            preparation_digests(snapshot),
        ));
        let stored = self.cache().get_or_build(CacheKind::Check, &key, self.progress(), |_| {
            let batch = samples.batch(snapshot, &module.record)?;
            let found = libtorch::run(module, &inputs(&module.record.inputs, &batch)?)?;
            let expected = run(reference, &batch)?;
            let gate = half_gate(precision).unwrap_or(FP32_GATE);
            let (found, expected) = (per_sample(&found, &batch), per_sample(&expected, &batch));
            Ok::<_, anyhow::Error>(compare((&subject, "onnx-fp32"), gate, &found, &expected))
        })?;
        let outcome = if stored.cache_hit { Outcome::Cached } else { Outcome::Built };
        self.progress().finished(Step::Check, &subject, outcome, start.elapsed());
        Ok(stored.record)
    }
}
