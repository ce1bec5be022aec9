//! Packs models the way NVIDIA Triton and SageMaker multi-model endpoints want them, publishes copies
//! to a store, and reads such packages back.
//!
//! [`package`] makes `<name>.tar.gz` with `<name>/config.pbtxt` and one model version; the same inputs
//! give the same bytes on every machine. [`publish`] puts N copies of it into a folder, [`publish_to_bucket`] into a
//! bucket of S3; a [`Store`] is the address of either. [`unpack`] reads an archive that may come from anywhere.

mod archive;
mod config_reader;
mod deflate;
mod error;
mod form;
mod gzip;
mod lint;
mod metrics;
mod package;
mod provenance;
mod publish;
mod reader;
mod s3;
mod store;
mod text_format;
mod triton_config;
mod unpack;

pub use config_reader::{Backend, ServingConfig};
pub use error::{Action, ArchiveFault, Error, Result};
pub use form::Form;
pub use lint::{Finding, Severity, lint};
pub use metrics::metrics_package;
pub use package::{PackedEngine, package};
pub use provenance::{BuildDefinition, BuilderFacts, Parameters, Predicate, Provenance, Resource, RunDetails};
pub use publish::{Publication, StoredObject, publish, unpublish};
pub use reader::UnpackLimits;
pub use s3::{Bucket, S3Options, connect, publish_to_bucket, unpublish_from_bucket};
pub use store::Store;
pub use triton_config::{Further, Serving, WarmUpInput, engine_config, module_config, onnx_config};
pub use unpack::{UnpackedModel, unpack};
