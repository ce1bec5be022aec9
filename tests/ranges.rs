//! fp16 exports of a model whose values binary16 does not hold. ONNX Runtime computes in binary32 on the CPU, also where the
//! graph has binary16, so a check there does not show what a GPU would do; the ranges do.

use crate::support::Workspace;
use safetensors::SafeTensors;

/// A checkpoint whose first feed-forward part goes far beyond binary16 and comes back: what goes in is multiplied,
/// what comes out divided.
fn loud() -> Workspace {
    let workspace = Workspace::tiny();
    let path = workspace.path("model/model.safetensors");
    let mut bytes = fs_err::read(&path).unwrap();
    let factor = 30_000.0;
    for (tensor, factor) in [
        ("encoder.layer.0.intermediate.dense.weight", factor),
        ("encoder.layer.0.intermediate.dense.bias", factor),
        ("encoder.layer.0.output.dense.weight", 1.0 / factor),
    ] {
        let place = {
            let tensors = SafeTensors::deserialize(&bytes).unwrap();
            let data = tensors.tensor(tensor).unwrap().data();
            let start = data.as_ptr() as usize - bytes.as_ptr() as usize;
            start..start + data.len()
        };
        for value in bytes[place].as_chunks_mut().0 {
            *value = (f32::from_le_bytes(*value) * factor).to_le_bytes();
        }
    }
    fs_err::write(&path, bytes).unwrap();
    workspace
}

#[test]
fn values_that_fp16_would_not_hold_stay_in_fp32() {
    let workspace = loud();
    let report = workspace.json(&["check", "tiny.toml"]);
    let model = report["models"].as_array().unwrap().iter().find(|model| model["precision"] == "fp16").unwrap();
    let wide: Vec<_> = model["wide_values"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(wide.contains(&"encoder.layer.0.intermediate.dense.sum"), "{wide:?}");
    assert!(wide.iter().all(|name| name.starts_with("encoder.layer.0.intermediate.dense.")), "{wide:?}");
    assert!(report["notes"].to_string().contains("fp16 would not hold `encoder.layer.0.intermediate.dense."));
    // Ada can, Turing cannot multiply in fp32.
    workspace.planforge(&["compile", "tiny.toml", "--gpu", "l4"]).succeeds();
    let words = [
        "TensorRT-RTX has no fp32 matrix products for GPU `t4`, and the fp16 export has some",
        "`encoder.layer.0.intermediate.dense.product`, `encoder.layer.0.output.dense.product`, as it keeps",
        "`encoder.layer.0.intermediate.dense.sum`",
        "leave `t4` out of `compile.gpus`",
    ];
    workspace.planforge(&["compile", "tiny.toml", "--gpu", "t4"]).fails(2, &words);
}

#[test]
fn values_can_be_kept_in_fp32_by_name() {
    let workspace = loud();
    let keep = "measure_ranges = false\nkeep_fp32 = [\"encoder.layer.0\"]\nprecisions";
    workspace.edit("tiny.toml", "precisions", keep);
    workspace.planforge(&["check", "tiny.toml"]).succeeds();
    workspace.edit("tiny.toml", "encoder.layer.0", "encoder.layer.9");
    workspace.planforge(&["check", "tiny.toml"]).fails(2, &["unknown value `encoder.layer.9`"]);
}

#[test]
fn a_model_within_range_is_left_alone() {
    let workspace = Workspace::tiny();
    let report = workspace.json(&["export", "tiny.toml"]);
    for model in report["models"].as_array().unwrap() {
        assert_eq!(model["wide_values"], serde_json::json!([]));
    }
}
