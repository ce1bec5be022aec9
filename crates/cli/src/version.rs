//! What `--version` prints.

/// Cargo features that this program was built with.
#[cfg(feature = "torch")]
macro_rules! features {
    () => {
        "torch"
    };
}
/// Cargo features that this program was built with.
#[cfg(not(feature = "torch"))]
macro_rules! features {
    () => {
        "none"
    };
}

/// Version, commit of the source tree, features, and the libraries that the program works with.
pub(crate) const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("PLANFORGE_COMMIT"),
    "\nfeatures: ",
    features!(),
    "\nlibraries: TensorRT-RTX 1.7, ONNX Runtime with API 22 or later (`planforge doctor` lists the installed ones)"
);
