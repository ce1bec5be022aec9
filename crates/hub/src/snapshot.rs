//! A folder of files, digested and compared with what the cache promises.

use crate::graph::{GraphFiles, require_graph};
use crate::listing::Blob;
use crate::named::NamedFiles;
use crate::select::needed_files;
use crate::unusable::onnx_files;
use crate::{Error, Result};
use planforge_core::{ArtifactFile, Commit, DigestCache, MAX_FILE_COUNT, Progress, Snapshot, Step, read_file};
use std::path::Path;

/// Returns the snapshot of a local folder in the Hub's layout; with `graph`, that of its ONNX file. `digests` remembers the
/// digests of unchanged files.
///
/// # Errors
/// [`Error::NoFolder`], [`Error::Incomplete`], [`Error::NoWeights`], [`Error::Adapter`], [`Error::NoGraph`],
/// [`Error::LfsPointer`], and unreadable files.
pub fn local_snapshot(
    folder: &Path,
    graph: Option<&str>,
    digests: &DigestCache,
    progress: &dyn Progress,
) -> Result<Snapshot> {
    if !folder.is_dir() {
        return Err(Error::NoFolder { path: folder.to_owned() });
    }
    let repo = folder.display().to_string();
    let listing = list(folder)?;
    let directory = fs_err::canonicalize(folder)?;
    let graph = graph.map(|graph| {
        require_graph(&repo, graph, listing.iter().map(String::as_str))?;
        GraphFiles::read(&directory, graph)
    });
    let graphs = onnx_files(&listing);
    let files = needed_files(&repo, graph.transpose()?.as_ref(), &NamedFiles::read(folder), listing)?;
    let files = digest_files(&directory, &files, digests, progress, &repo)?;
    Ok(Snapshot { repo, revision: "local".to_owned(), commit: Commit::Local, directory, files, graphs })
}

/// Relative paths of all files in `folder`, links followed. Links to a folder above end at the limit of files.
pub(crate) fn list(folder: &Path) -> Result<Vec<String>> {
    let top = folder;
    let (mut found, mut count) = (Vec::new(), 0);
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for item in fs_err::read_dir(&folder)? {
            let item = item?;
            count += 1;
            if count > MAX_FILE_COUNT {
                return Err(Error::TooManyFiles { path: top.to_owned(), limit: MAX_FILE_COUNT });
            }
            let path = format!("{prefix}{}", item.file_name().to_string_lossy());
            if fs_err::metadata(item.path()).is_ok_and(|metadata| metadata.is_dir()) {
                folders.push((item.path(), format!("{path}/")));
            } else {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Digests of `files` in `folder`. Files of the Hub's cache are named by their digests, which are compared.
pub(crate) fn digest_files(
    folder: &Path,
    files: &[String],
    digests: &DigestCache,
    progress: &dyn Progress,
    subject: &str,
) -> Result<Vec<ArtifactFile>> {
    let mut done = 0;
    files
        .iter()
        .map(|file| {
            let path = folder.join(file);
            let byte_count = fs_err::metadata(&path)?.len();
            refuse_pointer(&path, byte_count)?;
            let sha256 = digests.digest(&path, progress)?;
            let blob = fs_err::canonicalize(&path)?;
            let name = blob.file_name().unwrap_or_default().to_string_lossy().into_owned();
            check_name(&blob, &name, sha256.as_str(), progress)?;
            done += byte_count;
            progress.advanced(Step::Fetch, subject, done);
            Ok(ArtifactFile { path: file.clone(), byte_count, sha256 })
        })
        .collect()
}

/// How the file begins that Git LFS leaves in place of one that it did not fetch, and the most bytes that it has (Git LFS
/// Specification, "The Pointer").
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1";
const MAX_POINTER_BYTE_COUNT: u64 = 1024;

/// Fails for a file that Git LFS did not fetch.
fn refuse_pointer(path: &Path, byte_count: u64) -> Result<()> {
    if byte_count < MAX_POINTER_BYTE_COUNT && read_file(path, MAX_POINTER_BYTE_COUNT)?.starts_with(POINTER) {
        return Err(Error::LfsPointer { path: path.to_owned() });
    }
    Ok(())
}

/// Fails if a file of the Hub's cache does not have the digest by which it is named.
fn check_name(path: &Path, name: &str, sha256: &str, progress: &dyn Progress) -> Result<()> {
    let is_in_cache = path.parent().is_some_and(|folder| folder.ends_with("blobs"));
    let Some(blob) = Blob::parse(name).filter(|_| is_in_cache) else { return Ok(()) };
    let found = match &blob {
        Blob::Sha256(_) => sha256.to_owned(),
        Blob::Git(_) | Blob::Unverified(_) => blob.of_file(path, progress)?,
    };
    if found == name {
        return Ok(());
    }
    Err(Error::Digest { path: path.to_owned(), algorithm: blob.algorithm(), found, expected: name.to_owned() })
}
