//! `host`, `probe` and `load`.

use super::run::expand;
use crate::args::{ContainerArgument, EndpointArguments, HostArguments, ProbeArguments};
use crate::commands::context::CommandContext;
use crate::commands::summary::{capacity_line, load_table};
use crate::failure::BadUsage;
use crate::printer;
use crate::settings::build_limits;
use anyhow::{Context as _, Result, bail};
use planforge_core::{HostContainer, Progress, Step, endpoint_name, invocations_path};
use planforge_host::{Front, LocalEndpoint, check_address};
use planforge_pipeline::{Error, Overrides, PipelineContext, RunRecord, ServedVariant, run_pipeline};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longest wait for requests in flight when several endpoints end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until interrupted.
pub(super) fn host(context: &CommandContext, arguments: &HostArguments) -> Result<()> {
    let HostArguments { pipelines, port, listen, container } = arguments;
    let (overrides, address) = (overrides(container), SocketAddr::from((*listen, *port)));
    check_address(address, context.settings.pipeline.endpoint_token.as_ref())?;
    // Before anything is built for it.
    planforge_host::try_address(address)?;
    let files = expand(pipelines)?;
    let pipelines = files.iter().map(|file| context.open(file, &overrides)).collect::<Result<Vec<_>>>()?;
    check_endpoints(&pipelines)?;
    let records = pipelines.iter().map(publish).collect::<Result<Vec<_>>>()?;
    let served = records.iter().map(served_variant).collect::<Result<Vec<_>>>()?;
    let own = if pipelines.len() == 1 { address } else { SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) };
    let start = |(pipeline, served)| planforge_pipeline::start_endpoint(pipeline, served, own);
    let mut endpoints = pipelines.iter().zip(&served).map(start).collect::<planforge_pipeline::Result<Vec<_>>>()?;
    let front = match endpoints.as_slice() {
        [_] => None,
        several => Some(RunningFront::start(context, address, &pipelines, several)?),
    };
    let address = front.as_ref().map_or(endpoints[0].address, |front| front.address);
    for (pipeline, served) in pipelines.iter().zip(&served) {
        let route = invocations_path(&endpoint_name(&pipeline.spec.name));
        let targets = &served.published.target_models;
        let url = format!("http://{address}");
        if context.settings.json {
            printer::json(&serde_json::json!({ "url": url, "route": route, "target_models": targets }))?;
        } else {
            printer::stdout(&format!("serving {url}{route}\ncopies: {}\n", targets.join(" ")))?;
        }
    }
    context.terminal.say("Ctrl-C ends it");
    while !context.terminal.is_cancelled() {
        for (endpoint, pipeline) in endpoints.iter_mut().zip(&pipelines) {
            endpoint.ensure_alive().with_context(|| format!("endpoint `{}`", endpoint_name(&pipeline.spec.name)))?;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    if let Some(front) = front {
        front.stop(context);
    }
    for endpoint in endpoints {
        endpoint.stop()?;
    }
    Ok(())
}

/// Refuses pipelines that cannot be served together, before anything is built.
fn check_endpoints(pipelines: &[PipelineContext]) -> Result<()> {
    let names = || pipelines.iter().map(|pipeline| endpoint_name(&pipeline.spec.name));
    if let Some(name) = names().find(|name| names().filter(|other| other == name).count() > 1) {
        return Err(planforge_host::Error::SameName { endpoint: name }.into());
    }
    let in_running = pipelines.iter().find(|it| matches!(it.spec.host.container, HostContainer::Address(_)));
    match in_running {
        Some(pipeline) if pipelines.len() > 1 => Err(BadUsage(format!(
            "`{}` uses a container that runs already, which serves one endpoint; serve the pipelines one by one",
            pipeline.spec.name
        ))
        .into()),
        _ => Ok(()),
    }
}

/// One address for several endpoints, served in the background.
struct RunningFront {
    address: SocketAddr,
    shutdown: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl RunningFront {
    fn start(
        context: &CommandContext,
        address: SocketAddr,
        pipelines: &[PipelineContext],
        endpoints: &[LocalEndpoint],
    ) -> Result<Self> {
        let names = pipelines.iter().map(|pipeline| endpoint_name(&pipeline.spec.name));
        let token = context.settings.pipeline.endpoint_token.as_ref();
        let backends = names.zip(endpoints.iter().map(|endpoint| endpoint.address));
        let front = context.runtime.block_on(Front::bind(address, token, backends))?;
        let (shutdown, ended) = oneshot::channel::<()>();
        let address = front.address();
        let task = context.runtime.spawn(front.serve(DRAIN_TIMEOUT, async {
            let _ = ended.await;
        }));
        Ok(Self { address, shutdown, task })
    }

    fn stop(self, context: &CommandContext) {
        let _ = self.shutdown.send(());
        // It has ended by itself where it failed.
        let _ = context.runtime.block_on(self.task);
    }
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
