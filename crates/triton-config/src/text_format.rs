//! Protobuf's text format, as far as it can be read without knowing the message.
//!
//! Follows the text format language specification of protobuf.dev and, where that leaves something open, the reader in
//! C++ that Triton uses: what that refuses in every message is refused here. Kinds and numbers of values are left to
//! those who know the fields, so values keep the form that they were written in.

mod tokens;

use crate::SyntaxError;
use tokens::{Token, Tokens};

/// Most blocks within blocks; a configuration of Triton's has fewer than ten.
const MOST_DEPTH: usize = 100;

/// One value of a field; a list is as many fields of the same name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) form: Form,
    pub(crate) value: Value,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    /// With a `:` after the name.
    pub(crate) colon: bool,
    /// In a list.
    pub(crate) list: bool,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// A string, escapes undone.
    Text(String),
    /// A number, a name or a truth value, as it is written.
    Word(String),
    /// Fields of its own.
    Message(Vec<Field>),
    /// Nothing: the list is empty.
    Nothing,
}

impl Field {
    /// The string or word; empty for a message.
    pub(crate) fn text(&self) -> &str {
        match &self.value {
            Value::Text(text) | Value::Word(text) => text,
            Value::Message(_) | Value::Nothing => "",
        }
    }

    /// The whole number.
    pub(crate) fn number(&self) -> Option<i64> {
        integer(self.text())?.try_into().ok()
    }

    /// The number with a fraction.
    pub(crate) fn decimal(&self) -> Option<f64> {
        decimal(self.text())
    }

    /// Whether it is the word for "yes".
    pub(crate) fn is_true(&self) -> bool {
        ["true", "True", "t"].contains(&self.text()) || self.number() == Some(1)
    }

    /// The word, or that of a number, which counts from 0.
    pub(crate) fn word_of<'a>(&'a self, words: &[&'a str]) -> &'a str {
        let number = self.number().and_then(|number| usize::try_from(number).ok());
        number.and_then(|number| words.get(number).copied()).unwrap_or_else(|| self.text())
    }

    /// The fields of a message.
    pub(crate) fn fields(&self) -> &[Field] {
        match &self.value {
            Value::Message(fields) => fields,
            Value::Text(_) | Value::Word(_) | Value::Nothing => &[],
        }
    }

    /// Fields of this name in a message.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Field> {
        all(self.fields(), name)
    }

    /// The last field of this name in a message, which is the one that counts.
    pub(crate) fn last(&self, name: &str) -> Option<&Field> {
        last(self.fields(), name)
    }
}

pub(crate) fn all<'a>(fields: &'a [Field], name: &'a str) -> impl Iterator<Item = &'a Field> {
    fields.iter().filter(move |field| field.name == name && field.value != Value::Nothing)
}

pub(crate) fn last<'a>(fields: &'a [Field], name: &str) -> Option<&'a Field> {
    fields.iter().rev().find(|field| field.name == name && field.value != Value::Nothing)
}

/// Entries of a map of this name, of each key the last, which is the one that counts.
pub(crate) fn entries<'a>(fields: &'a [Field], name: &'a str) -> Vec<&'a Field> {
    let key = |entry: &Field| entry.last("key").map_or("", Field::text).to_owned();
    let mut entries: Vec<&Field> = Vec::new();
    for entry in all(fields, name) {
        match entries.iter_mut().find(|other| key(other) == key(entry)) {
            Some(other) => *other = entry,
            None => entries.push(entry),
        }
    }
    entries
}

/// A whole number: decimal, octal after `0`, hexadecimal after `0x`, and of 64 bits at most.
pub(crate) fn integer(word: &str) -> Option<i128> {
    let (sign, digits) = word.strip_prefix('-').map_or((1, word), |digits| (-1, digits));
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    u64::from_str_radix(digits, radix).ok().map(|number| sign * i128::from(number))
}

/// A number with a fraction or an exponent or neither; one that is octal or hexadecimal is none.
pub(crate) fn decimal(word: &str) -> Option<f64> {
    let (sign, digits) = word.strip_prefix('-').map_or((1.0, word), |digits| (-1.0, digits));
    let has_digits = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let is_octal = digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_octal || !has_digits && !["inf", "infinity", "nan"].contains(&digits.to_ascii_lowercase().as_str()) {
        return None;
    }
    let plain = if has_digits { digits.trim_end_matches(['f', 'F']) } else { digits };
    plain.parse().ok().map(|number: f64| sign * number)
}

/// Reads a whole text.
///
/// # Errors
/// [`SyntaxError`] with the line.
pub(crate) fn parse(text: &str) -> Result<Vec<Field>, SyntaxError> {
    message(&mut Tokens::new(text)?, None, 0)
}

/// Fields up to `end`, or to the end of the text.
fn message(tokens: &mut Tokens<'_>, end: Option<char>, depth: usize) -> Result<Vec<Field>, SyntaxError> {
    if depth > MOST_DEPTH {
        return Err(tokens.fault(format!("more than {MOST_DEPTH} blocks are within each other")));
    }
    let mut fields = Vec::new();
    loop {
        match (&tokens.token, end) {
            (Token::End, None) => return Ok(fields),
            (Token::End, Some(sign)) => {
                return Err(tokens.fault(format!("expected `{sign}`, found the end of the text")));
            }
            (Token::Sign(found), Some(sign)) if *found == sign => {
                tokens.advance()?;
                return Ok(fields);
            }
            (Token::Name(_), _) => field(tokens, &mut fields, depth)?,
            _ => return Err(tokens.fault("expected the name of a field")),
        }
    }
}

/// A name, a value or a list of values, and one separator if there is one.
fn field(tokens: &mut Tokens<'_>, fields: &mut Vec<Field>, depth: usize) -> Result<(), SyntaxError> {
    let line = tokens.line;
    let Token::Name(name) = tokens.advance()? else { return Err(tokens.fault("expected the name of a field")) };
    let colon = tokens.take(':')?;
    if !colon && !matches!(tokens.token, Token::Sign('{' | '<' | '[')) {
        return Err(tokens.fault(format!("expected `:` or `{{` after `{name}`")));
    }
    let list = tokens.take('[')?;
    let mut push = |value| fields.push(Field { name: name.to_owned(), line, form: Form { colon, list }, value });
    if !list {
        push(value(tokens, depth)?);
    } else if tokens.take(']')? {
        push(Value::Nothing);
    } else {
        loop {
            push(value(tokens, depth)?);
            if tokens.take(']')? {
                break;
            }
            if !tokens.take(',')? {
                return Err(tokens.fault("expected `,` or `]` in a list"));
            }
        }
    }
    if !tokens.take(';')? {
        tokens.take(',')?;
    }
    Ok(())
}

fn value(tokens: &mut Tokens<'_>, depth: usize) -> Result<Value, SyntaxError> {
    match tokens.advance()? {
        Token::Name(word) | Token::Number(word) => Ok(Value::Word(word.to_owned())),
        Token::Sign('-') => match tokens.advance()? {
            Token::Name(word) | Token::Number(word) => Ok(Value::Word(format!("-{word}"))),
            _ => Err(tokens.fault("expected a number after `-`")),
        },
        Token::Text(mut bytes) => {
            // Strings that follow each other are one.
            while matches!(tokens.token, Token::Text(_)) {
                if let Token::Text(more) = tokens.advance()? {
                    bytes.extend(more);
                }
            }
            Ok(Value::Text(String::from_utf8_lossy(&bytes).into_owned()))
        }
        Token::Sign('{') => Ok(Value::Message(message(tokens, Some('}'), depth + 1)?)),
        Token::Sign('<') => Ok(Value::Message(message(tokens, Some('>'), depth + 1)?)),
        Token::Sign(sign) => Err(tokens.fault(format!("expected a value, found `{sign}`"))),
        Token::End => Err(tokens.fault("the text ends where a value is expected")),
    }
}

#[cfg(test)]
mod tests;
