//! Why the local endpoint does not serve a variant.

/// Why the local endpoint does not serve a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unserved {
    /// A plan of TensorRT.
    TensorrtPlan,
    /// An ONNX export in bf16.
    OnnxBf16,
    /// TorchScript.
    TorchScript,
}

impl Unserved {
    /// A sentence about the variant.
    pub(crate) fn describe(self, variant: &str) -> String {
        match self {
            Self::TensorrtPlan => {
                format!("`{variant}` is a plan of TensorRT, and the local endpoint runs engines of TensorRT-RTX")
            }
            Self::OnnxBf16 => {
                format!("the local endpoint runs on the CPU, where ONNX Runtime has no bf16; `{variant}` needs a GPU")
            }
            Self::TorchScript => {
                format!("the local endpoint runs ONNX and engines; `{variant}` is TorchScript")
            }
        }
    }
}
