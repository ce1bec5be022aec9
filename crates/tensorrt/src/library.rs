//! Finding and asking the native libraries.

use crate::{Error, Result};
use std::ffi::c_int;
use std::path::{Path, PathBuf};

/// The two libraries of TensorRT-RTX.
#[derive(Debug, Clone)]
pub struct Libraries {
    /// `libtensorrt_rtx.so.1`.
    pub builder: PathBuf,
    /// `libtensorrt_onnxparser_rtx.so.1`.
    pub parser: PathBuf,
}

impl Libraries {
    /// The libraries in `folder`.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self { builder: folder.join("libtensorrt_rtx.so.1"), parser: folder.join("libtensorrt_onnxparser_rtx.so.1") }
    }

    /// Opens both for the rest of the process.
    ///
    /// # Errors
    /// [`Error::Library`] naming the file.
    pub(crate) fn open(&self) -> Result<()> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source: trtx::Error| Error::Library { path, source: Box::new(source) }
        };
        trtx::dynamically_load_tensorrt(Some(self.builder.as_os_str())).map_err(failed(&self.builder))?;
        trtx::dynamically_load_tensorrt_onnxparser(Some(self.parser.as_os_str())).map_err(failed(&self.parser))
    }
}

/// Version of the library at `path`, such as `1.7.1.116`.
///
/// # Errors
/// [`Error::Library`] when it cannot be opened or is another library.
#[expect(unsafe_code, reason = "the library answers for its version through C functions")]
pub fn library_version(path: &Path) -> Result<String> {
    let failed = |source| Error::Library { path: path.to_owned(), source: Box::new(source) };
    // SAFETY: NVIDIA's library has no initialisers that conflict with ours; it stays open while called.
    let library = unsafe { libloading::Library::new(path) }.map_err(failed)?;
    let numbers = [
        c"getInferLibMajorVersion",
        c"getInferLibMinorVersion",
        c"getInferLibPatchVersion",
        c"getInferLibBuildVersion",
    ]
    .map(|name| {
        // SAFETY: NvInferRuntime.h declares these four as `int32_t name() noexcept`.
        unsafe { library.get::<unsafe extern "C" fn() -> c_int>(name.to_bytes_with_nul()).map(|function| function()) }
    });
    let numbers = numbers.into_iter().collect::<std::result::Result<Vec<_>, _>>().map_err(failed)?;
    Ok(numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join("."))
}
