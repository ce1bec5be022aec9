//! `run` and the commands that run a part of it.

use crate::args::{CheckArguments, FetchArguments, LockArguments, Pipelines};
use crate::commands::context::CommandContext;
use crate::commands::summary::{checks_table, summary};
use crate::failure::BadUsage;
use crate::printer;
use crate::settings::build_limits;
use anyhow::{Context, Result};
use planforge_core::Step;
use planforge_pipeline::{LockMode, Overrides, PipelineContext, RunRecord, check_served, run_pipelines, with_endpoint};
use planforge_report::Report;
use std::path::PathBuf;

/// Runs all stages of each pipeline, to the report.
pub(super) fn run(context: &CommandContext, pipelines: &Pipelines) -> Result<()> {
    run_until(context, pipelines, &overrides(pipelines), Step::Report)
}

/// Runs the stages of each pipeline up to `until`.
pub(super) fn make(context: &CommandContext, pipelines: &Pipelines, until: Step) -> Result<()> {
    run_until(context, pipelines, &overrides(pipelines), until)
}

/// Runs exports on the samples; with `--served`, compares what an endpoint answers too.
pub(super) fn check(context: &CommandContext, arguments: &CheckArguments) -> Result<()> {
    let CheckArguments { pipelines, served, url, container } = arguments;
    if !served {
        if container.container.is_some() {
            return Err(BadUsage("--container has an effect with --served only".to_owned()).into());
        }
        return make(context, pipelines, Step::Check);
    }
    let overrides = Overrides { container: container.container.clone(), ..overrides(pipelines) };
    let limits = build_limits(pipelines.memory, pipelines.jobs);
    let opened = open_with(context, pipelines, &overrides)?;
    let started = |pipeline: &PipelineContext| context.terminal.say(pipeline.spec.name.as_str());
    run_pipelines(&opened, Step::Publish, limits, started, |record| {
        let mut report = Report::from(record);
        let variants =
            if url.is_some() { record.served_variant()?.into_iter().collect() } else { record.served_variants()? };
        if variants.is_empty() {
            return Err(planforge_pipeline::Error::NothingToServe { file: record.context.file.clone() }.into());
        }
        for variant in variants {
            let check = |url: &str| check_served(record.context, &record.served_check(url, &variant));
            report.checks.extend(match url {
                Some(url) => check(url)?,
                None => with_endpoint(record.context, &variant, check)?,
            });
        }
        context.show(&report, &format!("\n{}", checks_table(&report.checks)))
    })
}

/// Fetches the snapshot of each pipeline's repository.
pub(super) fn fetch(context: &CommandContext, arguments: &FetchArguments) -> Result<()> {
    let overrides = Overrides { all_files: arguments.all_files, ..overrides(&arguments.pipelines) };
    run_until(context, &arguments.pipelines, &overrides, Step::Fetch)
}

/// Makes the archives of each pipeline and writes its lock; with `--update`, of the commit that its revision stands for
/// now.
pub(super) fn lock(context: &CommandContext, arguments: &LockArguments) -> Result<()> {
    let mut overrides = overrides(&arguments.pipelines);
    if arguments.update {
        overrides.lock = LockMode::Update;
    }
    run_until(context, &arguments.pipelines, &overrides, Step::Package)
}

/// Opens all pipelines, before anything is made of any.
pub(super) fn open(context: &CommandContext, pipelines: &Pipelines) -> Result<Vec<PipelineContext>> {
    open_with(context, pipelines, &overrides(pipelines))
}

fn open_with(context: &CommandContext, pipelines: &Pipelines, overrides: &Overrides) -> Result<Vec<PipelineContext>> {
    let files = expand(&pipelines.pipelines)?;
    context.check_lock_option(&files)?;
    files.iter().map(|file| context.open(file, overrides)).collect()
}

/// What the command line changes in each pipeline. Commands that make artifacts write the lock, or hold it.
fn overrides(pipelines: &Pipelines) -> Overrides {
    Overrides {
        gpus: pipelines.gpus.clone(),
        precisions: pipelines.precisions.clone(),
        multi_target: pipelines.fat,
        container: None,
        catalogue: pipelines.catalogue.clone(),
        copies: pipelines.copies,
        all_files: false,
        lock: if pipelines.locked { LockMode::Frozen } else { LockMode::Write },
    }
}

fn run_until(context: &CommandContext, pipelines: &Pipelines, overrides: &Overrides, until: Step) -> Result<()> {
    let limits = build_limits(pipelines.memory, pipelines.jobs);
    let opened = open_with(context, pipelines, overrides)?;
    let started = |pipeline: &PipelineContext| context.terminal.say(pipeline.spec.name.as_str());
    run_pipelines(&opened, until, limits, started, |record| {
        if until == Step::Compile && record.plan.selection.targets.is_empty() {
            let reason = "makes no engines: `package.platforms` does not name \"tensorrt\"; name GPU types with --gpu";
            record.context.progress().note(Step::Compile, record.context.spec.name.as_str(), reason);
        }
        show(context, record)
    })
}

fn show(context: &CommandContext, record: &RunRecord<'_>) -> Result<()> {
    let elapsed = printer::duration(record.started.elapsed());
    context.terminal.say(&format!("  {} done in {elapsed}", record.context.spec.name));
    let report = Report::from(record);
    let folder = record.context.layout.folder();
    context.show(&report, &format!("\n{}", summary(&report, &folder)))
}

/// Files as they are named, and those that a pattern in quotation marks matches, sorted.
pub(super) fn expand(patterns: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for pattern in patterns {
        let text = pattern.to_string_lossy();
        if pattern.exists() || !text.contains(['*', '?', '[']) {
            paths.push(pattern.clone());
            continue;
        }
        let matches = glob::glob(&text).map_err(|error| BadUsage(format!("pattern `{text}`: {error}")))?;
        let found = matches.collect::<Result<Vec<_>, _>>().with_context(|| format!("pattern `{text}`"))?;
        if found.is_empty() {
            return Err(BadUsage(format!("no file matches `{text}`")).into());
        }
        paths.extend(found);
    }
    Ok(paths)
}
