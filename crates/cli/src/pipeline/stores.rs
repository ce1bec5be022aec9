//! The store of a pipeline: reached, filled, and emptied.

use crate::pipeline::steps::{Run, read_pipeline};
use crate::progress::Terminal;
use crate::settings::Settings;
use anyhow::{Context, Result};
use planforge_core::{ModelName, OutputLayout, Pipeline, Progress, Published, StoreSpec, link_or_copy};
use planforge_package::{
    Bucket, Publication, S3Options, Store, StoredObject, connect, publish, publish_to_bucket, unpublish,
    unpublish_from_bucket,
};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// A store that is there.
#[derive(Debug, Clone)]
pub(super) enum Reached {
    /// A folder, which is made when it is filled.
    Folder(PathBuf),
    /// A bucket that answers.
    Bucket(Arc<Bucket>),
}

impl Reached {
    fn new(runtime: &Runtime, store: Store, spec: &StoreSpec) -> Result<Self> {
        Ok(match store {
            Store::Directory(folder) => Self::Folder(folder),
            Store::S3 { .. } => Self::Bucket(Arc::new(runtime.block_on(connect(&store, options(spec)))?)),
        })
    }

    /// Puts copies of an archive there.
    pub(super) fn publish(
        &self,
        publication: &Publication<'_>,
        runtime: &Runtime,
        terminal: &Arc<Terminal>,
    ) -> planforge_package::Result<Published> {
        match self {
            Self::Folder(folder) => publish(publication, folder, &**terminal),
            Self::Bucket(bucket) => {
                let progress = Arc::clone(terminal) as Arc<dyn Progress>;
                runtime.block_on(publish_to_bucket(publication, bucket, progress))
            }
        }
    }

    fn unpublish(&self, runtime: &Runtime, name: &ModelName, dry_run: bool) -> Result<Vec<StoredObject>> {
        Ok(match self {
            Self::Folder(folder) => unpublish(folder, name.as_str(), name, dry_run)?,
            Self::Bucket(bucket) => runtime.block_on(unpublish_from_bucket(bucket, name.as_str(), name, dry_run))?,
        })
    }
}

impl Run {
    /// This pipeline's store. It is looked at once, and early, so that what is wrong with it shows before anything is built
    /// for it.
    pub(super) fn reached(&mut self, runtime: &Runtime) -> Result<Reached> {
        let reached = match &self.reached {
            Some(reached) => reached.clone(),
            None => Reached::new(runtime, store(&self.pipeline, &self.layout)?, &self.pipeline.store)?,
        };
        Ok(self.reached.insert(reached).clone())
    }

    /// The folder of published copies for the local endpoint: of a bucket, links to the archive that was published.
    pub(super) fn local_copies(&self, published: &Published) -> Result<PathBuf> {
        if let Some(folder) = Store::parse(&published.url)?.folder("") {
            return Ok(folder);
        }
        let folder = self.layout.host().join("copies").join(published.variant.id());
        if folder.exists() {
            fs_err::remove_dir_all(&folder)?;
        }
        for target_model in &published.target_models {
            link_or_copy(&self.layout.archive(&published.variant), &folder.join(target_model))?;
        }
        Ok(folder)
    }
}

/// The address in the pipeline file, or the folder of a run.
fn store(pipeline: &Pipeline, layout: &OutputLayout) -> Result<Store> {
    match &pipeline.store.url {
        Some(url) => {
            let store = Store::parse(url).and_then(|store| store.check_folder().map(|()| store));
            Ok(store.context("key `store.url`")?)
        }
        None => Ok(Store::Directory(layout.store())),
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

/// What was, or with a dry run would be, taken away.
#[derive(Debug, Serialize)]
pub(crate) struct Unpublished {
    pub(crate) pipeline: ModelName,
    pub(crate) dry_run: bool,
    pub(crate) objects: Vec<StoredObject>,
}

/// Takes away what was published of a pipeline.
pub(crate) fn unpublish_pipeline(
    settings: &Settings,
    runtime: &Runtime,
    path: &Path,
    dry_run: bool,
) -> Result<Unpublished> {
    let pipeline = read_pipeline(path)?;
    let layout = OutputLayout::new(&settings.output, &pipeline.name);
    let reached = Reached::new(runtime, store(&pipeline, &layout)?, &pipeline.store)?;
    let objects = reached.unpublish(runtime, &pipeline.name, dry_run)?;
    Ok(Unpublished { pipeline: pipeline.name, dry_run, objects })
}
