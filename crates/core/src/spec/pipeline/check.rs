//! Whether the keys of a pipeline contradict each other.

use super::Pipeline;
use crate::spec::tables::{CompileSpec, PackageSpec};
use crate::{Builder, HardwareCompatibility, ModelFormat, Platform, TritonRelease};
use std::path::Path;

/// A key that contradicts others, and what is wrong with it.
type Checked = Result<(), (&'static str, String)>;

impl Pipeline {
    pub(super) fn check(&self) -> Checked {
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
        if !self.export.formats.contains(&ModelFormat::Onnx) {
            return Err(("export.formats", "name \"onnx\" too: packages and engines are made from it".to_owned()));
        }
        if self.export.precisions.is_empty() {
            return Err(("export.precisions", "give at least one of \"fp32\", \"fp16\" and \"bf16\"".to_owned()));
        }
        if self.export.samples.as_ref().is_some_and(Vec::is_empty) {
            return Err(("export.samples", "give at least one sample, or leave the key out".to_owned()));
        }
        check_repeats("export.formats", &self.export.formats)?;
        check_repeats("export.precisions", &self.export.precisions)?;
        check_repeats("package.platforms", &self.package.platforms)?;
        check_repeats("package.pytorch_precisions", self.package.pytorch_precisions.iter().flatten())?;
        self.check_dimensions()?;
        self.check_graph()?;
        self.check_platforms()?;
        self.check_triton()?;
        check_builder(&self.compile)?;
        self.check_strip_weights()?;
        crate::spec::store::check(&self.store)?;
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

    /// TensorRT-RTX leaves out weights that lie in files of their own, of engines with one profile (`NvInfer.h`,
    /// `IBuilderConfig::addOptimizationProfile`).
    fn check_strip_weights(&self) -> Checked {
        let fail = |message: &str| Err(("compile.strip_weights", message.to_owned()));
        if !self.compile.strip_weights || self.compile.builder != Builder::Rtx {
            return Ok(());
        }
        match (self.profiles.len(), &self.source.graph, self.export.self_contained) {
            (2.., ..) => fail("an engine without weights has one optimization profile; leave one [[profiles]] table"),
            (_, Some(_), _) => {
                fail("a graph that is taken as it is keeps its weights; leave `source.graph` or this key out")
            }
            (_, _, true) => {
                fail("weights in the graph's own file cannot be left out; leave `export.self_contained` out")
            }
            _ => Ok(()),
        }
    }

    /// Each platform needs something of its own.
    fn check_platforms(&self) -> Checked {
        let PackageSpec { platforms, pytorch_precisions, include_backend, fat, .. } = &self.package;
        if platforms.is_empty() {
            let known = "give at least one of \"onnx\", \"pytorch\" and \"tensorrt\"";
            return Err(("package.platforms", known.to_owned()));
        }
        if platforms.contains(&Platform::Tensorrt) && self.compile.gpus.is_empty() {
            let message = "platform `tensorrt` needs at least one GPU; `planforge gpus` lists them";
            return Err(("compile.gpus", message.to_owned()));
        }
        let has_pytorch = platforms.contains(&Platform::Pytorch);
        if has_pytorch && self.source.graph.is_some() {
            return Err(("package.platforms", "a graph that is taken as it is stays ONNX".to_owned()));
        }
        if *fat && !platforms.contains(&Platform::Tensorrt) {
            return Err((
                "package.fat",
                "it is about engines, and `package.platforms` does not name \"tensorrt\"".to_owned(),
            ));
        }
        if *fat && self.compile.fat {
            let message = "`compile.fat` makes one engine for all GPU types: there is nothing to put together";
            return Err(("package.fat", message.to_owned()));
        }
        if *include_backend && !platforms.iter().any(|platform| self.is_served_by_planforge(*platform)) {
            let message = "no archive would carry planforge's backend: of `package.platforms` it serves \"tensorrt\" with \
                           builder `rtx`, and \"onnx\" with `onnx_backend = \"planforge\"`; leave the key out";
            return Err(("package.include_backend", message.to_owned()));
        }
        match pytorch_precisions {
            Some(_) if !has_pytorch => {
                Err(("package.pytorch_precisions", "`package.platforms` does not name \"pytorch\"".to_owned()))
            }
            Some(precisions) if precisions.is_empty() => Err((
                "package.pytorch_precisions",
                "give at least one of \"fp32\", \"fp16\" and \"bf16\", or leave the key out".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// Sequences are for texts, sizes for pictures.
    fn check_dimensions(&self) -> Checked {
        let task = self.task;
        if task.is_over_images() {
            let names_sequence = self.profiles.iter().any(|profile| profile.sequence.is_some());
            if names_sequence || self.probe.sequence.is_some() || self.load.sequence.is_some() {
                return Err(("profiles.sequence", format!("task `{task}` is over pictures, which have no sequence")));
            }
        } else if self.export.image_size.is_some() {
            return Err(("export.image_size", format!("task `{task}` is over texts")));
        }
        Ok(())
    }

    /// A graph that is taken as it is has its sizes and its precision, and lies within the repository.
    fn check_graph(&self) -> Checked {
        let Some(graph) = &self.source.graph else { return Ok(()) };
        let stays_inside = Path::new(graph).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if graph.is_empty() || !stays_inside {
            return Err((
                "source.graph",
                format!("`{graph}` is no file of a repository: use a path such as `onnx/model.onnx`"),
            ));
        }
        if self.export.formats.contains(&ModelFormat::TorchScript) {
            return Err(("export.formats", "a graph that is taken as it is stays ONNX".to_owned()));
        }
        if self.export.image_size.is_some() {
            return Err(("export.image_size", "a graph that is taken as it is has its own size".to_owned()));
        }
        if !self.export.keep_fp32.is_empty() {
            return Err(("export.keep_fp32", "a graph that is taken as it is has its own precisions".to_owned()));
        }
        if self.export.precisions.len() > 1 {
            return Err(("export.precisions", "a graph that is taken as it is has one precision".to_owned()));
        }
        Ok(())
    }

    /// Whether a measurement's request lies within the profiles.
    pub(super) fn check_request(&self, table: &str, (batch, sequence): (u64, Option<u64>)) -> Checked {
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
}

/// What is named twice would be made twice.
fn check_repeats<'a, T: Eq + ToString + 'a>(key: &'static str, values: impl IntoIterator<Item = &'a T>) -> Checked {
    let mut known = Vec::new();
    for value in values {
        if known.contains(&value) {
            return Err((key, format!("\"{}\" is there twice", value.to_string())));
        }
        known.push(value);
    }
    Ok(())
}

/// Keys of one builder do not fit another.
fn check_builder(compile: &CompileSpec) -> Checked {
    if let Some(release) = &compile.triton {
        TritonRelease::find(release).map_err(|error| ("compile.triton", error.to_string()))?;
    }
    let is_changed = compile.hardware_compatibility != HardwareCompatibility::None;
    let keys = [
        ("compile.triton", compile.triton.is_some()),
        ("compile.version_compatible", compile.version_compatible),
        ("compile.hardware_compatibility", is_changed),
    ];
    match (compile.builder, keys.iter().find(|(_, is_set)| *is_set)) {
        (Builder::Rtx, Some((key, _))) => {
            Err((key, "builder `rtx` has no such option, builder `trtexec` has".to_owned()))
        }
        (Builder::Trtexec, _) if compile.fat => Err((
            "compile.fat",
            "builder `trtexec` builds for the GPU that it runs on; key `compile.hardware_compatibility` widens that"
                .to_owned(),
        )),
        _ => Ok(()),
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
