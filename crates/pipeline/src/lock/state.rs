//! The lock as it was when the run began.

use super::mode::LockMode;
use super::place::LockPlace;
use crate::torchscript::require_libtorch;
use crate::{Error, Result};
use planforge_core::{
    ArtifactFile, Difference, EngineTarget, GpuCatalogue, Lock, LockedFile, LockedSource, Pipeline, Platform,
    Precision, Snapshot, SourceSpec, Step, Variant,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The lock of a pipeline, and what the run does with it.
#[derive(Debug, Clone)]
pub struct LockState {
    /// The lock file.
    pub path: PathBuf,
    /// Where it is written.
    pub(crate) written: PathBuf,
    /// What the run does with it.
    pub mode: LockMode,
    /// Its content when the run began; none where there was no file.
    pub locked: Option<Lock>,
}

impl LockState {
    /// Reads the lock of the pipeline file `file` at `place`.
    ///
    /// # Errors
    /// An invalid lock, and [`Error::NoLock`] where `mode` needs one.
    pub(crate) fn open(file: &Path, place: LockPlace, mode: LockMode) -> Result<Self> {
        let LockPlace { read: path, written } = place;
        let locked = Lock::read(&path)?;
        if locked.is_none() && mode.needs_lock() {
            return Err(Error::NoLock { path, file: file.to_owned() });
        }
        Ok(Self { path, written, mode, locked })
    }

    /// The last step whose results the lock has.
    #[must_use]
    pub fn last_step(&self) -> Step {
        match &self.locked {
            Some(lock) if !lock.archives.is_empty() => Step::Package,
            Some(lock) if !lock.engines.is_empty() => Step::Compile,
            Some(lock) if !lock.exports.is_empty() => Step::Export,
            _ => Step::Fetch,
        }
    }

    /// Every item of the lock, compared with `found`.
    #[must_use]
    pub fn compare(&self, found: &Lock) -> Vec<Difference> {
        self.locked.iter().flat_map(|locked| locked.compare(found)).collect()
    }

    /// The commit that the lock pins for this repository and revision.
    pub(crate) fn pinned_commit(&self, source: &SourceSpec) -> Option<&str> {
        Some(self.pinned_source(source)?.commit.as_str())
    }

    /// Paths of the files that were taken from the pinned commit.
    pub(crate) fn pinned_files(&self, source: &SourceSpec) -> Vec<String> {
        self.pinned_source(source).iter().flat_map(|locked| locked.files.keys().cloned()).collect()
    }

    fn pinned_source(&self, source: &SourceSpec) -> Option<&LockedSource> {
        let locked = &self.locked.as_ref().filter(|_| self.mode != LockMode::Update)?.source;
        let is_same = locked.repo == source.repo && locked.revision.as_ref() == Some(&source.revision);
        is_same.then_some(locked)
    }

    /// The engines in the lock.
    pub(crate) fn targets(&self, catalogue: &GpuCatalogue) -> Result<Vec<EngineTarget>> {
        let mut targets = Vec::new();
        for (id, engine) in self.locked.iter().flat_map(|lock| &lock.engines) {
            let gpus: planforge_core::Result<_> = engine.gpus.iter().map(|gpu| catalogue.find(gpu).cloned()).collect();
            targets.push(EngineTarget { variant: self.variant(id)?, gpus: gpus? });
        }
        Ok(targets)
    }

    /// The archives in the lock; where it has none, the variants that its exports would be packaged as.
    pub(crate) fn variants(&self) -> Result<Vec<Variant>> {
        let Some(lock) = &self.locked else { return Ok(Vec::new()) };
        let exports = lock.exports.keys().map(|id| id.replace("torchscript-", "pytorch-"));
        let ids: Vec<String> =
            if lock.archives.is_empty() { exports.collect() } else { lock.archives.keys().cloned().collect() };
        let variants: Vec<_> = ids.iter().map(|id| self.variant(id)).collect::<Result<_>>()?;
        if variants.iter().any(|variant| variant.platform == Platform::Pytorch) {
            require_libtorch()?;
        }
        Ok(variants)
    }

    /// Precisions of the exports in a lock that is rebuilt; some may have no archive.
    pub(crate) fn precisions(&self) -> Vec<Precision> {
        let Some(lock) = self.locked.as_ref().filter(|_| self.mode == LockMode::Rebuild) else { return Vec::new() };
        let has = |precision: &Precision| lock.exports.keys().any(|id| id.ends_with(&precision.to_string()));
        Precision::ALL.into_iter().filter(has).collect()
    }

    fn variant(&self, id: &str) -> Result<Variant> {
        let invalid = || planforge_core::Error::Value {
            path: self.path.clone(),
            key: "archives".to_owned(),
            message: format!("unknown variant `{id}`; expected one such as `onnx-fp32` or `tensorrt-fp16-l4`"),
        };
        Ok(Variant::from_id(id).ok_or_else(invalid)?)
    }
}

/// A lock with the source and options of a run, without artifacts.
pub(crate) fn lock_of_source(spec: &Pipeline, snapshot: &Snapshot) -> Lock {
    let is_local = snapshot.commit.is_local();
    let source = LockedSource {
        repo: (!is_local).then(|| snapshot.repo.clone()),
        revision: (!is_local).then(|| snapshot.revision.clone()),
        commit: snapshot.commit.clone(),
        files: locked_files(&snapshot.files),
    };
    let tools = [("planforge".to_owned(), env!("CARGO_PKG_VERSION").to_owned())].into();
    Lock::new(spec, tools, source)
}

/// Size and digest of files, by path.
pub(crate) fn locked_files(files: &[ArtifactFile]) -> BTreeMap<String, LockedFile> {
    files.iter().map(|file| (file.path.clone(), LockedFile::from(file))).collect()
}
