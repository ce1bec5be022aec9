//! Fields of Triton's `ModelConfig` and their kinds (triton-inference-server/common, `protobuf/model_config.proto`).

use crate::text_format::{Field, Value, integer};
use Kind::{Decimal, Map, Message, Number, Text, Truth, Word};

/// What the server's log says of a text that is no `ModelConfig`; the answer is only that it failed to poll.
pub(super) const UNREADABLE: &str = "failed to read text proto from";

/// A message: its fields.
type Schema = &'static [(&'static str, Kind)];

/// What a field may hold.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    Decimal,
    Truth,
    /// One of these names.
    Word(&'static [&'static str]),
    Message(Schema),
    /// Entries of a text or number, `key`, and a `value`.
    Map(&'static Kind),
}

/// Data types.
pub(super) const DATA_TYPES: [&str; 15] = [
    "TYPE_INVALID",
    "TYPE_BOOL",
    "TYPE_UINT8",
    "TYPE_UINT16",
    "TYPE_UINT32",
    "TYPE_UINT64",
    "TYPE_INT8",
    "TYPE_INT16",
    "TYPE_INT32",
    "TYPE_INT64",
    "TYPE_FP16",
    "TYPE_FP32",
    "TYPE_FP64",
    "TYPE_STRING",
    "TYPE_BF16",
];

const TYPE: Kind = Word(&DATA_TYPES);
const RESHAPE: Schema = &[("shape", Number)];
const INPUT: Schema = &[
    ("name", Text),
    ("data_type", TYPE),
    ("format", Word(&["FORMAT_NONE", "FORMAT_NHWC", "FORMAT_NCHW"])),
    ("dims", Number),
    ("reshape", Message(RESHAPE)),
    ("is_shape_tensor", Truth),
    ("allow_ragged_batch", Truth),
    ("optional", Truth),
    ("is_non_linear_format_io", Truth),
];
const OUTPUT: Schema = &[
    ("name", Text),
    ("data_type", TYPE),
    ("dims", Number),
    ("reshape", Message(RESHAPE)),
    ("label_filename", Text),
    ("is_shape_tensor", Truth),
    ("is_non_linear_format_io", Truth),
];
const BATCH_INPUT: Schema = &[
    (
        "kind",
        Word(&[
            "BATCH_ELEMENT_COUNT",
            "BATCH_ACCUMULATED_ELEMENT_COUNT",
            "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO",
            "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE",
            "BATCH_ITEM_SHAPE",
            "BATCH_ITEM_SHAPE_FLATTEN",
        ]),
    ),
    ("target_name", Text),
    ("data_type", TYPE),
    ("source_input", Text),
];
const BATCH_OUTPUT: Schema =
    &[("target_name", Text), ("kind", Word(&["BATCH_SCATTER_WITH_INPUT_SHAPE"])), ("source_input", Text)];
const VERSION_POLICY: Schema = &[
    ("latest", Message(&[("num_versions", Number)])),
    ("all", Message(&[])),
    ("specific", Message(&[("versions", Number)])),
];
const SHAPES: Kind = Map(&Message(&[("dim", Number)]));
const CUDA: Schema = &[
    ("graphs", Truth),
    ("busy_wait_events", Truth),
    (
        "graph_spec",
        Message(&[
            ("batch_size", Number),
            ("input", SHAPES),
            ("graph_lower_bound", Message(&[("batch_size", Number), ("input", SHAPES)])),
        ]),
    ),
    ("output_copy_stream", Truth),
];
const ACCELERATOR: Kind = Message(&[("name", Text), ("parameters", Map(&Text))]);
const PINNED: Kind = Message(&[("enable", Truth)]);
const OPTIMIZATION: Schema = &[
    ("graph", Message(&[("level", Number)])),
    ("priority", Word(&["PRIORITY_DEFAULT", "PRIORITY_MAX", "PRIORITY_MIN"])),
    ("cuda", Message(CUDA)),
    (
        "execution_accelerators",
        Message(&[("gpu_execution_accelerator", ACCELERATOR), ("cpu_execution_accelerator", ACCELERATOR)]),
    ),
    ("input_pinned_memory", PINNED),
    ("output_pinned_memory", PINNED),
    ("gather_kernel_buffer_threshold", Number),
    ("eager_batching", Truth),
];
const QUEUE_POLICY: Kind = Message(&[
    ("timeout_action", Word(&["REJECT", "DELAY"])),
    ("default_timeout_microseconds", Number),
    ("allow_timeout_override", Truth),
    ("max_queue_size", Number),
]);
const DYNAMIC_BATCHING: Schema = &[
    ("preferred_batch_size", Number),
    ("max_queue_delay_microseconds", Number),
    ("preserve_ordering", Truth),
    ("priority_levels", Number),
    ("default_priority_level", Number),
    ("default_queue_policy", QUEUE_POLICY),
    ("priority_queue_policy", Map(&QUEUE_POLICY)),
];
const CONTROL: Schema = &[
    (
        "kind",
        Word(&["CONTROL_SEQUENCE_START", "CONTROL_SEQUENCE_READY", "CONTROL_SEQUENCE_END", "CONTROL_SEQUENCE_CORRID"]),
    ),
    ("int32_false_true", Number),
    ("fp32_false_true", Decimal),
    ("bool_false_true", Truth),
    ("data_type", TYPE),
];
const STATE: Schema = &[
    ("input_name", Text),
    ("output_name", Text),
    ("data_type", TYPE),
    ("dims", Number),
    (
        "initial_state",
        Message(&[("data_type", TYPE), ("dims", Number), ("zero_data", Truth), ("data_file", Text), ("name", Text)]),
    ),
    ("use_same_buffer_for_input_output", Truth),
    ("use_growable_memory", Truth),
];
const SEQUENCE_BATCHING: Schema = &[
    ("direct", Message(&[("max_queue_delay_microseconds", Number), ("minimum_slot_utilization", Decimal)])),
    (
        "oldest",
        Message(&[
            ("max_candidate_sequences", Number),
            ("preferred_batch_size", Number),
            ("max_queue_delay_microseconds", Number),
            ("preserve_ordering", Truth),
        ]),
    ),
    ("max_sequence_idle_microseconds", Number),
    ("control_input", Message(&[("name", Text), ("control", Message(CONTROL))])),
    ("state", Message(STATE)),
    ("iterative_sequence", Truth),
];
const ENSEMBLE: Schema = &[(
    "step",
    Message(&[
        ("model_name", Text),
        ("model_version", Number),
        ("input_map", Map(&Text)),
        ("output_map", Map(&Text)),
        ("model_namespace", Text),
    ]),
)];
const INSTANCE_GROUP: Schema = &[
    ("name", Text),
    ("kind", Word(&["KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL"])),
    ("count", Number),
    (
        "rate_limiter",
        Message(&[
            ("resources", Message(&[("name", Text), ("global", Truth), ("count", Number)])),
            ("priority", Number),
        ]),
    ),
    ("gpus", Number),
    ("secondary_devices", Message(&[("kind", Word(&["KIND_NVDLA"])), ("device_id", Number)])),
    ("profile", Text),
    ("passive", Truth),
    ("host_policy", Text),
];
const WARMUP: Schema = &[
    ("name", Text),
    ("batch_size", Number),
    (
        "inputs",
        Map(&Message(&[
            ("data_type", TYPE),
            ("dims", Number),
            ("zero_data", Truth),
            ("random_data", Truth),
            ("input_data_file", Text),
        ])),
    ),
    ("count", Number),
];
const MODEL: Schema = &[
    ("name", Text),
    ("platform", Text),
    ("backend", Text),
    ("runtime", Text),
    ("version_policy", Message(VERSION_POLICY)),
    ("max_batch_size", Number),
    ("input", Message(INPUT)),
    ("output", Message(OUTPUT)),
    ("batch_input", Message(BATCH_INPUT)),
    ("batch_output", Message(BATCH_OUTPUT)),
    ("optimization", Message(OPTIMIZATION)),
    ("dynamic_batching", Message(DYNAMIC_BATCHING)),
    ("sequence_batching", Message(SEQUENCE_BATCHING)),
    ("ensemble_scheduling", Message(ENSEMBLE)),
    ("instance_group", Message(INSTANCE_GROUP)),
    ("default_model_filename", Text),
    ("cc_model_filenames", Map(&Text)),
    ("metric_tags", Map(&Text)),
    ("parameters", Map(&Message(&[("string_value", Text)]))),
    ("model_warmup", Message(WARMUP)),
    ("model_operations", Message(&[("op_library_filename", Text)])),
    ("model_transaction_policy", Message(&[("decoupled", Truth)])),
    ("model_repository_agents", Message(&[("agents", Message(&[("name", Text), ("parameters", Map(&Text))]))])),
    ("response_cache", Message(&[("enable", Truth)])),
    ("model_metrics", Message(&[("metric_control", Message(METRIC_CONTROL))])),
];
const METRIC_CONTROL: Schema =
    &[("metric_identifier", Message(&[("family", Text)])), ("histogram_options", Message(&[("buckets", Decimal)]))];

/// Fields of which only one may be there.
const SCHEDULERS: [&str; 3] = ["dynamic_batching", "sequence_batching", "ensemble_scheduling"];
/// Fields of which there may be several.
const REPEATED: [&str; 24] = [
    "input",
    "output",
    "batch_input",
    "batch_output",
    "instance_group",
    "cc_model_filenames",
    "metric_tags",
    "parameters",
    "model_warmup",
    "dims",
    "shape",
    "preferred_batch_size",
    "gpus",
    "profile",
    "versions",
    "step",
    "input_map",
    "output_map",
    "inputs",
    "target_name",
    "source_input",
    "control_input",
    "state",
    "agents",
];

/// Every field is one of Triton's, with a value of its kind.
///
/// # Errors
/// The line of the first that is not, and what is wrong with it.
pub(crate) fn check(fields: &[Field]) -> Result<(), (usize, String)> {
    check_message(fields, MODEL)?;
    for field in fields {
        let again = fields.iter().filter(|other| other.name == field.name).nth(1);
        if let Some(again) = again.filter(|_| !REPEATED.contains(&field.name.as_str())) {
            return Err((again.line, format!("`{}` is there twice", field.name)));
        }
    }
    let mut schedulers = fields.iter().filter(|field| SCHEDULERS.contains(&field.name.as_str()));
    match (schedulers.next(), schedulers.next()) {
        (Some(first), Some(second)) => {
            Err((second.line, format!("`{}` and `{}` exclude each other", first.name, second.name)))
        }
        _ => Ok(()),
    }
}

fn check_message(fields: &[Field], schema: Schema) -> Result<(), (usize, String)> {
    for field in fields {
        let Some((_, kind)) = schema.iter().find(|(name, _)| *name == field.name) else {
            return Err((field.line, format!("there is no field `{}` here", field.name)));
        };
        check_value(field, *kind)?;
    }
    Ok(())
}

fn check_value(field: &Field, kind: Kind) -> Result<(), (usize, String)> {
    let wrong = |expected: &str| Err((field.line, format!("`{}` must be {expected}", field.name)));
    match (&field.value, kind) {
        (Value::Nothing, _) => Ok(()),
        (Value::Text(_), Text) => Ok(()),
        (_, Text) => wrong("a string in quotes"),
        (Value::Word(word), Number) if integer(word).is_some() => Ok(()),
        (_, Number) => wrong("a whole number"),
        (Value::Word(word), Decimal) if word.parse::<f64>().is_ok() => Ok(()),
        (_, Decimal) => wrong("a number"),
        (Value::Word(word), Truth)
            if ["true", "false", "t", "f", "True", "False", "1", "0"].contains(&word.as_str()) =>
        {
            Ok(())
        }
        (_, Truth) => wrong("`true` or `false`"),
        (Value::Word(word), Word(known)) if known.contains(&word.as_str()) || word.parse::<u32>().is_ok() => Ok(()),
        (_, Word(known)) => wrong(&format!("one of {}, without quotes", known.join(", "))),
        (Value::Message(fields), Message(schema)) => check_message(fields, schema),
        (_, Message(_)) => wrong("a block in `{ }`"),
        (Value::Message(fields), Map(value)) => check_entry(fields, *value),
        (_, Map(_)) => wrong("a block with `key` and `value`"),
    }
}

fn check_entry(fields: &[Field], kind: Kind) -> Result<(), (usize, String)> {
    for field in fields {
        match field.name.as_str() {
            "key" => {}
            "value" => check_value(field, kind)?,
            other => return Err((field.line, format!("there is no field `{other}` here, only `key` and `value`"))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text_format::parse;

    fn fault(text: &str) -> String {
        check(&parse(text).unwrap()).map_or_else(|(line, message)| format!("{line}: {message}"), |()| String::new())
    }

    #[test]
    fn fields_and_kinds_are_known() {
        assert_eq!(fault("name: \"m\"\nmax_batch: 8"), "2: there is no field `max_batch` here");
        assert_eq!(fault("input { dim: 3 }"), "1: there is no field `dim` here");
        assert!(fault("input { data_type: FP32 }").starts_with("1: `data_type` must be one of TYPE_INVALID"));
        assert!(fault("input { data_type: \"TYPE_FP32\" }").ends_with("without quotes"));
        assert_eq!(fault("name: m"), "1: `name` must be a string in quotes");
        assert_eq!(fault("max_batch_size: 1.5"), "1: `max_batch_size` must be a whole number");
        assert_eq!(fault("parameters { name: \"x\" }"), "1: there is no field `name` here, only `key` and `value`");
        assert_eq!(fault("backend: \"a\"\nbackend: \"b\""), "2: `backend` is there twice");
        let both = fault("dynamic_batching { }\nsequence_batching { }");
        assert_eq!(both, "2: `dynamic_batching` and `sequence_batching` exclude each other");
    }

    #[test]
    fn good_fields_pass() {
        let text = r#"name: "m" backend: "b" max_batch_size: 8
            input [ { name: "x" data_type: TYPE_FP32 dims: [ -1 ] reshape { shape: [ ] } } ]
            instance_group [ { kind: KIND_CPU count: 2 gpus: [ 0 ] } ]
            parameters { key: "k" value { string_value: "v" } }
            cc_model_filenames [ { key: "7.5" value: "a.plan" }, { key: "8.6" value: "b.plan" } ]
            model_warmup { name: "w" inputs { key: "x" value { data_type: TYPE_FP32 dims: 1 zero_data: true } } }
            optimization { cuda { graphs: true graph_spec { batch_size: 1 input { key: "x" value { dim: 1 } } } } }"#;
        assert_eq!(fault(text), "");
    }
}
