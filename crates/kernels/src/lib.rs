//! What an encoder spends its time on, for x86-64 processors: products with constant weights, attention, layer
//! normalisation, all in 32-bit floats.
//!
//! ONNX Runtime has all of these. It is as fast where hundreds of tokens run together, and takes twice the time for a few:
//! then a product is as fast as its weights come from memory, which these functions ask for ahead of time, and what stands
//! between two products costs as much as they do, which is done here while the numbers are at hand.
//!
//! - Numbers are those of ONNX Runtime to within rounding; sums are taken in another order.
//! - The same numbers come out for the same input, whatever the number of threads.
//! - Threads are the caller's ([`Pool`]).
//! - Processors without AVX2 and FMA have nothing here ([`Instructions::detect`]).

mod activation;
mod attention;
mod instructions;
mod lanes;
mod linear;
mod norm;
mod pool;
mod sums;

pub use activation::Activation;
pub use attention::{Attention, Summand};
pub use instructions::Instructions;
pub use linear::Linear;
pub use norm::LayerNorm;
pub use pool::{Here, Pool};

#[cfg(test)]
mod tests;
