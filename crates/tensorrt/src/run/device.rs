//! A GPU, with memory on it and page-locked memory of the host.
#![expect(unsafe_code, reason = "the driver trusts the addresses that it is given")]

use crate::gpu::{cuda_error, has_cuda_driver, local_gpu};
use crate::{Error, LocalGpu, Result};
use cudarc::driver::{CudaContext, CudaStream, DriverError, result, sys};
use std::ffi::c_void;
use std::sync::Arc;

/// A GPU of this machine in use, through its primary context, which the library uses too.
#[derive(Debug, Clone)]
pub struct Gpu {
    pub(super) context: Arc<CudaContext>,
    facts: LocalGpu,
}

impl Gpu {
    /// Takes the GPU of this number, in the driver's order, into use.
    ///
    /// # Errors
    /// [`Error::NoDriver`], [`Error::NoGpu`], [`Error::Cuda`].
    pub fn open(ordinal: usize) -> Result<Self> {
        if !has_cuda_driver() {
            return Err(Error::NoDriver);
        }
        let count = match result::init().and_then(|()| result::device::get_count()) {
            Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => 0,
            other => usize::try_from(other.map_err(cuda_error)?).unwrap_or(0),
        };
        if ordinal >= count {
            return Err(Error::NoGpu { ordinal, count });
        }
        let facts = local_gpu(i32::try_from(ordinal).unwrap_or(i32::MAX)).map_err(cuda_error)?;
        Ok(Self { context: CudaContext::new(ordinal).map_err(cuda_error)?, facts })
    }

    /// What the driver tells of it.
    #[must_use]
    pub const fn facts(&self) -> &LocalGpu {
        &self.facts
    }

    /// Its free memory in bytes, as all its users leave it.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    pub fn free_byte_count(&self) -> Result<u64> {
        self.context.mem_get_info().map(|(free, _)| free as u64).map_err(cuda_error)
    }

    /// Version of CUDA that the driver is for, such as `12.8`.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    pub fn driver_version(&self) -> Result<String> {
        let mut version = 0;
        // SAFETY: the driver writes one number.
        unsafe { sys::cuDriverGetVersion(&raw mut version) }.result().map_err(cuda_error)?;
        Ok(format!("{}.{}", version / 1000, version % 1000 / 10))
    }

    /// Makes it the one that this thread's calls of the library and the driver are about.
    pub(super) fn enter(&self) -> Result<()> {
        self.context.bind_to_thread().map_err(cuda_error)
    }
}

/// Memory on a GPU, which grows and does not shrink.
#[derive(Debug)]
pub(super) struct DeviceBuffer {
    gpu: Gpu,
    address: sys::CUdeviceptr,
    capacity: usize,
}

impl DeviceBuffer {
    pub(super) const fn new(gpu: Gpu) -> Self {
        Self { gpu, address: 0, capacity: 0 }
    }

    /// Address of at least `byte_count` bytes. What was there is lost when it grows, and must not be in use.
    pub(super) fn reserve(&mut self, byte_count: usize) -> Result<*mut c_void> {
        if byte_count > self.capacity || self.address == 0 {
            self.free();
            self.gpu.enter()?;
            let byte_count = byte_count.max(1);
            // SAFETY: the context is current; what the memory holds is not read before it is written.
            self.address = unsafe { result::malloc_sync(byte_count) }.map_err(cuda_error)?;
            self.capacity = byte_count;
        }
        Ok(std::ptr::with_exposed_provenance_mut(usize::try_from(self.address).unwrap_or(0)))
    }

    fn free(&mut self) {
        if self.address != 0 && self.gpu.enter().is_ok() {
            // SAFETY: it was allocated in this context and is not known to anybody else. A failure leaves nothing to do.
            let _ = unsafe { result::free_sync(self.address) };
        }
        (self.address, self.capacity) = (0, 0);
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        self.free();
    }
}

/// Memory of the host that the GPU copies from and to on its own; it grows and does not shrink.
#[derive(Debug)]
pub(super) struct HostBuffer {
    gpu: Gpu,
    address: *mut u8,
    capacity: usize,
}

// SAFETY: the memory belongs to this buffer alone, and page-locked memory is that of any thread.
unsafe impl Send for HostBuffer {}

impl HostBuffer {
    pub(super) const fn new(gpu: Gpu) -> Self {
        Self { gpu, address: std::ptr::null_mut(), capacity: 0 }
    }

    /// Room for at least `byte_count` bytes. What was there is lost when it grows, and must not be in use by the GPU.
    pub(super) fn reserve(&mut self, byte_count: usize) -> Result<()> {
        if byte_count <= self.capacity && !self.address.is_null() {
            return Ok(());
        }
        self.free();
        self.gpu.enter()?;
        let byte_count = byte_count.max(1);
        // SAFETY: the context is current.
        let address = unsafe { result::malloc_host(byte_count, 0) }.map_err(cuda_error)?.cast::<u8>();
        // SAFETY: this number of bytes was allocated; from here on they have values.
        unsafe { address.write_bytes(0, byte_count) };
        (self.address, self.capacity) = (address, byte_count);
        Ok(())
    }

    /// The first `byte_count` bytes.
    ///
    /// # Panics
    /// When fewer were reserved.
    pub(super) fn bytes(&self, byte_count: usize) -> &[u8] {
        assert!(byte_count <= self.capacity, "room was reserved before");
        if byte_count == 0 {
            return &[];
        }
        // SAFETY: this number of bytes is there, with values.
        unsafe { std::slice::from_raw_parts(self.address, byte_count) }
    }

    /// As [`Self::bytes`], to be written.
    ///
    /// # Panics
    /// When fewer were reserved.
    pub(super) fn bytes_mut(&mut self, byte_count: usize) -> &mut [u8] {
        assert!(byte_count <= self.capacity, "room was reserved before");
        if byte_count == 0 {
            return &mut [];
        }
        // SAFETY: this number of bytes is there, with values, and this buffer is borrowed for writing.
        unsafe { std::slice::from_raw_parts_mut(self.address, byte_count) }
    }

    fn free(&mut self) {
        if !self.address.is_null() && self.gpu.enter().is_ok() {
            // SAFETY: it was allocated by the function's counterpart. A failure leaves nothing to do.
            let _ = unsafe { result::free_host(self.address.cast()) };
        }
        (self.address, self.capacity) = (std::ptr::null_mut(), 0);
    }
}

impl Drop for HostBuffer {
    fn drop(&mut self) {
        self.free();
    }
}

/// A tensor's memory on both sides.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) host: HostBuffer,
    device: DeviceBuffer,
}

impl Pair {
    pub(super) fn new(gpu: &Gpu) -> Self {
        Self { host: HostBuffer::new(gpu.clone()), device: DeviceBuffer::new(gpu.clone()) }
    }

    /// Room for `host` and `device` bytes; the address on the GPU.
    pub(super) fn reserve(&mut self, host: usize, device: usize) -> Result<*mut c_void> {
        self.host.reserve(host)?;
        self.device.reserve(device.max(host))
    }

    /// Starts copying `byte_count` bytes to the GPU. They must not be written before the stream has done so.
    pub(super) fn start_upload(&self, byte_count: usize, stream: &CudaStream) -> Result<()> {
        let bytes = self.host.bytes(byte_count);
        // SAFETY: both sides have room for them, and stay: this pair waits for its stream before it goes.
        unsafe { result::memcpy_htod_async(self.device.address, bytes, stream.cu_stream()) }.map_err(cuda_error)
    }

    /// Starts copying `byte_count` bytes from the GPU. They must not be read before the stream has done so.
    pub(super) fn start_download(&mut self, byte_count: usize, stream: &CudaStream) -> Result<()> {
        let address = self.device.address;
        let bytes = self.host.bytes_mut(byte_count);
        // SAFETY: as above.
        unsafe { result::memcpy_dtoh_async(bytes, address, stream.cu_stream()) }.map_err(cuda_error)
    }
}
