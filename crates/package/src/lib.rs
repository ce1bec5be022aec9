//! Packages: a model with its configuration in one archive, published as N copies to a store, and read back.
//!
//! [`package`] makes `<name>.tar.gz` with `<name>/config.pbtxt` and one model version, as NVIDIA Triton and SageMaker
//! multi-model endpoints load it; the same inputs give the same bytes on every machine. [`publish`] writes N copies of it to
//! an [`ObjectStore`](planforge_store::ObjectStore). [`unpack`] reads an archive that may come from anywhere.

mod error;
mod metrics;
mod options;
mod package;
mod provenance;
mod publish;
mod unpack;

pub use error::{ArchiveFault, Error, Result};
pub use metrics::metrics_package;
pub use options::PackageOptions;
pub use package::{PackedEngine, package};
pub use planforge_archive::UnpackLimits;
pub use provenance::{BuildDefinition, BuilderFacts, Parameters, Predicate, Provenance, Resource, RunDetails};
pub use publish::{Publication, StoredObject, publish, unpublish};
pub use unpack::{UnpackedModel, unpack};
