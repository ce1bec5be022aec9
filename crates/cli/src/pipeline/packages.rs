//! Archives and their copies.

use crate::failure::{BadUsage, Damaged};
use crate::pipeline::steps::{Run, model_of};
use crate::pipeline::warm_up::warm_up_inputs;
use anyhow::Result;
use planforge_core::{
    Archive, ArtifactFile, Builder, CachedArtifact, Engine, Model, ModelFormat, Outcome, Platform, Progress, Published,
    Snapshot, Step, Variant, link_or_copy,
};
use planforge_engine::place_weights;
use planforge_package::{PackageOptions, PackedEngine, Provenance, Publication};
use planforge_report::ArchiveFacts;
use planforge_store::StoreUrl;
use planforge_triton_config::{ExtraConfig, ServingOptions};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Runtime;

impl Run {
    /// Models, modules and engines to archives, one for each variant.
    pub(crate) fn package(
        &mut self,
        snapshot: &Snapshot,
        (models, modules): (&[CachedArtifact<Model>], &[CachedArtifact<Model>]),
        engines: &[CachedArtifact<Engine>],
    ) -> Result<Vec<CachedArtifact<Archive>>> {
        let is_plan = self.pipeline.compile.builder == Builder::Trtexec;
        if is_plan && self.pipeline.compile.strip_weights && !engines.is_empty() {
            let why = "key `compile.strip_weights`: a plan of TensorRT without weights cannot be packaged, as Triton's \
                       `tensorrt` backend does not put them in; builder `rtx` makes engines that planforge's backend completes";
            return Err(BadUsage(why.to_owned()).into());
        }
        let mut archives = Vec::new();
        for variant in self.variants.clone() {
            let is_module = variant.platform.model_format() == ModelFormat::TorchScript;
            let model = model_of(if is_module { modules } else { models }, variant.precision)?;
            let pairs = self.targets.iter().zip(engines);
            let pairs = pairs.filter(|(target, _)| self.pipeline.is_packed(target, &variant));
            let engines: Vec<_> = pairs.map(|(_, engine)| engine).collect();
            let weights: Vec<_> =
                engines.iter().map(|engine| place_weights(model, engine)).collect::<planforge_engine::Result<_>>()?;
            let pack = |(&engine, weights)| PackedEngine { engine, weights: Option::as_ref(weights) };
            let engines: Vec<_> = engines.iter().zip(&weights).map(pack).collect();
            let (options, profiles) = (self.options(snapshot, &variant, &model.record)?, &self.pipeline.profiles);
            let archive = planforge_package::package(
                &options,
                &variant,
                model,
                &engines,
                profiles,
                self.cache(),
                self.progress(),
            );
            let archive = archive.map_err(|error| self.without_damage(error))?;
            let path = self.layout.archive(&variant);
            link_or_copy(&archive.path(&archive.record.file), &path)?;
            self.report.archives.push(ArchiveFacts::new(&archive.record, None));
            let file = archive.record.file.clone();
            self.add_main_file(Step::Package, &variant.id(), (&archive, &file), &path);
            archives.push(archive);
        }
        Ok(archives)
    }

    /// Says at once that an archive is to carry a library that is not there.
    pub(super) fn check_backend(&self) -> Result<()> {
        let path = &self.settings.triton_backend;
        if self.pipeline.package.include_backend && !path.is_file() {
            return Err(planforge_package::Error::MissingBackend { path: path.clone() }.into());
        }
        Ok(())
    }

    /// How the archive of a variant is laid out and served.
    fn options(&self, snapshot: &Snapshot, variant: &Variant, model: &Model) -> Result<PackageOptions<'_>> {
        let package = &self.pipeline.package;
        Ok(PackageOptions {
            name: &self.pipeline.name,
            top_folder: package.top_folder,
            onnx_backend: package.onnx_backend,
            backend_library: self.carries_backend(variant).then_some(self.settings.triton_backend.as_path()),
            serving: self.serving(snapshot, variant, model)?,
        })
    }

    fn serving(&self, snapshot: &Snapshot, variant: &Variant, model: &Model) -> Result<ServingOptions> {
        let triton = self.pipeline.triton.clone();
        let warm_up = match triton.warm_up_batch_sizes.as_slice() {
            [] => Vec::new(),
            batches => {
                let samples = self.samples(snapshot, model).singles(snapshot, model)?;
                let has_profiles = variant.platform == Platform::Tensorrt;
                let profiles = if has_profiles { self.pipeline.profiles.as_slice() } else { &[] };
                warm_up_inputs(model, &samples, (batches, profiles))?
            }
        };
        let extra = match &triton.config {
            Some(path) => {
                let read = fs_err::read_to_string(path);
                let text = read.map_err(|error| BadUsage(format!("key `triton.config`: {error}")))?;
                Some(ExtraConfig { path: path.clone(), text })
            }
            None => None,
        };
        Ok(ServingOptions { triton, warm_up, extra })
    }

    /// Archives to N copies each, in the store.
    pub(crate) fn publish(
        &mut self,
        runtime: &Runtime,
        archives: &[CachedArtifact<Archive>],
    ) -> Result<Vec<Published>> {
        let store = self.store(runtime)?;
        let copies = u32::from(self.pipeline.package.copies);
        let mut published = Vec::new();
        for (index, archive) in archives.iter().enumerate() {
            let start = Instant::now();
            let name = &self.pipeline.name;
            let statement = Provenance::path(&self.layout.archive(&archive.record.variant));
            let statement = statement.is_file().then_some(statement.as_path());
            let publication = Publication { archive, name, prefix: name.as_str(), copies, statement };
            let progress = Arc::clone(&self.terminal) as Arc<dyn Progress>;
            let done = runtime.block_on(planforge_package::publish(&publication, &*store, progress));
            let done = done.map_err(|error| self.without_damage(error))?;
            self.report.archives[index].copies = Some(copies);
            let outcome = if done.kept == copies { Outcome::Cached } else { Outcome::Built };
            let folder = StoreUrl::parse(&done.url)?.folder("");
            let path = folder.unwrap_or_else(|| Path::new(&done.url).to_owned());
            let file = ArtifactFile {
                path: String::new(),
                byte_count: archive.record.byte_count,
                sha256: archive.record.sha256.clone(),
            };
            let subject = format!("{} x {copies}", done.variant.id());
            self.add_row((Step::Publish, &subject), &path, &file, (start.elapsed(), outcome));
            published.push(done);
        }
        Ok(published)
    }

    /// The error; the entry of the cache that it found damaged is taken out, so that the next run makes it anew.
    fn without_damage(&self, error: planforge_package::Error) -> anyhow::Error {
        match &error {
            planforge_package::Error::Changed { path, .. } if self.cache().discard(path).unwrap_or(false) => {
                anyhow::Error::new(error).context(Damaged)
            }
            _ => error.into(),
        }
    }
}
