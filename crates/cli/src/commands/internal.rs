//! What planforge runs in processes of its own: requests on standard input, answers on standard output.

use crate::args::Internal;
use crate::printer;
use anyhow::{Context, Result};
use planforge_engine::{WorkerRequest, run_worker};
use planforge_host::{Host, HostRequest, HostResponse};
use planforge_pipeline::open_store;
use planforge_store::StoreUrl;
use planforge_validate::{EngineRunRequest, run_engine_here};
use serde::de::DeserializeOwned;
use std::io::{BufRead, Read};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// Runs one of them.
pub(super) fn internal(command: &Internal, runtime: &Runtime) -> Result<()> {
    match command {
        Internal::BuildEngine => build_engine(),
        Internal::RunEngine => run_engine(),
        Internal::Host => host(runtime),
    }
}

fn build_engine() -> Result<()> {
    let request: WorkerRequest = read_request()?;
    end_with_stdin();
    let answer = run_worker(&request);
    printer::stdout(&format!("{}\n", serde_json::to_string(&answer)?));
    Ok(())
}

fn run_engine() -> Result<()> {
    let request: EngineRunRequest = read_request()?;
    end_with_stdin();
    printer::stdout(&serde_json::to_string(&run_engine_here(&request))?);
    Ok(())
}

/// Whoever asked is gone when standard input ends; nobody waits for the answer.
fn end_with_stdin() {
    std::thread::spawn(|| {
        drain_stdin();
        std::process::exit(1);
    });
}

fn host(runtime: &Runtime) -> Result<()> {
    let request: HostRequest = read_request()?;
    let host = match bind(runtime, &request) {
        Ok(host) => host,
        Err(response) => {
            printer::stdout(&format!("{}\n", serde_json::to_string(&response)?));
            return Ok(());
        }
    };
    printer::stdout(&format!("{}\n", serde_json::to_string(&HostResponse::Ready(host.address()))?));
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        drain_stdin();
        // A host that has ended already needs no word.
        let _ = sender.send(());
    });
    Ok(runtime.block_on(host.serve(async move {
        drop(receiver.await);
    }))?)
}

fn bind(runtime: &Runtime, request: &HostRequest) -> Result<Host, HostResponse> {
    let url = StoreUrl::parse(&request.store_url).map_err(|error| HostResponse::failed(&error))?;
    let store = open_store(&url, &request.store, runtime.handle()).map_err(|error| HostResponse::failed(&error))?;
    runtime.block_on(request.bind(store))
}

fn read_request<T: DeserializeOwned>() -> Result<T> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    serde_json::from_str(&line).context("this command is planforge's own: it reads a request from standard input")
}

fn drain_stdin() {
    let mut sink = Vec::new();
    // An error ends it as the end does.
    drop(std::io::stdin().lock().read_to_end(&mut sink));
}
