//! What a run puts into its output folder and notes for its report.

use crate::pipeline::steps::Run;
use anyhow::Result;
use planforge_core::{ArtifactFile, CachedArtifact, Model, Outcome, Step, link_or_copy};
use planforge_report::{ArtifactRow, ModelFacts};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

impl Run {
    /// Writes the report files and returns the page's path.
    pub(crate) fn write_report(&self) -> Result<PathBuf> {
        let start = Instant::now();
        self.progress().started(Step::Report, "report.html", None, "");
        planforge_report::write_report(&self.report, &self.layout.folder())?;
        self.progress().finished(Step::Report, "report.html", Outcome::Built, start.elapsed());
        Ok(self.layout.report("report.html"))
    }

    /// Puts an exported model into the output folder and the report.
    pub(super) fn add_export(&mut self, model: &CachedArtifact<Model>) -> Result<()> {
        let Model { format, precision, graph, .. } = &model.record;
        let folder = self.layout.export(*format, *precision);
        materialise(model, &folder)?;
        self.report.models.push(ModelFacts::from(&model.record));
        self.add_main_file(Step::Export, &format!("{format}-{precision}"), (model, graph), &folder.join(graph));
        Ok(())
    }

    /// A row for the file that an artifact is about.
    pub(super) fn add_main_file<T>(
        &mut self,
        step: Step,
        subject: &str,
        (stored, file): (&CachedArtifact<T>, &str),
        path: &Path,
    ) {
        if let Some(file) = stored.file(file) {
            let file = file.clone();
            self.add_row((step, subject), path, &file, (stored.elapsed, outcome(stored)));
        }
    }

    /// A row for a file.
    pub(super) fn add_row(
        &mut self,
        (step, subject): (Step, &str),
        path: &Path,
        file: &ArtifactFile,
        (elapsed, outcome): (Duration, Outcome),
    ) {
        self.report.artifacts.push(ArtifactRow {
            step,
            subject: subject.to_owned(),
            path: self.shown(path),
            byte_count: file.byte_count,
            sha256: file.sha256.clone(),
            elapsed,
            outcome,
        });
    }

    /// A path as the user would write it: below the pipeline's folder or the current one, or whole.
    fn shown(&self, path: &Path) -> String {
        let here = std::env::current_dir().unwrap_or_default();
        let shorter = path.strip_prefix(self.layout.folder()).or_else(|_| path.strip_prefix(here));
        shorter.unwrap_or(path).display().to_string()
    }
}

/// Whether an artifact was found or made.
pub(super) fn outcome<T>(stored: &CachedArtifact<T>) -> Outcome {
    if stored.cache_hit { Outcome::Cached } else { Outcome::Built }
}

/// Puts the files of a cache entry into the output folder without copying them.
pub(super) fn materialise<T>(stored: &CachedArtifact<T>, folder: &Path) -> Result<()> {
    for file in &stored.files {
        link_or_copy(&stored.path(&file.path), &folder.join(&file.path))?;
    }
    Ok(())
}
