//! The native libraries that this backend loads.

/// A library, and the ways to name another place of it.
#[derive(Debug)]
pub(crate) struct NativeLibrary {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Its file, with the version that is needed where that is not in it.
    pub(crate) file: &'static str,
    /// What else to know of the file.
    pub(crate) needed: &'static str,
    /// Setting of `--backend-config=planforge,…`.
    pub(crate) setting: &'static str,
    /// Parameter of `config.pbtxt`.
    pub(crate) parameter: &'static str,
    /// Variable of the server's environment.
    pub(crate) variable: &'static str,
    /// Triton's own backend that brings it, if there is one.
    pub(crate) brought_by: Option<&'static str>,
}

/// Runs graphs.
pub(crate) const ONNX_RUNTIME: NativeLibrary = NativeLibrary {
    name: "ONNX Runtime",
    file: "libonnxruntime.so",
    needed: "1.22 or later",
    setting: "onnxruntime-library",
    parameter: "onnxruntime_library",
    variable: "PLANFORGE_ONNXRUNTIME_LIBRARY",
    brought_by: Some("onnxruntime"),
};

/// Runs engines.
pub(crate) const TENSORRT_RTX: NativeLibrary = NativeLibrary {
    name: "TensorRT-RTX",
    file: "libtensorrt_rtx.so.1",
    needed: "of the version that the engine was built by",
    setting: "tensorrt-rtx-library",
    parameter: "tensorrt_rtx_library",
    variable: "PLANFORGE_TENSORRT_RTX_LIBRARY",
    brought_by: None,
};
