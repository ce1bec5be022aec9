//! What a request carries.

/// Batch and sequence length of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestShape {
    /// Texts or images.
    pub batch: u64,
    /// Tokens of each text; none for models over images.
    pub sequence: Option<u64>,
}
