//! Whether the keys of a pipeline contradict each other.

use super::Pipeline;
use crate::nearest::{one_of, similar};
use crate::spec::schema::Contradiction;
use crate::spec::tables::{CompileSpec, PackageSpec};
use crate::{Builder, HardwareCompatibility, ModelFormat, Platform, Precision, Task, TokenType, TritonRelease};
use std::path::Path;

/// Collects contradictions.
#[derive(Default)]
struct Findings(Vec<Contradiction>);

impl Findings {
    /// A contradiction where `is_broken`.
    fn refuse(&mut self, is_broken: bool, keys: &[&'static str], message: &str) {
        if is_broken {
            self.0.push(Contradiction::new(keys, message));
        }
    }

    /// Values that are listed twice.
    fn refuse_repeats<'a, T: Eq + ToString + 'a>(
        &mut self,
        key: &'static str,
        values: impl IntoIterator<Item = &'a T>,
    ) {
        let mut known = Vec::new();
        for value in values {
            if known.contains(&value) {
                self.0.push(Contradiction::new(&[key], format!("\"{}\" is listed twice", value.to_string())));
            }
            known.push(value);
        }
    }
}

impl Pipeline {
    /// Every pair of keys that do not go together.
    pub(super) fn contradictions(&self) -> Vec<Contradiction> {
        let mut findings = Findings::default();
        self.check_source(&mut findings);
        self.check_export(&mut findings);
        self.check_dimensions(&mut findings);
        self.check_graph(&mut findings);
        self.check_platforms(&mut findings);
        self.check_package(&mut findings);
        check_builder(&self.compile, &mut findings);
        self.check_strip_weights(&mut findings);
        self.check_host(&mut findings);
        let no_stages = "expected at least one stage, such as { users = 1, seconds = 20 }";
        findings.refuse(self.load.stages.is_empty(), &["load.stages"], no_stages);
        let mut found = findings.0;
        found.extend(self.triton_contradictions());
        found.extend(crate::spec::store::contradictions(&self.store));
        found.extend(self.request_contradictions());
        found
    }

    fn check_source(&self, findings: &mut Findings) {
        match (&self.source.repo, &self.source.path) {
            (Some(repo), None) if !is_repository(repo) => {
                let message = format!("invalid repository `{repo}`; expected `owner/name`");
                findings.refuse(true, &["source.repo"], &message);
            }
            (Some(_), Some(_)) => {
                let message = "both `source.repo` and `source.path` are set; keep one of the two";
                findings.refuse(true, &["source.path", "source.repo"], message);
            }
            (None, None) => {
                let message = "missing checkpoint; set `repo = \"owner/name\"`, or `path` for a local folder";
                findings.refuse(true, &["source"], message);
            }
            _ => {}
        }
        findings.refuse(self.profiles.is_empty(), &["profiles"], "expected at least one [[profiles]] table");
    }

    fn check_export(&self, findings: &mut Findings) {
        let export = &self.export;
        let has_onnx = export.formats.contains(&ModelFormat::Onnx);
        let message = "\"onnx\" is missing; add it, packages and engines are built from it";
        findings.refuse(!has_onnx, &["export.formats"], message);
        let message = "expected at least one of \"fp32\", \"fp16\" and \"bf16\"";
        findings.refuse(export.precisions.is_empty(), &["export.precisions"], message);
        let message = "expected at least one sample; add one or remove the key";
        findings.refuse(export.samples.as_ref().is_some_and(Vec::is_empty), &["export.samples"], message);
        let has_pairs = !export.sample_pairs.is_empty();
        let message = "both `export.samples` and `export.sample_pairs` are set; keep one of the two";
        findings.refuse(has_pairs && export.samples.is_some(), &["export.sample_pairs", "export.samples"], message);
        let takes_pairs = matches!(self.task, Task::TextClassification | Task::QuestionAnswering);
        let message =
            "pairs of texts are for the tasks `text-classification` and `question-answering`; use `export.samples`";
        findings.refuse(has_pairs && !takes_pairs, &["export.sample_pairs", "task"], message);
        let message = "expected at least one output; add one or remove the key";
        findings.refuse(self.compile.outputs.as_ref().is_some_and(Vec::is_empty), &["compile.outputs"], message);
        findings.refuse_repeats("export.formats", &export.formats);
        findings.refuse_repeats("export.precisions", &export.precisions);
        findings.refuse_repeats("package.platforms", &self.package.platforms);
        findings.refuse_repeats("package.pytorch_precisions", self.package.pytorch_precisions.iter().flatten());
    }

    /// TensorRT-RTX leaves out weights that are in separate files, of engines with one profile (`NvInfer.h`,
    /// `IBuilderConfig::addOptimizationProfile`).
    fn check_strip_weights(&self, findings: &mut Findings) {
        if !self.compile.strip_weights || self.compile.builder != Builder::Rtx {
            return;
        }
        let key = "compile.strip_weights";
        let message = "an engine without weights has one optimization profile; keep one [[profiles]] table";
        findings.refuse(self.profiles.len() > 1, &[key, "profiles"], message);
        let message = "a prebuilt graph keeps its weights; remove `source.graph` or this key";
        findings.refuse(self.source.graph.is_some(), &[key, "source.graph"], message);
        let message = "weights inside the ONNX file cannot be left out; remove `export.self_contained` or this key";
        findings.refuse(self.export.self_contained, &[key, "export.self_contained"], message);
    }

    /// Platforms and GPU types belong together.
    fn check_platforms(&self, findings: &mut Findings) {
        let PackageSpec { platforms, multi_target, .. } = &self.package;
        let has_engines = platforms.contains(&Platform::Tensorrt);
        let has_gpus = !self.compile.gpus.is_empty();
        let message = "expected at least one of \"onnx\", \"pytorch\" and \"tensorrt\"";
        findings.refuse(platforms.is_empty(), &["package.platforms"], message);
        let message = "missing GPU types for platform `tensorrt` of `package.platforms`; set for example \
                       `gpus = [\"l4\"]`, `planforge gpus` lists them";
        findings.refuse(has_engines && !has_gpus, &["compile.gpus", "package.platforms"], message);
        let message = "\"tensorrt\" is missing, but `compile.gpus` names GPU types to build engines for; add \"tensorrt\", \
                       or remove `compile.gpus`";
        let is_unused = has_gpus && !has_engines && !platforms.is_empty();
        findings.refuse(is_unused, &["package.platforms", "compile.gpus"], message);
        let message = "concerns engines only, and `package.platforms` does not name \"tensorrt\"; remove this key";
        findings.refuse(*multi_target && !has_engines, &["package.fat", "package.platforms"], message);
        let message = "`compile.fat` already builds one engine for all GPU types; remove one of the two";
        findings.refuse(*multi_target && self.compile.multi_target, &["package.fat", "compile.fat"], message);
    }

    /// Options of the package need a platform that has them.
    fn check_package(&self, findings: &mut Findings) {
        let PackageSpec { platforms, pytorch_precisions, include_backend, .. } = &self.package;
        let has_pytorch = platforms.contains(&Platform::Pytorch);
        let message = "a prebuilt graph (`source.graph`) cannot be converted to PyTorch; remove \"pytorch\"";
        let is_graph = self.source.graph.is_some();
        findings.refuse(has_pytorch && is_graph, &["package.platforms", "source.graph"], message);
        let is_served = platforms.iter().any(|platform| self.is_served_by_planforge(*platform));
        let message = "no archive needs planforge's backend: of `package.platforms` it serves \"tensorrt\" with builder \
                       `rtx`, and \"onnx\" with `onnx_backend = \"planforge\"`; remove this key";
        let keys = ["package.include_backend", "package.platforms", "package.onnx_backend", "compile.builder"];
        findings.refuse(*include_backend && !is_served, &keys, message);
        let keys = ["package.pytorch_precisions", "package.platforms"];
        let message = "`package.platforms` does not name \"pytorch\"; add it, or remove this key";
        findings.refuse(pytorch_precisions.is_some() && !has_pytorch, &keys, message);
        let is_empty = has_pytorch && pytorch_precisions.as_ref().is_some_and(Vec::is_empty);
        let message = "expected at least one of \"fp32\", \"fp16\" and \"bf16\"; add one or remove the key";
        findings.refuse(is_empty, &["package.pytorch_precisions"], message);
    }

    /// Sequences are for texts, sizes for images.
    fn check_dimensions(&self, findings: &mut Findings) {
        let task = self.task;
        let set = [
            ("profiles.sequence", self.profiles.iter().any(|profile| profile.sequence.is_some())),
            ("probe.sequence", self.probe.sequence.is_some()),
            ("load.sequence", self.load.sequence.is_some()),
        ];
        for (key, is_set) in set {
            let message = format!("task `{task}` is for images, which have no sequence; remove this key");
            findings.refuse(task.is_over_images() && is_set, &[key, "task"], &message);
        }
        let has_size = !task.is_over_images() && self.export.image_size.is_some();
        let message = format!("task `{task}` is for texts, which have no image size; remove this key");
        findings.refuse(has_size, &["export.image_size", "task"], &message);
        let has_tokens = task.is_over_images() && self.export.token_type != TokenType::Int64;
        let message = format!("task `{task}` is for images, which have no tokens; remove this key");
        findings.refuse(has_tokens, &["export.token_type", "task"], &message);
    }

    /// A prebuilt graph has its own sizes and precision, and is a file of the repository.
    fn check_graph(&self, findings: &mut Findings) {
        let Some(graph) = &self.source.graph else { return };
        let stays_inside = Path::new(graph).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        let message =
            format!("invalid path `{graph}`; expected a path within the repository, such as `onnx/model.onnx`");
        findings.refuse(graph.is_empty() || !stays_inside, &["source.graph"], &message);
        let export = &self.export;
        let rules = [
            (
                "export.formats",
                export.formats.contains(&ModelFormat::TorchScript),
                "stays ONNX; remove \"torchscript\"",
            ),
            ("export.keep_fp32", !export.keep_fp32.is_empty(), "has its own precisions; remove this key"),
            ("export.ignore_tensors", !export.ignore_tensors.is_empty(), "has its own weights; remove this key"),
            (
                "export.token_type",
                export.token_type != TokenType::Int64,
                "has its own types of inputs; remove this key",
            ),
            ("export.precisions", export.precisions.len() > 1, "has one precision; name only that"),
        ];
        for (key, is_set, words) in rules {
            let message = format!("a prebuilt graph (`source.graph`) {words}");
            findings.refuse(is_set, &[key, "source.graph"], &message);
        }
    }

    /// The variant of the endpoint must be one that is packaged. Which engines there are depends on the GPU types as well,
    /// so that of those only the precision is checked.
    fn check_host(&self, findings: &mut Findings) {
        let Some(variant) = &self.host.variant else { return };
        let platforms = &self.package.platforms;
        let engine_prefix = |precision: &Precision| format!("{}-{precision}-", Platform::Tensorrt);
        let is_engine = platforms.contains(&Platform::Tensorrt)
            && self.export.precisions.iter().any(|precision| variant.starts_with(&engine_prefix(precision)));
        let mut known: Vec<String> = self.variants(&[]).iter().map(crate::Variant::id).collect();
        if is_engine || known.contains(variant) {
            return;
        }
        let suggestion = similar(variant, known.iter().map(String::as_str)).first().map(|name| (*name).to_owned());
        if platforms.contains(&Platform::Tensorrt) {
            known.extend(self.export.precisions.iter().map(|precision| format!("{}GPU", engine_prefix(precision))));
        }
        let suggestion = suggestion.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
        let message = format!("unknown variant `{variant}`; expected {}{suggestion}", one_of(&known));
        let keys = ["host.variant", "package.platforms", "export.precisions", "package.pytorch_precisions"];
        findings.refuse(true, &keys, &message);
    }

    /// Requests of measurements outside the profiles.
    pub(super) fn request_contradictions(&self) -> Vec<Contradiction> {
        let (probe, load) = (self.probe_request(), self.load_request());
        let within = |value: u64, most: u64, key: &'static str, profile_key: &'static str| {
            let message = format!("invalid value {value}; expected 1 to {most}, as `{profile_key}` allows");
            (value == 0 || value > most).then(|| Contradiction::new(&[key, profile_key], message))
        };
        let most = self.max_batch_size();
        let batches = [("probe.batch", probe.0), ("load.batch", load.0)];
        let batches = batches.into_iter().filter_map(|(key, batch)| within(batch, most, key, "profiles.batch"));
        let sequences = [("probe.sequence", probe.1), ("load.sequence", load.1)];
        let sequences = sequences
            .into_iter()
            .filter_map(|(key, sequence)| within(sequence?, self.max_sequence()?, key, "profiles.sequence"));
        batches.chain(sequences).collect()
    }
}

/// Keys of one builder need that builder.
fn check_builder(compile: &CompileSpec, findings: &mut Findings) {
    if let Some(Err(error)) = compile.triton.as_deref().map(TritonRelease::find) {
        findings.refuse(true, &["compile.triton"], &error.to_string());
    }
    let is_changed = compile.hardware_compatibility != HardwareCompatibility::None;
    let keys = [
        ("compile.triton", compile.triton.is_some()),
        ("compile.version_compatible", compile.version_compatible),
        ("compile.hardware_compatibility", is_changed),
    ];
    for (key, is_set) in keys {
        let message = "unsupported with builder `rtx`; set `builder = \"trtexec\"` or remove this key";
        findings.refuse(compile.builder == Builder::Rtx && is_set, &[key, "compile.builder"], message);
    }
    let message = "builder `trtexec` builds for the GPU that it runs on; use `compile.hardware_compatibility` instead";
    let is_multi_target = compile.builder == Builder::Trtexec && compile.multi_target;
    findings.refuse(is_multi_target, &["compile.fat", "compile.builder"], message);
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
