//! What a TOML file may hold, taken from the doc comments and attributes of the structs it is read into, and the
//! check of a file against that: every mistake at once, with its line.
//!
//! The structs are the only description. Besides doc comments and serde's attributes they carry, as
//! `#[schemars(extend("…" = …))]`:
//!
//! | attribute | meaning |
//! |---|---|
//! | `x-example` | a value to show |
//! | `x-default` | what holds when an optional key is left out |
//! | `x-allowed` | the values that the type alone does not tell |
//! | `x-also` | other names that people try, for "did you mean" |
//! | `x-elsewhere` | names that people try in this table, with what to do instead |

mod checks;
mod expectation;
mod listed;
mod mistake;
mod model;
mod syntax;
mod validate;

pub(crate) use expectation::toml_literal;
pub(crate) use listed::Listed;
pub(crate) use mistake::Contradiction;
pub use mistake::Mistake;
pub(crate) use model::{Absent, Choice, Key, Shape, Table, ValueType, table_of};
pub(crate) use validate::{Validated, validate};
