//! The pipeline file: everything a user says about one model, and its checks.
//!
//! Values check themselves while they are parsed, so that an error carries file, line and key.

use crate::{Builder, Error, GpuCatalogue, Platform, Precision, Result, Variant};
use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// One pipeline file (`pipelines/<name>.toml`).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// Name of the model in packages, stores and reports.
    pub name: ModelName,
    /// What the model is used for.
    pub task: Task,
    /// Where the checkpoint comes from.
    pub source: SourceSpec,
    /// Optimization profiles, at least one.
    pub profiles: Vec<Profile>,
    /// Export options.
    #[serde(default)]
    pub export: ExportSpec,
    /// Engine options.
    #[serde(default)]
    pub compile: CompileSpec,
    /// Package options.
    #[serde(default)]
    pub package: PackageSpec,
    /// Where copies are published.
    #[serde(default)]
    pub store: StoreSpec,
    /// The local endpoint.
    #[serde(default)]
    pub host: HostSpec,
    /// The memory probe.
    #[serde(default)]
    pub probe: ProbeSpec,
    /// The load test.
    #[serde(default)]
    pub load: LoadSpec,
}

/// What a model is used for; decides its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Hidden states and, where the checkpoint has one, the pooler's output.
    FeatureExtraction,
    /// One vector for each text, pooled and normalised as the checkpoint's `modules.json` says.
    SentenceEmbedding,
}

impl Task {
    /// The output that the task is about.
    #[must_use]
    pub const fn main_output(self) -> &'static str {
        match self {
            Self::FeatureExtraction => "last_hidden_state",
            Self::SentenceEmbedding => "sentence_embedding",
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FeatureExtraction => "feature-extraction",
            Self::SentenceEmbedding => "sentence-embedding",
        })
    }
}

/// Name of a model: 1 to 100 of `A-Z a-z 0-9 . _ -`, starting with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName(String);

/// Parts of error texts that make Triton answer 507 ("out of memory") whatever the real cause, so a
/// model's name must not contain them.
const OUT_OF_MEMORY_WORDS: [&str; 2] = ["OOM", "OutOfMemory"];

impl ModelName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ModelName {
    type Error = String;

    fn try_from(name: String) -> std::result::Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty()
            || name.len() > 100
            || !name.chars().all(allowed)
            || !name.starts_with(|c: char| c.is_ascii_alphanumeric())
        {
            return Err(format!(
                "`{name}` is not a model name: use 1 to 100 of A-Z a-z 0-9 . _ -, starting with a letter or digit"
            ));
        }
        if let Some(word) = OUT_OF_MEMORY_WORDS.iter().find(|word| name.contains(**word)) {
            return Err(format!(
                "model name `{name}` contains `{word}`, which Triton takes for an out-of-memory error"
            ));
        }
        Ok(Self(name))
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A repository on the Hub, or a folder laid out like one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// `owner/name` on the Hub.
    pub repo: Option<String>,
    /// Branch, tag or commit; `main` when left out.
    #[serde(default = "default_revision")]
    pub revision: String,
    /// A local folder instead, relative to the pipeline file.
    pub path: Option<PathBuf>,
}

fn default_revision() -> String {
    "main".to_owned()
}

/// One optimization profile: the shapes an engine is built for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Batch sizes.
    pub batch: ProfileRange,
    /// Sequence lengths in tokens, for models over text.
    pub sequence: Option<ProfileRange>,
}

/// Smallest, most frequent and largest value of a dynamic dimension, written `[min, opt, max]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "[u64; 3]", into = "[u64; 3]")]
pub struct ProfileRange {
    /// Smallest.
    pub min: u64,
    /// The value to optimise for.
    pub opt: u64,
    /// Largest.
    pub max: u64,
}

impl TryFrom<[u64; 3]> for ProfileRange {
    type Error = String;

    fn try_from([min, opt, max]: [u64; 3]) -> std::result::Result<Self, String> {
        if 1 <= min && min <= opt && opt <= max && max <= i32::MAX as u64 {
            Ok(Self { min, opt, max })
        } else {
            Err(format!("[{min}, {opt}, {max}] is not an optimization profile: it needs 1 <= min <= opt <= max"))
        }
    }
}

impl From<ProfileRange> for [u64; 3] {
    fn from(range: ProfileRange) -> Self {
        [range.min, range.opt, range.max]
    }
}

/// `[export]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExportSpec {
    /// Precisions to export.
    pub precisions: Vec<Precision>,
    /// Sentences that the exported model is run on.
    pub samples: Vec<String>,
}

impl Default for ExportSpec {
    fn default() -> Self {
        Self {
            precisions: vec![Precision::Fp32],
            samples: vec![
                "A small sample that every export is run on.".to_owned(),
                "The second one is longer, so that the first needs padding and the attention mask matters.".to_owned(),
            ],
        }
    }
}

/// `[compile]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompileSpec {
    /// What builds the engines.
    pub builder: Builder,
    /// GPU types by catalogue name.
    pub gpus: Vec<String>,
    /// A file with further GPU types, relative to the pipeline file.
    pub catalogue: Option<PathBuf>,
    /// Outputs of the engines; the one that the task is about when left out. TensorRT-RTX 1.7 numbers
    /// the dimensions of several outputs in an order that depends on the timing of its threads, so
    /// engines with more than one may differ in some bytes from build to build.
    pub outputs: Option<Vec<String>>,
    /// Most seconds one engine may take.
    pub timeout_seconds: u64,
}

impl Default for CompileSpec {
    fn default() -> Self {
        Self { builder: Builder::Rtx, gpus: Vec::new(), catalogue: None, outputs: None, timeout_seconds: 1800 }
    }
}

/// `[package]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PackageSpec {
    /// Platforms to package for.
    pub platforms: Vec<Platform>,
    /// Number of copies to publish.
    pub copies: Copies,
}

/// Number of copies, 1 to 100,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Copies(u32);

impl TryFrom<u32> for Copies {
    type Error = String;

    fn try_from(count: u32) -> std::result::Result<Self, String> {
        if (1..=100_000).contains(&count) { Ok(Self(count)) } else { Err(format!("{count} copies: use 1 to 100000")) }
    }
}

impl From<Copies> for u32 {
    fn from(copies: Copies) -> Self {
        copies.0
    }
}

impl Default for PackageSpec {
    fn default() -> Self {
        Self { platforms: vec![Platform::Onnx], copies: Copies(8) }
    }
}

/// `[store]`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSpec {
    /// `file:///folder`; the run's own `store` folder when left out.
    pub url: Option<String>,
}

/// `[host]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostSpec {
    /// Variant behind the endpoint, such as `onnx-fp32`; the first ONNX one when left out.
    pub variant: Option<String>,
    /// Memory that loaded models may take together.
    pub memory: ByteSize,
    /// Threads of one inference.
    pub intra_op_threads: usize,
}

impl Default for HostSpec {
    fn default() -> Self {
        Self { variant: None, memory: ByteSize::gib(1), intra_op_threads: 1 }
    }
}

/// `[probe]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeSpec {
    /// Share of the memory budget that loaded copies may fill.
    pub threshold: Threshold,
    /// Batch of the request sent to each copy; the first profile's `opt` when left out.
    pub batch: Option<u64>,
    /// Tokens of each of its texts; the first profile's `opt` when left out.
    pub sequence: Option<u64>,
}

impl Default for ProbeSpec {
    fn default() -> Self {
        Self { threshold: Threshold(0.9), batch: None, sequence: None }
    }
}

/// A share above 0 and at most 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Threshold(f64);

impl TryFrom<f64> for Threshold {
    type Error = String;

    fn try_from(share: f64) -> std::result::Result<Self, String> {
        if share > 0.0 && share <= 1.0 {
            Ok(Self(share))
        } else {
            Err(format!("threshold {share}: use a share above 0 and at most 1"))
        }
    }
}

impl From<Threshold> for f64 {
    fn from(threshold: Threshold) -> Self {
        threshold.0
    }
}

/// `[load]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoadSpec {
    /// Stages in order.
    pub stages: Vec<LoadStage>,
    /// Seed of the choice of copies.
    pub seed: u64,
    /// Most seconds one request may take.
    pub timeout_seconds: u64,
    /// Batch of each request.
    pub batch: u64,
    /// Tokens of each of its texts; the first profile's `opt` when left out.
    pub sequence: Option<u64>,
}

/// So many users for so long; each sends its next request when the last is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadStage {
    /// Concurrent users.
    pub users: u32,
    /// Length of the stage.
    pub seconds: u32,
    /// Users added (or taken away) per second until `users` is reached; all at once when left out.
    pub spawn_rate: Option<u32>,
}

impl Default for LoadSpec {
    fn default() -> Self {
        let stages =
            [(1, 3), (2, 3), (4, 3), (8, 3)].map(|(users, seconds)| LoadStage { users, seconds, spawn_rate: None });
        Self { stages: stages.to_vec(), seed: 0, timeout_seconds: 70, batch: 1, sequence: None }
    }
}

impl Pipeline {
    /// Reads and checks a pipeline file.
    ///
    /// # Errors
    /// [`Error::Parse`] for unknown keys and values out of range, with line and key; [`Error::Value`]
    /// for keys that contradict each other.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs_err::read_to_string(path)?;
        let mut pipeline: Self = toml::from_str(&text).map_err(|error| Error::Parse {
            what: "pipeline file",
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        pipeline.check().map_err(|(key, message)| Error::Value {
            path: path.to_owned(),
            key: key.to_owned(),
            message,
        })?;
        pipeline.resolve_paths(path.parent().unwrap_or(Path::new("")));
        Ok(pipeline)
    }

    /// The largest batch of any profile: the one source of Triton's `max_batch_size`.
    #[must_use]
    pub fn max_batch_size(&self) -> u64 {
        self.profiles.iter().map(|profile| profile.batch.max).max().unwrap_or(1)
    }

    /// The largest sequence of any profile, for models over text.
    #[must_use]
    pub fn max_sequence(&self) -> Option<u64> {
        self.profiles.iter().filter_map(|profile| profile.sequence).map(|range| range.max).max()
    }

    /// Outputs of the engines.
    #[must_use]
    pub fn engine_outputs(&self) -> Vec<String> {
        let main = || vec![self.task.main_output().to_owned()];
        self.compile.outputs.clone().unwrap_or_else(main)
    }

    /// Batch and tokens of the probe's request.
    #[must_use]
    pub fn probe_request(&self) -> (u64, Option<u64>) {
        let opt = self.profiles.first();
        let batch = self.probe.batch.or(opt.map(|profile| profile.batch.opt)).unwrap_or(1);
        (batch, self.probe.sequence.or_else(|| self.opt_sequence()))
    }

    /// Batch and tokens of the load test's requests.
    #[must_use]
    pub fn load_request(&self) -> (u64, Option<u64>) {
        (self.load.batch, self.load.sequence.or_else(|| self.opt_sequence()))
    }

    fn opt_sequence(&self) -> Option<u64> {
        self.profiles.first().and_then(|profile| profile.sequence).map(|range| range.opt)
    }

    /// The variants to make, and a sentence for each combination that no builder can make while
    /// another precision for the same GPU can.
    ///
    /// # Errors
    /// An unknown GPU, or one that takes none of the precisions asked for.
    pub fn variants(&self, catalogue: &GpuCatalogue) -> Result<(Vec<Variant>, Vec<String>)> {
        let (mut variants, mut skipped) = (Vec::new(), Vec::new());
        let precisions = &self.export.precisions;
        for platform in &self.package.platforms {
            match platform {
                Platform::Onnx => variants.extend(precisions.iter().map(|&precision| Variant::onnx(precision))),
                Platform::Tensorrt => {
                    for name in &self.compile.gpus {
                        let gpu = catalogue.find(name)?;
                        let checks =
                            precisions.iter().map(|&precision| (precision, gpu.check(self.compile.builder, precision)));
                        let (fits, refused): (Vec<_>, Vec<_>) = checks.partition(|(_, check)| check.is_ok());
                        for (_, check) in refused {
                            match (check, fits.is_empty()) {
                                (Err(error), true) => return Err(error),
                                (Err(error), false) => skipped.push(error.to_string()),
                                (Ok(()), _) => {}
                            }
                        }
                        variants.extend(fits.iter().map(|(precision, _)| Variant::tensorrt(*precision, name)));
                    }
                }
            }
        }
        Ok((variants, skipped))
    }

    fn check(&self) -> std::result::Result<(), (&'static str, String)> {
        match (&self.source.repo, &self.source.path) {
            (Some(repo), None) if is_repository(repo) => {}
            (Some(repo), None) => {
                return Err(("source.repo", format!("`{repo}` is not a repository: use `owner/name`")));
            }
            (None, Some(_)) => {}
            _ => return Err(("source", "give one of `repo` and `path`".to_owned())),
        }
        if self.profiles.is_empty() {
            return Err(("profiles", "give at least one [[profiles]] table".to_owned()));
        }
        if self.export.precisions.is_empty() {
            return Err(("export.precisions", "give at least one of \"fp32\" and \"fp16\"".to_owned()));
        }
        if self.export.samples.is_empty() {
            return Err(("export.samples", "give at least one sentence".to_owned()));
        }
        if self.package.platforms.is_empty() {
            return Err(("package.platforms", "give at least one of \"onnx\" and \"tensorrt\"".to_owned()));
        }
        if self.package.platforms.contains(&Platform::Tensorrt) && self.compile.gpus.is_empty() {
            return Err((
                "compile.gpus",
                "platform `tensorrt` needs at least one GPU; `planforge gpus` lists them".to_owned(),
            ));
        }
        if self.compile.outputs.as_ref().is_some_and(Vec::is_empty) {
            return Err(("compile.outputs", "name at least one output, or leave the key out".to_owned()));
        }
        self.check_request("probe", self.probe_request())?;
        self.check_request("load", self.load_request())?;
        if self.load.stages.iter().any(|stage| stage.users == 0 || stage.seconds == 0 || stage.spawn_rate == Some(0))
            || self.load.stages.is_empty()
        {
            return Err(("load.stages", "give stages with at least one user and one second each".to_owned()));
        }
        Ok(())
    }

    /// Whether a measurement's request lies within the profiles.
    fn check_request(
        &self,
        table: &str,
        (batch, sequence): (u64, Option<u64>),
    ) -> std::result::Result<(), (&'static str, String)> {
        let most = self.max_batch_size();
        if batch == 0 || batch > most {
            let key = if table == "probe" { "probe.batch" } else { "load.batch" };
            return Err((key, format!("{batch} is outside the profiles: use 1 to {most}")));
        }
        match (sequence, self.max_sequence()) {
            (Some(sequence), Some(most)) if sequence == 0 || sequence > most => {
                let key = if table == "probe" { "probe.sequence" } else { "load.sequence" };
                Err((key, format!("{sequence} is outside the profiles: use 1 to {most}")))
            }
            _ => Ok(()),
        }
    }

    fn resolve_paths(&mut self, folder: &Path) {
        for path in [&mut self.source.path, &mut self.compile.catalogue].into_iter().flatten() {
            *path = folder.join(&*path);
        }
    }
}

/// `owner/name`, or the bare name of an old repository.
fn is_repository(text: &str) -> bool {
    let good = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    match text.split_once('/') {
        Some((owner, name)) => good(owner) && good(name),
        None => good(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str =
        "name = \"m\"\ntask = \"sentence-embedding\"\n[source]\nrepo = \"o/n\"\n[[profiles]]\nbatch = [1, 2, 4]\n";

    fn read(text: &str) -> Result<Pipeline> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.toml");
        fs_err::write(&path, text).unwrap();
        Pipeline::read(&path)
    }

    fn message(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    #[test]
    fn defaults_fill_a_small_file() {
        let pipeline = read(SMALL).unwrap();
        assert_eq!(u32::from(pipeline.package.copies), 8);
        assert_eq!(pipeline.source.revision, "main");
        assert_eq!(pipeline.max_batch_size(), 4);
    }

    #[test]
    fn mistakes_name_line_and_key() {
        let unknown = message(&format!("{SMALL}[export]\nprecison = [\"fp16\"]\n"));
        assert!(
            unknown.contains("line 8") && unknown.contains("precison") && unknown.contains("precisions"),
            "{unknown}"
        );
        let profile = message(&SMALL.replace("[1, 2, 4]", "[4, 2, 1]"));
        assert!(profile.contains("line 6") && profile.contains("min <= opt <= max"), "{profile}");
        let copies = message(&format!("{SMALL}[package]\ncopies = 0\n"));
        assert!(copies.contains("copies = 0") && copies.contains("1 to 100000"), "{copies}");
        let threshold = message(&format!("{SMALL}[probe]\nthreshold = 1.5\n"));
        assert!(threshold.contains("threshold 1.5"), "{threshold}");
        let name = message(&SMALL.replace("\"m\"", "\"MUSHROOM\""));
        assert!(name.contains("OOM"), "{name}");
    }

    #[test]
    fn contradictions_name_the_key() {
        let both = message(&SMALL.replace("repo =", "path = \"x\"\nrepo ="));
        assert!(both.contains("key `source`"), "{both}");
        let gpus = message(&format!("{SMALL}[package]\nplatforms = [\"tensorrt\"]\n"));
        assert!(gpus.contains("compile.gpus"), "{gpus}");
    }

    #[test]
    fn requests_of_measurements_stay_within_the_profiles() {
        let pipeline = read(&SMALL.replace("batch = [1, 2, 4]", "batch = [1, 2, 4]\nsequence = [8, 64, 128]")).unwrap();
        assert_eq!(pipeline.probe_request(), (2, Some(64)));
        assert_eq!(pipeline.load_request(), (1, Some(64)));
        let batch = message(&format!("{SMALL}[load]\nbatch = 5\n"));
        assert!(batch.contains("`load.batch`") && batch.contains("1 to 4"), "{batch}");
    }

    #[test]
    fn t4_keeps_fp16_and_says_why_not_fp32() {
        let text = format!(
            "{SMALL}[export]\nprecisions = [\"fp32\", \"fp16\"]\n[compile]\ngpus = [\"t4\", \"l4\"]\n[package]\nplatforms = [\"onnx\", \"tensorrt\"]\n"
        );
        let (variants, skipped) = read(&text).unwrap().variants(&GpuCatalogue::built_in()).unwrap();
        let ids: Vec<_> = variants.iter().map(Variant::id).collect();
        assert_eq!(ids, ["onnx-fp32", "onnx-fp16", "tensorrt-fp16-t4", "tensorrt-fp32-l4", "tensorrt-fp16-l4"]);
        assert_eq!(skipped.len(), 1);
        let only_fp32 = text.replace("[\"fp32\", \"fp16\"]", "[\"fp32\"]");
        assert!(read(&only_fp32).unwrap().variants(&GpuCatalogue::built_in()).is_err());
    }
}
