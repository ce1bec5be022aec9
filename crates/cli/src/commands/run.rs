//! `run` and the commands that run a part of it.

use crate::args::{FetchArguments, LockArguments, Pipelines};
use crate::commands::dispatch::Surroundings;
use crate::failure::BadUsage;
use crate::pipeline::{LockUse, Made, Overrides, Run, compile_together, summary};
use crate::printer;
use crate::settings::build_limits;
use anyhow::{Context, Result};
use planforge_core::Step;
use planforge_report::Report;
use std::path::PathBuf;

/// The whole way for each pipeline, to the report.
pub(super) fn run(surroundings: &Surroundings, pipelines: &Pipelines) -> Result<()> {
    for_each(surroundings, pipelines, Step::Publish, |run, made| {
        measure(surroundings, run, made)?;
        run.write_report().map(drop)
    })
}

/// The steps of each pipeline up to `until`.
pub(super) fn make(surroundings: &Surroundings, pipelines: &Pipelines, until: Step) -> Result<()> {
    for_each(surroundings, pipelines, until, |run, _| {
        if until == Step::Compile && run.targets.is_empty() {
            let why = "makes no engines: `package.platforms` does not name \"tensorrt\"; name GPU types with --gpu";
            run.progress().note(Step::Compile, run.pipeline.name.as_str(), why);
        }
        Ok(())
    })
}

/// The snapshot of each pipeline's repository.
pub(super) fn fetch(surroundings: &Surroundings, arguments: &FetchArguments) -> Result<()> {
    let mut runs = open(surroundings, &arguments.pipelines)?;
    for run in &mut runs {
        run.all_files = arguments.all_files;
    }
    each(surroundings, &arguments.pipelines, (runs, Step::Fetch), |_, _| Ok(()))
}

/// Endpoint, probe, load.
fn measure(surroundings: &Surroundings, run: &mut Run, made: &Made) -> Result<()> {
    let Some(target) = run.target(&made.snapshot, &made.models, &made.published)? else { return Ok(()) };
    run.with_endpoint(&target, |run, url| {
        let capacity = run.probe(&surroundings.runtime, url, &target)?;
        if capacity.copies == 0 {
            run.report.notes.push("There was no load test: not one copy fits.".to_owned());
            return Ok(());
        }
        run.load(&surroundings.runtime, url, &target, usize::try_from(capacity.copies)?).map(drop)
    })
}

/// Makes the archives of each pipeline and writes its lock; with `--update`, of what its revision stands for now.
pub(super) fn lock(surroundings: &Surroundings, arguments: &LockArguments) -> Result<()> {
    let lock = if arguments.update { LockUse::Renew } else { lock_use(&arguments.pipelines) };
    let runs = open_with(surroundings, &arguments.pipelines, lock)?;
    each(surroundings, &arguments.pipelines, (runs, Step::Package), |_, _| Ok(()))
}

/// What the commands that make artifacts do with the lock.
fn lock_use(pipelines: &Pipelines) -> LockUse {
    if pipelines.locked { LockUse::Hold } else { LockUse::Write }
}

/// Runs the steps up to `until` for each pipeline, then `work`.
fn for_each(
    surroundings: &Surroundings,
    pipelines: &Pipelines,
    until: Step,
    work: impl Fn(&mut Run, &Made) -> Result<()>,
) -> Result<()> {
    each(surroundings, pipelines, (open(surroundings, pipelines)?, until), work)
}

/// As [`for_each`], of pipelines that were read. Engines of all of them are compiled together.
fn each(
    surroundings: &Surroundings,
    pipelines: &Pipelines,
    (mut runs, until): (Vec<Run>, Step),
    work: impl Fn(&mut Run, &Made) -> Result<()>,
) -> Result<()> {
    let limits = build_limits(pipelines.memory, pipelines.jobs);
    let size = if until >= Step::Compile { runs.len() } else { 1 };
    for group in runs.chunks_mut(size.max(1)) {
        let mut made = Vec::new();
        for run in group.iter_mut() {
            surroundings.terminal.say(run.pipeline.name.as_str());
            made.push(run.prepare(&surroundings.runtime, until)?);
        }
        if until >= Step::Compile {
            compile_together(&mut group.iter_mut().zip(&mut made).collect::<Vec<_>>(), limits)?;
        }
        for (run, made) in group.iter_mut().zip(&mut made) {
            run.finish(&surroundings.runtime, made, until)?;
            work(run, made)?;
            surroundings.terminal.say(&format!("  {} done in {}", run.pipeline.name, printer::duration(run.elapsed())));
            show(surroundings, &run.report, run)?;
        }
    }
    Ok(())
}

/// All pipelines, read before anything is made of any.
pub(super) fn open(surroundings: &Surroundings, pipelines: &Pipelines) -> Result<Vec<Run>> {
    open_with(surroundings, pipelines, lock_use(pipelines))
}

fn open_with(surroundings: &Surroundings, pipelines: &Pipelines, lock: LockUse) -> Result<Vec<Run>> {
    let overrides = Overrides {
        gpus: pipelines.gpus.clone(),
        precisions: pipelines.precisions.clone(),
        fat: pipelines.fat,
        catalogue: pipelines.catalogue.clone(),
        copies: pipelines.copies,
        lock,
    };
    let mut runs: Vec<Run> = Vec::new();
    for path in expand(&pipelines.pipelines)? {
        let run = Run::open(&surroundings.settings, &surroundings.terminal, &path, &overrides)?;
        if let Some(other) = runs.iter().find(|other| other.pipeline.name == run.pipeline.name) {
            let name = &other.pipeline.name;
            return Err(BadUsage(format!("two pipelines are called `{name}`; their results would mix")).into());
        }
        runs.push(run);
    }
    Ok(runs)
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

fn show(surroundings: &Surroundings, report: &Report, run: &Run) -> Result<()> {
    surroundings.terminal.clear();
    if surroundings.settings.json {
        printer::stdout(&format!("{}\n", serde_json::to_string(report)?));
    } else {
        printer::stdout(&format!("\n{}", summary(report, &run.layout.folder())));
    }
    Ok(())
}
