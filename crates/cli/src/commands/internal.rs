//! What planforge runs in processes of its own: requests on standard input, answers on standard output.

use crate::args::Internal;
use crate::pipeline::{EngineRunRequest, HostAnswer, HostRequest, answer_engine_run, open_store};
use crate::printer;
use anyhow::{Context, Result};
use planforge_engine::{WorkerRequest, run_worker};
use planforge_host::{EngineOptions, Host, HostOptions};
use planforge_store::StoreUrl;
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
    printer::stdout(&answer_engine_run(&request)?);
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
        Err(answer) => {
            printer::stdout(&format!("{}\n", serde_json::to_string(&answer)?));
            return Ok(());
        }
    };
    printer::stdout(&format!("{}\n", serde_json::to_string(&HostAnswer::Ready(host.address()))?));
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

fn bind(runtime: &Runtime, request: &HostRequest) -> Result<Host, HostAnswer> {
    let failed = |library_missing: bool, error: anyhow::Error| HostAnswer::Failed {
        library_missing,
        message: format!("{error:#}"),
    };
    planforge_runtime::load_library(&request.onnx_runtime).map_err(|error| failed(true, error.into()))?;
    let url = StoreUrl::parse(&request.store_url).map_err(|error| failed(false, error.into()))?;
    let store = open_store(runtime, &url, &request.store).map_err(|error| failed(false, error))?;
    let options = HostOptions {
        intra_op_threads: request.intra_op_threads,
        engines: request.engines.clone().map(|(library, gpu)| EngineOptions { library, gpu }),
        ..HostOptions::new(
            &request.endpoint,
            request.address,
            store,
            &request.work_folder,
            request.memory_budget_byte_count,
        )
    };
    runtime.block_on(Host::bind(options)).map_err(|error| failed(false, error.into()))
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
