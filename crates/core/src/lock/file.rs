//! The file: TOML with sorted keys, written whole or not at all.

use crate::{
    ArtifactFile, Commit, Digest, Error, MAX_DOCUMENT_BYTE_COUNT, ModelName, Pipeline, Result, TritonSpec, read_file,
    read_text, write_atomically,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Raised when a lock is written that this version could not read.
const FORMAT: u32 = 1;

// prose: part of locks
const HEAD: &str = "# Written by planforge; keep it beside the pipeline file and commit it. `planforge verify` rebuilds what it names.\n";

/// Keys of a pipeline file that decide no bytes of an artifact, or decide only which artifacts there are: those are
/// named one by one.
const NOT_LOCKED: [&str; 20] = [
    "name",
    "source.repo",
    "source.revision",
    "source.path",
    "export.formats",
    "export.precisions",
    "export.link",
    "compile.gpus",
    "compile.fat",
    "compile.catalogue",
    "compile.timeout_seconds",
    "package.platforms",
    "package.pytorch_precisions",
    "package.fat",
    "package.copies",
    "triton.config",
    "store",
    "host",
    "probe",
    "load",
];

/// What a pipeline's artifacts were made of, and what they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Version of this file's shape.
    format: u32,
    /// The pipeline's name, which is in its packages.
    pub name: ModelName,
    /// Versions of planforge and of the libraries that decide bytes, by name.
    pub tools: BTreeMap<String, String>,
    /// The checkpoint.
    pub source: LockedSource,
    /// The keys of the pipeline file that decide bytes, with their defaults.
    pub options: toml::Table,
    /// Files of exported models, by `<format>-<precision>` and path.
    #[serde(default)]
    pub exports: BTreeMap<String, BTreeMap<String, LockedFile>>,
    /// Engines, by variant.
    #[serde(default)]
    pub engines: BTreeMap<String, LockedEngine>,
    /// Archives, by variant.
    #[serde(default)]
    pub archives: BTreeMap<String, LockedFile>,
}

/// A commit and its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSource {
    /// `owner/name` on the Hub; none for a folder.
    pub repo: Option<String>,
    /// The revision asked for; none for a folder.
    pub revision: Option<String>,
    /// The commit it stood for.
    pub commit: Commit,
    /// The files that were used, by path.
    pub files: BTreeMap<String, LockedFile>,
}

/// Size and digest of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedFile {
    /// Size in bytes.
    pub byte_count: u64,
    /// SHA-256.
    pub sha256: Digest,
}

/// An engine file and what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedEngine {
    /// Size in bytes.
    pub byte_count: u64,
    /// SHA-256.
    pub sha256: Digest,
    /// Catalogue names of the GPU types it was built for.
    pub gpus: Vec<String>,
}

impl From<&ArtifactFile> for LockedFile {
    fn from(file: &ArtifactFile) -> Self {
        Self { byte_count: file.byte_count, sha256: file.sha256.clone() }
    }
}

impl LockedEngine {
    /// The engine file.
    #[must_use]
    pub fn file(&self) -> LockedFile {
        LockedFile { byte_count: self.byte_count, sha256: self.sha256.clone() }
    }
}

/// Read first, so that a file of another version is distinguished from a corrupt one.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

impl Lock {
    /// A lock of `pipeline`, with the keys of its file, without artifacts.
    ///
    /// # Panics
    /// Never: a pipeline is read from TOML.
    #[must_use]
    pub fn new(pipeline: &Pipeline, tools: BTreeMap<String, String>, source: LockedSource) -> Self {
        let mut options = toml::Table::try_from(pipeline).expect("a pipeline is plain data of a TOML file");
        for key in NOT_LOCKED {
            remove(&mut options, key);
        }
        if pipeline.task.is_over_images() {
            // Their paths are those of this machine.
            remove(&mut options, "export.samples");
        }
        if pipeline.triton == TritonSpec::default() {
            // So that pipelines that do not name the table have the locks that they had before there was one.
            remove(&mut options, "triton");
        }
        let (exports, engines, archives) = Default::default();
        Self { format: FORMAT, name: pipeline.name.clone(), tools, source, options, exports, engines, archives }
    }

    /// Reads the lock at `path`; none where the file does not exist.
    ///
    /// # Errors
    /// [`Error::Parse`] with line and key for text that is not a lock, [`Error::Value`] for one of a newer planforge.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let text = match read_text(path, MAX_DOCUMENT_BYTE_COUNT) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let wrong = |error: toml::de::Error| Error::Parse {
            what: "lock",
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        };
        let Head { format } = toml::from_str(&text).map_err(wrong)?;
        if format != FORMAT {
            let message =
                format!("a lock of format {format}, and this planforge reads format {FORMAT}: use a newer one");
            return Err(Error::Value { path: path.to_owned(), key: "format".to_owned(), message });
        }
        toml::from_str(&text).map(Some).map_err(wrong)
    }

    /// Writes the lock to `path` unless the file is equal already; returns whether it wrote.
    ///
    /// # Errors
    /// I/O errors name the path.
    ///
    /// # Panics
    /// Never: a lock is plain data with string keys.
    pub fn write(&self, path: &Path) -> Result<bool> {
        let text = toml::to_string(self).expect("a lock is plain data with string keys");
        let text = format!("{HEAD}{text}");
        if read_file(path, MAX_DOCUMENT_BYTE_COUNT).is_ok_and(|there| there == text.as_bytes()) {
            return Ok(false);
        }
        write_atomically(path, text.as_bytes())?;
        Ok(true)
    }
}

/// Takes a dotted key out of a table, and tables that it leaves empty.
fn remove(table: &mut toml::Table, key: &str) {
    let Some((first, rest)) = key.split_once('.') else {
        table.remove(key);
        return;
    };
    if let Some(toml::Value::Table(inner)) = table.get_mut(first) {
        remove(inner, rest);
        if inner.is_empty() {
            table.remove(first);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::digest_bytes;

    const PIPELINE: &str = "name = \"m\"\ntask = \"sentence-embedding\"\n[source]\nrepo = \"o/n\"\n\
        [[profiles]]\nbatch = [1, 2, 4]\nsequence = [8, 16, 32]\n[compile]\nworkspace = \"1 GiB\"\n";

    pub(in crate::lock) fn file(text: &str) -> LockedFile {
        LockedFile { byte_count: text.len() as u64, sha256: digest_bytes(text.as_bytes()) }
    }

    pub(in crate::lock) fn engine(text: &str, gpu: &str) -> LockedEngine {
        let LockedFile { byte_count, sha256 } = file(text);
        LockedEngine { byte_count, sha256, gpus: vec![gpu.to_owned()] }
    }

    pub(in crate::lock) fn lock() -> Lock {
        let source = LockedSource {
            repo: Some("o/n".to_owned()),
            revision: Some("main".to_owned()),
            commit: Commit::Id("c0ffee".to_owned()),
            files: [("model.safetensors".to_owned(), file("weights"))].into(),
        };
        let tools = [("planforge".to_owned(), "1.0.0".to_owned())].into();
        let mut lock = Lock::new(&toml::from_str(PIPELINE).unwrap(), tools, source);
        lock.exports.insert("onnx-fp16".to_owned(), [("model.onnx".to_owned(), file("graph"))].into());
        lock.engines.insert("tensorrt-fp16-l4".to_owned(), engine("l4", "l4"));
        lock
    }

    #[test]
    fn a_lock_is_read_as_it_was_written_and_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.lock");
        assert_eq!(Lock::read(&path).unwrap(), None);
        assert!(lock().write(&path).unwrap());
        assert_eq!(Lock::read(&path).unwrap(), Some(lock()));
        assert!(!lock().write(&path).unwrap());
    }

    #[test]
    fn options_are_those_that_decide_bytes() {
        let options = toml::to_string(&lock().options).unwrap();
        for kept in
            ["task = ", "batch = [1, 2, 4]", "measure_ranges = true", "workspace = \"1073741824 B\"", "top_folder"]
        {
            assert!(options.contains(kept), "{kept} is not in {options}");
        }
        for left_out in ["o/n", "gpus", "precisions", "copies", "stages", "memory", "threshold", "seconds"] {
            assert!(!options.contains(left_out), "{left_out} is in {options}");
        }
    }

    #[test]
    fn damage_is_named_with_line_and_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.lock");
        lock().write(&path).unwrap();
        let good = fs_err::read_to_string(&path).unwrap();
        let digest = digest_bytes(b"l4").to_string();
        for (from, to, words) in [
            ("format = 1", "format = 2", ["key `format`", "format 2", "newer"]),
            ("commit = ", "comit = ", ["m.lock` is not a valid lock", "line", "comit"]),
            (&digest, &digest[1..], ["m.lock", "sha256", "64 hexadecimal digits"]),
            ("byte_count = 7", "byte_count = \"7\"", ["m.lock", "line", "byte_count"]),
        ] {
            assert!(good.contains(from), "{from} is not in {good}");
            fs_err::write(&path, good.replace(from, to)).unwrap();
            let error = Lock::read(&path).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
    }
}
