//! Everything that a lock names, rebuilt and compared.

use crate::Result;
use crate::context::{PipelineContext, read_spec};
use crate::lock::{LockMode, LockPlace};
use crate::options::PipelineOptions;
use crate::overrides::Overrides;
use crate::run::run_pipeline;
use planforge_core::{Difference, ItemKind, Lock, OutputLayout, Progress};
use planforge_engine::BuildLimits;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Handle;

/// How a rebuild compares with the lock.
#[derive(Debug, Serialize)]
pub struct Verification {
    /// The pipeline's name.
    pub name: String,
    /// The lock.
    pub lock: PathBuf,
    /// Whether every file and artifact is the same.
    pub passed: bool,
    /// Files of the checkpoint, artifacts and tools, each as locked and as found.
    pub items: Vec<Difference>,
}

impl Verification {
    /// The files and artifacts that differ.
    pub fn differing(&self) -> impl Iterator<Item = &Difference> {
        self.items.iter().filter(|item| differs(item))
    }
}

/// Rebuilds what the lock of the pipeline file `file` names, with nothing but the Hub's files to begin with. It works in a
/// folder of the output folder, so that files can be linked, and removes it at the end. `catalogue` is a file with more
/// GPU types.
///
/// # Errors
/// A missing lock, and the first error of any stage.
pub fn verify(
    options: &PipelineOptions,
    file: &Path,
    catalogue: Option<&Path>,
    limits: BuildLimits,
    progress: Arc<dyn Progress>,
    runtime: Handle,
) -> Result<Verification> {
    fs_err::create_dir_all(&options.output)?;
    let layout = OutputLayout::new(&options.output, &read_spec(file)?.name);
    let lock = LockPlace::find(options.lock.as_deref(), file, &layout, LockMode::Rebuild)?;
    let folder = tempfile::Builder::new().prefix(".verify-").tempdir_in(&options.output)?;
    let (output, cache) = (folder.path().to_owned(), OutputLayout::cache(folder.path()));
    let options = PipelineOptions { output, cache, lock: Some(lock.read), ..options.clone() };
    let overrides =
        Overrides { catalogue: catalogue.map(Path::to_owned), lock: LockMode::Rebuild, ..Overrides::default() };
    let context = PipelineContext::open(&options, &overrides, file, progress, runtime)?;
    let record = run_pipeline(&context, context.lock.last_step(), limits)?;
    let mut items = context.lock.compare(&Lock::from(&record));
    items.retain(|item| item.kind.is_artifact() || matches!(item.kind, ItemKind::File | ItemKind::Tool));
    let passed = !items.iter().any(differs);
    Ok(Verification { name: context.spec.name.to_string(), lock: context.lock.path.clone(), passed, items })
}

/// Whether a file or an artifact is not as in the lock.
fn differs(item: &Difference) -> bool {
    item.kind != ItemKind::Tool && !item.is_same()
}
