//! The resolved plan of a run: which engines and packages are made, of which exports, with which profiles.

use crate::context::PipelineContext;
use crate::lock::{LockMode, check_plan};
use crate::max_batch::choose_max_batch;
use crate::request_shape::RequestShape;
use crate::torchscript::{available_variants, require_libtorch};
use crate::{Error, Result};
use planforge_core::{EngineTarget, ModelFormat, Pipeline, Precision, Profile, Snapshot, Step, Variant};

/// What the pipeline file, the lock, the GPU types and this program decide before anything is fetched.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Engines to build.
    pub targets: Vec<EngineTarget>,
    /// Packages to make.
    pub variants: Vec<Variant>,
    /// Precisions to export.
    pub precisions: Vec<Precision>,
    /// A sentence about each combination that was asked for and cannot be made.
    pub skipped: Vec<String>,
}

/// The engines, packages and exports of a run: those that the pipeline asks for, or those in the lock that is rebuilt.
///
/// # Errors
/// Unknown and unsupported GPU types, and TorchScript in a program without libtorch.
pub fn select_variants(context: &PipelineContext) -> Result<Selection> {
    let PipelineContext { spec, lock, catalogue, .. } = context;
    let is_rebuild = lock.mode == LockMode::Rebuild;
    let (targets, mut skipped) =
        if is_rebuild { (lock.targets(catalogue)?, Vec::new()) } else { spec.engine_targets(catalogue)? };
    let variants = if is_rebuild { lock.variants()? } else { spec.variants(&targets) };
    let (variants, unavailable) = available_variants(variants)?;
    skipped.extend(unavailable);
    if spec.export.formats.contains(&ModelFormat::TorchScript) {
        require_libtorch()?;
    }
    let mut precisions: Vec<_> = variants.iter().map(|variant| variant.precision).collect();
    precisions.extend(lock.precisions());
    precisions.sort();
    precisions.dedup();
    Ok(Selection { targets, variants, precisions, skipped })
}

/// What a run makes, with everything that is known once the checkpoint is there.
#[derive(Debug, Clone)]
pub struct BuildPlan {
    /// Engines, packages and precisions.
    pub selection: Selection,
    /// Optimization profiles, up to the chosen largest batch.
    pub profiles: Vec<Profile>,
    /// The probe's request.
    pub probe_request: RequestShape,
    /// The load test's request.
    pub load_request: RequestShape,
}

/// Resolves what is made up to the step `until`.
///
/// # Errors
/// A frozen lock that lacks something, a Triton backend that archives carry and that is not there, and requests that are
/// too large for the chosen largest batch.
pub fn resolve_plan(
    context: &PipelineContext,
    selection: &Selection,
    snapshot: &Snapshot,
    until: Step,
) -> Result<BuildPlan> {
    let engines = if until >= Step::Compile { selection.targets.as_slice() } else { &[] };
    let archives = if until >= Step::Package { selection.variants.as_slice() } else { &[] };
    check_plan(&context.lock, engines, archives)?;
    if until >= Step::Package {
        require_backend(context)?;
    }
    let lowered = if until >= Step::Export { choose_max_batch(context, snapshot)? } else { None };
    let spec = lowered.as_ref().unwrap_or(&context.spec);
    Ok(BuildPlan::new(selection.clone(), spec))
}

impl BuildPlan {
    /// The plan for a selection with the profiles and requests of `spec`.
    fn new(selection: Selection, spec: &Pipeline) -> Self {
        let shape = |(batch, sequence)| RequestShape { batch, sequence };
        Self {
            selection,
            profiles: spec.profiles.clone(),
            probe_request: shape(spec.probe_request()),
            load_request: shape(spec.load_request()),
        }
    }
}

/// Fails early where archives are to carry a library that is not there.
fn require_backend(context: &PipelineContext) -> Result<()> {
    let path = &context.options.native.triton_backend;
    if context.spec.package.include_backend && !path.is_file() {
        return Err(Error::Package(planforge_package::Error::MissingBackend { path: path.clone() }));
    }
    Ok(())
}
