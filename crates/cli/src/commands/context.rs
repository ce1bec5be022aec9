//! What every command is given.

use crate::failure::BadUsage;
use crate::printer;
use crate::progress::Terminal;
use crate::settings::Settings;
use anyhow::Result;
use planforge_core::Progress;
use planforge_pipeline::{Overrides, PipelineContext};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Settings, the terminal and the runtime of a command.
pub(super) struct CommandContext {
    pub(super) settings: Settings,
    pub(super) terminal: Arc<Terminal>,
    pub(super) runtime: Runtime,
}

impl CommandContext {
    /// Prints a result: as JSON where that is asked for, else `text`.
    pub(super) fn show(&self, value: &impl serde::Serialize, text: &str) -> Result<()> {
        self.terminal.clear();
        if self.settings.json { printer::json(value) } else { printer::stdout(text) }
    }

    /// Fails where one lock file is named for several pipelines.
    pub(super) fn check_lock_option(&self, pipelines: &[PathBuf]) -> Result<()> {
        if self.settings.pipeline.lock.is_some() && pipelines.len() > 1 {
            let message =
                format!("--lock names the lock of one pipeline; expected 1 pipeline, got {}", pipelines.len());
            return Err(BadUsage(message).into());
        }
        Ok(())
    }

    /// Opens a pipeline file.
    pub(super) fn open(&self, file: &Path, overrides: &Overrides) -> Result<PipelineContext> {
        let runtime = self.runtime.handle().clone();
        Ok(PipelineContext::open(&self.settings.pipeline, overrides, file, self.progress(), runtime)?)
    }

    /// Where events go.
    pub(super) fn progress(&self) -> Arc<dyn Progress> {
        Arc::clone(&self.terminal) as Arc<dyn Progress>
    }
}
