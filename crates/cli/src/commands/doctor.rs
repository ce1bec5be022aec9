//! `doctor`: what is there, what is missing, and what brings it.

use crate::failure::Missing;
use crate::printer::{self, short_path};
use crate::settings::Settings;
use crate::table::table;
use anyhow::Result;
use planforge_engine::EngineWorker;
use planforge_engine_protocol::VERSION;
use planforge_validate::LIBTORCH_VERSION;
use serde::Serialize;
use std::path::Path;

const SETUP: &str = "scripts/setup";
const BUILD: &str = "cargo build -p planforge";

/// One part of the environment.
#[derive(Debug, Serialize)]
struct Part {
    name: &'static str,
    /// Whether a whole run needs it.
    required: bool,
    found: bool,
    /// Version, path, or why it cannot be used.
    detail: String,
    /// What brings it when it is missing.
    remedy: Option<&'static str>,
}

/// Prints the parts; missing ones that a run needs make it fail.
pub(super) fn doctor(settings: &Settings) -> Result<()> {
    let libraries = planforge_tensorrt::Libraries::in_folder(&settings.pipeline.native.tensorrt_folder());
    let runtime = settings.pipeline.native.onnx_runtime();
    let parts = [
        library("TensorRT-RTX builder", &libraries.builder, |path| {
            planforge_tensorrt::library_version(path).map_err(|error| chain(&error))
        }),
        library("TensorRT-RTX ONNX parser", &libraries.parser, |path| {
            planforge_tensorrt::parser_version(path).map_err(|error| chain(&error))
        }),
        library("ONNX Runtime", &runtime, |path| planforge_runtime::load_library(path).map_err(|error| chain(&error))),
        engine_worker(&settings.pipeline.workers.engine_worker),
        libtorch(settings),
        gpu(),
        hub_cache(settings),
        writable("output folder", &settings.pipeline.output),
        writable("artifact cache", &settings.pipeline.cache),
    ];
    if settings.json {
        printer::json(&parts)?;
    } else {
        printer::stdout(&text(&parts))?;
    }
    let missing: Vec<_> = parts.iter().filter(|part| part.required && !part.found).map(|part| part.name).collect();
    if missing.is_empty() { Ok(()) } else { Err(Missing(format!("missing: {}", missing.join(", "))).into()) }
}

fn text(parts: &[Part]) -> String {
    let row = |part: &Part| {
        let state = match (part.found, part.required) {
            (true, _) => "ok",
            (false, true) => "MISSING",
            (false, false) => "none",
        };
        let remedy = part.remedy.map_or_else(String::new, |remedy| format!("; run `{remedy}`"));
        vec![state.to_owned(), format!("{}: {}{remedy}", part.name, part.detail)]
    };
    table(&["state", "part"], &parts.iter().map(row).collect::<Vec<_>>())
}

fn library(name: &'static str, path: &Path, version: impl Fn(&Path) -> Result<String, String>) -> Part {
    let shown = short_path(path);
    let found = if path.exists() { version(path) } else { Err("not found".to_owned()) };
    match found {
        Ok(version) => Part { name, required: true, found: true, detail: format!("{version} ({shown})"), remedy: None },
        Err(reason) => {
            Part { name, required: true, found: false, detail: format!("{shown}: {reason}"), remedy: Some(SETUP) }
        }
    }
}

/// The program that builds engines, which must have the version of this one.
fn engine_worker(path: &Path) -> Part {
    let checked = EngineWorker::new(path.to_owned()).check();
    let (detail, remedy) = match &checked {
        Ok(()) => (format!("{VERSION} ({})", path.display()), None),
        Err(error) => (chain(error), Some(BUILD)),
    };
    Part { name: "engine worker", required: true, found: checked.is_ok(), detail, remedy }
}

/// A program that was built with libtorch does not start without it.
fn libtorch(settings: &Settings) -> Part {
    let path = settings.pipeline.native.libtorch();
    let there = if path.exists() { format!(" ({})", short_path(&path)) } else { String::new() };
    let detail = match LIBTORCH_VERSION {
        Some(version) => format!("{version}{there}"),
        None => format!("{}{there}", planforge_validate::Error::NoLibtorch),
    };
    Part { name: "libtorch", required: false, found: LIBTORCH_VERSION.is_some(), detail, remedy: None }
}

/// NVIDIA's kernel driver lists its GPUs here.
fn gpu() -> Part {
    let version = fs_err::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
    let driver = version.split_whitespace().skip_while(|word| *word != "Module").nth(1).unwrap_or("unknown version");
    let entries = fs_err::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten().flatten();
    let information = entries.filter_map(|entry| fs_err::read_to_string(entry.path().join("information")).ok());
    let names: Vec<String> = information
        .filter_map(|text| Some(text.lines().find_map(|line| line.strip_prefix("Model:"))?.trim().to_owned()))
        .collect();
    let detail = if names.is_empty() {
        "no NVIDIA GPU; engines are built all the same, and not run".to_owned()
    } else {
        format!("{} (driver {driver})", names.join(", "))
    };
    Part { name: "GPU", required: false, found: !names.is_empty(), detail, remedy: None }
}

fn hub_cache(settings: &Settings) -> Part {
    let hub = &settings.pipeline.hub;
    let network = if hub.offline { "offline".to_owned() } else { format!("online, {}", hub.endpoint) };
    let token = if hub.token.is_some() { "with a token" } else { "no token" };
    let found = hub.cache.is_dir();
    let state = if found { "" } else { ", not there yet" };
    let detail = format!("{}{state} ({network}, {token})", short_path(&hub.cache));
    // Offline nothing can make it.
    Part { name: "Hub cache", required: hub.offline, found: found || !hub.offline, detail, remedy: None }
}

/// Tries it in the nearest folder that exists.
fn writable(name: &'static str, folder: &Path) -> Part {
    let existing = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let tried = tempfile::NamedTempFile::new_in(existing);
    let detail = match &tried {
        Ok(_) => short_path(folder),
        Err(error) => format!("{} is not writable: {error}", short_path(existing)),
    };
    Part { name, required: true, found: tried.is_ok(), detail, remedy: None }
}

fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
