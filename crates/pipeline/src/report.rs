//! The report of a run, made from its record.

use crate::estimate::{KnownMemory, plan_rows, reported_memory};
use crate::record::RunRecord;
use crate::stages::{PublishedVariant, outcome};
use planforge_core::{Archive, ArtifactFile, CachedArtifact, Engine, Model, Outcome, Step, max_batch};
use planforge_report::{
    ArchiveFacts, ArtifactRow, EngineFacts, Environment, ModelFacts, PlanRow, PlanSource, Report, SourceFacts,
};
use planforge_store::StoreUrl;
use std::path::{Path, PathBuf};
use std::time::Duration;

impl From<&RunRecord<'_>> for Report {
    fn from(record: &RunRecord<'_>) -> Self {
        let spec = &record.context.spec;
        let snapshot = &record.source.snapshot;
        let models = record.exports.models.iter().chain(&record.exports.modules);
        let notes = [&record.exports.notes, &record.checks.notes, &record.lock_notes, &record.measured.notes];
        Self {
            source: Some(SourceFacts { card: record.source.card.clone(), ..SourceFacts::from(snapshot) }),
            models: models.map(|model| ModelFacts::from(&model.record)).collect(),
            checks: [&record.checks.facts, &record.engine_checks.facts, &record.measured.checks]
                .into_iter()
                .flatten()
                .cloned()
                .collect(),
            engines: engine_facts(record),
            plan: predicted_copies(record),
            archives: archive_facts(record),
            skipped: record.plan.selection.skipped.clone(),
            served: record.measured.served.clone(),
            capacity: record.measured.capacity.clone(),
            load: record.measured.load.clone(),
            artifacts: artifact_rows(record),
            environment: Environment { libraries: record.libraries(), ..record.context.machine.clone() },
            notes: notes.into_iter().flatten().cloned().collect(),
            ..Self::new(spec.name.as_str(), spec.task)
        }
    }
}

fn engine_facts(record: &RunRecord<'_>) -> Vec<EngineFacts> {
    let facts = |(index, engine): (usize, &CachedArtifact<Engine>)| {
        let file = engine.file(&engine.record.plan)?;
        let run = record.engine_checks.runs.get(index).cloned();
        let facts = EngineFacts::new(&engine.record, file.byte_count, &file.sha256, outcome(engine));
        Some(EngineFacts { run, ..facts })
    };
    record.built.engines.iter().enumerate().filter_map(facts).collect()
}

/// How many copies of each engine are predicted to fit on each of its GPU types.
fn predicted_copies(record: &RunRecord<'_>) -> Vec<PlanRow> {
    let mut rows = Vec::new();
    for (target, engine) in record.plan.selection.targets.iter().zip(&record.built.engines) {
        if let Some(memory) = reported_memory(&engine.record.figures) {
            let known = KnownMemory { memory, source: PlanSource::Builder };
            rows.extend(plan_rows(&record.context.spec, target, max_batch(&engine.record.profiles), known));
        }
    }
    rows
}

fn archive_facts(record: &RunRecord<'_>) -> Vec<ArchiveFacts> {
    let copies = u32::from(record.context.spec.package.copies);
    let facts = |(index, archive): (usize, &CachedArtifact<Archive>)| {
        ArchiveFacts::new(&archive.record, record.published.get(index).map(|_| copies))
    };
    record.packaged.archives.iter().enumerate().map(facts).collect()
}

/// A row for each file that the run made or found, in the order of the stages.
fn artifact_rows(record: &RunRecord<'_>) -> Vec<ArtifactRow> {
    let rows = source_row(record).into_iter().chain(export_rows(record)).chain(engine_rows(record));
    rows.chain(archive_rows(record)).chain(published_rows(record)).collect()
}

/// The snapshot's largest file.
fn source_row(record: &RunRecord<'_>) -> Option<ArtifactRow> {
    let source = &record.source;
    let file = source.snapshot.files.iter().max_by_key(|file| file.byte_count)?;
    let path = source.snapshot.directory.join(&file.path);
    let row = RowOf { step: Step::Fetch, subject: &file.path, path: &path, file };
    Some(row.with(record, source.elapsed, source.outcome))
}

fn export_rows(record: &RunRecord<'_>) -> Vec<ArtifactRow> {
    let models = record.exports.models.iter().chain(&record.exports.modules);
    let row = |model: &CachedArtifact<Model>| {
        let Model { format, precision, graph, .. } = &model.record;
        let path = record.context.layout.export(*format, *precision).join(graph);
        main_file_row(record, Step::Export, &format!("{format}-{precision}"), model, graph, &path)
    };
    models.filter_map(row).collect()
}

fn engine_rows(record: &RunRecord<'_>) -> Vec<ArtifactRow> {
    let engines = record.plan.selection.targets.iter().zip(&record.built.engines);
    let rows = engines.filter_map(|(target, engine)| {
        let plan = &engine.record.plan;
        let path = record.context.layout.engine(&target.variant).join(plan);
        main_file_row(record, Step::Compile, &target.variant.id(), engine, plan, &path)
    });
    rows.collect()
}

fn archive_rows(record: &RunRecord<'_>) -> Vec<ArtifactRow> {
    let row = |archive: &CachedArtifact<Archive>| {
        let variant = &archive.record.variant;
        let path = record.context.layout.archive(variant);
        main_file_row(record, Step::Package, &variant.id(), archive, &archive.record.file, &path)
    };
    record.packaged.archives.iter().filter_map(row).collect()
}

fn published_rows(record: &RunRecord<'_>) -> Vec<ArtifactRow> {
    let copies = u32::from(record.context.spec.package.copies);
    let published = record.published.iter().zip(&record.packaged.archives);
    let row = |(published, archive): (&PublishedVariant, &CachedArtifact<Archive>)| {
        let url = &published.published.url;
        let folder = StoreUrl::parse(url).ok().and_then(|store| store.folder(""));
        let path = folder.unwrap_or_else(|| PathBuf::from(url));
        let (byte_count, sha256) = (archive.record.byte_count, archive.record.sha256.clone());
        let file = &ArtifactFile { path: String::new(), byte_count, sha256 };
        let subject = &format!("{} x {copies}", published.published.variant.id());
        RowOf { step: Step::Publish, subject, path: &path, file }.with(record, published.elapsed, published.outcome)
    };
    published.map(row).collect()
}

/// A row for the file that an artifact is about; none where it does not have it.
fn main_file_row<T>(
    record: &RunRecord<'_>,
    step: Step,
    subject: &str,
    artifact: &CachedArtifact<T>,
    file: &str,
    path: &Path,
) -> Option<ArtifactRow> {
    let file = artifact.file(file)?;
    Some(RowOf { step, subject, path, file }.with(record, artifact.elapsed, outcome(artifact)))
}

/// What a row is about.
struct RowOf<'a> {
    step: Step,
    subject: &'a str,
    path: &'a Path,
    file: &'a ArtifactFile,
}

impl RowOf<'_> {
    fn with(&self, record: &RunRecord<'_>, elapsed: Duration, outcome: Outcome) -> ArtifactRow {
        ArtifactRow {
            step: self.step,
            subject: self.subject.to_owned(),
            path: display_path(record, self.path),
            byte_count: self.file.byte_count,
            sha256: self.file.sha256.clone(),
            elapsed,
            outcome,
        }
    }
}

/// A path as a person would write it: in the pipeline's folder or the current one, or whole.
fn display_path(record: &RunRecord<'_>, path: &Path) -> String {
    let context = record.context;
    let shorter = path.strip_prefix(context.layout.folder());
    let shorter = shorter.or_else(|_| path.strip_prefix(&context.options.current_folder));
    shorter.unwrap_or(path).display().to_string()
}
