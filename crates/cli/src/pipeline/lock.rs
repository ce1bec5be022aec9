//! The lock beside a pipeline file: the commit it pins, what is written into it, and whether it holds.

use crate::failure::CheckFailed;
use crate::pipeline::overrides::LockUse;
use crate::pipeline::steps::{Made, Run};
use anyhow::{Context, Result};
use planforge_core::{
    Archive, ArtifactFile, Builder, CachedArtifact, Difference, EngineTarget, GpuCatalogue, ItemKind, Lock,
    LockedEngine, LockedFile, LockedSource, Pipeline, Platform, Precision, Snapshot, SourceSpec, Step, Variant,
    digest_file, lock_file,
};
use planforge_package::Provenance;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Commit of a folder, which has none.
const LOCAL: &str = "local";

// Names of tools in a lock.
const ONNX_RUNTIME: &str = "onnxruntime";
const LIBTORCH: &str = "libtorch";
const TENSORRT: &str = "tensorrt";
const TENSORRT_RTX: &str = "tensorrt-rtx";
/// planforge's Triton backend where archives carry it; its version is its digest.
const TRITON_BACKEND: &str = "triton-backend";

/// What a run knows of its lock.
pub(crate) struct RunLock {
    path: PathBuf,
    purpose: LockUse,
    /// As it was when the run began.
    held: Option<Lock>,
    /// The pipeline as its file says it, before a largest batch is chosen for it.
    pipeline: Pipeline,
}

impl RunLock {
    /// Reads the lock of the pipeline file `file`.
    ///
    /// # Errors
    /// A damaged lock, and a missing one where it is needed.
    pub(super) fn open(file: &Path, pipeline: &Pipeline, purpose: LockUse) -> Result<Self> {
        let path = lock_file(file);
        let held = Lock::read(&path)?;
        if held.is_none() && matches!(purpose, LockUse::Hold | LockUse::Rebuild) {
            let (path, file) = (path.display(), file.display());
            let message = format!("there is no lock `{path}`; `planforge lock {file}` writes it");
            return Err(CheckFailed(message).into());
        }
        Ok(Self { path, purpose, held, pipeline: pipeline.clone() })
    }

    /// The commit that the lock pins for this repository and revision.
    pub(super) fn commit_of(&self, source: &SourceSpec) -> Option<&str> {
        let locked = &self.held.as_ref().filter(|_| self.purpose != LockUse::Renew)?.source;
        let is_meant = locked.repo == source.repo && locked.revision.as_ref() == Some(&source.revision);
        is_meant.then_some(locked.commit.as_str())
    }

    /// The engines in the lock.
    pub(super) fn targets(&self, catalogue: &GpuCatalogue) -> Result<Vec<EngineTarget>> {
        let target = |(id, engine): (&String, &LockedEngine)| {
            let gpus: planforge_core::Result<_> = engine.gpus.iter().map(|gpu| catalogue.find(gpu).cloned()).collect();
            Ok(EngineTarget { variant: self.variant(id)?, gpus: gpus? })
        };
        self.held.iter().flat_map(|lock| &lock.engines).map(target).collect()
    }

    /// The archives in the lock and, where it has none of them, what its exports would be packaged as.
    pub(super) fn variants(&self) -> Result<Vec<Variant>> {
        let Some(lock) = &self.held else { return Ok(Vec::new()) };
        let exports = lock.exports.keys().map(|id| id.replace("torchscript-", "pytorch-"));
        let ids = if lock.archives.is_empty() {
            exports.collect()
        } else {
            lock.archives.keys().cloned().collect::<Vec<_>>()
        };
        let variants: Vec<_> = ids.iter().map(|id| self.variant(id)).collect::<Result<_>>()?;
        if variants.iter().any(|variant| variant.platform == Platform::Pytorch) {
            crate::libtorch::required()?;
        }
        Ok(variants)
    }

    /// Precisions of the exports in a lock that is rebuilt; some may have no archive.
    pub(super) fn precisions(&self) -> Vec<Precision> {
        let held = self.held.iter().filter(|_| self.purpose == LockUse::Rebuild);
        let names =
            |lock: &Lock, precision: Precision| lock.exports.keys().any(|id| id.ends_with(&precision.to_string()));
        held.flat_map(|lock| Precision::ALL.into_iter().filter(|it| names(lock, *it))).collect()
    }

    fn variant(&self, id: &str) -> Result<Variant> {
        let wrong = || planforge_core::Error::Value {
            path: self.path.clone(),
            key: "archives".to_owned(),
            message: format!("`{id}` is no variant: use one such as `onnx-fp32` or `tensorrt-fp16-l4`"),
        };
        Ok(Variant::from_id(id).ok_or_else(wrong)?)
    }

    /// The last step whose results the lock has.
    pub(super) fn last_step(&self) -> Step {
        match &self.held {
            Some(lock) if !lock.archives.is_empty() => Step::Package,
            Some(lock) if !lock.engines.is_empty() => Step::Compile,
            Some(lock) if !lock.exports.is_empty() => Step::Export,
            _ => Step::Fetch,
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The items of the lock beside those of `found`.
    pub(super) fn compare(&self, found: &Lock) -> Vec<Difference> {
        self.held.iter().flat_map(|held| held.compare(found)).collect()
    }

    /// A lock of this run without artifacts.
    fn basis(&self, snapshot: &Snapshot) -> Lock {
        let is_local = snapshot.commit == LOCAL;
        let source = LockedSource {
            repo: (!is_local).then(|| snapshot.repo.clone()),
            revision: (!is_local).then(|| snapshot.revision.clone()),
            commit: snapshot.commit.clone(),
            files: locked_files(&snapshot.files),
        };
        let tools = [("planforge".to_owned(), env!("CARGO_PKG_VERSION").to_owned())].into();
        Lock::new(&self.pipeline, tools, source)
    }

    /// The error that names every drift.
    fn broken(&self, drift: &[Difference]) -> anyhow::Error {
        let lines: String = drift.iter().map(|item| format!("\n  {item}")).collect();
        CheckFailed(format!("the lock `{}` does not hold:{lines}", self.path.display())).into()
    }
}

impl Run {
    /// Compares what was fetched with the lock. Files of a commit never change, so those of a pinned one must be the
    /// same whatever the lock is used for.
    pub(super) fn check_snapshot(&self, snapshot: &Snapshot) -> Result<()> {
        let pinned = self.lock.held.as_ref().map(|held| &held.source.commit);
        let is_pinned = snapshot.commit != LOCAL && pinned == Some(&snapshot.commit);
        let is_held = matches!(self.lock.purpose, LockUse::Hold | LockUse::Rebuild);
        let mut drift = self.lock.compare(&self.lock.basis(snapshot));
        drift.retain(|item| match item.kind {
            ItemKind::File => {
                item.is_drift() && (is_held || is_pinned && item.locked.is_some() && item.found.is_some())
            }
            ItemKind::Source | ItemKind::Option => item.is_drift() && is_held,
            // Another version that makes the same bytes is as good to rebuild with.
            ItemKind::Tool => item.is_drift() && self.lock.purpose == LockUse::Hold,
            _ => false,
        });
        if drift.is_empty() { Ok(()) } else { Err(self.lock.broken(&drift)) }
    }

    /// Names the artifacts to make that a lock which must hold does not have.
    pub(super) fn check_plan(&self, until: Step) -> Result<()> {
        let Some(held) = self.lock.held.as_ref().filter(|_| self.lock.purpose == LockUse::Hold) else { return Ok(()) };
        let engines = self.targets.iter().map(|target| &target.variant).filter(|_| until >= Step::Compile);
        let engines =
            engines.map(|variant| (ItemKind::Engine, variant.id())).filter(|it| !held.engines.contains_key(&it.1));
        let archives = self.variants.iter().filter(|_| until >= Step::Package);
        let archives = archives.map(|it| (ItemKind::Archive, it.id())).filter(|it| !held.archives.contains_key(&it.1));
        let absent: String = engines
            .chain(archives)
            .map(|(kind, id)| format!("\n  {kind} `{id}` is to be made, the lock does not have it"))
            .collect();
        if absent.is_empty() {
            return Ok(());
        }
        Err(CheckFailed(format!("the lock `{}` does not hold:{absent}", self.lock.path.display())).into())
    }

    /// What was made, as a lock.
    pub(super) fn lock_of(&self, made: &Made) -> Result<Lock> {
        let mut lock = self.lock.basis(&made.snapshot);
        lock.tools.extend(self.libraries_used(made)?);
        for model in made.models.iter().chain(&made.modules) {
            let id = format!("{}-{}", model.record.format, model.record.precision);
            lock.exports.insert(id, locked_files(&model.files));
        }
        for (target, engine) in self.targets.iter().zip(&made.engines) {
            if let Some(ArtifactFile { byte_count, sha256, .. }) = engine.file(&engine.record.plan).cloned() {
                let gpus = target.gpus.iter().map(|gpu| gpu.name.clone()).collect();
                lock.engines.insert(target.variant.id(), LockedEngine { byte_count, sha256, gpus });
            }
        }
        for archive in made.archives.iter().map(|archive| &archive.record) {
            let file = LockedFile { byte_count: archive.byte_count, sha256: archive.sha256.clone() };
            lock.archives.insert(archive.variant.id(), file);
        }
        Ok(lock)
    }

    /// Versions of the libraries that decided bytes.
    fn libraries_used(&self, made: &Made) -> Result<BTreeMap<String, String>> {
        let mut used = BTreeMap::new();
        let is_measured = |model: &planforge_core::Model| model.precision == Precision::Fp16 && !model.taken_as_is;
        let libraries = &self.report.environment.libraries;
        let runtime = libraries.iter().find(|library| library.name == "ONNX Runtime");
        if let Some(runtime) = runtime.filter(|_| self.pipeline.export.measure_ranges)
            && made.models.iter().any(|model| is_measured(&model.record))
        {
            used.insert(ONNX_RUNTIME.to_owned(), runtime.version.clone());
        }
        if let Some(engine) = made.engines.first() {
            let library = match engine.record.builder {
                Builder::Rtx => TENSORRT_RTX,
                Builder::Trtexec => TENSORRT,
            };
            used.insert(library.to_owned(), engine.record.header.version.clone());
        }
        if let Some(version) = crate::libtorch::VERSION.filter(|_| !made.modules.is_empty()) {
            used.insert(LIBTORCH.to_owned(), version.to_owned());
        }
        if made.archives.iter().any(|archive| self.carries_backend(&archive.record.variant)) {
            let digest = digest_file(&self.settings.triton_backend, self.progress())?;
            used.insert(TRITON_BACKEND.to_owned(), format!("sha256:{digest}"));
        }
        Ok(used)
    }

    /// Writes what was made into the lock, or ends where a lock that must hold does not.
    pub(super) fn settle_lock(&mut self, found: &Lock) -> Result<()> {
        match self.lock.purpose {
            LockUse::Follow | LockUse::Rebuild => Ok(()),
            LockUse::Hold => {
                let drift: Vec<_> = self.lock.compare(found).into_iter().filter(Difference::is_drift).collect();
                if drift.is_empty() { Ok(()) } else { Err(self.lock.broken(&drift)) }
            }
            LockUse::Write | LockUse::Renew => self.write_lock(found),
        }
    }

    /// Says beside each archive in the output folder where it came from.
    pub(super) fn add_provenance(&self, lock: &Lock, archives: &[CachedArtifact<Archive>]) -> Result<()> {
        for archive in archives.iter().map(|archive| &archive.record) {
            let tools = lock.tools.iter().filter(|(tool, _)| self.is_used(tool, &archive.variant));
            let tools = tools.map(|(tool, version)| (tool.clone(), version.clone())).collect();
            Provenance::new(lock, archive, tools).write(&self.layout.archive(&archive.variant))?;
        }
        Ok(())
    }

    /// Whether a tool of a lock decides bytes of a variant.
    fn is_used(&self, tool: &str, variant: &Variant) -> bool {
        match tool {
            ONNX_RUNTIME => variant.precision == Precision::Fp16,
            LIBTORCH => variant.platform == Platform::Pytorch,
            TENSORRT_RTX | TENSORRT => variant.platform == Platform::Tensorrt,
            TRITON_BACKEND => self.carries_backend(variant),
            _ => true,
        }
    }

    /// Whether planforge's backend is in the archive of a variant.
    pub(super) fn carries_backend(&self, variant: &Variant) -> bool {
        self.pipeline.package.include_backend && self.pipeline.is_served_by_planforge(variant.platform)
    }

    fn write_lock(&mut self, found: &Lock) -> Result<()> {
        let path = self.lock.path.clone();
        // Whoever makes something else of this pipeline at the same time waits, and its part is kept. Where files
        // cannot be locked, the last one wins.
        let pipeline = fs_err::File::open(&self.file)?;
        let _ = pipeline.file().lock();
        let before = Lock::read(&path)?;
        let after = before.as_ref().map_or_else(|| found.clone(), |before| before.updated(found));
        let is_written =
            after.write(&path).with_context(|| format!("the lock `{}` cannot be written", path.display()))?;
        let Some(before) = before else {
            self.terminal.say(&format!("  lock     {} written", path.display()));
            return Ok(());
        };
        let items = before.compare(&after);
        let is_explained = items.iter().any(Difference::is_cause);
        for item in items.iter().filter(|item| !item.is_same()) {
            self.terminal.say(&format!("  lock     {item}"));
            if item.kind.is_artifact() && !is_explained && item.locked.is_some() {
                let note = format!("Not reproduced: {item}, and nothing it is made of has changed.");
                self.terminal.say(&format!("  lock     {note}"));
                self.report.notes.push(note);
            }
        }
        if is_written {
            self.terminal.say(&format!("  lock     {} updated", path.display()));
        }
        Ok(())
    }
}

fn locked_files(files: &[ArtifactFile]) -> BTreeMap<String, LockedFile> {
    files.iter().map(|file| (file.path.clone(), LockedFile::from(file))).collect()
}
