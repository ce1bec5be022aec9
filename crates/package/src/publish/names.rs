//! Names of what is published.

use crate::Provenance;
use planforge_core::{ModelName, Variant, copy_name};
use std::path::Path;

/// Number of a copy by its file name; none for names that planforge does not give.
pub(super) fn copy_index(name: &ModelName, file: &str) -> Option<u32> {
    let index = file.strip_prefix(name.as_str())?.strip_prefix("-v")?.strip_suffix(".tar.gz")?.parse().ok()?;
    // `-v007` and `-v+7` parse as numbers, but are not names that planforge gives.
    (file == copy_name(name, index)).then_some(index)
}

/// Name of the statement next to the copies: that of the archive's statement, with the model's name.
pub(super) fn statement_name(name: &ModelName) -> String {
    Provenance::path(Path::new(&format!("{name}.tar.gz"))).to_string_lossy().into_owned()
}

/// Whether `key`, below the prefix of a model, is one that planforge publishes.
pub(super) fn is_own(name: &ModelName, key: &str) -> bool {
    let Some((variant, file)) = key.split_once('/') else { return false };
    Variant::from_id(variant).is_some() && (copy_index(name, file).is_some() || file == statement_name(name))
}
