//! The backend of a package, and the layout of its files.

use crate::{Error, Result};
use planforge_archive::{Content, Entries};
use planforge_core::{ModelName, OnnxBackend, Progress, digest_file};
use planforge_triton_config::ServingOptions;
use std::path::Path;

/// File name of planforge's own backend, as the server looks for it.
const BACKEND_FILE: &str = "libtriton_planforge.so";

/// How one model is packaged.
#[derive(Debug)]
pub struct PackageOptions<'a> {
    /// Name of the model, of its folder and of the archive.
    pub name: &'a ModelName,
    /// Whether the files are in a folder of the model's name. Triton's multi-model mode loads both layouts.
    pub top_folder: bool,
    /// What serves ONNX exports.
    pub onnx_backend: OnnxBackend,
    /// planforge's backend, where it serves the package and the archive contains it for servers that do not have
    /// it installed.
    pub backend_library: Option<&'a Path>,
    /// How the server runs it.
    pub serving: ServingOptions,
}

impl<'a> PackageOptions<'a> {
    /// The default: a top folder, ONNX Runtime, no backend in the archive.
    #[must_use]
    pub fn new(name: &'a ModelName) -> Self {
        let (onnx_backend, serving) = (OnnxBackend::Onnxruntime, ServingOptions::default());
        Self { name, top_folder: true, onnx_backend, backend_library: None, serving }
    }

    /// Adds the backend and warm-up data to `entries`, and removes the top folder where there is to be none.
    pub(crate) fn apply(&self, mut entries: Entries, progress: &dyn Progress) -> Result<Entries> {
        if let Some(library) = self.backend_library {
            let (file, content) = backend_entry(library, progress)?;
            entries.insert(format!("{}/{file}", self.name), content);
        }
        for (file, bytes) in self.serving.warm_up_files() {
            entries.insert(format!("{}/{file}", self.name), Content::Bytes(bytes.to_vec()));
        }
        if self.top_folder {
            return Ok(entries);
        }
        let folder = format!("{}/", self.name);
        let flat =
            |(path, content): (String, Content)| (path.strip_prefix(&folder).unwrap_or(&path).to_owned(), content);
        Ok(entries.into_iter().map(flat).collect())
    }
}

/// Name and content of planforge's backend in a model's folder.
///
/// # Errors
/// [`Error::MissingBackend`], I/O errors and cancellation.
pub(crate) fn backend_entry(library: &Path, progress: &dyn Progress) -> Result<(&'static str, Content)> {
    let missing = |_| Error::MissingBackend { path: library.to_owned() };
    let byte_count = fs_err::metadata(library).map_err(missing)?.len();
    let sha256 = digest_file(library, progress)?;
    Ok((BACKEND_FILE, Content::File { path: library.to_owned(), byte_count, sha256 }))
}
