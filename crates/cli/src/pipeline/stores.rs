//! The store of a pipeline: opened, and emptied.

use crate::pipeline::steps::{Run, read_pipeline};
use crate::settings::Settings;
use anyhow::{Context, Result};
use planforge_core::{ModelName, OutputLayout, Pipeline, StoreSpec};
use planforge_package::{StoredObject, unpublish};
use planforge_store::{FileStore, ObjectStore, StoreUrl};
use planforge_store_s3::{S3Options, connect};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

impl Run {
    /// This pipeline's store. It is opened once, and early, so that what is wrong with it shows before anything is built
    /// for it.
    pub(super) fn store(&mut self, runtime: &Runtime) -> Result<Arc<dyn ObjectStore>> {
        let store = match &self.store {
            Some(store) => Arc::clone(store),
            None => open_store(runtime, &store_url(&self.pipeline, &self.layout)?, &self.pipeline.store)?,
        };
        Ok(Arc::clone(self.store.insert(store)))
    }
}

/// Opens the store of an address. A folder is made when something is written to it; a bucket must answer.
pub(crate) fn open_store(runtime: &Runtime, url: &StoreUrl, spec: &StoreSpec) -> Result<Arc<dyn ObjectStore>> {
    Ok(match url {
        StoreUrl::Directory(folder) => Arc::new(FileStore::new(folder)),
        StoreUrl::S3 { .. } => Arc::new(runtime.block_on(connect(url, options(spec)))?),
    })
}

/// The address in the pipeline file, or the folder of a run.
fn store_url(pipeline: &Pipeline, layout: &OutputLayout) -> Result<StoreUrl> {
    match &pipeline.store.url {
        Some(url) => {
            let url = StoreUrl::parse(url).and_then(|url| url.check_folder().map(|()| url));
            Ok(url.context("key `store.url`")?)
        }
        None => Ok(StoreUrl::Directory(layout.store())),
    }
}

fn options(spec: &StoreSpec) -> S3Options {
    S3Options {
        region: spec.region.clone(),
        path_style: spec.path_style,
        kms_key: spec.kms_key.clone(),
        storage_class: spec.storage_class,
        tags: spec.tags.clone(),
        timeout: Duration::from_secs(spec.timeout_seconds),
        ..S3Options::default()
    }
}

/// What was, or with a dry run would be, deleted.
#[derive(Debug, Serialize)]
pub(crate) struct Unpublished {
    pub(crate) pipeline: ModelName,
    pub(crate) dry_run: bool,
    pub(crate) objects: Vec<StoredObject>,
}

/// Deletes what was published of a pipeline.
pub(crate) fn unpublish_pipeline(
    settings: &Settings,
    runtime: &Runtime,
    path: &Path,
    dry_run: bool,
) -> Result<Unpublished> {
    let pipeline = read_pipeline(path)?;
    let layout = OutputLayout::new(&settings.output, &pipeline.name);
    let store = open_store(runtime, &store_url(&pipeline, &layout)?, &pipeline.store)?;
    let name = &pipeline.name;
    let objects = runtime.block_on(unpublish(&*store, name.as_str(), name, dry_run))?;
    Ok(Unpublished { pipeline: pipeline.name, dry_run, objects })
}
