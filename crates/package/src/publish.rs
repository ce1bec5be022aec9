//! The publish step: N copies of an archive in a store.

use crate::store::check_prefix;
use crate::{Error, Result, Store};
use planforge_core::{
    Archive, ModelName, Outcome, Progress, Published, Step, Stored, copy_name, digest_file, link_or_copy,
};
use std::io;
use std::path::Path;
use std::time::Instant;

/// Puts `copies` copies of `archive` below `prefix`, as `<prefix>/<variant>/<name>-v0.tar.gz` and on.
/// Copies that are there with the same content stay as they are, those from `copies` on are removed.
/// Each copy appears whole or not at all.
///
/// # Errors
/// [`Error::Changed`] when the archive is not the recorded one, [`Error::Prefix`], I/O errors of the
/// store and cancellation.
pub fn publish(
    archive: &Stored<Archive>,
    name: &ModelName,
    store: &Store,
    prefix: &str,
    copies: u32,
    progress: &dyn Progress,
) -> Result<Published> {
    let start = Instant::now();
    let variant = &archive.record.variant;
    let subject = variant.id();
    let key = [prefix, &subject].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/");
    check_prefix(&key)?;
    progress.started(Step::Publish, &subject, Some(copies.into()), "copies");
    let source = archive.path(&archive.record.file);
    let found = digest_file(&source, progress)?;
    if found != archive.record.sha256 {
        return Err(Error::Changed { path: source, recorded: archive.record.sha256.clone(), found });
    }
    let folder = store.folder(&key);
    fs_err::create_dir_all(&folder)?;
    let (mut kept, mut written_byte_count) = (0, 0);
    let mut last = source;
    for index in 0..copies {
        if progress.is_cancelled() {
            return Err(planforge_core::Error::Cancelled.into());
        }
        let target = folder.join(copy_name(name, index));
        if is_copy(&archive.record, &last, &target, progress)? {
            kept += 1;
        } else {
            link_or_copy(&last, &target)?;
            if index == 0 {
                written_byte_count = archive.record.byte_count;
            }
        }
        // Linking to the copy before, not to the first, keeps to links also beyond the number of names
        // that a file system allows one file (65,000 on ext4): the copy that starts anew is linked on.
        last = target;
        progress.advanced(Step::Publish, &subject, u64::from(index) + 1);
    }
    remove_surplus(&folder, name, copies)?;
    remove_left_over(&folder)?;
    let outcome = if kept == copies { Outcome::Cached } else { Outcome::Built };
    progress.finished(Step::Publish, &subject, outcome, start.elapsed());
    Ok(Published {
        variant: variant.clone(),
        url: store.url(&format!("{key}/")),
        target_models: (0..copies).map(|index| copy_name(name, index)).collect(),
        sha256: archive.record.sha256.clone(),
        written_byte_count,
        kept,
    })
}

/// Whether `target` has the archive's content: it is the same file as `verified`, whose content is
/// known, or has the archive's size and digest.
fn is_copy(archive: &Archive, verified: &Path, target: &Path, progress: &dyn Progress) -> Result<bool> {
    let metadata = match fs_err::symlink_metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    if is_same_file(&metadata, &fs_err::metadata(verified)?) {
        return Ok(true);
    }
    Ok(metadata.is_file() && metadata.len() == archive.byte_count && digest_file(target, progress)? == archive.sha256)
}

#[cfg(unix)]
fn is_same_file(one: &std::fs::Metadata, other: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    one.dev() == other.dev() && one.ino() == other.ino()
}

/// Removes this model's copies from number `copies` on, and nothing else.
fn remove_surplus(folder: &Path, name: &ModelName, copies: u32) -> Result<()> {
    for item in fs_err::read_dir(folder)? {
        let item = item?;
        let file_name = item.file_name();
        let index = file_name
            .to_str()
            .and_then(|file| file.strip_prefix(name.as_str())?.strip_prefix("-v")?.strip_suffix(".tar.gz"))
            .and_then(|index| index.parse::<u32>().ok())
            // `-v007` and `-v+7` parse as numbers, but are not names that planforge gives.
            .filter(|&index| file_name == *copy_name(name, index));
        if index.is_some_and(|index| index >= copies) {
            fs_err::remove_file(item.path())?;
        }
    }
    Ok(())
}

/// Removes what processes that are no more were about to rename when they were killed.
fn remove_left_over(folder: &Path) -> Result<()> {
    for item in fs_err::read_dir(folder)? {
        let item = item?;
        let name = item.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(".planforge-")?.split('-').next()?.parse().ok());
        if process.is_some_and(|process: u32| !Path::new("/proc").join(process.to_string()).exists()) {
            fs_err::remove_file(item.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
