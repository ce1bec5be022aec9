//! Models that are made of others: the fields of an ensemble (`steps`) and of its steps (`step`), the way of its tensors from step to
//! step (`flow`), what the models of the steps (`member`) say of them (`tensors`), and models that answer more than
//! once (`decoupled`).

mod decoupled;
mod flow;
mod member;
mod step;
mod steps;
mod tensors;

pub(super) use steps::{absence, check, names, other_name};
pub(super) use tensors::check_members;
