//! Mistakes in requests and configurations: each is answered with its reason, and the server lives on.

use super::{Packaged, REQUIRED, assert_close, invoke, json_body, outputs, request, with_options, with_server};
use crate::support::triton_backend;
use planforge_core::{InferRequest, RequestBody, Task};
use planforge_runtime::{Tensor, TensorValues};
use planforge_testkit::{TritonOptions, TritonServer, isolated};
use serde_json::json;

/// A request with one thing wrong, and words of the answer.
type Mistake = (&'static str, fn(&mut InferRequest), &'static str);

const MISTAKES: [Mistake; 9] = [
    ("rank", |request| request.inputs[0].shape = vec![2, 2, 1], "unexpected shape for input"),
    ("batch", |request| many(request, 9), "inference request batch-size must be <= 8"),
    ("type", |request| request.inputs[0].datatype = "INT32".to_owned(), "data-type is 'INT32'"),
    ("name", |request| request.inputs[0].name = "ids".to_owned(), "unexpected inference input 'ids'"),
    ("missing", |request| drop(request.inputs.pop()), "expected 3 inputs but got 2 inputs"),
    ("too few", |request| drop(request.inputs[0].data.0.pop()), "Shape does not match true shape of 'data' field"),
    ("output", |request| request.outputs = wanted("nope"), "unexpected inference output 'nope'"),
    // These two the server cannot know.
    (
        "sequences",
        |request| longer(request),
        "input `token_type_ids` has sequence 3, input `attention_mask` has sequence 2",
    ),
    ("token", |request| request.inputs[0].data.0[1] = json!(9_999_999), "indices element out of data bounds"),
];

fn wanted(name: &str) -> Vec<planforge_core::RequestedOutput> {
    serde_json::from_value(json!([{ "name": name }])).unwrap()
}

fn many(request: &mut InferRequest, batch: i64) {
    for input in &mut request.inputs {
        input.shape[0] = batch;
        input.data.0 = vec![json!(0); usize::try_from(batch * input.shape[1]).unwrap()];
    }
}

fn longer(request: &mut InferRequest) {
    let input = request.inputs.iter_mut().find(|input| input.name == "token_type_ids").unwrap();
    input.shape[1] = 3;
    input.data.0 = vec![json!(0); usize::try_from(input.shape[0] * 3).unwrap()];
}

#[test]
fn mistakes_in_requests_are_answered_and_good_ones_beside_them_too() {
    let name = concat!(module_path!(), "::mistakes_in_requests_are_answered_and_good_ones_beside_them_too");
    with_server(name, |server| {
        let packaged = Packaged::fixture("bert", Task::FeatureExtraction);
        assert_eq!(server.load(&packaged.archive, "bert.tar.gz").status, 200);
        let good = packaged.inputs(2, 2, 0);
        let expected = packaged.session().run(&good, &[]).unwrap();
        let good_body = json_body(&good);
        std::thread::scope(|scope| {
            // Good requests all the while, so that bad ones stand in the same batch as good ones.
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..60 {
                        let answer = invoke(server, "bert.tar.gz", &good_body);
                        assert_close("a good request among bad ones", &outputs(&answer), &expected);
                    }
                });
            }
            for (what, spoil, words) in MISTAKES.iter().cycle().take(4 * MISTAKES.len()) {
                let mut bad = request(&good);
                spoil(&mut bad);
                let answer = invoke(server, "bert.tar.gz", &RequestBody::json(&bad).unwrap());
                assert_eq!(answer.status, 400, "{what}: {}", answer.text());
                assert!(answer.text().contains(words), "{what}: {}", answer.text());
            }
        });
        for (what, body) in [("no JSON", "{"), ("nothing", ""), ("no inputs", "{\"inputs\":[]}")] {
            assert_eq!(server.invoke("bert.tar.gz", "application/json", body.as_bytes()).status, 400, "{what}");
        }
        let one = RequestBody::json(&InferRequest { outputs: wanted("pooler_output"), ..request(&good) }).unwrap();
        let answer = outputs(&invoke(server, "bert.tar.gz", &one));
        assert_close("one output", &answer, &expected[1..]);
    });
}

/// What is changed in `config.pbtxt`, to what, and words of the answer or of the log.
const CONFIGURATIONS: [(&str, &str, &str); 12] = [
    ("\"input_ids\"", "\"ids\"", "input `ids` is not one of the model's inputs: `input_ids`"),
    ("TYPE_FP32", "TYPE_FP16", "has data type TYPE_FP16, the model's is TYPE_FP32"),
    ("TYPE_INT64", "TYPE_STRING", "has data type TYPE_STRING, which this backend does not handle"),
    ("dims: [ -1 ]", "dims: [ -1, 1 ]", "input `input_ids` has shape [-1, -1, 1], the batch before its `dims`"),
    ("max_batch_size: 8", "max_batch_size: 0", "dynamic batching preferred size|input `input_ids` has shape [-1]"),
    ("\"model.onnx\"", "\"other.onnx\"", "other.onnx"),
    (
        "\"model.onnx\"",
        "\"model.safetensors\"",
        "is neither an ONNX graph nor an engine: this backend runs `.onnx` and `.plan` files",
    ),
    ("dynamic_batching { }", "instance_group [ { kind: KIND_GPU } ]", "has kind KIND_GPU but no GPUs are available"),
    (
        "dynamic_batching { }",
        "parameters { key: \"intra_op_thread_count\" value { string_value: \"two\" } }",
        "parameter `intra_op_thread_count` is `two`, expected a number of threads",
    ),
    (
        "dynamic_batching { }",
        "parameters { key: \"onnxruntime_library\" value { string_value: \"/nowhere.so\" } }",
        "/nowhere.so",
    ),
    (
        "dynamic_batching { }",
        "dynamic_batching { preferred_batch_size: [ 9 ] }",
        "preferred size must be <= max batch size",
    ),
    ("dynamic_batching { }", "dynamic_batching { }\nunknown: 1", "failed to read text proto from"),
];

#[test]
fn configurations_that_do_not_fit_say_why() {
    with_server(concat!(module_path!(), "::configurations_that_do_not_fit_say_why"), |server| {
        let packaged = Packaged::fixture("bert", Task::FeatureExtraction);
        for (number, (from, to, words)) in CONFIGURATIONS.iter().enumerate() {
            let target_model = format!("wrong-v{number}.tar.gz");
            let answer = load_edited(server, &packaged, &target_model, &[(from, to)]);
            assert_eq!(answer.status, 400, "{to}: {}", answer.text());
            let told = format!("{}\n{}", answer.text(), server.log());
            assert!(words.split('|').any(|words| told.contains(words)), "{to}: {}", answer.text());
        }
        // Nothing of all that is left in the way.
        assert_eq!(server.load(&packaged.archive, "right.tar.gz").status, 200);
    });
}

/// Loads an archive whose `config.pbtxt` is changed after it was unpacked.
pub(super) fn load_edited(
    server: &TritonServer,
    packaged: &Packaged,
    target_model: &str,
    edits: &[(&str, &str)],
) -> planforge_testkit::Answer {
    let file = TritonServer::unpack(&packaged.archive, target_model).join("bert/config.pbtxt");
    let mut text = fs_err::read_to_string(&file).unwrap();
    for (from, to) in edits {
        assert!(text.contains(from), "{text}");
        text = text.replace(from, to);
    }
    fs_err::write(&file, text).unwrap();
    server.load_unpacked(target_model)
}

#[test]
fn packages_that_ask_for_fused_kernels_load_with_one_warning() {
    with_server(concat!(module_path!(), "::packages_that_ask_for_fused_kernels_load_with_one_warning"), |server| {
        let packaged = Packaged::fixture("bert", Task::FeatureExtraction);
        for (target_model, value) in [("on.tar.gz", "1"), ("off.tar.gz", "0")] {
            let warnings = || server.log().matches("parameter `enable_fused_kernels` has no effect any more").count();
            let before = warnings();
            let own = format!("parameters {{ key: \"enable_fused_kernels\" value {{ string_value: \"{value}\" }} }}\n");
            let loaded = load_edited(server, &packaged, target_model, &[("backend: ", &format!("{own}backend: "))]);
            assert_eq!(loaded.status, 200, "{}\n{}", loaded.text(), server.log());
            assert_eq!(warnings(), before + 1, "{}", server.log());
            let inputs = packaged.inputs(2, 5, 0);
            let expected = packaged.session().run(&inputs, &[]).unwrap();
            assert_close(target_model, &outputs(&invoke(server, target_model, &json_body(&inputs))), &expected);
        }
    });
}

#[test]
fn a_configuration_may_warm_the_model_up_and_set_its_threads() {
    with_server(concat!(module_path!(), "::a_configuration_may_warm_the_model_up_and_set_its_threads"), |server| {
        let packaged = Packaged::fixture("resnet", Task::ImageClassification);
        let further = r#"dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100 }
instance_group [ { count: 2 kind: KIND_CPU } ]
parameters { key: "intra_op_thread_count" value { string_value: "3" } }
parameters { key: "enable_mem_arena" value { string_value: "0" } }
model_warmup [ { name: "largest" batch_size: 8 inputs { key: "INPUT__0" value { data_type: TYPE_FP32 dims: [ 3, 32, 32 ] random_data: true } } } ]
"#;
        let file = TritonServer::unpack(&packaged.archive, "warm.tar.gz").join("resnet/config.pbtxt");
        let text = fs_err::read_to_string(&file).unwrap();
        fs_err::write(&file, text.replace("dynamic_batching { }\n", further)).unwrap();
        let loaded = server.load_unpacked("warm.tar.gz");
        assert_eq!(loaded.status, 200, "{}\n{}", loaded.text(), server.log());
        let log = server.log();
        for instance in ["warm.tar.gz_0_0", "warm.tar.gz_0_1"] {
            assert!(log.contains(&format!("planforge: {instance} on the processor, 3 threads")), "{log}");
        }
        let pictures = packaged.inputs(3, 1, 5);
        let expected = packaged.session().run(&pictures, &[]).unwrap();
        assert_close("warm", &outputs(&invoke(server, "warm.tar.gz", &json_body(&pictures))), &expected);
    });
}

/// With more than one, ONNX Runtime has threads for operators that do not depend on each other.
#[test]
fn threads_of_either_kind_are_those_that_the_configuration_names() {
    let name = concat!(module_path!(), "::threads_of_either_kind_are_those_that_the_configuration_names");
    with_server(name, |server| {
        let packaged = Packaged::fixture("bert", Task::FeatureExtraction);
        let given = packaged.inputs(2, 7, 0);
        let expected = packaged.session().run(&given, &[]).unwrap();
        // Its own threads, of which the first model starts some.
        assert_eq!(server.load(&packaged.archive, "first.tar.gz").status, 200);
        let more = |(intra, inter): (usize, usize)| {
            let parameter = |kind: &str, count: usize| {
                format!("parameters {{ key: \"{kind}_op_thread_count\" value {{ string_value: \"{count}\" }} }}\n")
            };
            let to = format!("dynamic_batching {{ }}\n{}{}", parameter("intra", intra), parameter("inter", inter));
            let target_model = format!("threads-{intra}-{inter}.tar.gz");
            let before = server.thread_count();
            let loaded = load_edited(server, &packaged, &target_model, &[("dynamic_batching { }\n", &to)]);
            assert_eq!(loaded.status, 200, "{}", loaded.text());
            assert_close(&target_model, &outputs(&invoke(server, &target_model, &json_body(&given))), &expected);
            server.thread_count() - before
        };
        let one = more((1, 1));
        assert_eq!([more((4, 1)), more((1, 4))], [one + 3; 2]);
    });
}

/// Every element type, several inputs, and shapes without a batch.
#[test]
fn every_element_type_passes_through() {
    with_server(concat!(module_path!(), "::every_element_type_passes_through"), |server| {
        load_identity(server);
        let (head, raw) = identity_request();
        let content_type = format!("application/vnd.sagemaker-triton.binary+json;json-header-size={}", head.len());
        let body = [head.as_bytes(), &raw].concat();
        let answer = server.invoke("identity.tar.gz", &content_type, &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        // The server orders outputs by name.
        let sorted = [&raw[24..], &raw[..12], &raw[12..24]].concat();
        assert!(answer.body.ends_with(&sorted), "{}", answer.text());
    });
}

/// The endpoint answers 400 to either; the server's own port, which others use, tells them apart.
#[test]
fn mistakes_are_told_from_failures() {
    let options = TritonOptions { http: true, ..TritonOptions::default() };
    with_options(concat!(module_path!(), "::mistakes_are_told_from_failures"), &options, |server| {
        load_identity(server);
        let (head, mut raw) = identity_request();
        let answer = server.infer("identity.tar.gz", (&head, &raw));
        assert_eq!(answer.status, 200, "{}", answer.text());
        *raw.last_mut().unwrap() = 2;
        let answer = server.infer("identity.tar.gz", (&head, &raw));
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.text().contains("input `flag` has a byte that is neither 0 nor 1"), "{}", answer.text());
        let packaged = Packaged::fixture("bert", Task::FeatureExtraction);
        assert_eq!(server.load(&packaged.archive, "bert.tar.gz").status, 200);
        let mut bad = request(&packaged.inputs(1, 2, 0));
        longer(&mut bad);
        let answer = server.infer("bert.tar.gz", (&serde_json::to_string(&bad).unwrap(), &[]));
        assert_eq!(answer.status, 400, "{}", answer.text());
        // Only the model knows that the request is at fault.
        let mut bad = request(&packaged.inputs(1, 2, 0));
        bad.inputs[0].data.0[1] = json!(9_999_999);
        let answer = server.infer("bert.tar.gz", (&serde_json::to_string(&bad).unwrap(), &[]));
        assert_eq!(answer.status, 500, "{}", answer.text());
    });
}

fn load_identity(server: &TritonServer) {
    let folder = TritonServer::model_folder("identity.tar.gz").join("identity/1");
    fs_err::create_dir_all(&folder).unwrap();
    let graph = planforge_testkit::repository().join("fixtures/tiny-onnx/identity/model.onnx");
    fs_err::copy(graph, folder.join("model.onnx")).unwrap();
    fs_err::write(folder.with_file_name("config.pbtxt"), IDENTITY).unwrap();
    let loaded = server.load_unpacked("identity.tar.gz");
    assert_eq!(loaded.status, 200, "{}\n{}", loaded.text(), server.log());
}

/// The head of a request, and its elements: 12 bytes, 12 bytes and 2 booleans.
fn identity_request() -> (String, Vec<u8>) {
    let half = [0.0, 0.5, -1.0, 2.0, 65504.0, 1.0].map(half::f16::from_f32).to_vec();
    let inputs = [
        Tensor::new("half", &[2, 3], TensorValues::Fp16(half)).unwrap(),
        Tensor::new("integer", &[1, 3], TensorValues::Int32(vec![i32::MIN, 0, i32::MAX])).unwrap(),
        Tensor::new("flag", &[2], TensorValues::Bool(vec![true, false])).unwrap(),
    ];
    let raw: Vec<u8> = inputs.iter().flat_map(|input| input.view().bytes.to_vec()).collect();
    let tensor = |input: &Tensor| {
        let (size, datatype) = (input.view().bytes.len(), input.data_type().kserve_name());
        json!({ "name": input.name, "shape": input.shape, "datatype": datatype, "parameters": { "binary_data_size": size } })
    };
    let parameters = json!({ "binary_data_output": true });
    let head = json!({ "inputs": inputs.iter().map(tensor).collect::<Vec<_>>(), "parameters": parameters });
    (head.to_string(), raw)
}

const IDENTITY: &str = r#"backend: "planforge"
max_batch_size: 0
input [
  { name: "half" data_type: TYPE_FP16 dims: [ 2, 3 ] },
  { name: "integer" data_type: TYPE_INT32 dims: [ -1, 3 ] },
  { name: "flag" data_type: TYPE_BOOL dims: [ 2 ] }
]
output [
  { name: "half_out" data_type: TYPE_FP16 dims: [ 2, 3 ] },
  { name: "integer_out" data_type: TYPE_INT32 dims: [ -1, 3 ] },
  { name: "flag_out" data_type: TYPE_BOOL dims: [ 2 ] }
]
"#;

#[test]
fn a_server_without_onnx_runtime_says_where_it_was_looked_for() {
    let name = concat!(module_path!(), "::a_server_without_onnx_runtime_says_where_it_was_looked_for");
    isolated(name, REQUIRED, || {
        let backends = tempfile::tempdir().unwrap();
        fs_err::create_dir(backends.path().join("planforge")).unwrap();
        fs_err::copy(triton_backend(), backends.path().join("planforge/libtriton_planforge.so")).unwrap();
        let options = TritonOptions { backends: Some(backends.path().to_owned()), ..TritonOptions::default() };
        let server = TritonServer::start(&options);
        let packaged = Packaged::fixture("resnet", Task::ImageClassification);
        let answer = server.load(&packaged.archive, "resnet.tar.gz");
        assert_eq!(answer.status, 400);
        let text = answer.text();
        let place = backends.path().join("planforge/libonnxruntime.so");
        assert!(text.contains("ONNX Runtime was not found") && text.contains(place.to_str().unwrap()), "{text}");
        assert!(text.contains("--backend-config=planforge,onnxruntime-library=PATH"), "{text}");
        server.stop();
        let runtime = planforge_testkit::native().join("onnxruntime/libonnxruntime.so");
        let setting = format!("--backend-config=planforge,onnxruntime-library={}", runtime.display());
        let server = TritonServer::start(&TritonOptions { arguments: vec![setting], ..options });
        assert_eq!(server.load(&packaged.archive, "resnet.tar.gz").status, 200);
        server.stop();
    });
}
