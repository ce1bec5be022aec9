//! planforge's own kernels: the small checkpoints have too narrow rows for them, so here are the same eight times as wide.

use super::answers::answers_as_onnx_runtime;
use super::{Packaged, with_server};
use crate::parity::folder;
use crate::support::Workspace;
use planforge_core::Task;
use safetensors::{SafeTensors, tensor::TensorView};
use serde_json::Value;

/// How much wider: four heads of 4 become four of 32.
const TIMES: usize = 8;
/// Keys of a configuration that are widths, or lists of them.
const WIDTHS: [&str; 8] = [
    "hidden_size",
    "hidden_sizes",
    "dim",
    "intermediate_size",
    "hidden_dim",
    "pooler_output_size",
    "embed_dim",
    "num_features",
];
/// Sizes of tensors that are widths.
const SIZES: [usize; 7] = [8, 12, 16, 24, 32, 48, 64];

/// Checkpoints, and how many nodes are the kernels'. A layer of an encoder is queries, keys and values, attention,
/// projection, two products and two normalisations, so seven; there are two. BERT and MPNet have a normalisation and a pooler
/// besides; DistilBERT a normalisation and a product before its two scores; Vision Transformers a normalisation. The four
/// layers of ConvNeXt have two products and a normalisation, and there are a stem, two steps down and a head to normalise.
const CHECKPOINTS: [(&str, Task, usize); 6] = [
    ("bert", Task::FeatureExtraction, 16),
    ("mpnet-sentences", Task::SentenceEmbedding, 16),
    ("distilbert-classifier", Task::TextClassification, 16),
    ("vit", Task::ImageClassification, 15),
    ("timm-vit", Task::ImageClassification, 15),
    ("convnext", Task::ImageClassification, 16),
];

/// A copy of a small checkpoint with wider rows and other weights.
fn widen(workspace: &Workspace, name: &str) {
    let (from, to) = (folder(name), workspace.path(name));
    fs_err::create_dir_all(&to).unwrap();
    for entry in fs_err::read_dir(&from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        fs_err::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    if from.join("1_Pooling").is_dir() {
        fs_err::create_dir(to.join("1_Pooling")).unwrap();
        fs_err::copy(from.join("1_Pooling/config.json"), to.join("1_Pooling/config.json")).unwrap();
    }
    let mut config: Value = serde_json::from_slice(&fs_err::read(from.join("config.json")).unwrap()).unwrap();
    widen_config(&mut config);
    fs_err::write(to.join("config.json"), config.to_string()).unwrap();
    let bytes = fs_err::read(from.join("model.safetensors")).unwrap();
    let tensors: Vec<_> = SafeTensors::deserialize(&bytes)
        .unwrap()
        .iter()
        .map(|(name, tensor)| {
            let shape = widened(name, tensor.shape());
            let data = numbers(name, &shape).iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
            (name.to_owned(), tensor.dtype(), shape, data)
        })
        .collect();
    let views = tensors.iter().map(|(name, data_type, shape, data)| {
        (name.clone(), TensorView::new(*data_type, shape.clone(), data).unwrap())
    });
    fs_err::write(to.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
}

fn widen_config(value: &mut Value) {
    let wider = |value: &mut Value| *value = (value.as_u64().unwrap() * TIMES as u64).into();
    let Some(map) = value.as_object_mut() else { return };
    for (key, value) in map {
        match value {
            Value::Array(values) if WIDTHS.contains(&key.as_str()) => values.iter_mut().for_each(wider),
            Value::Number(_) if WIDTHS.contains(&key.as_str()) => wider(value),
            _ => widen_config(value),
        }
    }
}

/// Windows of convolutions, positions and distances keep their sizes.
fn widened(name: &str, shape: &[usize]) -> Vec<usize> {
    let first_stays = ["position_embeddings.weight", "relative_attention_bias.weight"];
    let stays = |place: usize| {
        place >= 2 && shape.len() == 4 || place == 0 && first_stays.iter().any(|end| name.ends_with(end))
    };
    let wider =
        |(place, &size): (usize, &usize)| if SIZES.contains(&size) && !stays(place) { size * TIMES } else { size };
    shape.iter().enumerate().map(wider).collect()
}

/// Weights that keep the size of what goes through them: those of normalisations are around 1.
fn numbers(name: &str, shape: &[usize]) -> Vec<f32> {
    let inputs: usize = shape.iter().skip(1).product();
    let (scale, middle) = match shape.len() {
        1 if name.ends_with("weight") => (0.2, 1.0),
        1 => (0.2, 0.0),
        _ => ((inputs as f32).sqrt().recip(), 0.0),
    };
    let mut state = name.bytes().fold(1_u32, |state, byte| state.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        middle + scale * ((state >> 8) as f32 / 8_388_608.0 - 1.0)
    };
    (0..shape.iter().product()).map(|_| next()).collect()
}

#[test]
fn wide_rows_are_computed_by_own_kernels() {
    with_server(concat!(module_path!(), "::wide_rows_are_computed_by_own_kernels"), |server| {
        for (name, task, nodes) in CHECKPOINTS {
            let workspace = Workspace::empty();
            widen(&workspace, name);
            let packaged = Packaged::checkpoint(&workspace.path(name), name, task);
            let target_model = format!("wide-{name}.tar.gz");
            let loaded = server.load(&packaged.archive, &target_model);
            assert_eq!(loaded.status, 200, "{name}: {}\n{}", loaded.text(), server.log());
            let said = format!("{nodes} nodes in planforge's own kernels");
            let log = server.log();
            let line =
                log.lines().rev().find(|line| line.contains("planforge: ") && line.contains(" loaded in ")).unwrap();
            assert!(line.contains(&said), "{name}: {line}");
            answers_as_onnx_runtime(server, &packaged, &target_model);
            assert_eq!(server.unload(&target_model).status, 200);
        }
    });
}
