//! What a model costs, without running it.

use crate::support::Workspace;
use planforge_testkit::repository;

#[test]
fn a_pipeline_s_model_is_described_with_its_costs() {
    let workspace = Workspace::empty();
    let model = repository().join("fixtures/models/bert");
    workspace.write(
        "bert.toml",
        &format!(
            "name = \"bert\"\ntask = \"feature-extraction\"\n[source]\npath = \"{}\"\n\
             [[profiles]]\nbatch = [1, 2, 3]\nsequence = [4, 8, 16]\n[export]\nprecisions = [\"fp32\", \"fp16\"]\n",
            model.display()
        ),
    );
    let found = workspace.json(&["inspect", "bert.toml"]);
    let costs = found["costs"].as_array().unwrap();
    assert_eq!(costs.len(), 4);
    let (width, inner, tokens, batch) = (16_u64, 24, 8, 2);
    // Two layers of four square products, two feed-forward products and attention's two; the pooler's product for
    // one token of each text. Two operations for each multiply-accumulate.
    let layer = 4 * width * width + 2 * width * inner + 2 * tokens * width;
    let operations = 2 * (2 * batch * tokens * layer + batch * width * width);
    assert_eq!(costs[0]["cost"]["operation_count"], operations);
    let [single, half] = [0, 2].map(|row: usize| costs[row]["cost"]["weight_byte_count"].as_u64().unwrap());
    assert_eq!((single, half), (4 * found["parameter_count"].as_u64().unwrap(), single / 2));
    let peaks: Vec<_> = costs.iter().map(|row| row["cost"]["peak_activation_byte_count"].as_u64().unwrap()).collect();
    assert!(peaks[0] < peaks[1] && peaks[2] < peaks[0], "{peaks:?}");
    // At least the input of a layer, and its first feed-forward product with and without bias.
    assert!(peaks[0] >= 4 * batch * tokens * (width + 2 * inner), "{peaks:?}");

    let text = workspace.planforge(&["inspect", "bert.toml", "--graph"]);
    text.succeeds();
    for line in [
        "input input_ids: int64 [batch, sequence]",
        "output last_hidden_state: fp32 [batch, sequence, 16]",
        "weight encoder.layer.0.output.dense.weight: fp32[16, 24] in model.safetensors at ",
        "encoder.layer.1.intermediate.dense.sum/gelu = Gelu(encoder.layer.1.intermediate.dense.sum) approximate=none",
    ] {
        assert!(text.stdout.contains(line), "`{line}` is not in:\n{}", text.stdout);
    }
}

#[test]
fn an_onnx_file_is_shown_and_another_is_refused() {
    let workspace = Workspace::empty();
    fs_err::copy(repository().join("fixtures/tiny-onnx/embed/model.onnx"), workspace.path("graph.onnx")).unwrap();
    let text = workspace.planforge(&["inspect", "graph.onnx"]);
    text.succeeds();
    assert!(text.stdout.contains("opset ai.onnx") && text.stdout.contains("input "), "{}", text.stdout);
    workspace.write("text.onnx", "no graph");
    workspace.planforge(&["inspect", "text.onnx"]).fails(2, &["unusable ONNX graph `text.onnx`"]);
}
