//! Counting parameters, arithmetic and memory of a model without running it.

mod counter;
mod estimate;
mod memory;

pub use counter::Cost;
pub use estimate::estimate;
