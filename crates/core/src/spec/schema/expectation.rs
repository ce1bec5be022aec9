//! What a key takes, as text of a mistake.

use super::model::{Absent, Choice, Key, Shape, Table, ValueType};
use crate::nearest::{one_of, similar};
use serde_json::Value as Json;
use toml::de::DeValue;

impl ValueType {
    /// `an integer from 1 to 100000`, `an array of strings`.
    pub(super) fn expected(&self) -> String {
        match (&self.shape, &self.allowed) {
            (Shape::Table(_), _) => "a table".to_owned(),
            (Shape::Map(_), _) => "a table of names and values".to_owned(),
            (Shape::Array { length: Some(_), .. }, Some(allowed)) => format!("an array {allowed}"),
            (Shape::Array { item, .. }, _) => format!("an array of {}", item.plural()),
            (Shape::Choice(choices), _) => {
                one_of(&choices.iter().map(|choice| choice.value.as_str()).collect::<Vec<_>>())
            }
            (Shape::String, None) => "a string".to_owned(),
            (Shape::String, Some(allowed)) => format!("a string: {allowed}"),
            (Shape::Integer { .. }, Some(allowed)) => format!("an integer {allowed}"),
            (Shape::Integer { min, max }, None) => format!("an integer{}", range(*min, *max)),
            (Shape::Number, None) => "a number".to_owned(),
            (Shape::Number, Some(allowed)) => format!("a number {allowed}"),
            (Shape::Boolean, _) => "`true` or `false`".to_owned(),
        }
    }

    fn plural(&self) -> String {
        match &self.shape {
            Shape::Table(_) => "tables".to_owned(),
            Shape::String => "strings".to_owned(),
            Shape::Integer { .. } => "integers".to_owned(),
            Shape::Array { length: Some(length), item } => format!("arrays of {length} {}", item.plural()),
            Shape::Array { length: None, item } => format!("arrays of {}", item.plural()),
            _ => self.expected(),
        }
    }
}

/// ` from 1 to 5`, ` of at least 1`.
fn range(min: Option<i64>, max: Option<i64>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!(" from {min} to {max}"),
        (Some(min), None) => format!(" of at least {min}"),
        (None, Some(max)) => format!(" of at most {max}"),
        (None, None) => String::new(),
    }
}

/// `string "2"`, `integer 8`, `table`.
pub(super) fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Table(_) => "a table".to_owned(),
        DeValue::Array(_) => format!("array {}", literal(value)),
        other => format!("{} {}", other.type_str(), literal(other)),
    }
}

/// The value as TOML writes it.
pub(super) fn literal(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("\"{text}\""),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| literal(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(_) => "{ … }".to_owned(),
    }
}

/// The next step for a value of the wrong type: the value as it should be written, where that is plain.
pub(super) fn correction(key: &Key, path: &str, value: &DeValue<'_>) -> Option<String> {
    let own = match (&key.value.shape, value) {
        (Shape::Array { item, length: None }, DeValue::Table(_)) if matches!(item.shape, Shape::Table(_)) => {
            return Some(format!("write the header `[[{path}]]`"));
        }
        (Shape::Array { item, length: None }, one) if item.accepts_form(one) => Some(format!("[{}]", literal(one))),
        (Shape::Integer { .. }, DeValue::String(text)) if text.parse::<i64>().is_ok() => Some(text.to_string()),
        (Shape::Number, DeValue::String(text)) if text.parse::<f64>().is_ok() => Some(text.to_string()),
        (Shape::Boolean, DeValue::String(text)) if text == "true" || text == "false" => Some(text.to_string()),
        _ => None,
    };
    let shown = own.or_else(|| key.example.as_ref().map(toml_literal))?;
    Some(format!("write for example `{} = {shown}`", key.name))
}

impl ValueType {
    /// Whether a value has the form, regardless of its content.
    pub(super) fn accepts_form(&self, value: &DeValue<'_>) -> bool {
        match &self.shape {
            Shape::Table(_) | Shape::Map(_) => value.is_table(),
            Shape::Array { .. } => value.is_array(),
            Shape::Choice(_) | Shape::String => value.is_str(),
            Shape::Integer { .. } => value.is_integer(),
            Shape::Number => value.is_float() || value.is_integer(),
            Shape::Boolean => value.is_bool(),
        }
    }
}

/// A JSON value as TOML writes it in one line.
pub(crate) fn toml_literal(value: &Json) -> String {
    match value {
        Json::Array(items) => format!("[{}]", items.iter().map(toml_literal).collect::<Vec<_>>().join(", ")),
        Json::Object(entries) => {
            let entries = entries.iter().filter(|(_, value)| !value.is_null());
            let entries: Vec<_> = entries.map(|(key, value)| format!("{key} = {}", toml_literal(value))).collect();
            if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
        }
        other => other.to_string(),
    }
}

/// What to do about a key that `table` does not have. `root` is the whole file's table.
pub(super) fn unknown_key(name: &str, path: &str, table: &Table, root: &Table) -> String {
    let what = format!("unknown key `{path}`");
    if let Some(instead) = table.elsewhere.get(name) {
        return format!("{what}; {instead}");
    }
    let names: Vec<&str> = table.keys.iter().map(|key| key.name.as_str()).collect();
    let expected = format!("expected {}", one_of(&names));
    let also = table.keys.iter().find(|key| key.also.iter().any(|other| other.eq_ignore_ascii_case(name)));
    let meant = also.map(|key| key.name.as_str()).or_else(|| similar(name, names.iter().copied()).first().copied());
    match meant.map(str::to_owned).or_else(|| elsewhere(name, root)) {
        Some(meant) => format!("{what}; {expected}; did you mean `{meant}`?"),
        None => format!("{what}; {expected}"),
    }
}

/// The dotted key of another table that has a key of this name.
fn elsewhere(name: &str, root: &Table) -> Option<String> {
    root.keys.iter().find_map(|key| {
        let table = match &key.value.shape {
            Shape::Table(table) => table,
            Shape::Array { item, .. } => match &item.shape {
                Shape::Table(table) => table,
                _ => return None,
            },
            _ => return None,
        };
        table.keys.iter().any(|inner| inner.name == name).then(|| format!("{}.{name}", key.name))
    })
}

/// What to do about a value that is not in the list.
pub(super) fn unknown_choice(value: &str, choices: &[Choice]) -> String {
    let names: Vec<&str> = choices.iter().map(|choice| choice.value.as_str()).collect();
    let also = choices.iter().find(|choice| choice.also.iter().any(|other| other.eq_ignore_ascii_case(value)));
    let meant =
        also.map(|choice| choice.value.as_str()).or_else(|| similar(value, names.iter().copied()).first().copied());
    let suggestion = meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
    format!("unknown value `{value}`; expected {}{suggestion}", one_of(&names))
}

/// A required key that is not there.
pub(super) fn missing_key(path: &str, key: &Key) -> String {
    let example = key.example.as_ref().map(toml_literal);
    let step = match &key.value.shape {
        Shape::Table(_) => format!("; add a table `[{path}]`"),
        Shape::Array { item, .. } if matches!(item.shape, Shape::Table(_)) => format!("; add a table `[[{path}]]`"),
        _ => example.map_or_else(String::new, |example| format!("; add for example `{} = {example}`", key.name)),
    };
    format!("missing key `{path}`; expected {}{step}", key.value.expected())
}

impl Key {
    /// Whether a file without it is refused.
    pub(super) fn is_required(&self) -> bool {
        self.absent == Absent::Required
    }
}
