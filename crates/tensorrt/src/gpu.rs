//! The GPUs of this machine, as the CUDA driver tells of them.

use crate::{Error, Result};
use cudarc::driver::{DriverError, result, sys};
use planforge_types::ComputeCapability;

/// A GPU of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalGpu {
    /// Product name, such as `NVIDIA A10G`.
    pub product: String,
    /// Its compute capability.
    pub compute_capability: ComputeCapability,
    /// Its memory in bytes.
    pub memory_byte_count: u64,
}

/// Whether a CUDA driver is installed.
#[must_use]
#[expect(unsafe_code, reason = "opening a library runs its initialisers")]
pub fn has_cuda_driver() -> bool {
    // SAFETY: only NVIDIA's own driver library is called `libcuda.so`, and its initialisers conflict with nothing here.
    unsafe { sys::is_culib_present() }
}

/// The GPUs of this machine in the driver's order; none without a driver.
///
/// # Errors
/// [`Error::Cuda`] when the driver fails.
pub fn local_gpus() -> Result<Vec<LocalGpu>> {
    if !has_cuda_driver() {
        return Ok(Vec::new());
    }
    let devices = result::init().and_then(|()| result::device::get_count());
    let devices = match devices {
        Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => 0,
        other => other.map_err(cuda_error)?,
    };
    (0..devices).map(|ordinal| local_gpu(ordinal).map_err(cuda_error)).collect()
}

#[expect(unsafe_code, reason = "the driver's functions trust the device handle they are given")]
pub(crate) fn local_gpu(ordinal: i32) -> std::result::Result<LocalGpu, DriverError> {
    use sys::CUdevice_attribute as Attribute;
    let device = result::device::get(ordinal)?;
    // SAFETY: the handle was just given by the driver.
    let attribute = |attribute| unsafe { result::device::get_attribute(device, attribute) };
    let number = |attribute_value: i32| u8::try_from(attribute_value).unwrap_or(0);
    let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    // SAFETY: as above.
    let memory = unsafe { result::device::total_mem(device) }?;
    Ok(LocalGpu {
        product: result::device::get_name(device)?,
        compute_capability: ComputeCapability::new(number(major), number(minor)),
        memory_byte_count: memory as u64,
    })
}

pub(crate) fn cuda_error(error: DriverError) -> Error {
    Error::Cuda { message: format!("{error:?}") }
}
