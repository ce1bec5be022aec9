//! The ONNX Runtime shared library, opened once for the lifetime of the process.

use crate::{Error, Result};
use ort::environment::Environment;
use ort::logging::LogLevel;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What is loaded. ONNX Runtime allows one environment per process, so it is never dropped.
struct Library {
    path: PathBuf,
    version: String,
    environment: Environment,
}

static LIBRARY: OnceLock<Library> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

/// Opens the ONNX Runtime shared library `path` and returns its version, such as `1.32.0`, as its
/// versioned file name has it (the library's build information where the name has no version).
/// Loading the same file again does nothing.
///
/// # Errors
/// [`Error::Io`] for a missing file, [`Error::Library`] when it is not a usable ONNX Runtime,
/// [`Error::OtherLibrary`] when another one is loaded already.
pub fn load_library(path: &Path) -> Result<String> {
    let path = fs_err::canonicalize(path)?;
    let _guard = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(library) = LIBRARY.get() {
        return if library.path == path {
            Ok(library.version.clone())
        } else {
            Err(Error::OtherLibrary { asked: path, loaded: library.path.clone() })
        };
    }
    let environment = open(&path).map_err(|reason| Error::Library { path: path.clone(), reason })?;
    let version = file_version(&path).unwrap_or_else(|| ort::info().to_owned());
    Ok(LIBRARY.get_or_init(|| Library { path, version, environment }).version.clone())
}

/// Whether the ONNX Runtime at `path` has its CUDA provider next to it.
#[must_use]
pub fn has_cuda_provider(path: &Path) -> bool {
    let library = fs_err::canonicalize(path).unwrap_or_default();
    library.with_file_name("libonnxruntime_providers_cuda.so").exists()
}

/// The environment that sessions are made in.
pub(crate) fn environment() -> Result<&'static Environment> {
    LIBRARY.get().map(|library| &library.environment).ok_or(Error::LibraryNotLoaded)
}

/// Whether the loaded library is known to be of this version or later.
pub(crate) fn is_at_least(version: (u32, u32)) -> bool {
    LIBRARY.get().is_some_and(|library| major_and_minor(&library.version) >= Some(version))
}

/// `(1, 32)` of `1.32.0`, nothing of a text that is not a version.
fn major_and_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn open(path: &Path) -> std::result::Result<Environment, String> {
    let builder = ort::init_from(path).map_err(|error| error.to_string())?;
    let environment = builder
        .with_name("planforge")
        .with_telemetry(false)
        .with_logger(Arc::new(log))
        .build()
        .map_err(|error| error.to_string())?;
    environment.set_log_level(LogLevel::Warning);
    Ok(environment)
}

/// ONNX Runtime's own messages. Failures come back as errors as well, so none of this is for users.
fn log(level: LogLevel, category: &str, _id: &str, location: &str, message: &str) {
    match level {
        LogLevel::Fatal | LogLevel::Error => tracing::warn!(category, location, message, "ONNX Runtime"),
        LogLevel::Warning => tracing::debug!(category, location, message, "ONNX Runtime"),
        LogLevel::Info | LogLevel::Verbose => tracing::trace!(category, location, message, "ONNX Runtime"),
    }
}

/// `1.32.0` of `libonnxruntime.so.1.32.0`. The C interface tells the version only through the
/// library's base table, which the binding keeps to itself.
fn file_version(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let start = name.find(|c: char| c.is_ascii_digit())?;
    let version = name[start..].trim_end_matches(|c: char| !c.is_ascii_digit());
    let is_version = version.contains('.') && version.chars().all(|c| c.is_ascii_digit() || c == '.');
    is_version.then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_file_names() {
        let version = |name: &str| file_version(Path::new(name));
        assert_eq!(version("/a/libonnxruntime.so.1.32.0").as_deref(), Some("1.32.0"));
        assert_eq!(version("/a/libonnxruntime.1.32.0.dylib").as_deref(), Some("1.32.0"));
        assert_eq!(version("/a/libonnxruntime.so"), None);
    }

    #[test]
    fn versions_are_compared() {
        assert!(major_and_minor("1.32.0") >= Some((1, 26)) && major_and_minor("1.9.1") < Some((1, 26)));
        assert_eq!(major_and_minor("ORT Build Info: git-branch=main, git-commit-id=1.30"), None);
    }

    #[test]
    fn unusable_libraries_are_named() {
        let missing = load_library(Path::new("/nowhere/libonnxruntime.so")).unwrap_err();
        assert!(missing.to_string().contains("/nowhere/libonnxruntime.so"), "{missing}");
    }
}
