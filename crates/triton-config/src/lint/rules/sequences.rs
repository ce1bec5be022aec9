//! Sequences: the tensors that control them, and the states between their requests (triton-inference-server/core,
//! `GetBooleanSequenceControlProperties`, `GetTypedSequenceControlProperties` and `GenerateInitialStateData`).

use super::config::Config;
use super::files::{DataFile, byte_count};
use crate::schema::{CONTROLS, DATA_TYPES};
use crate::text_format::{Field, last};
use std::collections::HashSet;

/// The fields of which a control other than a correlation ID has one, with its two values.
const VALUES: [&str; 3] = ["int32_false_true", "fp32_false_true", "bool_false_true"];
/// The control whose tensor is the number or name of a sequence.
const CORRELATION_ID: &str = "CONTROL_SEQUENCE_CORRID";
/// Types of that tensor.
const ID_TYPES: [&str; 5] = ["TYPE_UINT64", "TYPE_INT64", "TYPE_UINT32", "TYPE_INT32", "TYPE_STRING"];
/// The folder of initial states.
const INITIAL_STATE: &str = "initial_state";

impl Config<'_> {
    pub(super) fn sequences(&mut self) {
        let Some(batching) = last(self.fields, "sequence_batching") else { return };
        self.slots(batching);
        self.controls(batching);
        self.states(batching);
    }

    fn slots(&mut self, batching: &Field) {
        if let Some(oldest) = batching.last("oldest") {
            self.preferred_sizes(oldest, "sequence batching preferred batch size");
        }
        let share = batching.last("direct").and_then(|direct| direct.last("minimum_slot_utilization"));
        // A value that is not a number at all is accepted.
        let is_share = |share: f64| share.is_nan() || (0.0..=1.0).contains(&share);
        if let Some(share) = share.filter(|share| share.decimal().is_some_and(|share| !is_share(share))) {
            let answer = "sequence batching minimum slot utilization must be in range (0.0, 1.0]";
            self.error(share, "it must be from 0 to 1", answer);
        }
    }

    fn controls(&mut self, batching: &Field) {
        let (mut tensors, mut kinds) = (HashSet::new(), HashSet::new());
        for input in batching.all("control_input") {
            let tensor = input.last("name").map_or("", Field::text);
            if tensor.is_empty() {
                let answer = "sequence batching control tensor must have a name";
                self.error(input, "a control input has no name", answer);
            } else if !tensors.insert(tensor) {
                let answer = format!("sequence batching control tensor '{tensor}' is specified for multiple control");
                self.error(input, format!("control input `{tensor}` is there twice"), answer);
            }
            for control in input.all("control") {
                let kind = control.last("kind").map_or(CONTROLS[0], |kind| kind.word_of(&CONTROLS));
                if !CONTROLS.contains(&kind) {
                    self.warn(control, format!("unknown kind of control `{kind}`; the server ignores it"));
                    continue;
                }
                if !kinds.insert(kind) {
                    let answer = format!("sequence batching specifies multiple {kind} tensors");
                    self.error(control, format!("{kind} is there twice"), answer);
                }
                if kind == CORRELATION_ID { self.correlation_id(control) } else { self.values(control, kind) }
            }
        }
    }

    /// The two values of a control.
    fn values(&mut self, control: &Field, kind: &str) {
        let given: Vec<_> = VALUES.into_iter().filter(|name| control.last(name).is_some()).collect();
        match given.as_slice() {
            [] => {
                let message = format!("{kind} has no values; set one of {}", VALUES.join(", "));
                self.error(control, message, "sequence batching must specify either 'int32_false_true'");
            }
            [name] => {
                let count = control.all(name).count();
                if count != 2 {
                    let answer = format!("sequence batching control '{name}' must have exactly 2 entries");
                    self.error(control, format!("`{name}` of {kind} has {count} values; expected 2"), answer);
                }
            }
            several => {
                let answer = "sequence batching specifies more than one from 'int32_false_true'";
                self.error(control, format!("{kind} has values of several types: {}", several.join(", ")), answer);
            }
        }
    }

    fn correlation_id(&mut self, control: &Field) {
        if let Some(name) = VALUES.into_iter().find(|name| control.last(name).is_some()) {
            let answer = "sequence batching must not specify either 'int32_false_true'";
            self.error(control, format!("{CORRELATION_ID} has no values, and `{name}` is set"), answer);
            return;
        }
        let data_type = control.last("data_type").map_or(DATA_TYPES[0], |field| field.word_of(&DATA_TYPES));
        if !ID_TYPES.contains(&data_type) {
            let message = format!("{CORRELATION_ID} has data type {data_type}; expected {}", ID_TYPES.join(", "));
            self.error(control, message, format!("unexpected data type for control {CORRELATION_ID}"));
        }
    }

    fn states(&mut self, batching: &Field) {
        let mut inputs = HashSet::new();
        for state in batching.all("state") {
            let initial: Vec<_> = state.all("initial_state").collect();
            let input = state.last("input_name").map_or("", Field::text);
            match initial.as_slice() {
                [] => continue,
                [initial] => self.initial_state(state, initial, input),
                several => {
                    let message = format!("state `{input}` has {} initial states; expected one", several.len());
                    self.error(state, message, "must contain exactly one or zero element");
                }
            }
            if !inputs.insert(input) {
                let answer = format!("State input name '{input}' specified more than once");
                self.error(state, format!("state `{input}` has an initial state twice"), answer);
            }
        }
    }

    fn initial_state(&mut self, state: &Field, initial: &Field, input: &str) {
        let data_type = |field: &Field| {
            field.last("data_type").map_or(DATA_TYPES[0], |field| field.word_of(&DATA_TYPES)).to_owned()
        };
        let dims = |field: &Field| field.all("dims").filter_map(Field::number).collect::<Vec<_>>();
        let (own, given) = (data_type(state), data_type(initial));
        if own != given {
            let message = format!("the initial state of `{input}` has data type {given}, and the state {own}");
            self.error(initial, message, "does not match the state data type");
        }
        if initial.last("name").is_none_or(|name| name.text().is_empty()) {
            let message = format!("the initial state of `{input}` has no name");
            self.error(initial, message, "Field 'name' must be set when using initial_state");
        }
        let (own, given_dims) = (dims(state), dims(initial));
        let differs = |(own, given): (&i64, &i64)| *own != -1 && own != given;
        let difference = format!("the initial state of `{input}` has dims {given_dims:?}, and the state {own:?}");
        if own.len() != given_dims.len() {
            self.error(initial, difference, "Number of dimensions in 'initial_state' doesn't match");
        } else if given_dims.contains(&-1) {
            let message = format!("the initial state of `{input}` has a dimension of -1");
            self.error(initial, message, "contains variable dimensions");
        } else if own.iter().zip(&given_dims).any(differs) {
            self.error(initial, difference, "doesn't match 'state' dim description");
        }
        if let Some(file) = initial.last("data_file") {
            // A missing file makes the server wait, and end with a signal when it unloads the model.
            let (needed, missing) = (byte_count(&given, &given_dims), None);
            let answer = "initial_state setting expects";
            self.data_file(&DataFile { field: file, folder: INITIAL_STATE, needed, missing, answer });
        } else if initial.last("zero_data").is_none() {
            let message = format!("the initial state of `{input}` has no data: it needs `zero_data` or `data_file`");
            self.error(initial, message, "to have state_data set");
        }
    }
}
