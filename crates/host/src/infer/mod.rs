//! KServe v2 inference requests and answers, read and written without a value tree: elements go
//! straight into typed vectors and out of them.
//!
//! Everything here is blocking work on bytes. Mistakes are refused with the words of Triton 2.51.
//! Two things are more lenient than there: `FP16` elements may be JSON numbers (Triton wants them
//! binary), and a `binary+json` content type may have a space after its semicolon. One is stricter:
//! outputs that JSON cannot carry, infinities and NaN, are an error, where Triton writes a body that
//! is not JSON.

mod check;
mod classes;
mod elements;
mod encoding;
mod given;
mod interface;
mod json;
mod json_numbers;
mod json_syntax;
mod request;
mod response;

pub(crate) use check::Named;
pub(crate) use encoding::Encoding;
pub(crate) use interface::Interface;
pub(crate) use request::{Inference, read_request};
pub(crate) use response::{ModelResponse, write_response};
