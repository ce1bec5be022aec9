//! Inputs before they are checked.

use planforge_runtime::TensorValues;

/// An input as it was sent.
#[derive(Debug)]
pub(super) struct Given {
    /// Its name.
    pub(super) name: String,
    /// KServe name of its element type.
    pub(super) data_type: String,
    /// Its shape.
    pub(super) shape: Vec<u64>,
    /// Its elements; none for element types that no model here has.
    pub(super) values: Option<TensorValues>,
    /// Bytes of its elements.
    pub(super) byte_count: u64,
}
