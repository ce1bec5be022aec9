use super::*;

fn record(kind: RefitTransformKind, name: &str, sources: &[&str]) -> RefitRecord {
    RefitRecord {
        trt_name: name.to_owned(),
        kind,
        onnx_dtype: 1,
        trt_dtype: trtx::DataType::kFLOAT,
        count: 6,
        source_onnx_names: sources.iter().map(|&source| source.to_owned()).collect(),
        epsilon: 0.5,
        fixed_data: Vec::new(),
    }
}

fn request(left_out: &[&str]) -> BuildRequest {
    BuildRequest {
        graph: "m.onnx".into(),
        compute_capabilities: Vec::new(),
        profiles: Vec::new(),
        optimization_level: None,
        workspace_byte_count: None,
        left_out: left_out.iter().map(|&name| name.to_owned()).collect(),
    }
}

#[test]
fn what_is_left_out_is_what_comes_from_the_weights_named() {
    let norm = ["scale", "bias", "mean", "variance"];
    let records = [
        record(RefitTransformKind::Identity, "w", &["w"]),
        record(RefitTransformKind::Identity, "constant", &["constant"]),
        record(RefitTransformKind::ConstantNode, "node", &["node"]),
        record(RefitTransformKind::BatchNormFoldScale, "tmp", &norm),
        record(RefitTransformKind::BatchNormFoldBias, "tmp_0", &norm),
    ];
    let found = left_out(&records, &request(&[&["w"], &norm[..]].concat())).unwrap();
    let expected = LeftOut {
        name: "tmp_0".to_owned(),
        data_type: "FP32".to_owned(),
        element_count: 6,
        transform: WeightTransform::BatchNormBias { epsilon: 0.5 },
        sources: norm.map(str::to_owned).to_vec(),
    };
    assert_eq!(found.iter().map(|weight| weight.name.as_str()).collect::<Vec<_>>(), ["w", "tmp", "tmp_0"]);
    assert_eq!(found[2], expected);
}

#[test]
fn a_weight_that_would_stay_in_the_engine_is_named() {
    let message = |records: &[RefitRecord], names: &[&str]| left_out(records, &request(names)).unwrap_err().to_string();
    let identity = record(RefitTransformKind::Identity, "w", &["w"]);
    let stays = |name: &str| format!("weight `{name}` of `m.onnx` cannot be left out of an engine");
    assert!(message(&[identity], &["w", "v"]).starts_with(&stays("v")));
    let double = record(RefitTransformKind::DoubleToFloat, "w", &["w"]);
    assert!(message(&[double], &["w"]).starts_with(&stays("w")));
    let partly = record(RefitTransformKind::BatchNormFoldScale, "tmp", &["scale", "bias", "mean", "variance"]);
    assert!(message(&[partly], &["scale", "bias", "mean"]).starts_with(&stays("variance")));
}
