//! Packs models the way NVIDIA Triton and SageMaker multi-model endpoints want them, publishes copies
//! to a store, and reads such packages back.
//!
//! [`package`] makes `<name>.tar.gz` with `<name>/config.pbtxt` and one model version; the same inputs
//! give the same bytes on every machine. [`publish`] puts N copies of it into a folder, [`publish_to_bucket`] into a
//! bucket of S3; a [`Store`] is the address of either. [`unpack`] reads an archive that may come from anywhere.

mod error;
mod form;
mod metrics;
mod package;
mod provenance;
mod publish;
mod s3;
mod store;
mod unpack;

pub use error::{Action, ArchiveFault, Error, Result};
pub use form::Form;
pub use metrics::metrics_package;
pub use package::{PackedEngine, package};
pub use provenance::{BuildDefinition, BuilderFacts, Parameters, Predicate, Provenance, Resource, RunDetails};
pub use publish::{Publication, StoredObject, publish, unpublish};
pub use s3::{Bucket, S3Options, connect, publish_to_bucket, unpublish_from_bucket};
pub use store::Store;
pub use planforge_archive::UnpackLimits;
pub use unpack::{UnpackedModel, unpack};
