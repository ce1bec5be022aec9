//! `host`, `probe` and `load`.

use crate::args::{ContainerArgument, EndpointArguments, HostArguments, ProbeArguments};
use crate::commands::context::CommandContext;
use crate::commands::summary::{capacity_line, load_table};
use crate::printer;
use crate::settings::build_limits;
use anyhow::{Result, bail};
use planforge_core::{Progress, Step, endpoint_name, invocations_path};
use planforge_pipeline::{Error, Overrides, PipelineContext, RunRecord, ServedVariant, run_pipeline};
use std::time::Duration;

/// Serves until interrupted.
pub(super) fn host(context: &CommandContext, arguments: &HostArguments) -> Result<()> {
    let pipeline = context.open(&arguments.pipeline, &overrides(&arguments.container))?;
    let record = publish(&pipeline)?;
    let served = served_variant(&record)?;
    let mut endpoint = planforge_pipeline::start_endpoint(&pipeline, &served, arguments.port)?;
    let route = invocations_path(&endpoint_name(&pipeline.spec.name));
    if context.settings.json {
        let text = serde_json::json!({
            "url": endpoint.url, "route": route, "target_models": served.published.target_models,
        });
        printer::stdout(&format!("{text}\n"));
    } else {
        printer::stdout(&format!("serving {}{route}\n", endpoint.url));
        printer::stdout(&format!("copies: {}\n", served.published.target_models.join(" ")));
    }
    context.terminal.say("Ctrl-C ends it");
    while !context.terminal.is_cancelled() {
        endpoint.ensure_alive()?;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(endpoint.stop()?)
}

/// Counts the copies that fit.
pub(super) fn probe(context: &CommandContext, arguments: &ProbeArguments) -> Result<()> {
    let ProbeArguments { endpoint: arguments, max_copies } = arguments;
    let pipeline = context.open(&arguments.pipeline, &overrides(&arguments.container))?;
    let record = publish(&pipeline)?;
    let mut served = served_variant(&record)?;
    if let Some(most) = max_copies {
        served.published.target_models.truncate(most.get());
    }
    let capacity =
        with_endpoint(&pipeline, &served, arguments, |url| planforge_pipeline::probe(&pipeline, url, &served))?;
    context.show(&capacity, &capacity_line(&capacity, &served.published.variant.id()))
}

/// Puts load on all published copies.
pub(super) fn load(context: &CommandContext, arguments: &EndpointArguments) -> Result<()> {
    let pipeline = context.open(&arguments.pipeline, &overrides(&arguments.container))?;
    let record = publish(&pipeline)?;
    let served = served_variant(&record)?;
    let result = with_endpoint(&pipeline, &served, arguments, |url| {
        planforge_pipeline::load(&pipeline, url, &served, usize::MAX)
    })?;
    context.show(&result, &load_table(&result))?;
    match result.total.requests {
        requests if requests > 0 && result.total.failures == requests => {
            bail!("none of {requests} requests was answered with success")
        }
        _ => Ok(()),
    }
}

fn overrides(ContainerArgument { container }: &ContainerArgument) -> Overrides {
    Overrides { container: container.clone(), ..Overrides::default() }
}

/// Publishes the copies of a pipeline. While the record lives, no other program prunes what it relies on.
fn publish(pipeline: &PipelineContext) -> Result<RunRecord<'_>> {
    Ok(run_pipeline(pipeline, Step::Publish, build_limits(None, None))?)
}

/// The published copies that the local endpoint serves.
fn served_variant(record: &RunRecord<'_>) -> Result<ServedVariant> {
    let nothing = || Error::NothingToServe { file: record.context.file.clone() };
    Ok(record.served_variant()?.ok_or_else(nothing)?)
}

/// Measures the endpoint at the URL given, or one that lives as long as the measurement.
fn with_endpoint<T>(
    pipeline: &PipelineContext,
    served: &ServedVariant,
    arguments: &EndpointArguments,
    work: impl FnOnce(&str) -> planforge_pipeline::Result<T>,
) -> Result<T> {
    Ok(match &arguments.url {
        Some(url) => work(url)?,
        None => planforge_pipeline::with_endpoint(pipeline, served, work)?,
    })
}
