//! Tables, keys and their types, read from the JSON schema that `schemars` derives.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// One table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// What it is about.
    pub(crate) description: String,
    /// Its keys: required ones first, else by name.
    pub(crate) keys: Vec<Key>,
    /// Keys and values to show.
    pub(crate) example: Option<Map<String, Value>>,
    /// Names that people try here, and what to do instead.
    pub(crate) elsewhere: BTreeMap<String, String>,
}

/// One key of a table.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// Its name.
    pub(crate) name: String,
    /// What it decides.
    pub(crate) description: String,
    /// What its values are.
    pub(crate) value: ValueType,
    /// What holds when it is left out.
    pub(crate) absent: Absent,
    /// A value to show.
    pub(crate) example: Option<Value>,
    /// Other names that people try.
    pub(crate) also: Vec<String>,
}

/// What holds when a key is left out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Absent {
    /// It must be given.
    Required,
    /// A value.
    Value(Value),
    /// Something that depends on other things; the words are for people.
    Depends(String),
    /// Nothing is described.
    Unknown,
}

/// Type of a value.
#[derive(Debug, Clone)]
pub(crate) struct ValueType {
    /// Name of the Rust type, where it is one of the file's own.
    pub(crate) name: Option<String>,
    /// Its form.
    pub(crate) shape: Shape,
    /// Which values of that form are allowed, as text.
    pub(crate) allowed: Option<String>,
}

/// Form of a value.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// A table with known keys.
    Table(Table),
    /// A table whose keys are free.
    Map(Box<ValueType>),
    /// An array; `length` where it is fixed.
    Array { item: Box<ValueType>, length: Option<u64> },
    /// A string out of a list.
    Choice(Vec<Choice>),
    /// Any string.
    String,
    /// A whole number.
    Integer { min: Option<i64>, max: Option<i64> },
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
}

/// One value of [`Shape::Choice`].
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    /// The value.
    pub(crate) value: String,
    /// What it stands for.
    pub(crate) description: String,
    /// Other names that people try.
    pub(crate) also: Vec<String>,
}

/// The table that `T` is read from.
pub(crate) fn table_of<T: JsonSchema>() -> Table {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    let root = schema.as_value().clone();
    let definitions = root.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
    table(root.as_object().unwrap_or(&Map::new()), &definitions)
}

fn table(schema: &Map<String, Value>, definitions: &Map<String, Value>) -> Table {
    let required = strings(schema.get("required"));
    let properties = schema.get("properties").and_then(Value::as_object);
    let key = |(name, value): (&String, &Value)| key(name, value, required.contains(name), definitions);
    let mut keys: Vec<Key> = properties.into_iter().flatten().map(key).collect();
    keys.sort_by_key(|key| key.absent != Absent::Required);
    let elsewhere = schema.get("x-elsewhere").and_then(Value::as_object).into_iter().flatten();
    let elsewhere = elsewhere.filter_map(|(name, words)| Some((name.clone(), words.as_str()?.to_owned())));
    let example = schema.get("x-example").and_then(Value::as_object).cloned();
    Table { description: text(schema, "description"), keys, example, elsewhere: elsewhere.collect() }
}

fn key(name: &str, schema: &Value, is_required: bool, definitions: &Map<String, Value>) -> Key {
    let empty = Map::new();
    let schema = schema.as_object().unwrap_or(&empty);
    let absent = match (schema.get("x-default").and_then(Value::as_str), schema.get("default")) {
        _ if is_required => Absent::Required,
        (Some(words), _) => Absent::Depends(words.to_owned()),
        (None, None | Some(Value::Null)) => Absent::Unknown,
        (None, Some(value)) => Absent::Value(value.clone()),
    };
    Key {
        name: name.to_owned(),
        description: text(schema, "description"),
        value: value_type(schema, definitions),
        absent,
        example: schema.get("x-example").cloned(),
        also: strings(schema.get("x-also")),
    }
}

fn value_type(schema: &Map<String, Value>, definitions: &Map<String, Value>) -> ValueType {
    let allowed = schema.get("x-allowed").and_then(Value::as_str).map(str::to_owned);
    let options = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    let named = options.filter_map(|option| option.get("$ref")).next().or_else(|| schema.get("$ref"));
    let name = named.and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    if let Some((name, definition)) = name.and_then(|name| Some((name, definitions.get(name)?.as_object()?))) {
        let inner = value_type(definition, definitions);
        return ValueType { name: Some(name.to_owned()), allowed: allowed.or(inner.allowed), shape: inner.shape };
    }
    ValueType { name: None, shape: shape(schema, definitions), allowed }
}

fn shape(schema: &Map<String, Value>, definitions: &Map<String, Value>) -> Shape {
    if let Some(options) = schema.get("oneOf").and_then(Value::as_array) {
        return Shape::Choice(options.iter().filter_map(Value::as_object).map(choice).collect());
    }
    let of = |key: &str| schema.get(key).and_then(Value::as_object).map(|inner| value_type(inner, definitions));
    let any = || Box::new(ValueType { name: None, shape: Shape::String, allowed: None });
    let number = |key: &str| schema.get(key).and_then(Value::as_i64);
    let types = schema.get("type");
    let types = types.and_then(Value::as_str).map_or_else(|| strings(types), |one| vec![one.to_owned()]);
    match types.first().map(String::as_str) {
        Some("object") if schema.contains_key("properties") => Shape::Table(table(schema, definitions)),
        Some("object") => Shape::Map(of("additionalProperties").map_or_else(any, Box::new)),
        Some("array") => Shape::Array {
            item: of("items").map_or_else(any, Box::new),
            length: schema.get("maxItems").and_then(Value::as_u64),
        },
        Some("integer") => Shape::Integer { min: number("minimum"), max: number("maximum") },
        Some("number") => Shape::Number,
        Some("boolean") => Shape::Boolean,
        _ => Shape::String,
    }
}

fn choice(schema: &Map<String, Value>) -> Choice {
    Choice {
        value: text(schema, "const"),
        description: text(schema, "description"),
        also: strings(schema.get("x-also")),
    }
}

fn text(schema: &Map<String, Value>, key: &str) -> String {
    let text = schema.get(key).and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}
