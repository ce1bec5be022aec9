//! The one module that knows the paths of results.

use crate::{ModelFormat, ModelName, Precision, Variant};
use std::path::{Path, PathBuf};

/// Paths of everything a run of one pipeline leaves behind, under one folder.
#[derive(Debug, Clone)]
pub struct OutputLayout {
    root: PathBuf,
    name: ModelName,
}

impl OutputLayout {
    /// The folder of pipeline `name` under the output folder `root`.
    #[must_use]
    pub fn new(root: &Path, name: &ModelName) -> Self {
        Self { root: root.to_owned(), name: name.clone() }
    }

    /// The pipeline's own folder.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.root.join(self.name.as_str())
    }

    /// The default artifact cache, shared by all pipelines of an output folder.
    #[must_use]
    pub fn cache(root: &Path) -> PathBuf {
        root.join(".cache")
    }

    /// The lock of the pipeline file `pipeline`, where that file's own folder cannot be written.
    #[must_use]
    pub fn lock(&self, pipeline: &Path) -> PathBuf {
        self.folder().join(lock_file(pipeline).file_name().unwrap_or_default())
    }

    /// The snapshot record.
    #[must_use]
    pub fn snapshot(&self) -> PathBuf {
        self.folder().join("snapshot.json")
    }

    /// Folder of an exported model.
    #[must_use]
    pub fn export(&self, format: ModelFormat, precision: Precision) -> PathBuf {
        self.folder().join("export").join(format!("{format}-{precision}"))
    }

    /// Folder of an engine and its build log.
    #[must_use]
    pub fn engine(&self, variant: &Variant) -> PathBuf {
        self.folder().join("engines").join(variant.id())
    }

    /// An archive.
    #[must_use]
    pub fn archive(&self, variant: &Variant) -> PathBuf {
        self.folder().join("archives").join(variant.id()).join(format!("{}.tar.gz", self.name))
    }

    /// The default `file://` store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder().join("store")
    }

    /// Working folder of the local endpoint.
    #[must_use]
    pub fn host(&self) -> PathBuf {
        self.folder().join("host")
    }

    /// A file of the report: `report.html`, `report.json` or a CSV.
    #[must_use]
    pub fn report(&self, file: &str) -> PathBuf {
        self.folder().join(file)
    }
}

/// The lock of a pipeline file, next to it: `name.lock` for `name.toml`.
#[must_use]
pub fn lock_file(pipeline: &Path) -> PathBuf {
    let is_toml = pipeline.extension().is_some_and(|extension| extension == "toml");
    // A file of another ending keeps it, so that no pipeline file is taken for a lock.
    if is_toml { pipeline.with_extension("lock") } else { pipeline.with_added_extension("lock") }
}

/// Object name of copy `index`: `<name>-v<index>.tar.gz`.
#[must_use]
pub fn copy_name(name: &ModelName, index: u32) -> String {
    format!("{name}-v{index}.tar.gz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_never_takes_the_place_of_its_pipeline() {
        for (pipeline, lock) in [("p/a.toml", "p/a.lock"), ("a-v1.2.toml", "a-v1.2.lock"), ("a.lock", "a.lock.lock")] {
            assert_eq!(lock_file(Path::new(pipeline)), Path::new(lock));
        }
    }
}
