//! A package without a model, with which planforge's backend reports the memory of its server.

use crate::options::backend_entry;
use crate::{Error, Result};
use planforge_archive::{Content, Entries, pack};
use planforge_core::{Digest, METRICS_FILE, METRICS_MODEL, Progress, write_atomically};
use planforge_triton_config::metrics_config;
use std::path::Path;

/// Writes the archive of the metrics model to `path`: a configuration, and planforge's backend, `library`, for servers
/// that do not have it installed. The same inputs give the same bytes. Returns digest and size.
///
/// # Errors
/// [`Error::MissingBackend`], I/O errors and cancellation.
pub fn metrics_package(path: &Path, library: Option<&Path>, progress: &dyn Progress) -> Result<(Digest, u64)> {
    let mut entries = Entries::from([
        (format!("{METRICS_MODEL}/config.pbtxt"), Content::Bytes(metrics_config().into_bytes())),
        (format!("{METRICS_MODEL}/1/{METRICS_FILE}"), Content::Bytes(b"Read by planforge's backend.\n".to_vec())),
    ]);
    if let Some(library) = library {
        let (file, content) = backend_entry(library, progress)?;
        entries.insert(format!("{METRICS_MODEL}/{file}"), content);
    }
    let mut bytes = Vec::new();
    let (digest, byte_count) = pack(&mut bytes, &entries, METRICS_MODEL, progress)?;
    write_atomically(path, &bytes).map_err(Error::Core)?;
    Ok((digest, byte_count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_core::NoProgress;
    use planforge_triton_config::lint;

    #[test]
    fn two_are_equal_and_nothing_is_wrong_but_that_there_is_no_input() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one.tar.gz", "two.tar.gz"].map(|name| folder.path().join(name));
        let (digest, byte_count) = metrics_package(&one, None, &NoProgress).unwrap();
        assert_eq!(metrics_package(&two, None, &NoProgress).unwrap().0, digest);
        assert_eq!(fs_err::metadata(&one).unwrap().len(), byte_count);
        let findings: Vec<String> = lint(&one).unwrap().into_iter().map(|finding| finding.message).collect();
        assert_eq!(findings, ["no input is configured"]);
        let library = folder.path().join("backend.so");
        let missing = metrics_package(&two, Some(&library), &NoProgress).unwrap_err().to_string();
        assert!(missing.contains("backend.so` is missing"), "{missing}");
        fs_err::write(&library, "library").unwrap();
        assert_ne!(metrics_package(&two, Some(&library), &NoProgress).unwrap().0, digest);
    }
}
