//! Files that are generated and committed.

use std::path::Path;

/// Asserts that a generated file is up to date, or writes it where `PLANFORGE_BLESS` is set.
///
/// # Panics
/// Where the file has another text, or cannot be written.
#[track_caller]
pub fn check_generated(path: &Path, text: &str) {
    if std::env::var_os("PLANFORGE_BLESS").is_some() {
        fs_err::write(path, text).expect("the source tree can be written");
    }
    let found = fs_err::read_to_string(path).unwrap_or_default();
    let message = "is out of date; PLANFORGE_BLESS=1 writes it";
    assert!(found == text, "{} {message}", path.display());
}
