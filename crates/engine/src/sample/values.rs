//! The values of one input.

/// Elements of an input in row-major order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SampleValues<'a> {
    /// Token numbers and masks.
    Int64(&'a [i64]),
    /// Pixels.
    Fp32(&'a [f32]),
}
