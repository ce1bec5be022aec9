//! Flags, environment and defaults, resolved once.

use crate::args::Global;
use crate::failure::Missing;
use anyhow::{Context, Result};
use planforge_core::{MemorySize, OutputLayout};
use planforge_engine::BuildLimits;
use planforge_hub::{Token, Transfer};
use std::env;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where NVIDIA's archives, packages and containers put trtexec.
const TRTEXEC_PLACES: [&str; 3] =
    ["/usr/src/tensorrt/bin/trtexec", "/opt/tensorrt/bin/trtexec", "/usr/local/tensorrt/bin/trtexec"];

/// What a run needs to know about its surroundings.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Folder of results.
    pub(crate) output: PathBuf,
    /// Artifact cache.
    pub(crate) cache: PathBuf,
    /// Folder of native libraries, found or expected.
    pub(crate) native: PathBuf,
    /// planforge's Triton backend, found or expected.
    pub(crate) triton_backend: PathBuf,
    /// The tool `trtexec`, where one was named or found.
    trtexec: Option<PathBuf>,
    /// The Hub.
    pub(crate) hub: HubSettings,
    /// Print JSON.
    pub(crate) json: bool,
    /// Say nothing but results and errors.
    pub(crate) quiet: bool,
    /// How much more to say.
    pub(crate) verbose: u8,
}

/// The variables that Hugging Face's own tools read.
#[derive(Debug, Clone)]
pub(crate) struct HubSettings {
    /// `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else in `~/.cache/huggingface`.
    pub(crate) cache: PathBuf,
    /// `HF_ENDPOINT`.
    pub(crate) endpoint: String,
    /// `HF_HUB_OFFLINE`.
    pub(crate) offline: bool,
    /// `HF_TOKEN`, else the file of `HF_TOKEN_PATH`, else `token` in the Hugging Face home.
    pub(crate) token: Option<Token>,
    /// `HF_HUB_DOWNLOAD_TIMEOUT`, in seconds.
    pub(crate) transfer: Transfer,
}

impl Settings {
    /// Flags first, then the environment, then defaults. Paths come out absolute.
    pub(crate) fn resolve(global: &Global) -> Result<Self> {
        let here = env::current_dir().context("the current folder cannot be read")?;
        let output = here.join(&global.output);
        let cache = global.cache.as_ref().map_or_else(|| OutputLayout::cache(&output), |cache| here.join(cache));
        let native = match &global.native {
            Some(folder) => here.join(folder),
            None => nearest_native(&here),
        };
        let triton_backend = match &global.triton_backend {
            Some(library) => here.join(library),
            None => env::current_exe().unwrap_or_default().with_file_name("libtriton_planforge.so"),
        };
        let hub = HubSettings::from_environment(&here);
        let trtexec = global.trtexec.as_ref().map(|tool| here.join(tool)).or_else(installed_trtexec);
        let Global { json, quiet, verbose, .. } = *global;
        Ok(Self { output, cache, native, triton_backend, trtexec, hub, json, quiet, verbose })
    }

    /// Folder of the TensorRT-RTX libraries.
    pub(crate) fn tensorrt_folder(&self) -> PathBuf {
        self.native.join("tensorrt-rtx")
    }

    /// The library of TensorRT-RTX that builds and runs engines.
    pub(crate) fn tensorrt_library(&self) -> PathBuf {
        planforge_tensorrt::Libraries::in_folder(&self.tensorrt_folder()).builder
    }

    /// The tool `trtexec`.
    ///
    /// # Errors
    /// [`Missing`] with the places that were looked at.
    pub(crate) fn trtexec(&self) -> Result<PathBuf> {
        let found = self.trtexec.clone().filter(|tool| tool.is_file());
        Ok(found.ok_or_else(|| match &self.trtexec {
            Some(tool) => Missing(format!("trtexec was not found at `{}`", tool.display())),
            None => Missing(format!(
                "trtexec was not found: it is not on the PATH, nor one of {}; name it with --trtexec",
                TRTEXEC_PLACES.join(", ")
            )),
        })?)
    }

    /// The library of libtorch that a program with the Cargo feature `torch` is linked with.
    pub(crate) fn libtorch(&self) -> PathBuf {
        self.native.join("libtorch/lib/libtorch_cpu.so")
    }

    /// The ONNX Runtime library.
    pub(crate) fn onnx_runtime(&self) -> PathBuf {
        self.native.join("onnxruntime/libonnxruntime.so")
    }
}

/// `trtexec` on the PATH, or in one of the usual places.
fn installed_trtexec() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join("trtexec"));
    on_path.chain(TRTEXEC_PLACES.map(PathBuf::from)).find(|tool| tool.is_file())
}

impl HubSettings {
    fn from_environment(here: &Path) -> Self {
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
            .or_else(|| fs_err::read_to_string(token_file).ok())
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty());
        let timeout = variable("HF_HUB_DOWNLOAD_TIMEOUT").and_then(|seconds| seconds.parse().ok());
        let transfer = Transfer::default();
        let timeout = timeout.map_or(transfer.timeout, Duration::from_secs);
        Self {
            cache,
            endpoint: variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned()),
            offline: variable("HF_HUB_OFFLINE").is_some_and(is_true),
            token: token.map(Token),
            transfer: Transfer { timeout, ..transfer },
        }
    }
}

/// `.native` in the current folder or above it, or above the program itself.
fn nearest_native(here: &Path) -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    let folders = here.ancestors().chain(program.ancestors());
    folders.map(|folder| folder.join(".native")).find(|folder| folder.is_dir()).unwrap_or_else(|| here.join(".native"))
}

/// What engine builds may take together: as told, else most of the memory that is free and a process for each processor.
pub(crate) fn build_limits(memory: Option<MemorySize>, jobs: Option<NonZeroUsize>) -> BuildLimits {
    let processors = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    BuildLimits {
        memory_byte_count: memory.map_or_else(|| crate::memory::available_byte_count() / 5 * 4, MemorySize::byte_count),
        processes: jobs.map_or_else(processors, NonZeroUsize::get),
    }
}
