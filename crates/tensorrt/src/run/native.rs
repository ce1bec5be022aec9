//! The library's engine and execution context, through its C++ interface.
//!
//! `trtx` wraps them too, but keeps the shapes of optimization profiles to itself. What is called here, and in which order,
//! follows `NvInferRuntime.h` of TensorRT-RTX 1.7.
#![expect(unsafe_code, reason = "the library's interface is in C++")]

use super::messages::{clear_messages, messages};
use crate::types::data_type_name;
use crate::{Error, Result};
use cxx::UniquePtr;
use std::ffi::{CStr, CString, c_void};
use trtx::trtx_sys::{
    CudaGraphStrategy, DataType, Dims64, DynamicShapesKernelSpecializationStrategy, OptProfileSelector, TensorFormat,
    TensorIOMode, TensorLocation, nvinfer1,
};

/// An engine on a GPU.
pub(super) struct NativeEngine(pub(super) UniquePtr<nvinfer1::ICudaEngine>);

// SAFETY: the object is not bound to the thread that made it, and its owner lets one thread use it at a time.
unsafe impl Send for NativeEngine {}

/// What the engine reports of one of its tensors.
pub(super) struct TensorFacts {
    pub(super) name: String,
    pub(super) data_type: &'static str,
    pub(super) dims: Vec<i64>,
    pub(super) is_input: bool,
    /// Why this crate cannot hand it to the engine.
    pub(super) obstacle: Option<&'static str>,
}

impl NativeEngine {
    /// Whether weights can be put into it; not into an engine that was built with its own.
    pub(super) fn is_refittable(&self) -> bool {
        self.0.isRefittable()
    }

    pub(super) fn tensor_count(&self) -> i32 {
        self.0.getNbIOTensors()
    }

    /// The input or output at `index`; none where there is none.
    pub(super) fn tensor(&self, index: i32) -> Option<TensorFacts> {
        let name = self.0.getIOTensorName(index);
        if name.is_null() {
            return None;
        }
        // SAFETY: the engine's names are C strings that live as long as it does, and this is one of them.
        unsafe {
            let is_linear = TensorFormat::from(self.0.getTensorFormat1(name, 0)) == TensorFormat::kLINEAR;
            let is_on_device = TensorLocation::from(self.0.getTensorLocation(name)) == TensorLocation::kDEVICE;
            Some(TensorFacts {
                name: CStr::from_ptr(name).to_string_lossy().into_owned(),
                data_type: data_type_name(DataType::from(self.0.getTensorDataType(name))),
                dims: dims(&self.0.getTensorShape(name))?,
                is_input: TensorIOMode::from(self.0.getTensorIOMode(name)) == TensorIOMode::kINPUT,
                obstacle: match (is_on_device, is_linear) {
                    (false, _) => Some("is in the host's memory"),
                    (true, false) => Some("has elements in another order than row-major"),
                    (true, true) => None,
                },
            })
        }
    }

    pub(super) fn profile_count(&self) -> i32 {
        self.0.getNbOptimizationProfiles()
    }

    /// Smallest, most frequent and largest shape of an input in a profile.
    pub(super) fn profile_shapes(&self, input: &CStr, profile: i32) -> Option<[Vec<i64>; 3]> {
        let shape = |selector: OptProfileSelector| {
            // SAFETY: the name is a C string.
            dims(&unsafe { self.0.getProfileShape(input.as_ptr(), profile, selector.into()) })
        };
        Some([shape(OptProfileSelector::kMIN)?, shape(OptProfileSelector::kOPT)?, shape(OptProfileSelector::kMAX)?])
    }

    /// Bytes of intermediate values and scratch memory of one execution in a profile.
    pub(super) fn activation_byte_count(&self, profile: i32) -> u64 {
        u64::try_from(self.0.getDeviceMemorySizeForProfileV2(profile)).unwrap_or(0)
    }

    /// What executes it; made on the GPU that this thread has entered.
    pub(super) fn context(
        &mut self,
        graphs: CudaGraphStrategy,
        specialization: DynamicShapesKernelSpecializationStrategy,
    ) -> Result<NativeContext> {
        clear_messages();
        let failed = || Error::Execution { log: messages() };
        let config = self.0.pin_mut().createRuntimeConfig();
        if config.is_null() {
            return Err(failed());
        }
        // SAFETY: the object is new and has no other owner.
        let mut config = unsafe { UniquePtr::from_raw(config) };
        config.pin_mut().setDynamicShapesKernelSpecializationStrategy(specialization.into());
        if !config.pin_mut().setCudaGraphStrategy(graphs.into()) {
            return Err(failed());
        }
        // SAFETY: the configuration is alive, and is kept until after the context is gone.
        let context = unsafe { self.0.pin_mut().createExecutionContext1(config.as_mut_ptr()) };
        if context.is_null() {
            return Err(failed());
        }
        // SAFETY: the object is new and has no other owner.
        Ok(NativeContext { context: unsafe { UniquePtr::from_raw(context) }, _config: config })
    }
}

/// What executes an engine. It must not outlive it.
pub(super) struct NativeContext {
    context: UniquePtr<nvinfer1::IExecutionContext>,
    /// Declared last: the context goes first.
    _config: UniquePtr<nvinfer1::IRuntimeConfig>,
}

// SAFETY: the objects are not bound to the thread that made them, and are used through `&mut` by one at a time.
unsafe impl Send for NativeContext {}

impl NativeContext {
    /// # Safety
    /// `stream` is one of the GPU that the engine is on, and this thread has entered that GPU.
    pub(super) unsafe fn set_profile(&mut self, profile: i32, stream: *mut c_void) -> Result<()> {
        clear_messages();
        // SAFETY: the caller's promise.
        let is_set = unsafe { self.context.pin_mut().setOptimizationProfileAsync(profile, stream.cast()) };
        if is_set { Ok(()) } else { Err(Error::Execution { log: messages() }) }
    }

    pub(super) fn set_shape(&mut self, input: &CStr, shape: &[i64]) -> Result<()> {
        clear_messages();
        let dims = Dims64::from_slice(shape);
        // SAFETY: the name is a C string.
        let is_set = unsafe { self.context.pin_mut().setInputShape(input.as_ptr(), &dims) };
        if is_set { Ok(()) } else { Err(Error::Execution { log: messages() }) }
    }

    /// Shape of a tensor for the shapes set; a size that depends on values is -1, and so is one that is not known.
    pub(super) fn shape(&self, tensor: &CStr) -> Option<Vec<i64>> {
        // SAFETY: the name is a C string.
        dims(&unsafe { self.context.getTensorShape(tensor.as_ptr()) })
    }

    /// Most bytes that an output takes for the shapes set.
    pub(super) fn most_bytes(&self, output: &CStr) -> usize {
        // SAFETY: the name is a C string.
        usize::try_from(unsafe { self.context.getMaxOutputSize(output.as_ptr()) }).unwrap_or(0)
    }

    /// # Safety
    /// `address` has room for the tensor on the GPU, aligned to 256 bytes, for as long as it is used.
    pub(super) unsafe fn set_address(&mut self, tensor: &CStr, address: *mut c_void) -> Result<()> {
        clear_messages();
        // SAFETY: the name is a C string; else the caller's promise.
        let is_set = unsafe { self.context.pin_mut().setTensorAddress(tensor.as_ptr(), address.cast()) };
        if is_set { Ok(()) } else { Err(Error::Execution { log: messages() }) }
    }

    /// # Safety
    /// As [`Self::set_profile`]; every tensor has its address, and the memory stays until the stream is through.
    pub(super) unsafe fn enqueue(&mut self, stream: *mut c_void) -> Result<()> {
        clear_messages();
        // SAFETY: the caller's promise.
        let is_enqueued = unsafe { self.context.pin_mut().enqueueV3(stream.cast()) };
        if is_enqueued { Ok(()) } else { Err(Error::Execution { log: messages() }) }
    }
}

/// The sizes; none where the library reports that the tensor does not exist.
fn dims(dims: &Dims64) -> Option<Vec<i64>> {
    let count = usize::try_from(dims.nbDims).ok().filter(|&count| count <= dims.d.len())?;
    Some(dims.d[..count].to_vec())
}

/// A name as the library takes it.
pub(super) fn c_name(name: &str) -> CString {
    CString::new(name).expect("the engine's own names are C strings")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dims_that_stand_for_nothing_are_none() {
        assert_eq!(dims(&Dims64::from_slice(&[2, -1])), Some(vec![2, -1]));
        assert_eq!(dims(&Dims64 { nbDims: -1, d: [0; 8] }), None);
        assert_eq!(dims(&Dims64 { nbDims: 9, d: [0; 8] }), None);
    }
}
