//! The publish step: N copies of an archive in a store. Here stores are folders; buckets are in [`crate::s3`].

use crate::store::{below, check_prefix, join};
use crate::{Error, Provenance, Result, Store};
use planforge_core::{
    Archive, ModelName, Outcome, Progress, Published, Step, Stored, Variant, copy_name, digest_file, link_or_copy,
    remove_abandoned,
};
use serde::Serialize;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

/// What is published, and where below a store.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    /// The archive.
    pub archive: &'a Stored<Archive>,
    /// Name of the model, which copies are called by.
    pub name: &'a ModelName,
    /// Where: copies are `<prefix>/<variant>/<name>-v0.tar.gz` and on.
    pub prefix: &'a str,
    /// How many.
    pub copies: u32,
    /// The statement of where the archive came from, to lie beside the copies.
    pub statement: Option<&'a Path>,
}

/// An object in a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredObject {
    /// Its address.
    pub url: String,
    /// Its size.
    pub byte_count: u64,
}

impl Publication<'_> {
    /// The prefix of the copies.
    pub(crate) fn key(&self) -> Result<String> {
        let key = join(self.prefix, &self.archive.record.variant.id());
        check_prefix(&key)?;
        Ok(key)
    }

    /// The archive itself.
    pub(crate) fn source(&self) -> PathBuf {
        self.archive.path(&self.archive.record.file)
    }

    /// What was published, at `url`.
    pub(crate) fn published(&self, url: String, written_byte_count: u64, kept: u32) -> Published {
        let Archive { variant, sha256, .. } = &self.archive.record;
        Published {
            variant: variant.clone(),
            url,
            target_models: (0..self.copies).map(|index| copy_name(self.name, index)).collect(),
            sha256: sha256.clone(),
            written_byte_count,
            kept,
        }
    }
}

/// Number of a copy by its file name; none for files that planforge does not give that name.
pub(crate) fn copy_index(name: &ModelName, file: &str) -> Option<u32> {
    let index = file.strip_prefix(name.as_str())?.strip_prefix("-v")?.strip_suffix(".tar.gz")?.parse().ok()?;
    // `-v007` and `-v+7` parse as numbers, but are not names that planforge gives.
    (file == copy_name(name, index)).then_some(index)
}

/// Name of the statement beside the copies: that beside the archive, with the model's name.
pub(crate) fn statement_name(name: &ModelName) -> String {
    Provenance::path(Path::new(&format!("{name}.tar.gz"))).to_string_lossy().into_owned()
}

/// Whether `key`, below the prefix of a model, is one that planforge publishes.
pub(crate) fn is_own(name: &ModelName, key: &str) -> bool {
    let Some((variant, file)) = key.split_once('/') else { return false };
    Variant::from_id(variant).is_some() && (copy_index(name, file).is_some() || file == statement_name(name))
}

/// Puts copies of an archive into the folder `root`. Copies and a statement that are there with the same content stay as
/// they are, so that nothing is written where all is there; copies from [`Publication::copies`] on are removed. Each copy
/// appears whole or not at all.
///
/// # Errors
/// [`Error::Changed`] when the archive is not the recorded one, [`Error::Prefix`], I/O errors of the
/// store and cancellation.
pub fn publish(publication: &Publication<'_>, root: &Path, progress: &dyn Progress) -> Result<Published> {
    let start = Instant::now();
    let &Publication { archive, name, copies, .. } = publication;
    let subject = archive.record.variant.id();
    let key = publication.key()?;
    progress.started(Step::Publish, &subject, Some(copies.into()), "copies");
    let source = publication.source();
    let found = digest_file(&source, progress)?;
    if found != archive.record.sha256 {
        return Err(Error::Changed { path: source, recorded: archive.record.sha256.clone(), found });
    }
    let folder = below(root, &key);
    fs_err::create_dir_all(&folder)?;
    let (mut kept, mut written_byte_count) = (0, 0);
    let mut known = Known::new(&archive.record, &source)?;
    let mut last = source;
    for index in 0..copies {
        if progress.is_cancelled() {
            return Err(planforge_core::Error::Cancelled.into());
        }
        let target = folder.join(copy_name(name, index));
        if known.has_content(&target, progress)? {
            kept += 1;
        } else {
            link_or_copy(&last, &target)?;
            known.note(&target)?;
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
    remove_abandoned(&folder, SystemTime::now())?;
    if let Some(statement) = publication.statement {
        put_statement(statement, &folder.join(statement_name(name)))?;
    }
    let outcome = if kept == copies { Outcome::Cached } else { Outcome::Built };
    progress.finished(Step::Publish, &subject, outcome, start.elapsed());
    let url = Store::Directory(root.to_owned()).url(&format!("{key}/"));
    Ok(publication.published(url, written_byte_count, kept))
}

/// Puts the statement at `target`. One that says the same stays: where all is there, the store need not be writable.
fn put_statement(statement: &Path, target: &Path) -> Result<()> {
    let text = fs_err::read(statement)?;
    if fs_err::read(target).is_ok_and(|there| there == text) {
        return Ok(());
    }
    Ok(link_or_copy(statement, target)?)
}

/// Which files on the disk have the archive's content. Copies are many names of few files, and each file is read once.
struct Known<'a> {
    archive: &'a Archive,
    files: HashMap<FileId, bool>,
}

impl<'a> Known<'a> {
    /// With the archive itself, whose content is known.
    fn new(archive: &'a Archive, source: &Path) -> Result<Self> {
        let mut known = Self { archive, files: HashMap::new() };
        known.note(source)?;
        Ok(known)
    }

    /// Notes that a file has the content.
    fn note(&mut self, path: &Path) -> Result<()> {
        self.files.insert(file_id(&fs_err::metadata(path)?), true);
        Ok(())
    }

    /// Whether `target` has the content: it is a file that is known to, or has the archive's size and digest.
    fn has_content(&mut self, target: &Path, progress: &dyn Progress) -> Result<bool> {
        let metadata = match fs_err::symlink_metadata(target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        if !metadata.is_file() || metadata.len() != self.archive.byte_count {
            return Ok(false);
        }
        let id = file_id(&metadata);
        if let Some(known) = self.files.get(&id) {
            return Ok(*known);
        }
        let has_content = digest_file(target, progress)? == self.archive.sha256;
        self.files.insert(id, has_content);
        Ok(has_content)
    }
}

/// Device and inode.
type FileId = (u64, u64);

#[cfg(unix)]
fn file_id(metadata: &std::fs::Metadata) -> FileId {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

/// Removes this model's copies from number `copies` on, and nothing else.
fn remove_surplus(folder: &Path, name: &ModelName, copies: u32) -> Result<()> {
    for item in fs_err::read_dir(folder)? {
        let item = item?;
        let index = item.file_name().to_str().and_then(|file| copy_index(name, file));
        if index.is_some_and(|index| index >= copies) {
            fs_err::remove_file(item.path())?;
        }
    }
    Ok(())
}

/// Takes away what was published of `name` below `prefix` in the folder `root`: copies and statements of all variants,
/// whatever their number, and folders that are empty then. With `dry_run` it only says what that would be.
///
/// # Errors
/// I/O errors of the store.
pub fn unpublish(root: &Path, prefix: &str, name: &ModelName, dry_run: bool) -> Result<Vec<StoredObject>> {
    check_prefix(prefix)?;
    let folder = below(root, prefix);
    let mut objects = Vec::new();
    for (variant, path) in listed(&folder)?.into_iter().filter(|(_, path)| path.is_dir()) {
        for (file, path) in listed(&path)? {
            let key = format!("{variant}/{file}");
            if !is_own(name, &key) || !path.is_file() {
                continue;
            }
            let url = Store::Directory(root.to_owned()).url(&join(prefix, &key));
            objects.push(StoredObject { url, byte_count: fs_err::metadata(&path)?.len() });
            if !dry_run {
                fs_err::remove_file(&path)?;
            }
        }
        if !dry_run && Variant::from_id(&variant).is_some() {
            remove_abandoned(&path, SystemTime::now())?;
            if listed(&path)?.is_empty() && !path.is_symlink() {
                fs_err::remove_dir(&path)?;
            }
        }
    }
    if !dry_run && !objects.is_empty() && listed(&folder)?.is_empty() {
        fs_err::remove_dir(&folder)?;
    }
    Ok(objects)
}

/// Names and paths in a folder, sorted; none where it does not exist.
fn listed(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let items = match fs_err::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        items => items?,
    };
    let mut found = Vec::new();
    for item in items {
        let item = item?;
        found.push((item.file_name().to_string_lossy().into_owned(), item.path()));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
