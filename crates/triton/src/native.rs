//! Where ONNX Runtime is found. It is loaded once for the process, however many models there are.

use crate::settings::{BackendSettings, Parameters};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// File name of the library.
const LIBRARY: &str = "libonnxruntime.so";

/// The places of ONNX Runtime that do not depend on a model.
#[derive(Debug, Clone)]
pub(crate) struct RuntimePlaces {
    chosen: Option<PathBuf>,
    folders: Vec<PathBuf>,
}

impl RuntimePlaces {
    /// `chosen` by the environment of the server or its command line; else beside the backend, whose library lies in
    /// `backend_folder`, where the backend is installed, and with Triton's own ONNX Runtime backend.
    pub(crate) fn new(settings: &BackendSettings, environment: Option<PathBuf>, backend_folder: &Path) -> Self {
        let mut folders = vec![backend_folder.to_owned()];
        if let Some(backends) = settings.backends_folder() {
            folders.extend([backends.join("planforge"), backends.join("onnxruntime")]);
        }
        folders.dedup();
        Self { chosen: settings.library().or(environment), folders }
    }

    /// The library for a model with these parameters.
    ///
    /// # Errors
    /// [`Error::NoRuntime`]. A library that is named is taken as it is: it must exist.
    pub(crate) fn find(&self, parameters: &Parameters) -> Result<PathBuf> {
        if let Some(library) = parameters.library().or_else(|| self.chosen.clone()) {
            return Ok(library);
        }
        let files: Vec<PathBuf> = self.folders.iter().map(|folder| folder.join(LIBRARY)).collect();
        let searched = files.iter().map(|file| format!("`{}`", file.display())).collect::<Vec<_>>().join(", ");
        files.into_iter().find(|file| file.exists()).ok_or(Error::NoRuntime { searched })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn none() -> Parameters {
        Parameters::from(BTreeMap::new())
    }

    #[test]
    fn what_is_named_comes_before_what_is_found() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join(LIBRARY), "").unwrap();
        let found = RuntimePlaces::new(&BackendSettings::default(), None, folder.path());
        assert_eq!(found.find(&none()).unwrap(), folder.path().join(LIBRARY));
        let named = RuntimePlaces::new(&BackendSettings::default(), Some("/named".into()), folder.path());
        assert_eq!(named.find(&none()).unwrap(), Path::new("/named"));
        let parameters = Parameters::from(BTreeMap::from([("onnxruntime_library".to_owned(), "/model".to_owned())]));
        assert_eq!(named.find(&parameters).unwrap(), Path::new("/model"));
    }

    #[test]
    fn without_any_the_places_are_told() {
        let settings = BackendSettings::parse(r#"{"cmdline":{"backend-directory":"/b"}}"#).unwrap();
        let error = RuntimePlaces::new(&settings, None, Path::new("/m/1")).find(&none()).unwrap_err().to_string();
        let places = "`/m/1/libonnxruntime.so`, `/b/planforge/libonnxruntime.so`, `/b/onnxruntime/libonnxruntime.so`";
        assert!(error.contains(places), "{error}");
    }
}
