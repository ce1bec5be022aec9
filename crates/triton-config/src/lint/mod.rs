//! Predicts what Triton makes of an archive, whoever wrote it.
//!
//! [`lint()`] reads the archive without unpacking it (`listing`), and checks its layout (`layout`, `versions`), its
//! `config.pbtxt` against the fields that Triton knows, what the fields say (`rules`), the models of an ensemble
//! (`ensemble`), the weights next to engines that lack them (`weights`), and where links lead (`links`). Answers that are
//! quoted are those of Triton 2.51 in SageMaker's multi-model mode; the tests compare them with a real server's.

mod check;
mod checked;
mod ensemble;
mod finding;
mod layout;
mod links;
mod listing;
mod rules;
mod runner;
mod versions;
mod weights;

pub use check::{lint, lint_entries};
pub use finding::{Finding, Severity};

#[cfg(test)]
mod tests;
