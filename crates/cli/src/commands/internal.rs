//! What planforge runs in processes of its own: requests on standard input, answers on standard output.

use crate::args::Internal;
use crate::printer;
use anyhow::{Context, Result};
use planforge_core::{exit_when_stdin_ends, read_request, wait_for_end_of_stdin};
use planforge_host::{Host, HostRequest, HostResponse, run_isolated};
use planforge_pipeline::open_store;
use planforge_store::StoreUrl;
use planforge_validate::{EngineRunRequest, run_engine_here};
use std::os::fd::AsFd;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// What to say to whoever starts one by hand.
const OWN: &str = "this command is planforge's own: it reads a request from standard input";

/// Runs one of them.
pub(super) fn internal(command: &Internal, runtime: &Runtime) -> Result<()> {
    match command {
        Internal::RunEngine => run_engine(),
        Internal::Host => host(runtime),
        Internal::Isolated => isolated(),
    }
}

fn run_engine() -> Result<()> {
    let request: EngineRunRequest = read_request().context(OWN)?;
    exit_when_stdin_ends();
    printer::json(&run_engine_here(&request))
}

fn isolated() -> Result<()> {
    let line = std::io::stdin().as_fd().try_clone_to_owned().context(OWN)?;
    Ok(run_isolated(line.into())?)
}

fn host(runtime: &Runtime) -> Result<()> {
    let request: HostRequest = read_request().context(OWN)?;
    let host = match bind(runtime, &request) {
        Ok(host) => host,
        Err(response) => {
            return printer::json(&response);
        }
    };
    printer::json(&HostResponse::Ready(host.address()))?;
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        wait_for_end_of_stdin();
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
