//! A configuration as a tree of fields, in protobuf's text format.

use crate::ArchiveFault;
use crate::config_reader::{Reader, Token};

/// One value of a field; a list is as many fields of the same name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) value: Value,
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
}

impl Field {
    /// The string or word; empty for a message.
    pub(crate) fn text(&self) -> &str {
        match &self.value {
            Value::Text(text) | Value::Word(text) => text,
            Value::Message(_) => "",
        }
    }

    /// The whole number.
    pub(crate) fn number(&self) -> Option<i64> {
        self.text().parse().ok()
    }

    /// The fields of a message.
    pub(crate) fn fields(&self) -> &[Field] {
        match &self.value {
            Value::Message(fields) => fields,
            Value::Text(_) | Value::Word(_) => &[],
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
    fields.iter().filter(move |field| field.name == name)
}

pub(crate) fn last<'a>(fields: &'a [Field], name: &str) -> Option<&'a Field> {
    fields.iter().rev().find(|field| field.name == name)
}

/// Reads a whole configuration.
///
/// # Errors
/// [`ArchiveFault::Config`] with the line.
pub(crate) fn parse(text: &str) -> Result<Vec<Field>, ArchiveFault> {
    message(&mut Reader::new(text), None)
}

/// Fields up to `end`, or to the end of the text.
fn message(reader: &mut Reader<'_>, end: Option<char>) -> Result<Vec<Field>, ArchiveFault> {
    let mut fields = Vec::new();
    loop {
        match (reader.peek(), end) {
            (None, None) => return Ok(fields),
            (None, Some(sign)) => return Err(reader.fault(&format!("expected `{sign}`, found the end of the text"))),
            (Some(Token::Sign(found)), Some(sign)) if found == sign => {
                reader.advance(sign.len_utf8());
                return Ok(fields);
            }
            _ => {}
        }
        let line = reader.line;
        let Some(name) = reader.field_name()? else { continue };
        values(reader, |value| fields.push(Field { name: name.clone(), line, value }))?;
    }
}

/// One value, or those of a list. After the last of a list there is no comma.
pub(crate) fn values(reader: &mut Reader<'_>, mut push: impl FnMut(Value)) -> Result<(), ArchiveFault> {
    if !reader.take_sign('[') {
        push(value(reader)?);
        return Ok(());
    }
    if reader.take_sign(']') {
        return Ok(());
    }
    loop {
        push(value(reader)?);
        if reader.take_sign(']') {
            return Ok(());
        }
        if !reader.take_sign(',') {
            return Err(reader.fault("expected `,` or `]` in a list"));
        }
    }
}

fn value(reader: &mut Reader<'_>) -> Result<Value, ArchiveFault> {
    match reader.peek() {
        Some(Token::Quote(_)) => Ok(Value::Text(reader.string()?)),
        Some(Token::Word(word)) => {
            reader.advance(word.len());
            Ok(Value::Word(word.to_owned()))
        }
        Some(Token::Sign('-')) => {
            reader.advance(1);
            let Some(Token::Word(word)) = reader.peek() else { return Err(reader.fault("expected a number")) };
            reader.advance(word.len());
            Ok(Value::Word(format!("-{word}")))
        }
        Some(Token::Sign('{')) => {
            reader.advance(1);
            Ok(Value::Message(message(reader, Some('}'))?))
        }
        Some(Token::Sign('<')) => {
            reader.advance(1);
            Ok(Value::Message(message(reader, Some('>'))?))
        }
        Some(Token::Sign(sign)) => Err(reader.fault(&format!("expected a value, found `{sign}`"))),
        None => Err(reader.fault("the text ends where a value is expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_repeated_fields_are_the_same() {
        let list = parse("input [ { name: \"a\" dims: [ -1, 3 ] }, { name: 'b' } ]").unwrap();
        let blocks = parse("input { name: \"a\" dims: -1 dims: 3 }\n# twice\ninput: < name: \"b\" >").unwrap();
        let names = |fields: &[Field]| -> Vec<String> {
            all(fields, "input").map(|field| field.last("name").unwrap().text().to_owned()).collect()
        };
        assert_eq!(names(&list), ["a", "b"]);
        assert_eq!(names(&list), names(&blocks));
        let dims: Vec<_> = blocks[0].all("dims").filter_map(Field::number).collect();
        assert_eq!((dims, blocks[1].line), (vec![-1, 3], 3));
    }

    #[test]
    fn what_protobuf_refuses_is_refused() {
        for text in ["dims: [ 4, ]", "dims: [ 4 5 ]", "a {", "a }", "a: ", "\u{feff}a: 1", "a: [ { b: 1 }, ]", "a 1"] {
            assert!(matches!(parse(text), Err(ArchiveFault::Config { .. })), "{text}");
        }
        assert_eq!(parse("a: []\nb: 1, c: 2;").unwrap().len(), 2);
    }
}
