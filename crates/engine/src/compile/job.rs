//! One engine to build, and how.

use planforge_core::{Builder, BuilderOptions, CachedArtifact, EngineTarget, Model, Profile};
use std::path::PathBuf;
use std::time::Duration;

/// One engine to build.
#[derive(Debug, Clone)]
pub struct CompileJob<'a> {
    /// The model.
    pub model: &'a CachedArtifact<Model>,
    /// Target, builder and limits.
    pub options: CompileOptions,
}

/// Target, builder and limits of one engine.
#[derive(Debug, Clone)]
pub struct CompileOptions {
    /// Name of the engine in progress and errors.
    pub subject: String,
    /// The target.
    pub target: EngineTarget,
    /// The builder.
    pub builder: Builder,
    /// Options of the builder other than profiles.
    pub builder_options: BuilderOptions,
    /// Optimization profiles.
    pub profiles: Vec<Profile>,
    /// Outputs of the engine, at least one.
    pub outputs: Vec<String>,
    /// Folder of the TensorRT-RTX libraries.
    pub libraries: PathBuf,
    /// `trtexec`, for the builder of that name.
    pub trtexec: Option<PathBuf>,
    /// Version of the builder's library, part of the cache key.
    pub library_version: String,
    /// Most time one engine may take.
    pub timeout: Duration,
}
