//! The store of a pipeline: opened, and emptied.

use crate::context::read_spec;
use crate::options::PipelineOptions;
use crate::{Error, Result};
use planforge_core::{ModelName, OutputLayout, Pipeline, StoreSpec};
use planforge_package::{StoredObject, unpublish};
use planforge_store::{FileStore, ObjectStore, StoreUrl};
use planforge_store_s3::{S3Options, connect};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Opens the store at an address. A folder is created when something is written to it; a bucket must answer.
///
/// # Errors
/// A bucket that does not answer or refuses.
pub fn open_store(url: &StoreUrl, spec: &StoreSpec, runtime: &Handle) -> Result<Arc<dyn ObjectStore>> {
    Ok(match url {
        StoreUrl::Directory(folder) => Arc::new(FileStore::new(folder)),
        StoreUrl::S3 { .. } => Arc::new(runtime.block_on(connect(url, s3_options(spec)))?),
    })
}

/// Opens the store that the pipeline names, else the one in its output folder.
pub(crate) fn open_store_of(spec: &Pipeline, layout: &OutputLayout, runtime: &Handle) -> Result<Arc<dyn ObjectStore>> {
    let url = match &spec.store.url {
        Some(url) => {
            let url = StoreUrl::parse(url).and_then(|url| url.check_folder().map(|()| url));
            url.map_err(|source| Error::StoreKey { source })?
        }
        None => StoreUrl::Directory(layout.store()),
    };
    open_store(&url, &spec.store, runtime)
}

/// What was deleted from a store, or would be.
#[derive(Debug, Serialize)]
pub struct Unpublished {
    /// The pipeline.
    pub pipeline: ModelName,
    /// Whether nothing was deleted yet.
    pub dry_run: bool,
    /// The objects.
    pub objects: Vec<StoredObject>,
}

/// Deletes what was published of the pipeline in `file`; with `dry_run`, lists it.
///
/// # Errors
/// An invalid pipeline file or address, and a store that does not answer or refuses.
pub fn unpublish_pipeline(
    options: &PipelineOptions,
    file: &Path,
    dry_run: bool,
    runtime: &Handle,
) -> Result<Unpublished> {
    let spec = read_spec(file)?;
    let store = open_store_of(&spec, &OutputLayout::new(&options.output, &spec.name), runtime)?;
    let objects = runtime.block_on(unpublish(&*store, spec.name.as_str(), &spec.name, dry_run))?;
    Ok(Unpublished { pipeline: spec.name, dry_run, objects })
}

fn s3_options(spec: &StoreSpec) -> S3Options {
    S3Options {
        region: spec.region.clone(),
        path_style: spec.path_style,
        kms_key: spec.kms_key.clone(),
        storage_class: spec.storage_class,
        tags: spec.tags.clone(),
        checksums: spec.checksums,
        timeout: Duration::from_secs(spec.timeout_seconds),
        ..S3Options::default()
    }
}
