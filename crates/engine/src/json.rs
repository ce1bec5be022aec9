//! JSON files of a snapshot.

use crate::{Error, Result};
use planforge_core::{MAX_DOCUMENT_BYTE_COUNT, Snapshot, read_file};
use serde::de::DeserializeOwned;
use std::path::PathBuf;

/// A JSON file of the snapshot.
///
/// # Errors
/// When it is not there or has another shape.
pub(crate) fn read_json<T: DeserializeOwned>(snapshot: &Snapshot, file: &str) -> Result<T> {
    let path = required(snapshot, file)?;
    let bytes = read_file(&path, MAX_DOCUMENT_BYTE_COUNT)?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Json { path, message: error.to_string() })
}

/// A JSON file that the snapshot may lack.
///
/// # Errors
/// When it has another shape.
pub(crate) fn read_json_if_there<T: DeserializeOwned>(snapshot: &Snapshot, file: &str) -> Result<Option<T>> {
    if snapshot.file(file).is_none() { Ok(None) } else { read_json(snapshot, file).map(Some) }
}

/// The path of a file that must be there.
///
/// # Errors
/// [`Error::MissingFile`].
pub(crate) fn required(snapshot: &Snapshot, file: &str) -> Result<PathBuf> {
    snapshot.path(file).ok_or_else(|| Error::MissingFile { repo: snapshot.repo.clone(), file: file.to_owned() })
}

/// The path of `file` in a folder of the snapshot, whose top is the empty path.
pub(crate) fn in_folder(folder: &str, file: &str) -> String {
    if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") }
}

/// The error for a value of a file of the snapshot that is not supported.
pub(crate) fn file_error(snapshot: &Snapshot, file: &str, message: String) -> Error {
    Error::Config { path: snapshot.directory.join(file), message }
}
