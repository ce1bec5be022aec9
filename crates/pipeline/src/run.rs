//! The order of the stages.

use crate::context::PipelineContext;
use crate::lock::check_or_write_lock;
use crate::plan::{Selection, resolve_plan, select_variants};
use crate::record::{Measured, RunRecord};
use crate::stages::{
    ServedCheck, ServedVariant, check, check_engines, check_served, compile, describe_endpoint, export, fetch,
    link_engines, load, package, probe, publish, select_all_served, select_served, with_endpoint, write_provenance,
};
use crate::store::open_store_of;
use crate::{Error, Result};
use planforge_core::{HostContainer, Lock, Outcome, Step};
use planforge_engine::BuildLimits;
use planforge_report::{Report, write_report};
use std::time::Instant;

/// Runs the stages of each pipeline up to `until`. Engines of all pipelines are built within one limit.
///
/// `started` is called before the first stage of a pipeline, and `finished` with its record after the last one.
///
/// # Errors
/// The first error of any stage, or of `finished`. Pipelines are all resolved before the first of them is fetched.
pub fn run_pipelines<E: From<Error>>(
    contexts: &[PipelineContext],
    until: Step,
    limits: BuildLimits,
    started: impl Fn(&PipelineContext),
    mut finished: impl FnMut(&RunRecord<'_>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let selections = select_all(contexts)?;
    let group_size = if until >= Step::Compile { contexts.len().max(1) } else { 1 };
    let mut waiting = contexts.iter().zip(selections);
    loop {
        let mut records = Vec::new();
        for (context, selection) in waiting.by_ref().take(group_size) {
            started(context);
            records.push(prepare(context, &selection, until)?);
        }
        if records.is_empty() {
            return Ok(());
        }
        if until >= Step::Compile {
            compile_together(&mut records, limits)?;
        }
        for record in &mut records {
            finish(record, until)?;
            finished(record)?;
        }
    }
}

/// Runs the stages of one pipeline up to `until`.
///
/// # Errors
/// The first error of any stage.
pub fn run_pipeline(context: &PipelineContext, until: Step, limits: BuildLimits) -> Result<RunRecord<'_>> {
    let mut records = vec![prepare(context, &select_variants(context)?, until)?];
    if until >= Step::Compile {
        compile_together(&mut records, limits)?;
    }
    let mut record = records.remove(0);
    finish(&mut record, until)?;
    Ok(record)
}

fn select_all(contexts: &[PipelineContext]) -> Result<Vec<Selection>> {
    for (index, context) in contexts.iter().enumerate() {
        let name = &context.spec.name;
        if contexts[..index].iter().any(|other| other.spec.name == *name) {
            return Err(Error::DuplicateName { name: name.to_string() });
        }
    }
    contexts.iter().map(select_variants).collect()
}

/// The stages before engines are built: fetch, resolve the plan, export, check.
pub(crate) fn prepare<'a>(context: &'a PipelineContext, selection: &Selection, until: Step) -> Result<RunRecord<'a>> {
    let started = Instant::now();
    // What is wrong with the store shows before anything is made for it.
    let open = || open_store_of(&context.spec, &context.layout, &context.runtime);
    let store = (until >= Step::Publish).then(open).transpose()?;
    let source = fetch(context)?;
    let plan = resolve_plan(context, selection, &source.snapshot, until)?;
    let mut record = RunRecord::new(context, started, source, store, plan);
    if until >= Step::Export {
        record.exports = export(context, &record.plan, &record.source.snapshot)?;
    }
    if until >= Step::Check {
        record.checks = check(context, &record.source.snapshot, &record.exports)?;
    }
    Ok(record)
}

/// The stage that several pipelines share: engines of all of them are built, then linked and checked.
fn compile_together(records: &mut [RunRecord<'_>], limits: BuildLimits) -> Result<()> {
    let requests: Vec<_> = records.iter().map(RunRecord::compile_request).collect();
    let built = compile(&requests, limits)?;
    for (record, built) in records.iter_mut().zip(built) {
        let request = record.compile_request();
        link_engines(&request, &built.engines)?;
        record.engine_checks = check_engines(&request, &record.source.snapshot, &built.engines)?;
        record.built = built;
    }
    Ok(())
}

/// The stages after engines were built: package, lock, publish, host, probe, load, report.
fn finish(record: &mut RunRecord<'_>, until: Step) -> Result<()> {
    let context = record.context;
    if until >= Step::Package {
        let (snapshot, engines) = (&record.source.snapshot, &record.built.engines);
        record.packaged = package(context, &record.plan, snapshot, &record.exports, engines)?;
    }
    let lock = Lock::from(&*record);
    record.lock_notes = check_or_write_lock(context, &lock)?;
    write_provenance(context, &lock, &record.packaged.archives)?;
    if let Some(store) = &record.store {
        record.published = publish(context, &**store, &record.packaged.archives)?;
    }
    if until >= Step::Host {
        record.measured = measure(record)?;
    }
    if until >= Step::Report {
        report(record)?;
    }
    Ok(())
}

/// Host, probe and load; nothing where the pipeline makes no package that the local endpoint runs on the CPU.
fn measure(record: &RunRecord<'_>) -> Result<Measured> {
    let context = record.context;
    let Some(served) = record.served_variant()? else {
        let note = "nothing was served: the local endpoint runs ONNX packages in fp32 and fp16, and this pipeline \
                    makes none";
        context.progress().note(Step::Host, context.spec.name.as_str(), note);
        return Ok(Measured { notes: vec![note.to_owned()], ..Measured::default() });
    };
    with_endpoint(context, &served, |url| {
        let mut notes = served.notes.clone();
        // The memory of a container that planforge has not started cannot be read.
        let is_measured = !matches!(context.spec.host.container, HostContainer::Address(_));
        let capacity = if is_measured { Some(probe(context, url, &served)?) } else { None };
        let copies = capacity.as_ref().map_or(usize::MAX, |it| usize::try_from(it.copies).unwrap_or(usize::MAX));
        if !is_measured {
            notes.push("Copies were not counted: the memory of the container cannot be read.".to_owned());
        }
        let (mut checks, mut loaded) = (Vec::new(), None);
        if copies == 0 {
            notes.push("There was no load test: not one copy fits.".to_owned());
        } else {
            checks = check_served(context, &record.served_check(url, &served))?;
            loaded = Some(load(context, url, &served, copies)?);
        }
        let served = Some(describe_endpoint(context, &served));
        Ok(Measured { served, capacity, load: loaded, checks, notes })
    })
}

/// Writes the report's files into the pipeline's folder.
fn report(record: &RunRecord<'_>) -> Result<()> {
    let (context, start) = (record.context, Instant::now());
    context.progress().started(Step::Report, "report.html", None, "");
    write_report(&Report::from(record), &context.layout.folder())?;
    context.progress().finished(Step::Report, "report.html", Outcome::Built, start.elapsed());
    Ok(())
}

impl RunRecord<'_> {
    /// What the local endpoint serves of the published variants, and the requests for it; none where the pipeline makes
    /// no package that it runs on the CPU.
    ///
    /// # Errors
    /// As [`select_served`].
    pub fn served_variant(&self) -> Result<Option<ServedVariant>> {
        let Self { context, plan, source, exports, published, .. } = self;
        select_served(context, plan, &source.snapshot, &exports.models, published)
    }

    /// What the local endpoint can serve of the published variants.
    ///
    /// # Errors
    /// As [`select_all_served`].
    pub fn served_variants(&self) -> Result<Vec<ServedVariant>> {
        let Self { context, plan, source, exports, published, .. } = self;
        select_all_served(context, plan, &source.snapshot, &exports.models, published)
    }

    /// The comparison of what the endpoint at `url` answers.
    #[must_use]
    pub fn served_check<'b>(&'b self, url: &'b str, served: &'b ServedVariant) -> ServedCheck<'b> {
        let (snapshot, models, profiles) = (&self.source.snapshot, &self.exports.models, &self.plan.profiles);
        ServedCheck { url, served, snapshot, models, profiles }
    }
}
