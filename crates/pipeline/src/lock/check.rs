//! What a run found and made, compared with the lock or written into it.

use super::mode::LockMode;
use super::state::{LockState, lock_of_source};
use crate::context::PipelineContext;
use crate::{Error, Result};
use planforge_core::{Difference, EngineTarget, ItemKind, Lock, Progress, Snapshot, Step, Variant};

/// Compares what was fetched with the lock. Files of a commit never change, so those of the pinned one must be the same
/// in every mode.
pub(crate) fn check_snapshot(context: &PipelineContext, snapshot: &Snapshot) -> Result<()> {
    let lock = &context.lock;
    let pinned = lock.locked.as_ref().map(|locked| &locked.source.commit);
    let is_pinned = !snapshot.commit.is_local() && pinned == Some(&snapshot.commit);
    let must_hold = lock.mode.needs_lock();
    let mut drift = lock.compare(&lock_of_source(&context.spec, snapshot));
    drift.retain(|item| match item.kind {
        ItemKind::File => item.is_drift() && (must_hold || is_pinned && item.locked.is_some() && item.found.is_some()),
        ItemKind::Source | ItemKind::Option => item.is_drift() && must_hold,
        // To rebuild with, another version that makes the same bytes is as good.
        ItemKind::Tool => item.is_drift() && lock.mode == LockMode::Frozen,
        _ => false,
    });
    if drift.is_empty() { Ok(()) } else { Err(mismatch(lock, &drift)) }
}

/// Fails where a frozen lock lacks an artifact that would be made: one of these engines, or an archive of one of these
/// variants.
pub(crate) fn check_plan(lock: &LockState, engines: &[EngineTarget], archives: &[Variant]) -> Result<()> {
    let Some(locked) = lock.locked.as_ref().filter(|_| lock.mode == LockMode::Frozen) else { return Ok(()) };
    let engines = engines.iter().map(|target| (ItemKind::Engine, target.variant.id()));
    let engines = engines.filter(|(_, id)| !locked.engines.contains_key(id));
    let archives = archives.iter().map(|variant| (ItemKind::Archive, variant.id()));
    let archives = archives.filter(|(_, id)| !locked.archives.contains_key(id));
    let absent = engines.chain(archives);
    let absent: Vec<_> =
        absent.map(|(kind, id)| format!("{kind} `{id}` is to be made, the lock does not have it")).collect();
    if absent.is_empty() { Ok(()) } else { Err(Error::LockMismatch { path: lock.path.clone(), items: absent }) }
}

/// Compares what was made with a frozen lock, or writes it into the lock, depending on the lock's mode. Returns notes for the
/// report.
pub(crate) fn check_or_write_lock(context: &PipelineContext, found: &Lock) -> Result<Vec<String>> {
    match context.lock.mode {
        LockMode::Default | LockMode::Rebuild => Ok(Vec::new()),
        LockMode::Frozen => {
            let mut drift = context.lock.compare(found);
            drift.retain(Difference::is_drift);
            if drift.is_empty() { Ok(Vec::new()) } else { Err(mismatch(&context.lock, &drift)) }
        }
        LockMode::Write | LockMode::Update => write_lock(context, found),
    }
}

fn write_lock(context: &PipelineContext, found: &Lock) -> Result<Vec<String>> {
    let path = &context.lock.written;
    // Another process that makes something else of this pipeline waits here, and its part is kept. Where files cannot be
    // locked, the last one wins.
    let pipeline = fs_err::File::open(&context.file)?;
    let _ = pipeline.file().lock();
    // The first lock in another place begins with the one that was read.
    let before = Lock::read(path)?.or_else(|| context.lock.locked.clone());
    let after = before.as_ref().map_or_else(|| found.clone(), |before| before.updated(found));
    let is_written = after.write(path).map_err(|source| Error::LockWrite { path: path.clone(), source })?;
    let progress = context.progress();
    let Some(before) = before else {
        note(progress, format!("{} written", path.display()));
        return Ok(Vec::new());
    };
    let notes = note_differences(&before.compare(&after), progress);
    if is_written {
        note(progress, format!("{} updated", path.display()));
    }
    Ok(notes)
}

/// Sends what is new in the lock as events, and returns a note for each artifact that was not reproduced.
fn note_differences(items: &[Difference], progress: &dyn Progress) -> Vec<String> {
    let is_explained = items.iter().any(Difference::is_cause);
    let mut notes = Vec::new();
    for item in items.iter().filter(|item| !item.is_same()) {
        note(progress, item.to_string());
        if item.kind.is_artifact() && !is_explained && item.locked.is_some() {
            let text = format!("Not reproduced: {item}, and nothing it is made of has changed.");
            note(progress, text.clone());
            notes.push(text);
        }
    }
    notes
}

/// A note about the lock as a whole has no subject.
fn note(progress: &dyn Progress, text: String) {
    progress.note(Step::Lock, "", text);
}

fn mismatch(lock: &LockState, drift: &[Difference]) -> Error {
    Error::LockMismatch { path: lock.path.clone(), items: drift.iter().map(ToString::to_string).collect() }
}
