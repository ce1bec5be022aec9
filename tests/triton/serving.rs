//! A pipeline's `[triton]` table in a real server.

use super::{invoke, json_body, outputs, request, with_options};
use crate::parity::folder;
use crate::support::Workspace;
use planforge_core::{DataType, Dim, RequestBody, RequestedOutput, TensorSpec};
use planforge_testkit::{TritonOptions, TritonServer, repository};
use serde_json::{Map, Value, json};

/// A pipeline over the small ResNet of the fixtures with these tables.
fn resnet(tables: &str) -> Workspace {
    let workspace = Workspace::empty();
    std::os::unix::fs::symlink(folder("resnet"), workspace.path("model")).unwrap();
    let text = format!(
        "name = \"p\"\ntask = \"image-classification\"\n[source]\npath = \"model\"\n[[profiles]]\nbatch = [1, 4, 8]\n{tables}"
    );
    workspace.write("p.toml", &text);
    workspace
}

const SETTINGS: &str = r#"[export]
image_size = [32, 32]
[package]
onnx_backend = "planforge"
[triton]
instances = 2
instance_kind = "cpu"
preferred_batch_sizes = [4, 8]
max_queue_delay_microseconds = 100
warm_up_batch_sizes = [1, 8]
response_cache = true
config = "more.pbtxt"
"#;

const MORE: &str = r#"parameters { key: "intra_op_thread_count" value { string_value: "3" } }
model_transaction_policy { decoupled: false }
"#;

fn pictures(batch: usize) -> Vec<planforge_runtime::Tensor> {
    let dims = vec![Dim::dynamic("batch"), Dim::Fixed(3), Dim::Fixed(32), Dim::Fixed(32)];
    super::inputs(&[TensorSpec::new("INPUT__0", DataType::Fp32, dims)], (batch, 1), 3)
}

#[test]
fn settings_are_what_the_server_does() {
    let arguments = ["--log-verbose=1", "--cache-config=local,size=1048576"].map(str::to_owned).to_vec();
    let options = TritonOptions { arguments, ..TritonOptions::default() };
    with_options(concat!(module_path!(), "::settings_are_what_the_server_does"), &options, |server| {
        let workspace = resnet(SETTINGS);
        workspace.write("more.pbtxt", MORE);
        workspace.planforge(&["package", "p.toml"]).succeeds();
        let archive = workspace.path("planforge-out/p/archives/onnx-fp32/p.tar.gz");
        let loaded = server.load(&archive, "p-v0.tar.gz");
        assert_eq!(loaded.status, 200, "{}\n{}", loaded.text(), server.log());
        let log = server.log();
        for instance in ["p-v0.tar.gz_0_0", "p-v0.tar.gz_0_1"] {
            assert!(log.contains(&format!("planforge: {instance} on the processor, 3 threads")), "{log}");
            for batch in [1, 8] {
                let told = format!("instance {instance} is running warmup sample 'batch of {batch}'");
                assert!(log.contains(&told), "{log}");
            }
        }
        classes_have_names(server, &workspace);
        equal_requests_are_answered_from_the_cache(server);
        warm_up_data_is_read(server, &archive);
    });
}

/// Triton's classification extension gives the highest scores with their names.
fn classes_have_names(server: &TritonServer, workspace: &Workspace) {
    let pictures = pictures(2);
    let scores = outputs(&invoke(server, "p-v0.tar.gz", &json_body(&pictures)));
    let planforge_runtime::TensorValues::Fp32(scores) = &scores[0].values else { panic!("scores are fp32") };
    let best: Vec<usize> = scores
        .chunks(scores.len() / 2)
        .map(|row| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap())
        .collect();
    let config: Value = serde_json::from_slice(&fs_err::read(workspace.path("model/config.json")).unwrap()).unwrap();
    let mut body = request(&pictures);
    let parameters = Map::from_iter([("classification".to_owned(), json!(1))]);
    body.outputs = vec![RequestedOutput { name: "OUTPUT__0".to_owned(), parameters }];
    let answer = invoke(server, "p-v0.tar.gz", &RequestBody::json(&body).unwrap());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    for (best, class) in best.iter().zip(answer["outputs"][0]["data"].as_array().unwrap()) {
        let name = config["id2label"][best.to_string()].as_str().unwrap();
        assert!(class.as_str().unwrap().ends_with(&format!(":{best}:{name}")), "{class} is not {best}, {name}");
    }
}

fn equal_requests_are_answered_from_the_cache(server: &TritonServer) {
    let body = json_body(&pictures(3));
    let executions = || server.counter("nv_inference_exec_count", "p-v0.tar.gz");
    let first = invoke(server, "p-v0.tar.gz", &body);
    let before = executions();
    let second = invoke(server, "p-v0.tar.gz", &body);
    assert_eq!((first.body, executions()), (second.body, before));
}

/// The server reads the files, and misses bytes that are not there.
fn warm_up_data_is_read(server: &TritonServer, archive: &std::path::Path) {
    let file = TritonServer::unpack(archive, "short.tar.gz").join("p/warmup/input-0");
    assert_eq!(fs_err::metadata(&file).unwrap().len(), 3 * 32 * 32 * 4);
    fs_err::write(&file, [0; 100]).unwrap();
    let loaded = server.load_unpacked("short.tar.gz");
    assert_eq!(loaded.status, 400, "{}", loaded.text());
    assert!(loaded.text().contains("12288"), "{}", loaded.text());
}

/// Configurations for backends that this server lacks pass its parser and its checks, which miss only the library.
#[test]
fn settings_of_other_backends_are_accepted() {
    let name = concat!(module_path!(), "::settings_of_other_backends_are_accepted");
    with_options(name, &TritonOptions::default(), |server| {
        let accelerated = resnet(
            "[triton]\nwarm_up_batch_sizes = [4]\n[triton.tensorrt_accelerator]\nprecision = \"fp16\"\nworkspace = \"1 GiB\"\n\
             engine_cache = \"/tmp/engines\"\n",
        );
        accelerated.planforge(&["package", "p.toml"]).succeeds();
        let loaded = server.load(&accelerated.path("planforge-out/p/archives/onnx-fp32/p.tar.gz"), "onnx.tar.gz");
        let text = loaded.text();
        assert!(text.contains("unable to find backend library for backend 'onnxruntime'"), "{text}");
        let config = fs_err::read_to_string(TritonServer::model_folder("onnx.tar.gz").join("p/config.pbtxt")).unwrap();
        assert!(config.contains("key: \"precision_mode\" value: \"FP16\""), "{config}");
        let plan = resnet(
            "[export]\nprecisions = [\"fp16\"]\nmeasure_ranges = false\n[compile]\nbuilder = \"trtexec\"\ngpus = [\"a10g\"]\n\
             [package]\nplatforms = [\"tensorrt\"]\n[triton]\ncuda_graphs = true\n",
        );
        let tool = repository().join("fixtures/trtexec/fake");
        let mut command = plan.command(&["package", "p.toml", "--trtexec", tool.to_str().unwrap()]);
        command.env("FAKE_TRTEXEC_VERSION", "10.9.0");
        crate::support::end(command).succeeds();
        let archive = plan.path("planforge-out/p/archives/tensorrt-fp16-a10g/p.tar.gz");
        let folder = TritonServer::unpack(&archive, "plan.tar.gz").join("p");
        let config = fs_err::read_to_string(folder.join("config.pbtxt")).unwrap();
        assert!(config.starts_with("name: \"p\"\nplatform: \"tensorrt_plan\"\nbackend: \"tensorrt\"\n"), "{config}");
        assert!(config.contains("graphs: true"), "{config}");
        let text = server.load_unpacked("plan.tar.gz").text();
        assert!(text.contains("unable to find backend library for backend 'tensorrt'"), "{text}");
    });
}

#[test]
fn what_triton_would_not_take_is_refused_before_there_is_an_archive() {
    let refused = |more: &str, words: &[&str]| {
        let workspace = resnet(SETTINGS);
        workspace.write("more.pbtxt", more);
        workspace.planforge(&["package", "p.toml"]).fails(2, words);
        assert!(!workspace.path("planforge-out/p/archives").exists());
    };
    refused("max_batch_size: 12", &["more.pbtxt` line 1: `max_batch_size` follows from the model"]);
    refused("\npriority: 3", &["more.pbtxt` line 2: there is no field `priority` here"]);
    refused(
        "dynamic_batching { preferred_batch_size: [ 12 ] }",
        &["variant `onnx-fp32`: Triton would not load it", "a preferred batch of 12 is above `max_batch_size`, 8"],
    );
    refused("version_policy { specific { versions: [ 7 ] } }", &["none of these versions is in the archive"]);
    let missing = resnet(SETTINGS);
    missing.planforge(&["package", "p.toml"]).fails(2, &["triton.config", "more.pbtxt"]);
    let large = resnet(&SETTINGS.replace("[4, 8]", "[4, 9]"));
    large.planforge(&["package", "p.toml"]).fails(2, &["triton.preferred_batch_sizes", "expected 1 to 8"]);
}
