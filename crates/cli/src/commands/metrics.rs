//! `metrics-model`: the archive of a model that reports its server's memory.

use crate::args::MetricsArguments;
use crate::commands::context::CommandContext;
use anyhow::Result;
use planforge_core::Digest;
use planforge_package::metrics_package;
use serde::Serialize;
use std::path::PathBuf;

/// The archive.
#[derive(Debug, Serialize)]
struct Written {
    archive: PathBuf,
    byte_count: u64,
    sha256: Digest,
}

/// Writes it and prints its size and digest.
pub(super) fn metrics_model(context: &CommandContext, arguments: &MetricsArguments) -> Result<()> {
    let library = (!arguments.without_backend).then_some(context.settings.pipeline.native.triton_backend.as_path());
    let (sha256, byte_count) = metrics_package(&arguments.file, library, &*context.terminal)?;
    let written = Written { archive: arguments.file.clone(), byte_count, sha256 };
    let text = format!("{}: {} bytes, SHA-256 {}\n", written.archive.display(), byte_count, written.sha256);
    context.show(&written, &text)
}
