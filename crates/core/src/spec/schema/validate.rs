//! The check of a file: every mistake at once.

use super::checks::check_value;
use super::expectation::{correction, found, literal, missing_key, unknown_choice, unknown_key};
use super::mistake::{Mistake, Source};
use super::model::{Key, Shape, Table, ValueType};
use super::syntax::SyntaxErrors;
use serde::Deserialize;
use std::ops::Range;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use toml::{Spanned, Value};

/// A file that was checked.
pub(crate) struct Validated<'a> {
    /// The file.
    pub(crate) source: Source<'a>,
    /// What is wrong, by line.
    pub(crate) mistakes: Vec<Mistake>,
    /// Its sound values. A required key that is missing or wrong has its example, so that the rest can be checked
    /// further; `None` after a syntax error.
    pub(crate) table: Option<toml::Table>,
}

/// Checks a file against the description of its table.
pub(crate) fn validate<'a>(text: &'a str, root: &Table) -> Validated<'a> {
    let (parsed, errors) = DeTable::parse_recoverable(text);
    let syntax = SyntaxErrors::of(text, errors);
    let source = Source { text, root: parsed };
    let mut validator = Validator { source: &source, root, mistakes: syntax.mistakes };
    let table = syntax.is_readable.then(|| validator.table(source.root.get_ref(), root, "", None));
    let mut mistakes = validator.mistakes;
    mistakes.sort_by_key(|mistake| mistake.line);
    Validated { source, mistakes, table }
}

struct Validator<'a> {
    source: &'a Source<'a>,
    root: &'a Table,
    mistakes: Vec<Mistake>,
}

impl Validator<'_> {
    /// Notes a mistake at `span`.
    fn report(&mut self, span: Option<&Range<usize>>, path: &str, message: String) {
        let line = span.map(|span| self.source.line(span));
        self.mistakes.push(Mistake { line, key: Some(path.to_owned()), message });
    }

    /// Notes an invalid value of a key.
    fn report_value(&mut self, span: &Range<usize>, path: &str, message: &str) {
        self.report(Some(span), path, format!("key `{path}`: {message}"));
    }

    /// The sound keys of a table, whose own name is at `header`.
    fn table(
        &mut self,
        table: &DeTable<'_>,
        description: &Table,
        path: &str,
        header: Option<&Range<usize>>,
    ) -> toml::Table {
        let mut sound = toml::Table::new();
        for (name, value) in table {
            let path = join(path, name.get_ref());
            match description.keys.iter().find(|key| key.name == **name.get_ref()) {
                Some(key) => {
                    let value = self.key(&path, key, &name.span(), value);
                    sound.extend(value.map(|value| (key.name.clone(), value)));
                }
                None => {
                    let message = unknown_key(name.get_ref(), &path, description, self.root);
                    self.report(Some(&name.span()), &path, message);
                }
            }
        }
        for key in description.keys.iter().filter(|key| key.is_required()) {
            if !table.keys().any(|name| *name.get_ref() == key.name) {
                let path = join(path, &key.name);
                self.report(header, &path, missing_key(&path, key));
            }
            if let (false, Some(Ok(example))) =
                (sound.contains_key(&key.name), key.example.as_ref().map(Value::try_from))
            {
                sound.insert(key.name.clone(), example);
            }
        }
        sound
    }

    /// The value of a key, where it is sound.
    fn key(&mut self, path: &str, key: &Key, name: &Range<usize>, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        if key.value.accepts_form(value.get_ref()) {
            return self.value(path, &key.value, name, value);
        }
        let step = correction(key, path, value.get_ref()).map_or_else(String::new, |step| format!("; {step}"));
        let (found, expected) = (found(value.get_ref()), key.value.expected());
        self.report_value(name, path, &format!("invalid type: {found}; expected {expected}{step}"));
        None
    }

    /// An element of an array or map, where it is sound.
    fn item(&mut self, path: &str, item: &ValueType, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        if item.accepts_form(value.get_ref()) {
            return self.value(path, item, &value.span(), value);
        }
        let (found, expected) = (found(value.get_ref()), item.expected());
        self.report_value(&value.span(), path, &format!("invalid type: {found}; expected {expected}"));
        None
    }

    /// A value that has the form that is asked for, where it is sound. Mistakes of a table as a whole are at `header`.
    fn value(
        &mut self,
        path: &str,
        expected: &ValueType,
        header: &Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Value> {
        let sound = match (&expected.shape, value.get_ref()) {
            (Shape::Table(description), DeValue::Table(table)) => {
                Value::Table(self.table(table, description, path, Some(header)))
            }
            (Shape::Map(item), DeValue::Table(table)) => {
                let entries = table.iter().map(|(name, value)| {
                    let value = self.item(&join(path, name.get_ref()), item, value)?;
                    Some((name.get_ref().to_string(), value))
                });
                // Collected first, so that every entry is looked at.
                let entries: Vec<Option<(String, Value)>> = entries.collect();
                Value::Table(entries.into_iter().collect::<Option<_>>()?)
            }
            (Shape::Array { item, .. }, DeValue::Array(items)) => {
                let items: Vec<Option<Value>> = items.iter().map(|value| self.item(path, item, value)).collect();
                Value::Array(items.into_iter().collect::<Option<_>>()?)
            }
            _ => self.scalar(path, value)?,
        };
        match check(expected, &sound, &literal(value.get_ref())) {
            Ok(()) => Some(sound),
            Err(message) => {
                self.report_value(&value.span(), path, &message);
                None
            }
        }
    }

    /// A string, number or truth value, which TOML may allow where it cannot be represented.
    fn scalar(&mut self, path: &str, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let read = Value::deserialize(ValueDeserializer::from(value.clone()));
        if read.is_err() {
            let message = format!("invalid number {}; expected a smaller one", literal(value.get_ref()));
            self.report_value(&value.span(), path, &message);
        }
        read.ok()
    }
}

/// `table.key`.
fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Whether a value of the right form is allowed; `text` is how the file has it.
fn check(expected: &ValueType, value: &Value, text: &str) -> Result<(), String> {
    match (&expected.shape, value) {
        (Shape::Choice(choices), Value::String(name)) if !choices.iter().any(|known| known.value == *name) => {
            return Err(unknown_choice(name, choices));
        }
        (Shape::Array { length: Some(length), .. }, Value::Array(items)) if items.len() as u64 != *length => {
            return Err(format!("invalid number of values: {text}; expected {}", expected.expected()));
        }
        (Shape::Integer { min, max }, Value::Integer(number))
            if min.is_some_and(|min| *number < min) || max.is_some_and(|max| *number > max) =>
        {
            return Err(format!("invalid value {number}; expected {}", expected.expected()));
        }
        _ => {}
    }
    expected.name.as_ref().map_or(Ok(()), |name| check_value(name, value))
}
