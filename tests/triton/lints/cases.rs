//! What is done to archives.

use std::path::Path;

/// What is done to an unpacked archive, and whether the server takes it then.
pub(super) type Case = (&'static str, fn(&Path), bool);

pub(super) const CASES: &[Case] = &[
    ("untouched", |_| (), true),
    ("with files at the top", |top| write(top, "README", "text"), true),
    ("flat", flat, true),
    ("without a name", |top| config(top, "name: \"resnet\"\n", ""), true),
    ("with another name", |top| config(top, "name: \"resnet\"", "name: \"other\""), true),
    ("with comments and commas", |top| config(top, "max_batch_size: 8", "max_batch_size: 8, # eight"), true),
    ("with a second version", |top| copy(top, "resnet/1", "resnet/2"), true),
    ("with a folder that is almost a version", |top| copy(top, "resnet/1", "resnet/20240101-notes"), false),
    ("with a folder that is almost a version next to one", |top| copy_both(top, "2", "2.bak"), true),
    ("with a version that begins with 0", |top| rename(top, "resnet/1", "resnet/01"), false),
    ("with such a version next to another", |top| copy(top, "resnet/1", "resnet/01"), true),
    ("with a folder called configs", |top| copy(top, "resnet/1", "resnet/configs"), true),
    (
        "with all versions, of which one lacks its file",
        |top| {
            copy(top, "resnet/1", "resnet/2");
            remove(top, "resnet/1/model.onnx");
            add(top, "version_policy { all { } }");
        },
        false,
    ),
    ("without a backend, with a file of another name", |top| without_backend(top, Some("bert.onnx")), false),
    ("without a backend, and without a file", |top| without_backend(top, None), false),
    ("with an ensemble next to it", |top| ensemble(top, "resnet", ""), true),
    ("with an ensemble of a model that is missing", |top| ensemble(top, "nowhere", ""), false),
    ("with an ensemble that has instances", |top| ensemble(top, "resnet", "instance_group { count: 1 }"), false),
    (
        "with an ensemble of a model that calls itself something else",
        |top| {
            ensemble(top, "resnet", "");
            config(top, "name: \"resnet\"", "name: \"other\"");
        },
        false,
    ),
    (
        "with an ensemble of a broken model",
        |top| {
            ensemble(top, "resnet", "");
            add(top, "nonsense");
        },
        false,
    ),
    ("with a count of 0", |top| add(top, "instance_group [ { count: 0 } ]"), true),
    ("with a cache", |top| add(top, "response_cache { enable: true }"), true),
    (
        "with an input twice",
        |top| {
            config(
                top,
                "output [",
                "input [ { name: \"INPUT__0\" data_type: TYPE_FP32 dims: [ 3, 32, 32 ] } ]\noutput [",
            )
        },
        true,
    ),
    ("one folder too deep", |top| move_into(top, "repository"), false),
    ("without a version", |top| remove(top, "resnet/1"), false),
    ("with a version called v1", |top| rename(top, "resnet/1", "resnet/v1"), false),
    ("without a folder", |top| remove(top, "resnet"), false),
    ("without its file", |top| remove(top, "resnet/1/model.onnx"), false),
    ("with an unknown field", |top| add(top, "unknown: 1"), false),
    ("with a type without TYPE_", |top| config(top, "data_type: TYPE_FP32", "data_type: FP32"), false),
    ("with a quoted type", |top| config(top, "data_type: TYPE_FP32", "data_type: \"TYPE_FP32\""), false),
    ("with a trailing comma", |top| config(top, "dims: [ 3, 32, 32 ]", "dims: [ 3, 32, 32, ]"), false),
    ("with a strange platform and file", strange, false),
    ("with an open bracket", |top| add(top, "instance_group ["), false),
    ("with a byte order mark", |top| config(top, "name: \"resnet\"", "\u{feff}name: \"resnet\""), false),
    ("with two schedulers", |top| add(top, "sequence_batching { }"), false),
    ("with a field twice", |top| add(top, "backend: \"planforge\""), false),
    ("with text for a number", |top| config(top, "max_batch_size: 8", "max_batch_size: \"8\""), false),
    ("with a word for a text", |top| config(top, "name: \"resnet\"", "name: resnet"), false),
    ("without dims", |top| config(top, "dims: [ 3, 32, 32 ]", ""), false),
    ("with a dim of 0", |top| config(top, "dims: [ 3, 32, 32 ]", "dims: [ 3, 0, 32 ]"), false),
    ("with a negative batch", |top| config(top, "max_batch_size: 8", "max_batch_size: -1"), false),
    ("with a nameless input", |top| config(top, "name: \"INPUT__0\"", ""), false),
    (
        "with too large a preferred batch",
        |top| config(top, "dynamic_batching { }", "dynamic_batching { preferred_batch_size: 9 }"),
        false,
    ),
    (
        "with a preferred batch of 0",
        |top| config(top, "dynamic_batching { }", "dynamic_batching { preferred_batch_size: 0 }"),
        false,
    ),
    (
        "with a priority that is none",
        |top| config(top, "dynamic_batching { }", "dynamic_batching { priority_levels: 2 default_priority_level: 3 }"),
        false,
    ),
    (
        "with a reshape of another size",
        |top| config(top, "dims: [ 3, 32, 32 ]", "dims: [ 3, 32, 32 ] reshape { shape: [ 5 ] }"),
        false,
    ),
    (
        "with a format of three dims",
        |top| config(top, "dims: [ 3, 32, 32 ]", "format: FORMAT_NCHW dims: [ 3, 1024 ]"),
        false,
    ),
    (
        "with a parameter of earlier releases",
        |top| add(top, "parameters { key: \"enable_fused_kernels\" value { string_value: \"1\" } }"),
        true,
    ),
    ("with GPUs for the processor", |top| add(top, "instance_group [ { kind: KIND_CPU gpus: [ 0 ] } ]"), false),
    ("with a version that is not there", |top| add(top, "version_policy { specific { versions: 7 } }"), false),
];

/// What is changed in `config.pbtxt`, to what, and whether the server takes it then.
pub(super) const EDITS: &[(&str, &str, bool)] = &[
    // Separators.
    (FLOAT, "data_type: TYPE_FP32,", true),
    ("dims: [ 3, 32, 32 ]", "dims: [ 3, 32, 32 ],", true),
    ("dims: [ 3, 32, 32 ]", "dims: [ 3, 32, 32 ];", true),
    (BATCHING, "dynamic_batching { preferred_batch_size: [ 4, 8 ], };", true),
    (BATCHING, "parameters < key: \"a\", value { string_value: \"b\", }, >,", true),
    (BATCHING, "parameters < key: \"a\" }", false),
    (BATCHING, ",,", false),
    ("max_batch_size: 8", "max_batch_size: 8,,", false),
    (BATCHING, "dynamic_batching { , preferred_batch_size: 4 }", false),
    // Spaces, numbers and strings.
    ("max_batch_size: 8", "max_batch_size:\u{a0}8", false),
    ("max_batch_size: 8", "max_batch_size:\u{b}8\u{c}", true),
    ("max_batch_size: 8", "max_batch_size: 8 \0", false),
    ("max_batch_size: 8", "max_batch_size: 0x8", true),
    ("max_batch_size: 8", "max_batch_size: 010", true),
    ("max_batch_size: 8", "max_batch_size: 08", false),
    ("max_batch_size: 8\n", "max_batch_size: 8", false),
    ("max_batch_size: 8", "max_batch_size: +8", false),
    (BATCHING, "dynamic_batching { max_queue_delay_microseconds: 18446744073709551615 }", true),
    (BATCHING, "sequence_batching { direct { minimum_slot_utilization: 00.5 } }", false),
    (BATCHING, r#"parameters { key: "\u00e9" value { string_value: "\U0001F600\ud83d\ude00" } }"#, true),
    (BATCHING, r#"parameters { key: "\u00e" }"#, false),
    (BATCHING, r#"parameters { key: "\q" }"#, false),
    // Kinds and counts of values.
    ("max_batch_size: 8", "max_batch_size: [ 8 ]", false),
    ("max_batch_size: 8", "max_batch_size: 3000000000", false),
    ("max_batch_size: 8", "max_batch_size: 0 max_batch_size: 8", true),
    ("dims: [ 3, 32, 32 ]", "dims [ 3, 32, 32 ]", false),
    (FLOAT, "data_type: 11", true),
    (FLOAT, "data_type: TYPE_FP32 data_type: TYPE_FP32", false),
    (BATCHING, "dynamic_batching [ ]", false),
    (BATCHING, "dynamic_batching { preferred_batch_size [ ] }", false),
    (BATCHING, "dynamic_batching { max_queue_delay_microseconds: -1 }", false),
    (BATCHING, "dynamic_batching { default_queue_policy { max_queue_size: 4294967296 } }", false),
    (BATCHING, "response_cache { enable: 0x0 }", true),
    (BATCHING, "response_cache { enable: 2 }", false),
    (BATCHING, "version_policy { latest { num_versions: 1 } all { } }", false),
    (BATCHING, "parameters { key: 1 value { } }", false),
    (BATCHING, "parameters [ { key: \"a\" }, { key: \"a\" value { } } ]", true),
    (BATCHING, "dynamic_batching { priority_queue_policy { key: \"1\" value { } } }", false),
    // Inputs and outputs.
    (FLOAT, "", false),
    (SHAPE, "dims: [ 3, 32, 32 ] reshape { shape: [ 0, 3072 ] }", false),
    (SHAPE, "dims: [ 3, -1, 2 ] reshape { shape: [ 2, -1, 3 ] }", false),
    (SHAPE, "dims: [ -1, 4 ] reshape { shape: [ 4 ] }", false),
    (SHAPE, "dims: [ -1 ] reshape { shape: [ ] }", false),
    (SHAPE, "dims: [ 3, 32, 32 ] is_shape_tensor: true", false),
    (SHAPE, "dims: [ 3, 32, 32 ] is_shape_tensor: false", true),
    (SHAPE, "dims: [ 3, 32, 32 ] is_non_linear_format_io: true", false),
    (SHAPE, "dims: [ 3, 1024 ] format: 2", false),
    // What runs it.
    (BACKEND, "backend: \"planforge\" platform: \"of my own\"", true),
    (BACKEND, "platform: \"onnxruntime\" backend: \"onnxruntime\"", false),
    (BACKEND, "platform: \"ensemble\" backend: \"planforge\"", false),
    (BACKEND, "platform: \"ensemble\"", false),
    (BACKEND, "platform: \"caffe\"", false),
    (BACKEND, "backend: \"tensorflow\"", false),
    // How requests reach it.
    (BATCHING, "sequence_batching { oldest { preferred_batch_size: 9 } }", false),
    (BATCHING, "sequence_batching { direct { minimum_slot_utilization: 1.5 } }", false),
    (
        BATCHING,
        "dynamic_batching { priority_levels: 2 default_priority_level: 1 priority_queue_policy { key: 3 value { } } }",
        false,
    ),
    (BATCHING, "dynamic_batching { priority_levels: 2 default_priority_level: 1 preserve_ordering: true }", false),
    (
        BATCHING,
        "dynamic_batching { preserve_ordering: true \
         default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 5 } }",
        false,
    ),
    (BATCHING, "dynamic_batching { preserve_ordering: true default_queue_policy { timeout_action: DELAY } }", true),
    (BATCHING, "response_cache { enable: true } model_transaction_policy { decoupled: true }", false),
    (BATCHING, "response_cache { enable: true } sequence_batching { }", false),
    (BATCHING, "ensemble_scheduling { step { model_name: \"a\" } }", false),
    (BATCHING, "version_policy { latest { } }", false),
    (BATCHING, "version_policy { specific { versions: [ 1, 7 ] } }", true),
    (BATCHING, "version_policy { }", true),
    (BATCHING, "instance_group { kind: KIND_MODEL gpus: 0 }", false),
    (BATCHING, "instance_group { kind: 2 gpus: 0 }", false),
    (BATCHING, "instance_group { profile: \"1\" }", false),
    // Warm-up.
    (BATCHING, "model_warmup { name: \"w\" inputs { key: \"x\" value { input_data_file: \"none\" } } }", true),
    (
        BATCHING,
        "model_warmup { batch_size: 1 inputs { key: \"INPUT__0\" value { \
         data_type: TYPE_FP32 dims: [ 3, -1, 32 ] random_data: true } } }",
        false,
    ),
    (
        BATCHING,
        "model_warmup { batch_size: 1 inputs { key: \"INPUT__0\" value { \
         data_type: TYPE_FP32 dims: [ 3, 32, 32 ] } } }",
        false,
    ),
    (BATCHING, "model_warmup { batch_size: 1 }", false),
    (
        BATCHING,
        "model_warmup { batch_size: 1 inputs { key: \"x\" value { data_type: TYPE_FP32 dims: 4 zero_data: true } } }",
        false,
    ),
    (
        BATCHING,
        "model_warmup { batch_size: 1 inputs { key: \"INPUT__0\" value { \
         data_type: TYPE_FP32 dims: [ 3, 32 ] zero_data: true } } }",
        false,
    ),
    (
        BATCHING,
        "model_warmup { batch_size: 1 inputs { key: \"INPUT__0\" value { \
         data_type: TYPE_INT32 dims: [ 3, 32, 32 ] zero_data: true } } }",
        false,
    ),
];
const BACKEND: &str = "backend: \"planforge\"";
const SHAPE: &str = "dims: [ 3, 32, 32 ]";
const BATCHING: &str = "dynamic_batching { }";
const FLOAT: &str = "data_type: TYPE_FP32";

/// Those whose answer depends on the server's backends.
pub(super) const PLATFORMS: &[(&str, &str, bool)] = &[
    ("backend: \"planforge\"", "platform: \"tensorrt\"", false),
    ("backend: \"planforge\"", "platform: \"onnxruntime_onnx\" backend: \"tensorrt\"", false),
    (
        "dynamic_batching { }",
        "model_warmup [ { name: \"w\" batch_size: 1 inputs { key: \"INPUT__0\" value { \
         data_type: TYPE_FP32 dims: [ 3, 32, 32 ] input_data_file: \"none\" } } } ]",
        false,
    ),
];

fn write(top: &Path, file: &str, text: &str) {
    fs_err::write(top.join(file), text).unwrap();
}

pub(super) fn config(top: &Path, from: &str, to: &str) {
    let file = top.join("resnet/config.pbtxt");
    let text = fs_err::read_to_string(&file).unwrap();
    assert!(text.contains(from), "`{from}` is not in:\n{text}");
    fs_err::write(file, text.replacen(from, to, 1)).unwrap();
}

fn add(top: &Path, line: &str) {
    config(top, "name: \"resnet\"\n", &format!("name: \"resnet\"\n{line}\n"));
}

fn remove(top: &Path, path: &str) {
    let path = top.join(path);
    if path.is_dir() { fs_err::remove_dir_all(path).unwrap() } else { fs_err::remove_file(path).unwrap() }
}

fn rename(top: &Path, from: &str, to: &str) {
    fs_err::rename(top.join(from), top.join(to)).unwrap();
}

fn copy(top: &Path, from: &str, to: &str) {
    fs_err::create_dir(top.join(to)).unwrap();
    for entry in fs_err::read_dir(top.join(from)).unwrap() {
        let entry = entry.unwrap();
        fs_err::copy(entry.path(), top.join(to).join(entry.file_name())).unwrap();
    }
}

fn copy_both(top: &Path, one: &str, other: &str) {
    copy(top, "resnet/1", &format!("resnet/{one}"));
    copy(top, "resnet/1", &format!("resnet/{other}"));
}

fn without_backend(top: &Path, file: Option<&str>) {
    config(top, "backend: \"planforge\"\n", "");
    let named = file.map_or(String::new(), |file| format!("default_model_filename: \"{file}\""));
    config(top, "default_model_filename: \"model.onnx\"", &named);
    rename(top, "resnet/1/model.onnx", &format!("resnet/1/{}", file.unwrap_or("bert.onnx")));
}

/// Puts an ensemble of one model next to it, which has its inputs and outputs.
fn ensemble(top: &Path, model: &str, further: &str) {
    let own = fs_err::read_to_string(top.join("resnet/config.pbtxt")).unwrap();
    let (from, to) = (own.find("input [").unwrap(), own.find("dynamic_batching").unwrap());
    let tensors = own[from..to].replace("label_filename: \"labels.txt\"", "");
    let text = format!(
        "platform: \"ensemble\"\nmax_batch_size: 8\n{tensors}\n{further}\nensemble_scheduling {{ step {{
        model_name: \"{model}\" model_version: -1 input_map {{ key: \"INPUT__0\" value: \"INPUT__0\" }}
        output_map {{ key: \"OUTPUT__0\" value: \"OUTPUT__0\" }} }} }}"
    );
    fs_err::create_dir_all(top.join("both/1")).unwrap();
    fs_err::write(top.join("both/config.pbtxt"), text).unwrap();
}

fn strange(top: &Path) {
    config(top, "backend: \"planforge\"", "platform: \"caffe\"");
    config(top, "default_model_filename: \"model.onnx\"\n", "");
    rename(top, "resnet/1/model.onnx", "resnet/1/model.caffe");
}

fn move_into(top: &Path, folder: &str) {
    fs_err::create_dir(top.join(folder)).unwrap();
    rename(top, "resnet", &format!("{folder}/resnet"));
}

fn flat(top: &Path) {
    rename(top, "resnet/1", "1");
    rename(top, "resnet/config.pbtxt", "config.pbtxt");
    rename(top, "resnet/labels.txt", "labels.txt");
    remove(top, "resnet");
}
