//! The loaded models: each is loaded once at first use, and evicted when others need its memory.
//!
//! # Rules
//! Every copy is a model of its own, with its own files and its own memory, as on SageMaker.
//!
//! Archives are downloaded several at a time. Those that are unpacked and opened here use a processor each, and leave one to
//! models that are loaded. Growth of memory during a load that was alone belongs to that load; one that was not is counted with
//! what such an archive took before, or with the bytes it unpacks to.
//! Requests for a model that is being loaded wait for the same load.
//!
//! Before a load its memory is estimated in the same way. While memory in use, what loads under way will take, and estimate
//! exceed the budget, the least recently used model is
//! unloaded, idle ones first. If all are busy, the least recently used takes no new requests, ends the
//! ones it has, and is unloaded then: a model is never unloaded under a request. When the load turns
//! out larger than estimated, others are unloaded after it by the same rule.
//!
//! A container that answers 507 to a load has the least recently used model unloaded, and is asked again.
//!
//! A model that grows the process by more than the whole budget is dropped again, and its sender gets what
//! SageMaker makes of a container that answers 507 "insufficient storage" to a load: a `ModelError`
//! with original status 507. Later requests for such an archive get that response at once. SageMaker's documentation leaves open what an invoker gets
//! then and how many models one 507 unloads; this is planforge's decision.
//!
//! All requests that wait for a failed load get its error, and it is forgotten; the next request tries again.

mod cache;
mod embedded;
mod endpoint_models;
mod eviction;
mod loader;
mod model;
mod prepare;
mod reservations;
mod sizes;

pub(crate) use cache::Lease;
pub(crate) use endpoint_models::{Executor, LoadOptions, Models};
pub(crate) use model::{Model, Runner};
