//! The loaded models: each is loaded once at first use, and evicted when others need its memory.
//!
//! # Rules
//! Every copy is a model of its own, with its own files and its own memory, as on SageMaker.
//!
//! Loads run one at a time, so that the growth of the process during a load belongs to that load.
//! Requests for a model that is being loaded wait for the same load.
//!
//! Before a load its memory is estimated: what an archive of the same sizes took before, else the bytes
//! it unpacks to. While memory in use and estimate exceed the budget, the least recently used model is
//! unloaded, idle ones first. If all are busy, the least recently used takes no new requests, ends the
//! ones it has, and is unloaded then: a model is never unloaded under a request. When the load turns
//! out larger than estimated, others are unloaded after it by the same rule.
//!
//! A model that grows the process by more than the whole budget is dropped again, and its sender gets what
//! SageMaker makes of a container that answers 507 "insufficient storage" to a load: a `ModelError`
//! with original status 507. Later requests for such an archive get that response at once. SageMaker's documentation leaves open what an invoker gets
//! then and how many models one 507 unloads; this is planforge's decision.
//!
//! All requests that wait for a failed load get its error, and it is forgotten; the next request tries again.

mod cache;
mod endpoint_models;
mod eviction;
mod loader;
mod model;
mod sizes;

pub(crate) use cache::Lease;
pub(crate) use endpoint_models::{LoadOptions, Models};
pub(crate) use model::Model;
