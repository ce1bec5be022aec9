//! Everything that a lock names, made anew and compared.

use crate::pipeline::overrides::{LockUse, Overrides};
use crate::pipeline::steps::Run;
use crate::progress::Terminal;
use crate::settings::Settings;
use anyhow::Result;
use planforge_core::{Difference, ItemKind, OutputLayout};
use planforge_engine::BuildLimits;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a rebuild compares with the lock.
#[derive(Debug, Serialize)]
pub(crate) struct Verification {
    /// The pipeline's name.
    pub(crate) name: String,
    /// The lock.
    pub(crate) lock: PathBuf,
    /// Whether every file and artifact is the same.
    pub(crate) passed: bool,
    /// The files it was made of and the artifacts, with the tools.
    pub(crate) items: Vec<Difference>,
}

impl Verification {
    /// The files and artifacts that differ.
    pub(crate) fn differing(&self) -> impl Iterator<Item = &Difference> {
        self.items.iter().filter(|item| differs(item))
    }
}

/// Rebuilds what the lock of the pipeline file `path` names, with nothing but the Hub's files to begin with. The folder
/// lies within the output folder, so that files can be linked, and goes away at the end.
pub(crate) fn verify(
    settings: &Settings,
    terminal: &Arc<Terminal>,
    runtime: &tokio::runtime::Runtime,
    (path, catalogue): (&Path, Option<&Path>),
    limits: BuildLimits,
) -> Result<Verification> {
    fs_err::create_dir_all(&settings.output)?;
    let folder = tempfile::Builder::new().prefix(".verify-").tempdir_in(&settings.output)?;
    let mut settings = settings.clone();
    settings.output = folder.path().to_owned();
    settings.cache = OutputLayout::cache(folder.path());
    let overrides =
        Overrides { catalogue: catalogue.map(Path::to_owned), lock: LockUse::Rebuild, ..Overrides::default() };
    let mut run = Run::open(&settings, terminal, path, &overrides)?;
    let until = run.lock.last_step();
    let made = run.make(runtime, until, limits)?;
    let mut items = run.lock.compare(&run.lock_of(&made)?);
    items.retain(|item| item.kind.is_artifact() || matches!(item.kind, ItemKind::File | ItemKind::Tool));
    let passed = !items.iter().any(differs);
    Ok(Verification { name: run.pipeline.name.to_string(), lock: run.lock.path().to_owned(), passed, items })
}

/// Whether a file or an artifact is not as in the lock.
fn differs(item: &Difference) -> bool {
    item.kind != ItemKind::Tool && !item.is_same()
}
