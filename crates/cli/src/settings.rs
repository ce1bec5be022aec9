//! Flags, environment and defaults, resolved once.

use crate::args::Global;
use crate::failure::BadUsage;
use anyhow::{Context, Result};
use planforge_core::{
    ACCESS_TOKEN_VARIABLE, AccessToken, ChildProgram, MAX_PIPELINE_BYTE_COUNT, MemorySize, OutputLayout, read_text,
};
use planforge_engine::BuildLimits;
use planforge_engine_protocol::WORKER_PROGRAM;
use planforge_hub::{Token, Transfer};
use planforge_pipeline::{HubOptions, NativeLibraries, PipelineOptions, Workers};
use std::env;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where NVIDIA's archives, packages and containers put trtexec.
const TRTEXEC_PLACES: [&str; 3] =
    ["/usr/src/tensorrt/bin/trtexec", "/opt/tensorrt/bin/trtexec", "/usr/local/tensorrt/bin/trtexec"];

/// Options of pipelines, and how results are shown.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Options of pipelines.
    pub(crate) pipeline: PipelineOptions,
    /// Print JSON.
    pub(crate) json: bool,
    /// Print results and errors alone.
    pub(crate) quiet: bool,
}

impl Settings {
    /// Flags first, then the environment, then defaults. Paths are absolute.
    pub(crate) fn resolve(global: &Global) -> Result<Self> {
        let here = env::current_dir().context("the current folder cannot be read")?;
        let output = here.join(&global.output);
        let cache = global.cache.as_ref().map_or_else(|| OutputLayout::cache(&output), |cache| here.join(cache));
        let pipeline = PipelineOptions {
            output,
            cache,
            lock: global.lock.clone(),
            hub: hub_options(&here),
            native: native_libraries(global, &here),
            workers: workers(global, &here)?,
            endpoint_token: endpoint_token()?,
            current_folder: here,
        };
        require_unicode(&pipeline)?;
        Ok(Self { pipeline, json: global.json, quiet: global.quiet })
    }
}

/// Records, and requests to other processes, are JSON, which has no paths of other bytes.
fn require_unicode(options: &PipelineOptions) -> Result<(), BadUsage> {
    let PipelineOptions { output, cache, hub, native, current_folder, .. } = options;
    let folders = [current_folder, output, cache, &hub.cache, &native.folder, &native.triton_backend];
    let arguments = env::args_os().map(PathBuf::from);
    match arguments.chain(folders.into_iter().cloned()).find(|path| path.to_str().is_none()) {
        Some(path) => Err(BadUsage(format!("unsupported path `{}`: its name is not UTF-8", path.display()))),
        None => Ok(()),
    }
}

fn native_libraries(global: &Global, here: &Path) -> NativeLibraries {
    let folder = match &global.native {
        Some(folder) => here.join(folder),
        None => nearest_native(here),
    };
    let triton_backend = match &global.triton_backend {
        Some(library) => here.join(library),
        None => env::current_exe().unwrap_or_default().with_file_name("libtriton_planforge.so"),
    };
    let trtexec = global.trtexec.as_ref().map(|tool| here.join(tool)).or_else(installed_trtexec);
    let trtexec_places = TRTEXEC_PLACES.map(PathBuf::from).to_vec();
    NativeLibraries { folder, triton_backend, trtexec, trtexec_places }
}

/// The programs that run as child processes: the engine worker, and commands of this program.
fn workers(global: &Global, here: &Path) -> Result<Workers> {
    let program = env::current_exe().context("the path of this program is unknown")?;
    let worker = |command: &str| ChildProgram {
        program: program.clone(),
        arguments: vec!["internal".to_owned(), command.to_owned()],
    };
    let mut host = worker("host");
    host.arguments.extend(std::iter::repeat_n("-v".to_owned(), usize::from(global.verbose)));
    let engine_worker = match &global.engine_worker {
        Some(file) => here.join(file),
        None => program.with_file_name(WORKER_PROGRAM),
    };
    Ok(Workers { engine_worker, run_engine: worker("run-engine"), host, isolated: worker("isolated") })
}

/// The secret of endpoints that this program starts or asks.
fn endpoint_token() -> Result<Option<AccessToken>> {
    let Some(text) = env::var_os(ACCESS_TOKEN_VARIABLE).filter(|text| !text.is_empty()) else { return Ok(None) };
    let text = text.into_string().unwrap_or_default();
    let token = AccessToken::try_from(text).map_err(|error| BadUsage(format!("{ACCESS_TOKEN_VARIABLE}: {error}")))?;
    Ok(Some(token))
}

/// `trtexec` on the PATH, or in one of the usual places.
fn installed_trtexec() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join("trtexec"));
    on_path.chain(TRTEXEC_PLACES.map(PathBuf::from)).find(|tool| tool.is_file())
}

/// The variables that Hugging Face's own tools read: `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else in
/// `~/.cache/huggingface`; `HF_ENDPOINT`; `HF_HUB_OFFLINE`; `HF_TOKEN`, else the file of `HF_TOKEN_PATH`, else `token` in the
/// Hugging Face home; `HF_HUB_DOWNLOAD_TIMEOUT`, in seconds.
fn hub_options(here: &Path) -> HubOptions {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let home = variable("HF_HOME").map(PathBuf::from).unwrap_or_else(|| {
        let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
        cache.unwrap_or_else(|| env::home_dir().unwrap_or_default().join(".cache")).join("huggingface")
    });
    let home = here.join(home);
    let cache = variable("HF_HUB_CACHE").map_or_else(|| home.join("hub"), |folder| here.join(folder));
    let is_true = |value: String| ["1", "true", "yes", "on"].contains(&value.to_lowercase().as_str());
    let token_file = variable("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
    let token = variable("HF_TOKEN")
        .or_else(|| read_text(&token_file, MAX_PIPELINE_BYTE_COUNT).ok())
        .map(|token| token.trim().to_owned())
        .filter(|token| !token.is_empty());
    let timeout = variable("HF_HUB_DOWNLOAD_TIMEOUT").and_then(|seconds| seconds.parse().ok());
    let transfer = Transfer::default();
    let timeout = timeout.map_or(transfer.timeout, Duration::from_secs);
    HubOptions {
        cache,
        endpoint: variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned()),
        offline: variable("HF_HUB_OFFLINE").is_some_and(is_true),
        token: token.map(Token),
        transfer: Transfer { timeout, ..transfer },
    }
}

/// `.native` in the current folder or above it, or above the program itself.
fn nearest_native(here: &Path) -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    let folders = here.ancestors().chain(program.ancestors());
    folders.map(|folder| folder.join(".native")).find(|folder| folder.is_dir()).unwrap_or_else(|| here.join(".native"))
}

/// What engine builds may take together: as the arguments name it, else most of the memory that is free and a process for each processor.
pub(crate) fn build_limits(memory: Option<MemorySize>, jobs: Option<NonZeroUsize>) -> BuildLimits {
    let processors = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    BuildLimits {
        memory_byte_count: memory.map_or_else(|| crate::memory::available_byte_count() / 5 * 4, MemorySize::byte_count),
        processes: jobs.map_or_else(processors, NonZeroUsize::get),
    }
}
