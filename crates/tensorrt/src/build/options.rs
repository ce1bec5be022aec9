//! Targets and options of the builder.

use super::request::BuildRequest;
use crate::{Error, Result};
use planforge_types::ComputeCapability;
use trtx::BuilderConfig;
use trtx::builder::MemoryPoolType;
use trtx::trtx_sys::ComputeCapability as LibraryCapability;

/// Sets everything that `request` asks for, except its profiles.
pub(super) fn set_options(config: &mut BuilderConfig<'_>, request: &BuildRequest) -> Result<()> {
    set_targets(config, &request.compute_capabilities)?;
    if let Some(level) = request.optimization_level {
        config.set_builder_optimization_level(i32::from(level));
    }
    if let Some(limit) = request.workspace_byte_count {
        config.set_memory_pool_limit(MemoryPoolType::kWORKSPACE, limit);
    }
    Ok(())
}

fn set_targets(config: &mut BuilderConfig<'_>, targets: &[ComputeCapability]) -> Result<()> {
    config.set_nb_compute_capabilities(i32::try_from(targets.len()).unwrap_or(i32::MAX))?;
    for (index, &target) in (0..).zip(targets) {
        config.set_compute_capability(library_capability(target)?, index)?;
    }
    Ok(())
}

/// The library's value for a compute capability.
pub(super) fn library_capability(target: ComputeCapability) -> Result<LibraryCapability> {
    Ok(match (target.major, target.minor) {
        (7, 5) => LibraryCapability::kSM75,
        (8, 0) => LibraryCapability::kSM80,
        (8, 6) => LibraryCapability::kSM86,
        (8, 9) => LibraryCapability::kSM89,
        (12, 0) => LibraryCapability::kSM120,
        (12, 1) => LibraryCapability::kSM121,
        _ => return Err(Error::ComputeCapability { found: target }),
    })
}
