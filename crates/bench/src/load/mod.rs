//! The staged load test: closed-loop users on the copies of a model.
//!
//! - `plan`: which user is active when
//! - `recorder`: what happened in which second and stage
//! - `run`: the users

mod plan;
mod recorder;
mod run;

pub use run::load;
