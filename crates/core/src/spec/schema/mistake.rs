//! Mistakes in a file, and where they are.

use std::fmt;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Line of the file, from 1; `None` where the mistake is in no line, such as a missing key.
    pub line: Option<usize>,
    /// The key, dotted; `None` for a syntax error.
    pub key: Option<String>,
    /// What is wrong, what is expected, and the next step.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Keys whose values do not go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contradiction {
    /// The keys, dotted: first the one to change.
    pub(crate) keys: Vec<&'static str>,
    /// What is wrong and what to change.
    pub(crate) message: String,
}

impl Contradiction {
    /// A contradiction between the keys.
    pub(crate) fn new(keys: &[&'static str], message: impl Into<String>) -> Self {
        Self { keys: keys.to_vec(), message: message.into() }
    }

    /// Whether one of the keys is `key`, or a table around it, or a key within it.
    pub(crate) fn concerns(&self, key: &str) -> bool {
        let is_within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.keys.iter().any(|own| is_within(own, key) || is_within(key, own))
    }

    /// The mistake, at the line of the first of its keys that is in the file.
    pub(crate) fn at(&self, source: Option<&Source<'_>>) -> Mistake {
        let key = self.keys.first().map(|key| (*key).to_owned());
        let line = source.and_then(|source| self.keys.iter().find_map(|key| source.line_of_key(key)));
        let quoted = self.keys.first().map_or_else(String::new, |key| format!("key `{key}`: "));
        Mistake { line, key, message: format!("{quoted}{}", self.message) }
    }
}

/// A file's text and its tables with the places of keys and values.
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    pub(crate) root: Spanned<DeTable<'a>>,
}

impl Source<'_> {
    /// Line of a place in the text, from 1.
    pub(crate) fn line(&self, span: &Range<usize>) -> usize {
        line(self.text, span.start)
    }

    /// Line of a dotted key; of an array of tables the first that has it.
    fn line_of_key(&self, key: &str) -> Option<usize> {
        let parts: Vec<&str> = key.split('.').collect();
        find(self.root.get_ref(), &parts).map(|span| self.line(&span))
    }
}

/// Line of a byte of the text, from 1.
pub(crate) fn line(text: &str, place: usize) -> usize {
    text.as_bytes().iter().take(place).filter(|byte| **byte == b'\n').count() + 1
}

fn find(table: &DeTable<'_>, parts: &[&str]) -> Option<Range<usize>> {
    let (name, rest) = parts.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
    if rest.is_empty() {
        return Some(key.span());
    }
    match value.get_ref() {
        DeValue::Table(table) => find(table, rest),
        DeValue::Array(items) => items.iter().find_map(|item| find(item.get_ref().as_table()?, rest)),
        _ => None,
    }
}
