//! Fields of Triton's `ModelConfig` and their kinds (triton-inference-server/common, `protobuf/model_config.proto`).

use Kind::{Decimal, Int32, Int64, Many, Map, Message, OneOf, Text, Truth, Uint32, Uint64, Word};

/// A message: its fields.
pub(crate) type Schema = &'static [(&'static str, Kind)];

/// What a field may hold.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Text,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Decimal,
    Truth,
    /// One of these names; their numbers count from 0.
    Word(&'static [&'static str]),
    Message(Schema),
    /// Entries of a `key` and a `value`.
    Map(&'static Kind, &'static Kind),
    /// Any number of these.
    Many(&'static Kind),
    /// One of a group, of which a message has one at most, and of which one may be there.
    OneOf(&'static Kind),
}

/// Formats of inputs.
pub(crate) const FORMATS: [&str; 3] = ["FORMAT_NONE", "FORMAT_NHWC", "FORMAT_NCHW"];
/// Kinds of instance groups.
pub(crate) const INSTANCE_KINDS: [&str; 4] = ["KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL"];
/// What becomes of requests that wait too long.
pub(crate) const TIMEOUT_ACTIONS: [&str; 2] = ["REJECT", "DELAY"];
/// Kinds of inputs that are made of a whole batch.
pub(crate) const BATCH_INPUTS: [&str; 6] = [
    "BATCH_ELEMENT_COUNT",
    "BATCH_ACCUMULATED_ELEMENT_COUNT",
    "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO",
    "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE",
    "BATCH_ITEM_SHAPE",
    "BATCH_ITEM_SHAPE_FLATTEN",
];
/// Kinds of outputs that are taken apart by a backend.
pub(crate) const BATCH_OUTPUTS: [&str; 1] = ["BATCH_SCATTER_WITH_INPUT_SHAPE"];
/// What the tensors of a sequence tell.
pub(crate) const CONTROLS: [&str; 4] =
    ["CONTROL_SEQUENCE_START", "CONTROL_SEQUENCE_READY", "CONTROL_SEQUENCE_END", "CONTROL_SEQUENCE_CORRID"];
/// Data types.
pub(crate) const DATA_TYPES: [&str; 15] = [
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
const NUMBERS: Kind = Many(&Int64);
const TEXTS: Kind = Many(&Text);
const RESHAPE: Schema = &[("shape", NUMBERS)];
const INPUT: Schema = &[
    ("name", Text),
    ("data_type", TYPE),
    ("format", Word(&FORMATS)),
    ("dims", NUMBERS),
    ("reshape", Message(RESHAPE)),
    ("is_shape_tensor", Truth),
    ("allow_ragged_batch", Truth),
    ("optional", Truth),
    ("is_non_linear_format_io", Truth),
];
const OUTPUT: Schema = &[
    ("name", Text),
    ("data_type", TYPE),
    ("dims", NUMBERS),
    ("reshape", Message(RESHAPE)),
    ("label_filename", Text),
    ("is_shape_tensor", Truth),
    ("is_non_linear_format_io", Truth),
];
const BATCH_INPUT: Schema =
    &[("kind", Word(&BATCH_INPUTS)), ("target_name", TEXTS), ("data_type", TYPE), ("source_input", TEXTS)];
const BATCH_OUTPUT: Schema = &[("target_name", TEXTS), ("kind", Word(&BATCH_OUTPUTS)), ("source_input", TEXTS)];
const VERSION_POLICY: Schema = &[
    ("latest", OneOf(&Message(&[("num_versions", Uint32)]))),
    ("all", OneOf(&Message(&[]))),
    ("specific", OneOf(&Message(&[("versions", NUMBERS)]))),
];
const SHAPES: Kind = Map(&Text, &Message(&[("dim", NUMBERS)]));
const GRAPH_SPEC: Schema = &[
    ("batch_size", Int32),
    ("input", SHAPES),
    ("graph_lower_bound", Message(&[("batch_size", Int32), ("input", SHAPES)])),
];
const CUDA: Schema = &[
    ("graphs", Truth),
    ("busy_wait_events", Truth),
    ("graph_spec", Many(&Message(GRAPH_SPEC))),
    ("output_copy_stream", Truth),
];
const NAMED: Kind = Many(&Message(&[("name", Text), ("parameters", Map(&Text, &Text))]));
const PINNED: Kind = Message(&[("enable", Truth)]);
const OPTIMIZATION: Schema = &[
    ("graph", Message(&[("level", Int32)])),
    ("priority", Word(&["PRIORITY_DEFAULT", "PRIORITY_MAX", "PRIORITY_MIN"])),
    ("cuda", Message(CUDA)),
    ("execution_accelerators", Message(&[("gpu_execution_accelerator", NAMED), ("cpu_execution_accelerator", NAMED)])),
    ("input_pinned_memory", PINNED),
    ("output_pinned_memory", PINNED),
    ("gather_kernel_buffer_threshold", Uint32),
    ("eager_batching", Truth),
];
const QUEUE_POLICY: Kind = Message(&[
    ("timeout_action", Word(&TIMEOUT_ACTIONS)),
    ("default_timeout_microseconds", Uint64),
    ("allow_timeout_override", Truth),
    ("max_queue_size", Uint32),
]);
const DYNAMIC_BATCHING: Schema = &[
    ("preferred_batch_size", Many(&Int32)),
    ("max_queue_delay_microseconds", Uint64),
    ("preserve_ordering", Truth),
    ("priority_levels", Uint64),
    ("default_priority_level", Uint64),
    ("default_queue_policy", QUEUE_POLICY),
    ("priority_queue_policy", Map(&Uint64, &QUEUE_POLICY)),
];
const CONTROL: Schema = &[
    ("kind", Word(&CONTROLS)),
    ("int32_false_true", Many(&Int32)),
    ("fp32_false_true", Many(&Decimal)),
    ("bool_false_true", Many(&Truth)),
    ("data_type", TYPE),
];
const INITIAL_STATE: Schema = &[
    ("data_type", TYPE),
    ("dims", NUMBERS),
    ("zero_data", OneOf(&Truth)),
    ("data_file", OneOf(&Text)),
    ("name", Text),
];
const STATE: Schema = &[
    ("input_name", Text),
    ("output_name", Text),
    ("data_type", TYPE),
    ("dims", NUMBERS),
    ("initial_state", Many(&Message(INITIAL_STATE))),
    ("use_same_buffer_for_input_output", Truth),
    ("use_growable_memory", Truth),
];
const DIRECT: Schema = &[("max_queue_delay_microseconds", Uint64), ("minimum_slot_utilization", Decimal)];
const OLDEST: Schema = &[
    ("max_candidate_sequences", Int32),
    ("preferred_batch_size", Many(&Int32)),
    ("max_queue_delay_microseconds", Uint64),
    ("preserve_ordering", Truth),
];
const SEQUENCE_BATCHING: Schema = &[
    ("direct", OneOf(&Message(DIRECT))),
    ("oldest", OneOf(&Message(OLDEST))),
    ("max_sequence_idle_microseconds", Uint64),
    ("control_input", Many(&Message(&[("name", Text), ("control", Many(&Message(CONTROL)))]))),
    ("state", Many(&Message(STATE))),
    ("iterative_sequence", Truth),
];
const STEP: Schema = &[
    ("model_name", Text),
    ("model_version", Int64),
    ("input_map", Map(&Text, &Text)),
    ("output_map", Map(&Text, &Text)),
    ("model_namespace", Text),
];
const ENSEMBLE: Schema = &[("step", Many(&Message(STEP))), ("max_inflight_requests", Uint32)];
const RESOURCE: Schema = &[("name", Text), ("global", Truth), ("count", Uint32)];
const INSTANCE_GROUP: Schema = &[
    ("name", Text),
    ("kind", Word(&INSTANCE_KINDS)),
    ("count", Int32),
    ("rate_limiter", Message(&[("resources", Many(&Message(RESOURCE))), ("priority", Uint32)])),
    ("gpus", Many(&Int32)),
    ("secondary_devices", Many(&Message(&[("kind", Word(&["KIND_NVDLA"])), ("device_id", Int64)]))),
    ("profile", TEXTS),
    ("passive", Truth),
    ("host_policy", Text),
];
const WARMUP_INPUT: Schema = &[
    ("data_type", TYPE),
    ("dims", NUMBERS),
    ("zero_data", OneOf(&Truth)),
    ("random_data", OneOf(&Truth)),
    ("input_data_file", OneOf(&Text)),
];
const WARMUP: Schema =
    &[("name", Text), ("batch_size", Uint32), ("inputs", Map(&Text, &Message(WARMUP_INPUT))), ("count", Uint32)];
/// A whole configuration.
pub(crate) const MODEL: Schema = &[
    ("name", Text),
    ("platform", Text),
    ("backend", Text),
    ("runtime", Text),
    ("version_policy", Message(VERSION_POLICY)),
    ("max_batch_size", Int32),
    ("input", Many(&Message(INPUT))),
    ("output", Many(&Message(OUTPUT))),
    ("batch_input", Many(&Message(BATCH_INPUT))),
    ("batch_output", Many(&Message(BATCH_OUTPUT))),
    ("optimization", Message(OPTIMIZATION)),
    ("dynamic_batching", OneOf(&Message(DYNAMIC_BATCHING))),
    ("sequence_batching", OneOf(&Message(SEQUENCE_BATCHING))),
    ("ensemble_scheduling", OneOf(&Message(ENSEMBLE))),
    ("instance_group", Many(&Message(INSTANCE_GROUP))),
    ("default_model_filename", Text),
    ("cc_model_filenames", Map(&Text, &Text)),
    ("metric_tags", Map(&Text, &Text)),
    ("parameters", Map(&Text, &Message(&[("string_value", Text)]))),
    ("model_warmup", Many(&Message(WARMUP))),
    ("model_operations", Message(&[("op_library_filename", TEXTS)])),
    ("model_transaction_policy", Message(&[("decoupled", Truth)])),
    ("model_repository_agents", Message(&[("agents", NAMED)])),
    ("response_cache", Message(&[("enable", Truth)])),
    ("model_metrics", Message(&[("metric_control", Many(&Message(METRIC_CONTROL)))])),
];
const METRIC_CONTROL: Schema = &[
    ("metric_identifier", Message(&[("family", Text)])),
    ("histogram_options", Message(&[("buckets", Many(&Decimal))])),
];
