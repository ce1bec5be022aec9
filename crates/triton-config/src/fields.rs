//! Whether fields are Triton's, with values of their kinds, as protobuf's reader checks them.

use crate::schema::{Kind, MODEL};
use crate::text_format::{Field, Value, decimal, integer};
use std::ops::RangeInclusive;

/// The server's log line for a text that is not a `ModelConfig`; its response is only that it failed to poll.
pub(crate) const UNREADABLE: &str = "failed to read text proto from";

/// A line, and what is wrong there.
type Fault = (usize, String);

/// Every field is one of Triton's, with a value of its kind.
///
/// # Errors
/// The line of the first that is not, and what is wrong with it.
pub(crate) fn check(fields: &[Field]) -> Result<(), Fault> {
    check_message(fields, MODEL)
}

fn check_message(fields: &[Field], schema: &[(&str, Kind)]) -> Result<(), Fault> {
    // Fields of which there may be no other, and the one of a group.
    let (mut taken, mut of_group) = (Vec::new(), None);
    for field in fields {
        let name = field.name.as_str();
        let Some((_, kind)) = schema.iter().find(|(known, _)| *known == name) else {
            return Err((field.line, format!("there is no field `{name}` here")));
        };
        if taken.contains(&name) {
            return Err((field.line, format!("`{name}` is there twice")));
        }
        if let (Kind::OneOf(_), Some(other)) = (kind, of_group) {
            return Err((field.line, format!("`{other}` and `{name}` exclude each other")));
        }
        check_field(field, *kind)?;
        match kind {
            Kind::Many(_) | Kind::Map(..) => {}
            Kind::OneOf(_) => {
                taken.push(name);
                of_group = Some(name);
            }
            // A value that is the default counts for none.
            kind if is_default(field, *kind) => {}
            _ => taken.push(name),
        }
    }
    Ok(())
}

fn check_field(field: &Field, kind: Kind) -> Result<(), Fault> {
    let (kind, may_be_list) = match kind {
        Kind::Many(kind) => (*kind, true),
        Kind::OneOf(kind) => (*kind, false),
        kind => (kind, matches!(kind, Kind::Map(..))),
    };
    if !field.form.colon && !matches!(kind, Kind::Message(_) | Kind::Map(..)) {
        return Err((field.line, format!("expected `:` after `{}`", field.name)));
    }
    if field.form.list && !may_be_list {
        return Err((field.line, format!("`{}` takes one value and no list", field.name)));
    }
    if field.value == Value::Nothing { Ok(()) } else { check_value(field, kind) }
}

fn check_value(field: &Field, kind: Kind) -> Result<(), Fault> {
    let expected = match (kind, &field.value) {
        (Kind::Message(schema), Value::Message(fields)) => return check_message(fields, schema),
        (Kind::Map(key, value), Value::Message(fields)) => {
            return check_message(fields, &[("key", *key), ("value", *value)]);
        }
        (Kind::Text, Value::Text(_)) => return Ok(()),
        (kind, Value::Word(word)) if is_of(word, kind) => return Ok(()),
        (Kind::Message(_), _) => "a block in `{ }`".to_owned(),
        (Kind::Map(..), _) => "a block with `key` and `value`".to_owned(),
        (Kind::Text, _) => "a string in quotes".to_owned(),
        (Kind::Decimal, _) => "a number".to_owned(),
        (Kind::Truth, _) => "`true` or `false`".to_owned(),
        (Kind::Word(known), _) => format!("one of {}, without quotes", known.join(", ")),
        (kind, _) => {
            let range = range_of(kind);
            format!("a whole number from {} to {}", range.start(), range.end())
        }
    };
    Err((field.line, format!("`{}` must be {expected}", field.name)))
}

/// Whether a word is a value of a kind that is written as one.
fn is_of(word: &str, kind: Kind) -> bool {
    let is_in_range = |word: &str| integer(word).is_some_and(|number| range_of(kind).contains(&number));
    match kind {
        Kind::Int32 | Kind::Int64 => is_in_range(word),
        Kind::Uint32 | Kind::Uint64 => !word.starts_with('-') && is_in_range(word),
        Kind::Decimal => decimal(word).is_some(),
        Kind::Truth => {
            ["true", "false", "t", "f", "True", "False"].contains(&word)
                || !word.starts_with('-') && integer(word).is_some_and(|number| (0..=1).contains(&number))
        }
        Kind::Word(known) => known.contains(&word) || is_of(word, Kind::Int32),
        Kind::Text | Kind::Message(_) | Kind::Map(..) | Kind::Many(_) | Kind::OneOf(_) => false,
    }
}

fn range_of(kind: Kind) -> RangeInclusive<i128> {
    match kind {
        Kind::Int32 => i32::MIN.into()..=i32::MAX.into(),
        Kind::Uint32 => 0..=u32::MAX.into(),
        Kind::Uint64 => 0..=u64::MAX.into(),
        _ => i64::MIN.into()..=i64::MAX.into(),
    }
}

/// Whether a value is what the field has without it; blocks have no such value.
fn is_default(field: &Field, kind: Kind) -> bool {
    match &field.value {
        Value::Text(text) => text.is_empty(),
        Value::Word(word) => match kind {
            Kind::Word(known) => known.first() == Some(&word.as_str()) || integer(word) == Some(0),
            Kind::Truth => ["false", "f", "False"].contains(&word.as_str()) || integer(word) == Some(0),
            Kind::Decimal => decimal(word) == Some(0.0),
            _ => integer(word) == Some(0),
        },
        Value::Message(_) => false,
        Value::Nothing => true,
    }
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
        assert_eq!(fault("name { }"), "1: expected `:` after `name`");
        assert_eq!(fault("dynamic_batching: 1"), "1: `dynamic_batching` must be a block in `{ }`");
        assert_eq!(fault("parameters { name: \"x\" }"), "1: there is no field `name` here");
        assert_eq!(fault("parameters: 1"), "1: `parameters` must be a block with `key` and `value`");
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

    #[test]
    fn numbers_have_a_range() {
        let batch = "1: `max_batch_size` must be a whole number from -2147483648 to 2147483647";
        for number in ["3000000000", "1.5", "-2147483649", "a", "\"8\""] {
            assert_eq!(fault(&format!("max_batch_size: {number}")), batch);
        }
        let delay = |number: &str| fault(&format!("dynamic_batching {{ max_queue_delay_microseconds: {number} }}"));
        assert_eq!(delay("18446744073709551615"), "");
        let range = "1: `max_queue_delay_microseconds` must be a whole number from 0 to 18446744073709551615";
        assert_eq!(delay("-0"), range);
        assert_eq!(delay("18446744073709551616"), range);
        assert!(fault("model_warmup { count: 4294967296 }").ends_with("from 0 to 4294967295"));
        assert!(fault("output { dims: 9223372036854775808 }").ends_with("to 9223372036854775807"));
        let share =
            |word: &str| fault(&format!("sequence_batching {{ direct {{ minimum_slot_utilization: {word} }} }}"));
        for word in ["0.5f", "1", "1e-1", "-INF", "nan", ".5", "1.", "0"] {
            assert_eq!(share(word), "", "{word}");
        }
        for word in ["010", "0x1", "half", "\"1\"", "-e"] {
            assert_eq!(share(word), "1: `minimum_slot_utilization` must be a number", "{word}");
        }
        let cache = |word: &str| fault(&format!("response_cache {{ enable: {word} }}")).is_empty();
        assert!(["1", "0x1", "t", "False"].into_iter().all(cache));
        assert!(!["2", "-1", "-0", "TRUE", "\"true\""].into_iter().any(cache));
        let kind = |word: &str| fault(&format!("instance_group {{ kind: {word} }}")).is_empty();
        assert!(["KIND_CPU", "2", "0x2", "-1"].into_iter().all(kind));
        assert!(!["2.0", "3000000000", "KIND_TPU"].into_iter().any(kind));
    }

    #[test]
    fn what_may_be_there_once_is_there_once() {
        assert_eq!(fault("backend: \"a\"\nbackend: \"b\""), "2: `backend` is there twice");
        assert_eq!(fault("input {\n data_type: TYPE_FP32\n data_type: TYPE_FP32 }"), "3: `data_type` is there twice");
        assert_eq!(fault("response_cache { } response_cache { }"), "1: `response_cache` is there twice");
        assert_eq!(fault("parameters { key: \"a\" key: \"b\" }"), "1: `key` is there twice");
        assert_eq!(fault("max_batch_size: 0 max_batch_size: 8 response_cache { enable: false enable: true }"), "");
        assert_eq!(fault("max_batch_size: [ 8 ]"), "1: `max_batch_size` takes one value and no list");
        assert_eq!(fault("dynamic_batching [ ]"), "1: `dynamic_batching` takes one value and no list");
        assert_eq!(fault("input { dims [ 4 ] }"), "1: expected `:` after `dims`");
        assert_eq!(fault("input { dims [ ] }"), "1: expected `:` after `dims`");
        assert_eq!(fault("input [ ] input: [ { dims: [ ] dims: 1 } ] metric_tags [ { key: \"a\" } ]"), "");
    }

    #[test]
    fn of_a_group_one_may_be_there() {
        let both = fault("dynamic_batching { }\nsequence_batching { }");
        assert_eq!(both, "2: `dynamic_batching` and `sequence_batching` exclude each other");
        assert!(fault("version_policy { latest { } all { } }").ends_with("`latest` and `all` exclude each other"));
        let warm_up = "model_warmup { inputs { key: \"x\" value { zero_data: false random_data: true } } }";
        assert_eq!(fault(warm_up), "1: `zero_data` and `random_data` exclude each other");
    }

    #[test]
    fn keys_have_a_kind() {
        assert_eq!(fault("metric_tags { key: 1 value: \"b\" }"), "1: `key` must be a string in quotes");
        let policy =
            |key: &str| fault(&format!("dynamic_batching {{ priority_queue_policy {{ key: {key} value {{ }} }} }}"));
        assert_eq!(policy("1"), "");
        assert!(policy("\"1\"").contains("`key` must be a whole number from 0"));
    }
}
