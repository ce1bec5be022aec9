//! The library's runtime, which loads engines and puts weights into them.
#![expect(unsafe_code, reason = "the library's interface is in C++")]

use super::messages::{Sink, clear_messages, logger, messages};
use super::native::NativeEngine;
use super::refit::NativeRefitter;
use crate::{Error, Result, supported_version};
use cxx::UniquePtr;
use std::ffi::c_void;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use trtx::trtx_sys::{self, EngineInvalidityDiagnostics, EngineValidity, nvinfer1};

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static OPENING: Mutex<()> = Mutex::new(());

/// The library's runtime. There is one for the process, as the library keeps the first logger it is given.
#[derive(Debug)]
pub struct Runtime {
    path: PathBuf,
    version: String,
    native: Mutex<NativeRuntime>,
}

struct NativeRuntime {
    runtime: UniquePtr<nvinfer1::IRuntime>,
    /// The process's, which is never freed.
    logger: *mut c_void,
    /// Stays open for as long as anything of it is in use.
    library: libloading::Library,
}

// SAFETY: the object is not bound to the thread that made it, and a mutex lets one thread use it at a time.
unsafe impl Send for NativeRuntime {}

impl std::fmt::Debug for NativeRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NativeRuntime")
    }
}

impl Runtime {
    /// Opens the library at `path` (`libtensorrt_rtx.so.1`) for the rest of the process; again, it does nothing. The
    /// library's messages go to the first `sink` given. There has to be a CUDA driver.
    ///
    /// # Errors
    /// [`Error::NoDriver`], [`Error::Library`], [`Error::Version`]; [`Error::OtherLibrary`] when another one is open.
    pub fn open(path: &Path, sink: Sink) -> Result<&'static Self> {
        if !crate::has_cuda_driver() {
            return Err(Error::NoDriver);
        }
        let cannot = |source: std::io::Error| Error::Library { path: path.to_owned(), source: Box::new(source) };
        let path = &path.canonicalize().map_err(cannot)?;
        let _guard = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = RUNTIME.get() {
            return if runtime.path == *path {
                Ok(runtime)
            } else {
                Err(Error::OtherLibrary { asked: path.clone(), loaded: runtime.path.clone() })
            };
        }
        let version = supported_version(path)?;
        let native = Mutex::new(NativeRuntime::new(path, sink)?);
        Ok(RUNTIME.get_or_init(|| Self { path: path.clone(), version, native }))
    }

    /// Version of the library, such as `1.7.1.116`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Puts the engine `bytes`, read from `plan`, on the GPU that this thread has entered.
    pub(super) fn deserialize(&self, plan: &Path, bytes: &[u8]) -> Result<NativeEngine> {
        let mut native = self.native.lock().unwrap_or_else(PoisonError::into_inner);
        native.check(plan, bytes)?;
        clear_messages();
        // SAFETY: the library reads this number of bytes during the call.
        let engine = unsafe { native.runtime.pin_mut().deserializeCudaEngine(bytes.as_ptr().cast(), bytes.len()) };
        if engine.is_null() {
            return Err(Error::Deserialize { path: plan.to_owned(), log: messages() });
        }
        // SAFETY: the object is new and has no other owner.
        Ok(NativeEngine(unsafe { UniquePtr::from_raw(engine) }))
    }

    /// What puts weights into `engine`, on the GPU that this thread has entered.
    pub(super) fn refitter<'a>(&self, plan: &Path, engine: &'a mut NativeEngine) -> Result<NativeRefitter<'a>> {
        type Create = unsafe extern "C" fn(*mut c_void, *mut c_void, i32) -> *mut c_void;
        let native = self.native.lock().unwrap_or_else(PoisonError::into_inner);
        clear_messages();
        // SAFETY: `NvInferRuntime.h` declares the function so; the logger lives as long as the process, and the engine
        // longer than the object, which is new.
        let refitter: UniquePtr<nvinfer1::IRefitter> = unsafe {
            let create = native.library.get::<Create>(b"createInferRefitter_INTERNAL\0");
            let create = create.map_err(|error| Error::Library { path: self.path.clone(), source: Box::new(error) })?;
            let version = trtx_sys::get_tensorrt_version().cast_signed();
            UniquePtr::from_raw(create(engine.0.as_mut_ptr().cast(), native.logger, version).cast())
        };
        if refitter.is_null() {
            return Err(Error::Refit { path: plan.to_owned(), log: messages() });
        }
        Ok(NativeRefitter::new(refitter))
    }
}

impl NativeRuntime {
    fn new(path: &Path, sink: Sink) -> Result<Self> {
        type Create = unsafe extern "C" fn(*mut c_void, i32) -> *mut c_void;
        let failed =
            |source: Box<dyn std::error::Error + Send + Sync>| Error::Library { path: path.to_owned(), source };
        // SAFETY: NVIDIA's libraries have no initialisers that conflict with ours.
        let library = unsafe { libloading::Library::new(path) }.map_err(|error| failed(error.into()))?;
        clear_messages();
        let logger = logger(sink);
        // SAFETY: `NvInferRuntime.h` declares the function so; the logger lives as long as the process.
        let runtime = unsafe {
            let create =
                library.get::<Create>(b"createInferRuntime_INTERNAL\0").map_err(|error| failed(error.into()))?;
            create(logger, trtx_sys::get_tensorrt_version().cast_signed())
        };
        if runtime.is_null() {
            return Err(failed(format!("it gives no runtime: {}", messages()).into()));
        }
        // SAFETY: the object is new, of this type, and has no other owner.
        Ok(Self { runtime: unsafe { UniquePtr::from_raw(runtime.cast()) }, logger, library })
    }

    /// The library's own look at the header: it knows of drivers that are too old, and of too little memory.
    fn check(&self, plan: &Path, bytes: &[u8]) -> Result<()> {
        let mut reasons = 0;
        let byte_count = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        // SAFETY: the library reads no more than this number of bytes, and writes one number.
        let validity = unsafe { self.runtime.getEngineValidity(bytes.as_ptr().cast(), byte_count, &raw mut reasons) };
        if EngineValidity::from(validity) != EngineValidity::kINVALID {
            return Ok(());
        }
        let reason = invalidity(EngineInvalidityDiagnostics::from_bits_retain(reasons));
        Err(Error::InvalidEngine { path: plan.to_owned(), reason })
    }
}

/// What the library's bits mean.
fn invalidity(reasons: EngineInvalidityDiagnostics) -> String {
    use EngineInvalidityDiagnostics as Reason;
    let known = [
        (Reason::VERSION_MISMATCH, "it was built by another version of the library"),
        (Reason::UNSUPPORTED_CC, "it was built for other GPUs"),
        (Reason::OLD_CUDA_DRIVER, "the CUDA driver is too old for it"),
        (Reason::OLD_CUDA_RUNTIME, "the CUDA runtime is too old for it"),
        // The first words are those by which Triton's endpoint knows that unloading another model may help.
        (Reason::INSUFFICIENT_GPU_MEMORY, "out of memory: the GPU has too little for its weights"),
        (Reason::MALFORMED_ENGINE, "the file is corrupt or not an engine"),
        (Reason::CUDA_ERROR, "CUDA is not installed as it should be"),
    ];
    let found: Vec<_> = known.iter().filter(|(reason, _)| reasons.contains(*reason)).map(|(_, text)| *text).collect();
    if found.is_empty() { "the library gave no reason".to_owned() } else { found.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_the_library_are_put_into_words() {
        use EngineInvalidityDiagnostics as Reason;
        let reasons = Reason::OLD_CUDA_DRIVER | Reason::UNSUPPORTED_CC;
        assert_eq!(invalidity(reasons), "it was built for other GPUs, the CUDA driver is too old for it");
        assert_eq!(invalidity(Reason::empty()), "the library gave no reason");
    }
}
