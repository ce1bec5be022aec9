//! Engines run and compared, where this machine has a GPU for them.

use super::compile::CompileRequest;
use super::precision::model_of;
use crate::Result;
use planforge_core::{CachedArtifact, CheckFacts, Engine, Snapshot, Step};
use planforge_report::EngineRunFacts;
use planforge_validate::{EngineCheck, EngineChecker, EngineRunner, EngineVerdict, Samples, require_passed};

/// Checks of engines, all of which hold.
#[derive(Debug, Default)]
pub struct EngineChecks {
    /// For each engine, where it ran or why it did not.
    pub runs: Vec<EngineRunFacts>,
    /// The comparisons.
    pub facts: Vec<CheckFacts>,
}

/// Runs every linked engine on the samples and compares it with ONNX Runtime. Engines without a GPU are not run.
///
/// # Errors
/// A comparison that does not hold, and an engine that should have run and did not.
pub fn check_engines(
    request: &CompileRequest<'_>,
    snapshot: &Snapshot,
    engines: &[CachedArtifact<Engine>],
) -> Result<EngineChecks> {
    let CompileRequest { context, plan, models } = *request;
    let runner = EngineRunner {
        worker: context.options.workers.run_engine.clone(),
        library: context.options.native.tensorrt_library(),
    };
    let mut checker = EngineChecker::new(&runner, &context.cache);
    let (mut checks, mut reasons) = (EngineChecks::default(), Vec::new());
    for (target, engine) in plan.selection.targets.iter().zip(engines) {
        let model = model_of(models, target.variant.precision)?;
        let check = EngineCheck {
            subject: &target.variant.id(),
            snapshot,
            model,
            engine,
            // The weights that it lacks are next to this one.
            plan: &context.layout.engine(&target.variant).join(&engine.record.plan),
            samples: &Samples::of_pipeline(&context.spec, snapshot, &model.record),
        };
        match checker.check(&check, context.progress())? {
            EngineVerdict::Checked(checked) => {
                require_passed(&checked.facts, Some(&checked.gpu))?;
                checks.facts.extend(checked.facts);
                checks.runs.push(EngineRunFacts::On(checked.gpu));
            }
            EngineVerdict::Skipped(reason) => {
                if !reasons.contains(&reason) {
                    reasons.push(reason.clone());
                }
                checks.runs.push(EngineRunFacts::NotRun(reason));
            }
        }
    }
    for reason in reasons {
        context.progress().note(Step::Compile, "engines", format!("not run: {reason}"));
    }
    Ok(checks)
}
