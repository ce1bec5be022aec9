//! What a caller decides for every pipeline: folders, the Hub, native libraries and child processes.

use crate::{Error, Result};
use planforge_core::{AccessToken, ChildProgram};
use planforge_hub::{Token, Transfer};
use planforge_tensorrt::Libraries;
use std::path::PathBuf;

/// Options that hold for all pipelines of a program.
#[derive(Debug, Clone)]
pub struct PipelineOptions {
    /// Folder of results.
    pub output: PathBuf,
    /// Folder of the artifact cache.
    pub cache: PathBuf,
    /// The lock, where the caller named it.
    pub lock: Option<PathBuf>,
    /// The folder that the caller works in; reports show paths in it without it.
    pub current_folder: PathBuf,
    /// The Hub.
    pub hub: HubOptions,
    /// Native libraries and tools.
    pub native: NativeLibraries,
    /// Programs that run as child processes.
    pub workers: Workers,
    /// What requests to endpoints carry, and what endpoints ask for.
    pub endpoint_token: Option<AccessToken>,
}

/// Where the Hub and its cache are.
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// Cache folder in the Hub's standard layout.
    pub cache: PathBuf,
    /// Base URL of the Hub or of a mirror.
    pub endpoint: String,
    /// Whether the cache alone is used.
    pub offline: bool,
    /// Access token.
    pub token: Option<Token>,
    /// Retries and time-outs of downloads.
    pub transfer: Transfer,
}

/// Where native libraries and tools are, found or expected.
#[derive(Debug, Clone)]
pub struct NativeLibraries {
    /// Folder of the libraries that `scripts/setup` fetches.
    pub folder: PathBuf,
    /// planforge's Triton backend.
    pub triton_backend: PathBuf,
    /// The tool `trtexec`, where one was named or found.
    pub trtexec: Option<PathBuf>,
    /// Where `trtexec` was looked for besides the search path.
    pub trtexec_places: Vec<PathBuf>,
}

impl NativeLibraries {
    /// The ONNX Runtime library.
    #[must_use]
    pub fn onnx_runtime(&self) -> PathBuf {
        self.folder.join("onnxruntime/libonnxruntime.so")
    }

    /// The ONNX Runtime library, which exists.
    ///
    /// # Errors
    /// [`Error::NoOnnxRuntime`] where it does not.
    pub fn existing_onnx_runtime(&self) -> Result<PathBuf> {
        let path = self.onnx_runtime();
        if path.exists() { Ok(path) } else { Err(Error::NoOnnxRuntime { path }) }
    }

    /// The server of `scripts/setup`.
    #[must_use]
    pub fn tritonserver(&self) -> PathBuf {
        self.folder.join("triton/bin/tritonserver")
    }

    /// Folder of the TensorRT-RTX libraries.
    #[must_use]
    pub fn tensorrt_folder(&self) -> PathBuf {
        self.folder.join("tensorrt-rtx")
    }

    /// The TensorRT-RTX library that builds and runs engines.
    #[must_use]
    pub fn tensorrt_library(&self) -> PathBuf {
        Libraries::in_folder(&self.tensorrt_folder()).builder
    }

    /// The libtorch library that a program with the Cargo feature `torch` is linked with.
    #[must_use]
    pub fn libtorch(&self) -> PathBuf {
        self.folder.join("libtorch/lib/libtorch_cpu.so")
    }

    /// The tool `trtexec`, which exists.
    ///
    /// # Errors
    /// [`Error::NoTrtexec`] with the places that were looked at.
    pub fn existing_trtexec(&self) -> Result<PathBuf> {
        let found = self.trtexec.clone().filter(|tool| tool.is_file());
        found.ok_or_else(|| Error::NoTrtexec { named: self.trtexec.clone(), places: self.trtexec_places.clone() })
    }
}

/// Programs that run as child processes, each asked on its standard input.
#[derive(Debug, Clone)]
pub struct Workers {
    /// The program that builds engines.
    pub engine_worker: PathBuf,
    /// Runs one engine: [`planforge_validate::run_engine_here`].
    pub run_engine: ChildProgram,
    /// Serves the local endpoint: [`planforge_host::HostRequest`].
    pub host: ChildProgram,
    /// Runs a server in namespaces of its own: [`planforge_host::run_isolated`].
    pub isolated: ChildProgram,
}
