//! What runs a model, and from which files, by the server's rules (triton-inference-server/core,
//! `AutoCompleteBackendFields`).

use super::layout::ModelFolder;
use super::listing::Listing;
use crate::files::{MODULE_FILE, ONNX_FILE, PLAN_FILE, PLANFORGE_BACKEND};
use crate::text_format::{Field, all, last};

/// The platform of models that are made of others.
pub(super) const ENSEMBLE: &str = "ensemble";
/// Backends that the server finds by platform or by file, in its order: name, platform, and the usual name of the file.
pub(super) const KNOWN: [(&str, &str, &str); 8] = [
    (TENSORFLOW, "tensorflow_savedmodel", "model.savedmodel"),
    (TENSORFLOW, "tensorflow_graphdef", "model.graphdef"),
    ("tensorrt", "tensorrt_plan", PLAN_FILE),
    ("onnxruntime", "onnxruntime_onnx", ONNX_FILE),
    ("openvino", "", "model.xml"),
    ("pytorch", "pytorch_libtorch", MODULE_FILE),
    ("pytorch", "torch_aoti", "model.pt2"),
    ("python", "", PYTHON_FILE),
];
const TENSORFLOW: &str = "tensorflow";
const PYTHON_FILE: &str = "model.py";

/// What runs a model, as far as it is known; what is not is empty.
pub(super) struct Runner {
    pub(super) backend: String,
    pub(super) platform: String,
    /// The file that it is made from.
    pub(super) file: String,
}

impl Runner {
    pub(super) fn new(fields: &[Field], model: &ModelFolder, listing: &Listing) -> Self {
        let text = |name: &str| last(fields, name).map_or("", Field::text);
        let (mut backend, mut platform) = (text("backend"), text("platform"));
        let named = text("default_model_filename");
        // The server looks into the first folder, whichever that is.
        let folder = listing.folders_in(model.folder()).first().map_or_else(String::new, |folder| model.path(folder));
        let lies = |file: &str| named.is_empty() && listing.has(&format!("{folder}/{file}"));
        if platform.is_empty() && ["", TENSORFLOW].contains(&backend) {
            let tensorflow = KNOWN.iter().filter(|(known, ..)| *known == TENSORFLOW);
            let found = tensorflow.rev().find(|(_, _, file)| named == *file || lies(file));
            platform = found.map_or("", |(_, platform, _)| *platform);
        }
        if backend.is_empty() {
            let fits = |known: &&(&str, &'static str, &str)| {
                let (known_backend, known_platform, file) = **known;
                let by_file = named == file || platform.is_empty() && lies(file);
                (!platform.is_empty() && platform == known_platform) || (known_backend != TENSORFLOW && by_file)
            };
            backend = KNOWN.iter().find(fits).map_or("", |(backend, ..)| *backend);
        }
        let own = KNOWN.iter().find(|(known, known_platform, _)| {
            let is_any = platform.is_empty() && backend != TENSORFLOW;
            *known == backend && (is_any || platform == *known_platform || known_platform.is_empty())
        });
        if platform.is_empty() {
            platform = own.map_or("", |(_, platform, _)| *platform);
        }
        let file = match own {
            _ if !named.is_empty() => named,
            // The backend's own script runs it.
            Some(("pytorch", ..)) if text("runtime") == PYTHON_FILE => "",
            Some((_, _, file)) => file,
            None if backend == PLANFORGE_BACKEND => ONNX_FILE,
            None => "",
        };
        Self { backend: backend.to_owned(), platform: platform.to_owned(), file: file.to_owned() }
    }

    /// Whether it runs an engine of TensorRT's, planforge's own among them.
    pub(super) fn runs_engine(&self, fields: &[Field]) -> bool {
        let is_engine = |file: &str| file.ends_with(".plan");
        let by_gpu = |item: &Field| item.last("value").is_some_and(|file| is_engine(file.text()));
        let is_own = self.backend == PLANFORGE_BACKEND
            && (is_engine(&self.file) || all(fields, "cc_model_filenames").any(by_gpu));
        self.backend == "tensorrt" || is_own
    }
}
