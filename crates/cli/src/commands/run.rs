//! `run` and the commands that run a part of it.

use crate::args::Pipelines;
use crate::commands::dispatch::Surroundings;
use crate::pipeline::{Made, Overrides, Run, summary};
use crate::printer;
use anyhow::Result;
use planforge_bench::Report;
use planforge_core::Step;

/// The whole way for each pipeline, to the report.
pub(super) fn run(surroundings: &Surroundings, pipelines: &Pipelines) -> Result<()> {
    for_each(surroundings, pipelines, |run| {
        let made = run.make(&surroundings.runtime, Step::Publish)?;
        measure(surroundings, run, &made)?;
        run.write_report().map(drop)
    })
}

/// The steps of each pipeline up to `until`.
pub(super) fn make(surroundings: &Surroundings, pipelines: &Pipelines, until: Step) -> Result<()> {
    for_each(surroundings, pipelines, |run| run.make(&surroundings.runtime, until).map(drop))
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

fn for_each(surroundings: &Surroundings, pipelines: &Pipelines, work: impl Fn(&mut Run) -> Result<()>) -> Result<()> {
    let overrides = Overrides { gpus: pipelines.gpus.clone(), copies: pipelines.copies };
    for path in &pipelines.pipelines {
        let (settings, terminal) = (&surroundings.settings, &surroundings.terminal);
        let mut run = Run::open(settings, terminal, path, &overrides)?;
        terminal.say(&format!("{}", run.pipeline.name));
        work(&mut run)?;
        terminal.say(&format!("  done in {}", printer::duration(run.elapsed())));
        show(surroundings, &run.report, &run)?;
    }
    Ok(())
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
