//! From the name in a request to an archive in the store.

use crate::refusal::Refusal;
use std::path::{Path, PathBuf};

/// Longest name that SageMaker takes.
const MAX_CHARS: usize = 1024;

/// The archive that `target_model` names below `store`, a canonical path. Names are plain relative
/// paths, and links must not lead out of the store. Looks at the disk.
///
/// # Errors
/// [`Refusal::Validation`] that names the target model.
pub(crate) fn find_archive(store: &Path, target_model: &str) -> Result<PathBuf, Refusal> {
    if !is_plain(target_model) {
        return Err(Refusal::Validation(format!(
            "Target model '{}' is not a plain name below the endpoint's model data",
            target_model.escape_debug()
        )));
    }
    let missing =
        || Refusal::Validation(format!("Target model '{target_model}' does not exist in the endpoint's model data"));
    let path = fs_err::canonicalize(store.join(target_model)).map_err(|_| missing())?;
    if path.starts_with(store) && path.is_file() { Ok(path) } else { Err(missing()) }
}

fn is_plain(target_model: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    target_model.chars().count() <= MAX_CHARS
        && !target_model.starts_with(char::is_whitespace)
        && !target_model.chars().any(char::is_control)
        && target_model.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_store_are_found() {
        let root = tempfile::tempdir().unwrap();
        let store = root.path().canonicalize().unwrap().join("store");
        fs_err::create_dir_all(store.join("sub")).unwrap();
        fs_err::write(store.join("sub/m.tar.gz"), "m").unwrap();
        fs_err::write(root.path().join("outside"), "o").unwrap();
        std::os::unix::fs::symlink(root.path().join("outside"), store.join("leads-out")).unwrap();
        std::os::unix::fs::symlink("sub/m.tar.gz", store.join("stays-in")).unwrap();
        assert_eq!(find_archive(&store, "sub/m.tar.gz").unwrap(), store.join("sub/m.tar.gz"));
        assert!(find_archive(&store, "stays-in").is_ok());
        let long = "x".repeat(MAX_CHARS + 1);
        let absolute = store.join("sub/m.tar.gz");
        let refused = [
            "",
            "..",
            "../outside",
            "sub/../sub/m.tar.gz",
            "sub//m.tar.gz",
            "./sub/m.tar.gz",
            "sub/",
            "sub",
            "none",
            "leads-out",
            " sub/m.tar.gz",
            "a\0b",
            "a\nb",
            &long,
            absolute.to_str().unwrap(),
        ];
        for name in refused {
            let error = find_archive(&store, name).unwrap_err();
            assert!(matches!(error, Refusal::Validation(_)), "{name:?}: {error:?}");
        }
    }
}
