//! Finding and asking the native libraries.

use crate::{Error, Result};
use std::ffi::{CStr, c_int};
use std::path::{Path, PathBuf};

/// The two libraries of TensorRT-RTX.
#[derive(Debug, Clone)]
pub struct Libraries {
    /// `libtensorrt_rtx.so.1`.
    pub builder: PathBuf,
    /// `libtensorrt_onnxparser_rtx.so.1`.
    pub parser: PathBuf,
}

/// The word that both are open.
#[derive(Debug)]
pub struct OpenLibraries {
    pub(crate) paths: Libraries,
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
    pub fn open(&self) -> Result<OpenLibraries> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source: trtx::Error| Error::Library { path, source: Box::new(source) }
        };
        trtx::dynamically_load_tensorrt(Some(self.builder.as_os_str())).map_err(failed(&self.builder))?;
        trtx::dynamically_load_tensorrt_onnxparser(Some(self.parser.as_os_str())).map_err(failed(&self.parser))?;
        Ok(OpenLibraries { paths: self.clone() })
    }
}

/// Version of the builder library at `path`, such as `1.7.1.116`.
///
/// # Errors
/// [`Error::Library`] when it cannot be opened or is another library.
pub fn library_version(path: &Path) -> Result<String> {
    let names = [
        c"getInferLibMajorVersion",
        c"getInferLibMinorVersion",
        c"getInferLibPatchVersion",
        c"getInferLibBuildVersion",
    ];
    Ok(call(path, &names)?.iter().map(ToString::to_string).collect::<Vec<_>>().join("."))
}

/// Version of the builder library at `path`, which must be one that planforge is made for: the library's objects are used
/// through their C++ interface, which changes with the minor version.
///
/// # Errors
/// [`Error::Version`], and those of [`library_version`].
pub fn supported_version(path: &Path) -> Result<String> {
    let found = library_version(path)?;
    if found.starts_with("1.7.") {
        return Ok(found);
    }
    Err(Error::Version { path: path.to_owned(), found, expected: "1.7.x" })
}

/// Version of the ONNX parser library at `path`, such as `0.2.0`.
///
/// # Errors
/// [`Error::Library`] when it cannot be opened or is another library.
pub fn parser_version(path: &Path) -> Result<String> {
    // `NvOnnxParser.h`: major * 10000 + minor * 100 + patch.
    let number = call(path, &[c"getNvOnnxParserVersion"])?[0];
    Ok(format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100))
}

/// Calls functions without arguments, each of which answers with a number.
#[expect(unsafe_code, reason = "the libraries answer for their versions through C functions")]
fn call(path: &Path, names: &[&CStr]) -> Result<Vec<c_int>> {
    let failed = |source| Error::Library { path: path.to_owned(), source: Box::new(source) };
    // SAFETY: NVIDIA's libraries have no initialisers that conflict with ours; they stay open while called.
    let library = unsafe { libloading::Library::new(path) }.map_err(failed)?;
    let number = |name: &&CStr| {
        // SAFETY: the callers name functions that NVIDIA's headers declare as `int name() noexcept`.
        unsafe { library.get::<unsafe extern "C" fn() -> c_int>(name.to_bytes_with_nul()).map(|function| function()) }
    };
    names.iter().map(number).collect::<std::result::Result<_, _>>().map_err(failed)
}
