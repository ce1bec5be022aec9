//! `host`, `probe` and `load`.

use crate::args::{EndpointArguments, HostArguments};
use crate::commands::dispatch::Surroundings;
use crate::failure::BadUsage;
use crate::pipeline::{Overrides, Run, Target, capacity_line, load_table};
use crate::printer;
use crate::settings::build_limits;
use anyhow::{Result, bail};
use planforge_core::{Progress, Step, endpoint_name, invocations_path};
use std::path::Path;
use std::time::Duration;

/// Serves until interrupted.
pub(super) fn host(surroundings: &Surroundings, arguments: &HostArguments) -> Result<()> {
    let (mut run, target) = open(surroundings, &arguments.pipeline)?;
    let mut endpoint = run.start_endpoint(&target, arguments.port)?;
    let route = invocations_path(&endpoint_name(&run.pipeline.name));
    if surroundings.settings.json {
        let text = serde_json::json!({
            "url": endpoint.url, "route": route, "target_models": target.published.target_models,
        });
        printer::stdout(&format!("{text}\n"));
    } else {
        printer::stdout(&format!("serving {}{route}\n", endpoint.url));
        printer::stdout(&format!("copies: {}\n", target.published.target_models.join(" ")));
    }
    surroundings.terminal.say("Ctrl-C ends it");
    while !surroundings.terminal.is_cancelled() {
        endpoint.ensure_alive()?;
        std::thread::sleep(Duration::from_millis(50));
    }
    endpoint.stop()
}

/// Counts the copies that fit.
pub(super) fn probe(surroundings: &Surroundings, arguments: &EndpointArguments) -> Result<()> {
    let (mut run, target) = open(surroundings, &arguments.pipeline)?;
    let capacity =
        with_endpoint(&mut run, &target, arguments, |run, url| run.probe(&surroundings.runtime, url, &target))?;
    let text = capacity_line(&capacity, &target.published.variant.id());
    surroundings.show(&capacity, &text)
}

/// Puts load on all published copies.
pub(super) fn load(surroundings: &Surroundings, arguments: &EndpointArguments) -> Result<()> {
    let (mut run, target) = open(surroundings, &arguments.pipeline)?;
    let result = with_endpoint(&mut run, &target, arguments, |run, url| {
        run.load(&surroundings.runtime, url, &target, usize::MAX)
    })?;
    surroundings.show(&result, &load_table(&result))?;
    match result.total.requests {
        requests if requests > 0 && result.total.failures == requests => {
            bail!("none of {requests} requests was answered with success")
        }
        _ => Ok(()),
    }
}

/// A pipeline whose copies are published.
fn open(surroundings: &Surroundings, path: &Path) -> Result<(Run, Target)> {
    let mut run = Run::open(&surroundings.settings, &surroundings.terminal, path, &Overrides::default())?;
    let made = run.make(&surroundings.runtime, Step::Publish, build_limits(None, None))?;
    let target = run.target(&made.snapshot, &made.models, &made.published)?;
    let nothing = || BadUsage(format!("`{}` makes no ONNX package, which the local endpoint needs", path.display()));
    Ok((run, target.ok_or_else(nothing)?))
}

/// Measures the endpoint at the URL given, or one that lives as long as the measurement.
fn with_endpoint<T>(
    run: &mut Run,
    target: &Target,
    arguments: &EndpointArguments,
    work: impl FnOnce(&mut Run, &str) -> Result<T>,
) -> Result<T> {
    match &arguments.url {
        Some(url) => work(run, url),
        None => run.with_endpoint(target, work),
    }
}
