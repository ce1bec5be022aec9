//! TorchScript: which variants this program can make, and exporting them where it is built with libtorch.

use crate::Result;
use planforge_core::{Platform, Variant};
use planforge_validate::LIBTORCH_VERSION;

/// Checks that this program is built with libtorch.
pub(crate) fn require_libtorch() -> Result<()> {
    Ok(planforge_validate::require_libtorch()?)
}

/// The variants that this program can make, and a sentence about each other.
///
/// # Errors
/// As [`require_libtorch`], where none is left.
pub(crate) fn available_variants(variants: Vec<Variant>) -> Result<(Vec<Variant>, Vec<String>)> {
    let is_available = |variant: &Variant| LIBTORCH_VERSION.is_some() || variant.platform != Platform::Pytorch;
    let (available, absent): (Vec<_>, Vec<_>) = variants.into_iter().partition(is_available);
    if available.is_empty() && !absent.is_empty() {
        require_libtorch()?;
    }
    let skipped = |variant: &Variant| {
        format!("variant `{}` cannot be made: {}", variant.id(), planforge_validate::Error::NoLibtorch)
    };
    Ok((available, absent.iter().map(skipped).collect()))
}

#[cfg(feature = "torch")]
pub(crate) use planforge_engine::export_torchscript;

/// Fails: nothing here exports modules.
#[cfg(not(feature = "torch"))]
pub(crate) fn export_torchscript(
    _snapshot: &planforge_core::Snapshot,
    _options: &planforge_engine::ExportOptions,
    _cache: &planforge_core::Cache,
    _progress: &dyn planforge_core::Progress,
) -> planforge_validate::Result<planforge_core::CachedArtifact<planforge_core::Model>> {
    Err(planforge_validate::Error::NoLibtorch)
}
