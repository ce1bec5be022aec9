//! Configurations of engines: of one, or of several of which the server takes the one for its GPU.

use super::serving::{Served, ServedBy, ServingOptions};
use super::tensors::{Outputs, max_batch_size, tensors};
use super::text::{Fields, quoted};
use crate::Result;
use crate::files::{PLAN_FILE, PLANFORGE_BACKEND};
use planforge_core::{Builder, ComputeCapability, Engine, InstanceKind, ModelName};
use std::collections::BTreeMap;

/// Text between the fields of an engine's configuration, for whoever opens it.
const RTX_COMMENT: &str = "# A TensorRT-RTX engine. NVIDIA's own `tensorrt` backend cannot load it.\n";
const LACKING_COMMENT: &str =
    // prose: part of archives
    "# It lacks weights, which lie beside it; planforge's backend puts them in when it loads it.\n";
const RTX_COMMENTS: &str = "# TensorRT-RTX engines. NVIDIA's own `tensorrt` backend cannot load them.\n";

/// Configuration of one engine, or of several of which the server takes the one for its GPU's compute capability. Scores
/// are called `labels` where they give scores. It is for planforge's backend, or for NVIDIA's where the builder was classic
/// TensorRT.
///
/// # Panics
/// If there is no engine.
///
/// # Errors
/// As for [`super::onnx_config`].
pub fn engine_config(
    name: &ModelName,
    engines: &[&Engine],
    labels: &[String],
    serving: &ServingOptions,
) -> Result<String> {
    let engine = engines.first().expect("a package of engines has one");
    let mut fields = Fields::default();
    let by = match engine.builder {
        Builder::Rtx => {
            fields.comment(if engines.len() == 1 { RTX_COMMENT } else { RTX_COMMENTS });
            if engines.iter().any(|engine| engine.weights.is_some()) {
                fields.comment(LACKING_COMMENT);
            }
            fields.string("name", name.as_str());
            fields.string("backend", PLANFORGE_BACKEND);
            ServedBy::Planforge
        }
        Builder::Trtexec => {
            fields.string("name", name.as_str());
            fields.string("platform", "tensorrt_plan");
            fields.string("backend", "tensorrt");
            ServedBy::Tensorrt
        }
    };
    match engines {
        [_] => fields.string("default_model_filename", PLAN_FILE),
        // There is none for other GPUs, so that the server reports that rather than opens an engine that cannot run.
        _ => fields.add("cc_model_filenames", files_by_capability(engines)),
    }
    let (inputs, max_batch_size) = (&engine.inputs, smallest_batch(engines));
    let served = Served { inputs, max_batch_size, by, kind: Some(InstanceKind::Gpu) };
    tensors(&mut fields, &served, Outputs { specs: &engine.outputs, labels })?;
    serving.add_to(&mut fields, &served)?;
    fields.parameter("planforge.gpu", &engines.iter().map(|engine| engine.gpu.as_str()).collect::<Vec<_>>().join(","));
    let mut all: Vec<_> = engines.iter().flat_map(|engine| &engine.compute_capabilities).copied().collect();
    all.sort();
    all.dedup();
    fields.parameter("planforge.compute_capability", &list(&all));
    serving.finish(fields)
}

/// File name of each engine in a version folder.
pub fn engine_files(engines: &[&Engine]) -> Vec<String> {
    let [_] = engines else { return engines.iter().map(|engine| file_of_several(engine)).collect() };
    vec![PLAN_FILE.to_owned()]
}

fn file_of_several(engine: &Engine) -> String {
    let names: Vec<_> = engine.compute_capabilities.iter().map(|it| format!("sm{}{}", it.major, it.minor)).collect();
    format!("model-{}.plan", names.join("-"))
}

/// Triton's map from a GPU's compute capability to the file for it.
fn files_by_capability(engines: &[&Engine]) -> String {
    let pairs = engines
        .iter()
        .flat_map(|engine| engine.compute_capabilities.iter().map(|capability| (*capability, file_of_several(engine))));
    let pairs: BTreeMap<_, _> = pairs.collect();
    let items = pairs.iter().map(|(capability, file)| {
        format!("  {{\n    key: {}\n    value: {}\n  }}", quoted(&capability.to_string()), quoted(file))
    });
    format!("cc_model_filenames [\n{}\n]\n", items.collect::<Vec<_>>().join(",\n"))
}

/// The compute capabilities of an engine, such as `8.6,8.9`.
pub fn capabilities(engine: &Engine) -> String {
    list(&engine.compute_capabilities)
}

fn list(capabilities: &[ComputeCapability]) -> String {
    capabilities.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// The largest batch that every one of the engines takes; 0 for engines of a graph with a fixed batch.
pub fn smallest_batch(engines: &[&Engine]) -> u64 {
    engines.iter().map(|engine| max_batch_size(&engine.inputs, &engine.profiles)).min().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use planforge_testkit::engine_record;

    fn name() -> ModelName {
        ModelName::try_from("tiny".to_owned()).unwrap()
    }

    #[test]
    fn engine_text_names_our_backend_and_the_gpu() {
        let text = engine_config(&name(), &[&engine_record()], &[], &ServingOptions::default()).unwrap();
        assert!(text.contains("backend: \"planforge\"\ndefault_model_filename: \"model.plan\"\n"), "{text}");
        assert!(!text.contains("platform"), "{text}");
        assert!(text.contains("kind: KIND_GPU"), "{text}");
        assert!(text.contains(r#"key: "planforge.compute_capability" value { string_value: "8.9" }"#), "{text}");
        assert!(!text.contains("graphs: true"), "{text}");
        let triton = planforge_core::TritonSpec { cuda_graphs: true, ..Default::default() };
        let serving = ServingOptions { triton, ..ServingOptions::default() };
        let text = engine_config(&name(), &[&engine_record()], &[], &serving).unwrap();
        assert!(text.contains("optimization {\n  cuda {\n    graphs: true\n"), "{text}");
    }

    #[test]
    fn of_several_engines_the_server_takes_the_one_of_its_gpu() {
        let l4 = engine_record();
        let mut a10g =
            Engine { gpu: "a10g".to_owned(), compute_capabilities: vec!["8.6".parse().unwrap()], ..engine_record() };
        a10g.profiles[0].batch.max = 4;
        let text = engine_config(&name(), &[&l4, &a10g], &[], &ServingOptions::default()).unwrap();
        let files = r#"backend: "planforge"
cc_model_filenames [
  {
    key: "8.6"
    value: "model-sm86.plan"
  },
  {
    key: "8.9"
    value: "model-sm89.plan"
  }
]
max_batch_size: 4
"#;
        assert!(text.contains(files), "{text}");
        assert!(!text.contains("default_model_filename"), "{text}");
        assert!(text.contains(r#"key: "planforge.gpu" value { string_value: "l4,a10g" }"#), "{text}");
        assert!(text.contains(r#"key: "planforge.compute_capability" value { string_value: "8.6,8.9" }"#), "{text}");
    }

    #[test]
    fn a_plan_of_classic_tensorrt_is_for_nvidias_backend() {
        let engine = Engine { builder: Builder::Trtexec, ..engine_record() };
        let text = engine_config(&name(), &[&engine], &[], &ServingOptions::default()).unwrap();
        let head = "name: \"tiny\"\nplatform: \"tensorrt_plan\"\nbackend: \"tensorrt\"\n";
        assert!(text.starts_with(&format!("{head}default_model_filename: \"model.plan\"\n")), "{text}");
        assert!(text.contains("kind: KIND_GPU"), "{text}");
    }
}
