//! Protobuf's text format, and the fields of a configuration under way.

use planforge_types::DataType;
use std::fmt::Write;

/// Fields at the top of a configuration with their text, in order.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(&'static str, String)>);

impl Fields {
    /// Adds the text of a field, or of several of the same name.
    pub(super) fn add(&mut self, name: &'static str, text: String) {
        self.0.push((name, text));
    }

    pub(super) fn comment(&mut self, text: &str) {
        self.add("", text.to_owned());
    }

    pub(super) fn string(&mut self, name: &'static str, value: &str) {
        self.add(name, format!("{name}: {}\n", quoted(value)));
    }

    pub(super) fn parameter(&mut self, key: &str, value: &str) {
        let value = quoted(value);
        self.add("parameters", format!("parameters {{ key: {} value {{ string_value: {value} }} }}\n", quoted(key)));
    }

    /// Takes fields of this name away.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| *known != name);
    }

    pub(super) fn into_text(self) -> String {
        self.0.into_iter().map(|(_, text)| text).collect()
    }
}

pub(super) fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    writeln!(text, "{content}").expect("writing into a string cannot fail");
}

/// A protobuf text string: quotes, backslashes and everything outside printable ASCII escaped, the
/// latter as three octal digits for each byte, as protobuf's own printer does.
pub(super) fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len() + 2);
    text.push('"');
    for byte in value.bytes() {
        match byte {
            b'"' | b'\'' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => write!(text, "\\{byte:03o}").expect("writing into a string cannot fail"),
        }
    }
    text.push('"');
    text
}

/// Triton's name of an element type: `TYPE_` and the KServe name.
pub(super) fn type_name(data_type: DataType) -> String {
    format!("TYPE_{}", data_type.kserve_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(quoted("a\"b\\c\n\u{7f}é"), r#""a\"b\\c\n\177\303\251""#);
    }
}
