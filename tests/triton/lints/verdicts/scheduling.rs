//! Sequences and their states, inputs and outputs of batches, and warm-ups.

use super::Case;
use super::archive::{Archive, Spec};

const TYPES: [&str; 15] = [
    "INVALID", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32",
    "FP64", "STRING", "BF16",
];

pub(super) fn cases() -> Vec<Case> {
    [controls(), batch_inputs(), batch_outputs(), states(), warmups()].concat()
}

fn case(name: &str, extra: &str) -> Case {
    (name.to_owned(), Archive::of(&Spec::with(extra)))
}

fn control(name: &str, control: &str) -> String {
    format!("control_input {{ name: \"{name}\" control {{ {control} }} }}")
}

fn controls() -> Vec<Case> {
    let sequences =
        |name: &str, inputs: &str| case(&format!("control: {name}"), &format!("sequence_batching {{ {inputs} }}"));
    let mut cases = vec![
        sequences("none", ""),
        sequences("a tensor without a control", "control_input { name: \"s\" }"),
        sequences("without a name", &control("", "int32_false_true: [ 0, 1 ]")),
        sequences("nothing", "control_input { }"),
        sequences("equal values", &control("s", "int32_false_true: [ 1, 1 ]")),
        sequences("of no known kind", &control("s", "kind: 9 int32_false_true: 0")),
        sequences("kind by number", &control("s", "kind: 2 int32_false_true: 0")),
        sequences("with a type too", &control("s", "int32_false_true: [ 0, 1 ] data_type: TYPE_FP16")),
        sequences("called like an input", &control("x", "int32_false_true: [ 0, 1 ]")),
        sequences(
            "two of a tensor",
            "control_input { name: \"s\" control { int32_false_true: [ 0, 1 ] } \
             control { kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ] } }",
        ),
    ];
    let values = [("int32", "1"), ("fp32", "0.5"), ("bool", "true")];
    for kind in ["START", "READY", "END"] {
        let kind_field = format!("kind: CONTROL_SEQUENCE_{kind}");
        cases.push(sequences(&format!("{kind} without values"), &control("s", &kind_field)));
        for (data_type, value) in values {
            for count in 1..=3 {
                let list = vec![value; count].join(", ");
                let one = format!("{kind_field} {data_type}_false_true: [ {list} ]");
                cases.push(sequences(&format!("{kind}, {count} of {data_type}"), &control("s", &one)));
            }
        }
        let [int32, fp32] = ["int32", "fp32"].map(|data_type| format!("{data_type}_false_true: [ 0, 1 ]"));
        let both = control("s", &format!("{kind_field} {int32} {fp32}"));
        cases.push(sequences(&format!("{kind} of two types"), &both));
        let one = format!("{kind_field} {int32}");
        cases.push(sequences(&format!("{kind} twice"), &(control("s", &one) + &control("t", &one))));
        let other = "kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT32";
        cases.push(sequences(&format!("{kind} and ID of a tensor"), &(control("s", &one) + &control("s", other))));
        cases.push(sequences(&format!("{kind} and ID"), &(control("s", &one) + &control("t", other))));
    }
    for data_type in TYPES {
        let id = format!("kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_{data_type}");
        cases.push(sequences(&format!("ID of {data_type}"), &control("s", &id)));
    }
    let id = "kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64";
    cases.push(sequences("ID without a type", &control("s", "kind: CONTROL_SEQUENCE_CORRID")));
    cases.push(sequences("ID with values", &control("s", &format!("{id} fp32_false_true: [ 0, 1 ]"))));
    cases.push(sequences("ID twice", &(control("s", id) + &control("t", id))));
    cases
}

fn batch_inputs() -> Vec<Case> {
    let kinds = [
        "BATCH_ELEMENT_COUNT",
        "BATCH_ACCUMULATED_ELEMENT_COUNT",
        "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO",
        "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE",
        "BATCH_ITEM_SHAPE",
        "BATCH_ITEM_SHAPE_FLATTEN",
    ];
    let with = |name: &str, rest: &str| {
        case(&format!("batch input: {name}"), &format!("batch_input {{ target_name: \"t\" {rest} }}"))
    };
    let mut cases = vec![
        with("unknown source", "data_type: TYPE_FP32 source_input: \"q\""),
        with("of an output", "data_type: TYPE_FP32 source_input: \"y\""),
        with("without a type", "source_input: \"x\""),
        with("of no known kind", "kind: 9 data_type: TYPE_FP32 source_input: \"x\""),
    ];
    for kind in kinds {
        for count in 0..=2 {
            let sources = "source_input: \"x\" ".repeat(count);
            let rest = format!("kind: {kind} data_type: TYPE_FP32 {sources}");
            cases.push(with(&format!("{kind} of {count}"), &rest));
        }
    }
    for data_type in TYPES {
        cases.push(with(&format!("of {data_type}"), &format!("data_type: TYPE_{data_type} source_input: \"x\"")));
    }
    cases
}

fn batch_outputs() -> Vec<Case> {
    let with = |name: &str, rest: &str| case(&format!("batch output: {name}"), &format!("batch_output {{ {rest} }}"));
    vec![
        with("good", "target_name: \"y\" source_input: \"x\""),
        with("without a source", "target_name: \"y\""),
        with("with two sources", "target_name: \"y\" source_input: [ \"x\", \"x\" ]"),
        with("of an unknown source", "target_name: \"y\" source_input: \"q\""),
        with("of an unknown target", "target_name: \"q\" source_input: \"x\""),
        with("with a target twice", "target_name: [ \"y\", \"y\" ] source_input: \"x\""),
        with("without a target", "source_input: \"x\""),
        with("of no known kind", "kind: 3 target_name: \"y\" source_input: \"x\""),
        with(
            "in two",
            "target_name: \"y\" source_input: \"x\" } batch_output { target_name: \"y\" source_input: \"x\"",
        ),
    ]
}

/// A model with states, and perhaps a file for one.
fn state(name: &str, states: &str, byte_count: Option<usize>) -> Case {
    let archive = Archive::of(&Spec::with(&format!("sequence_batching {{ {states} }}")));
    let archive = match byte_count {
        Some(byte_count) => archive.file("m/initial_state/f", vec![0; byte_count]),
        None => archive,
    };
    (format!("state: {name}"), archive)
}

/// A state with this initial one.
fn initial(rest: &str) -> String {
    format!(
        "state {{ input_name: \"si\" output_name: \"so\" data_type: TYPE_FP32 dims: [ 4, -1 ] initial_state {{ {rest} }} }}"
    )
}

const INITIAL: &str = "name: \"i\" data_type: TYPE_FP32 dims: [ 4, 2 ]";

fn states() -> Vec<Case> {
    let file = initial(&format!("{INITIAL} data_file: \"f\""));
    vec![
        state(
            "without an initial one",
            "state { input_name: \"si\" output_name: \"so\" data_type: TYPE_FP32 dims: 4 }",
            None,
        ),
        state("without names", "state { data_type: TYPE_FP32 dims: 4 }", None),
        state("zeros", &initial(&format!("{INITIAL} zero_data: true")), None),
        state("a file", &file, Some(32)),
        state("a longer file", &file, Some(33)),
    ]
}

/// States that the server refuses, after which a signal may end it.
pub(super) fn refused_states() -> Vec<Case> {
    let zeros = initial(&format!("{INITIAL} zero_data: true"));
    let file = initial(&format!("{INITIAL} data_file: \"f\""));
    let two = zeros.replace("initial_state", &format!("initial_state {{ {INITIAL} zero_data: true }} initial_state"));
    let other = |from: &str, to: &str| zeros.replace(&format!("{from} zero_data"), &format!("{to} zero_data"));
    vec![
        state("of another type", &zeros.replace("\"i\" data_type: TYPE_FP32", "\"i\" data_type: TYPE_INT32"), None),
        state("without a name", &zeros.replace("name: \"i\"", ""), None),
        state("of another rank", &other("dims: [ 4, 2 ]", "dims: 4"), None),
        state("of other dims", &other("dims: [ 4, 2 ]", "dims: [ 5, 2 ]"), None),
        state("of variable dims", &other("dims: [ 4, 2 ]", "dims: [ 4, -1 ]"), None),
        state("without data", &initial(INITIAL), None),
        state("two initial ones", &two, None),
        state("an input twice", &zeros.repeat(2), None),
        state("an empty file", &file, Some(0)),
        state("a short file", &file, Some(31)),
        state("a missing file", &file, None),
    ]
}

fn warmups() -> Vec<Case> {
    let with = |input: &str| {
        format!("model_warmup {{ name: \"w\" batch_size: 1 inputs {{ key: \"x\" value {{ {input} }} }} }}")
    };
    let mut cases = Vec::new();
    for (data_type, byte_count) in [("FP32", 16), ("FP16", 8), ("INT32", 16), ("INT64", 32)] {
        let tensor = |name| (name, data_type, vec![4]);
        for size in [0, byte_count - 1, byte_count, 2 * byte_count] {
            let input = format!("data_type: TYPE_{data_type} dims: 4 input_data_file: \"x\"");
            let spec = Spec { inputs: vec![tensor("x")], outputs: vec![tensor("y")], ..Spec::with(&with(&input)) };
            let archive = Archive::of(&spec).file("m/warmup/x", vec![0; size]);
            cases.push((format!("warm-up: {data_type} from {size} bytes"), archive));
        }
    }
    let file = with("data_type: TYPE_FP32 dims: 4 input_data_file: \"x\"");
    let two = file.replace("batch_size: 1", "batch_size: 2");
    cases.extend([
        ("warm-up: a batch of two from one".to_owned(), Archive::of(&Spec::with(&two)).file("m/warmup/x", [0; 16])),
        (
            "warm-up: file in a folder".to_owned(),
            Archive::of(&Spec::with(&file.replace("\"x\" }", "\"a/x\" }"))).file("m/warmup/a/x", [0; 16]),
        ),
        (
            "warm-up: file elsewhere".to_owned(),
            Archive::of(&Spec::with(&file.replace("\"x\" }", "\"../x\" }"))).folder("m/warmup").file("m/x", [0; 16]),
        ),
        (
            "warm-up: file elsewhere, without the folder".to_owned(),
            Archive::of(&Spec::with(&file.replace("\"x\" }", "\"../x\" }"))).file("m/x", [0; 16]),
        ),
        ("warm-up: file missing".to_owned(), Archive::of(&Spec::with(&file))),
        ("warm-up: file without a name".to_owned(), Archive::of(&Spec::with(&file.replace("\"x\" }", "\"\" }")))),
        case("warm-up: a key twice", &with("dims: 9 random_data: true } } inputs { key: \"x\" value { data_type: TYPE_FP32 dims: 4 zero_data: true")),
        case("warm-up: zeros", &with("data_type: TYPE_FP32 dims: 4 zero_data: true")),
        case("warm-up: zeros that are not", &with("data_type: TYPE_FP32 dims: 4 zero_data: false")),
        case("warm-up: random", &with("data_type: TYPE_FP32 dims: 4 random_data: true")),
        case("warm-up: without dims", &with("data_type: TYPE_FP32 zero_data: true")),
        case("warm-up: without data", &with("data_type: TYPE_FP32 dims: 4")),
        case("warm-up: twice", &with("data_type: TYPE_FP32 dims: 4 zero_data: true").repeat(2)),
    ]);
    cases
}
