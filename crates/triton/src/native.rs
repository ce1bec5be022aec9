//! Where the native libraries are found. Each is loaded once for the process, however many models there are.

use crate::library::{NativeLibrary, ONNX_RUNTIME, TENSORRT_RTX};
use crate::settings::{BackendSettings, Parameters};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// The places of the libraries that do not depend on a model.
#[derive(Debug)]
pub(crate) struct RuntimePlaces {
    pub(crate) onnx_runtime: Places,
    pub(crate) tensorrt: Places,
}

impl RuntimePlaces {
    /// Chosen by the server's command line or its environment, which `variable` reads; else next to the backend, whose
    /// library is in `backend_folder`, and where backends are installed.
    pub(crate) fn new(
        settings: &BackendSettings,
        variable: impl Fn(&str) -> Option<PathBuf>,
        backend_folder: &Path,
    ) -> Self {
        let places = |library: &'static NativeLibrary| Places::new(library, settings, &variable, backend_folder);
        Self { onnx_runtime: places(&ONNX_RUNTIME), tensorrt: places(&TENSORRT_RTX) }
    }
}

/// The places of one library.
#[derive(Debug)]
pub(crate) struct Places {
    library: &'static NativeLibrary,
    chosen: Option<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Places {
    fn new(
        library: &'static NativeLibrary,
        settings: &BackendSettings,
        variable: &impl Fn(&str) -> Option<PathBuf>,
        backend_folder: &Path,
    ) -> Self {
        let mut folders = vec![backend_folder.to_owned()];
        if let Some(backends) = settings.backends_folder() {
            let installed = ["planforge"].into_iter().chain(library.brought_by);
            folders.extend(installed.map(|backend| backends.join(backend)));
        }
        folders.dedup();
        Self { library, chosen: settings.library(library.setting).or_else(|| variable(library.variable)), folders }
    }

    /// The library for a model with these parameters.
    ///
    /// # Errors
    /// [`Error::NoLibrary`]. A library that is named must exist.
    pub(crate) fn find(&self, parameters: &Parameters) -> Result<PathBuf> {
        if let Some(library) = parameters.library(self.library.parameter).or_else(|| self.chosen.clone()) {
            return Ok(library);
        }
        let files: Vec<PathBuf> = self.folders.iter().map(|folder| folder.join(self.library.file)).collect();
        let searched = files.iter().map(|file| format!("`{}`", file.display())).collect::<Vec<_>>().join(", ");
        let found = files.into_iter().find(|file| file.exists());
        found.ok_or_else(|| Error::NoLibrary { library: self.library, searched })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn none() -> Parameters {
        Parameters::from(BTreeMap::new())
    }

    fn places(settings: &BackendSettings, named: Option<&str>, folder: &Path) -> RuntimePlaces {
        RuntimePlaces::new(settings, |_| named.map(PathBuf::from), folder)
    }

    #[test]
    fn what_is_named_comes_before_what_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let settings = BackendSettings::default();
        for library in [&ONNX_RUNTIME, &TENSORRT_RTX] {
            fs_err::write(folder.path().join(library.file), "").unwrap();
        }
        let found = places(&settings, None, folder.path());
        assert_eq!(found.onnx_runtime.find(&none()).unwrap(), folder.path().join("libonnxruntime.so"));
        assert_eq!(found.tensorrt.find(&none()).unwrap(), folder.path().join("libtensorrt_rtx.so.1"));
        let named = places(&settings, Some("/named"), folder.path());
        assert_eq!(named.onnx_runtime.find(&none()).unwrap(), Path::new("/named"));
        let parameters = [("onnxruntime_library", "/model"), ("tensorrt_rtx_library", "/engine")];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let parameters = Parameters::from(BTreeMap::from(parameters));
        assert_eq!(named.onnx_runtime.find(&parameters).unwrap(), Path::new("/model"));
        assert_eq!(named.tensorrt.find(&parameters).unwrap(), Path::new("/engine"));
    }

    #[test]
    fn without_any_the_places_are_told() {
        let settings = BackendSettings::parse(r#"{"cmdline":{"backend-directory":"/b"}}"#).unwrap();
        let places = places(&settings, None, Path::new("/m/1"));
        let error = places.onnx_runtime.find(&none()).unwrap_err().to_string();
        let searched = "`/m/1/libonnxruntime.so`, `/b/planforge/libonnxruntime.so`, `/b/onnxruntime/libonnxruntime.so`";
        assert!(error.starts_with(&format!("ONNX Runtime was not found; searched {searched}.")), "{error}");
        let error = places.tensorrt.find(&none()).unwrap_err().to_string();
        let searched = "`/m/1/libtensorrt_rtx.so.1`, `/b/planforge/libtensorrt_rtx.so.1`";
        assert!(error.starts_with(&format!("TensorRT-RTX was not found; searched {searched}.")), "{error}");
        assert!(error.contains("--backend-config=planforge,tensorrt-rtx-library=PATH"), "{error}");
    }
}
