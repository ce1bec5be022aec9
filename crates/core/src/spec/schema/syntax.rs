//! Errors of TOML's syntax, with what the file has and what is expected.

use super::mistake::{Mistake, line};

/// What the parser calls a key that is in a table twice; the rest of the file can still be checked.
const DUPLICATE: &str = "duplicate key";

/// The mistakes of the parser: all duplicate keys, or the first error alone, behind which nothing is certain.
pub(super) struct SyntaxErrors {
    pub(super) mistakes: Vec<Mistake>,
    /// Whether the rest of the file can be checked.
    pub(super) is_readable: bool,
}

impl SyntaxErrors {
    pub(super) fn of(text: &str, mut errors: Vec<toml::de::Error>) -> Self {
        errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
        let broken = errors.iter().find(|error| error.message() != DUPLICATE);
        match broken {
            Some(error) => Self { mistakes: vec![broken_line(text, error)], is_readable: false },
            None => Self { mistakes: errors.iter().map(|error| duplicate(text, error)).collect(), is_readable: true },
        }
    }
}

fn duplicate(text: &str, error: &toml::de::Error) -> Mistake {
    let span = error.span().unwrap_or_default();
    let key = text.get(span.clone()).unwrap_or_default();
    Mistake {
        line: Some(line(text, span.start)),
        key: Some(key.to_owned()),
        message: format!("duplicate key `{key}`; remove one of the two"),
    }
}

fn broken_line(text: &str, error: &toml::de::Error) -> Mistake {
    let place = error.span().unwrap_or_default().start.min(text.len());
    // The parser may see a missing value only at the end of the line, whose place is that of the line break.
    let start = text[..place].rfind('\n').map_or(0, |found| found + 1);
    let end = text[place..].find('\n').map_or(text.len(), |found| place + found);
    let whole = text[start..end].trim();
    let value = text[start..place.max(start)].split_once('=').map(|_| text[place..end].trim());
    let message = match value {
        Some("") => format!("invalid TOML: `{whole}`; expected a value behind `=`"),
        Some(word) if word.starts_with(|first: char| first.is_ascii_alphabetic()) => {
            let word: String = word.chars().take_while(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect();
            format!("invalid TOML: `{whole}`; write strings in quotation marks: \"{word}\"")
        }
        _ => format!("invalid TOML: `{whole}`: {}", error.message()),
    };
    Mistake { line: Some(line(text, start)), key: None, message }
}
