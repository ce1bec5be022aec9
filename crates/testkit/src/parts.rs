//! Paths of the native parts that tests need.

use std::path::{Path, PathBuf};

/// The root of the source tree.
#[must_use]
pub fn repository() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    crates.expect("this crate is two folders below the root").to_owned()
}

/// The folder of native libraries: `PLANFORGE_NATIVE_DIR`, else `.native`.
///
/// # Panics
/// When it does not exist: then a test would show nothing.
#[must_use]
pub fn native() -> PathBuf {
    let native = std::env::var_os("PLANFORGE_NATIVE_DIR").map_or_else(|| repository().join(".native"), PathBuf::from);
    assert!(native.join("stamp").exists(), "`{}` is not filled: run scripts/setup", native.display());
    native
}

/// The Hub cache with the sample model.
///
/// # Panics
/// As [`native`].
#[must_use]
pub fn sample_hub() -> PathBuf {
    native().join("hub")
}
