//! Targets and options of the builder.

use super::request::BuildRequest;
use crate::{Error, Result};
use trtx::BuilderConfig;
use trtx::builder::MemoryPoolType;
use trtx::trtx_sys::ComputeCapability;

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

fn set_targets(config: &mut BuilderConfig<'_>, targets: &[(u8, u8)]) -> Result<()> {
    config.set_nb_compute_capabilities(i32::try_from(targets.len()).unwrap_or(i32::MAX))?;
    for (index, &(major, minor)) in (0..).zip(targets) {
        config.set_compute_capability(library_capability(major, minor)?, index)?;
    }
    Ok(())
}

/// The library's value for a compute capability.
pub(super) fn library_capability(major: u8, minor: u8) -> Result<ComputeCapability> {
    Ok(match (major, minor) {
        (7, 5) => ComputeCapability::kSM75,
        (8, 0) => ComputeCapability::kSM80,
        (8, 6) => ComputeCapability::kSM86,
        (8, 9) => ComputeCapability::kSM89,
        (12, 0) => ComputeCapability::kSM120,
        (12, 1) => ComputeCapability::kSM121,
        _ => return Err(Error::ComputeCapability { major, minor }),
    })
}
