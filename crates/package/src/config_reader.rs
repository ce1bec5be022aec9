//! Reads what a host needs from a `config.pbtxt`: the scalar fields at the top. Everything else is
//! skipped by the rules of protobuf's text format, so configurations that other tools wrote are read too.

use crate::ArchiveFault;
use crate::lint::{Value, last, values};
use std::collections::BTreeMap;

/// What runs the model of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// ONNX Runtime over `model.onnx`.
    Onnxruntime,
    /// libtorch over `model.pt`.
    Pytorch,
    /// A plan of classic TensorRT, `model.plan`.
    Tensorrt,
    /// A TensorRT-RTX engine, `model.plan`.
    TensorrtRtx,
}

/// The part of a configuration that a host needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServingConfig {
    /// What runs it.
    pub backend: Backend,
    /// Largest batch of one request; 0 when the model's shapes have no batch dimension.
    pub max_batch_size: u64,
    /// Name of the model file in the version folder; one of them where each GPU type has its own.
    pub model_file: String,
    /// Names of files by the compute capability of the GPUs that take each.
    pub files_by_capability: BTreeMap<String, String>,
}

impl ServingConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`ArchiveFault::Config`] with the line, [`ArchiveFault::Backend`].
    pub fn parse(text: &str) -> Result<Self, ArchiveFault> {
        let (mut backend, mut platform, mut file, mut batch) = (String::new(), String::new(), String::new(), 0);
        let mut files_by_capability = BTreeMap::new();
        let mut reader = Reader::new(text);
        while let Some(field) = reader.field_name()? {
            match field.as_str() {
                "backend" => backend = reader.string()?,
                "platform" => platform = reader.string()?,
                "default_model_filename" => file = reader.string()?,
                "cc_model_filenames" => values(&mut reader, |value| files_by_capability.extend(pair_of(&value)))?,
                "max_batch_size" => batch = reader.unsigned()?,
                _ => reader.skip_value()?,
            }
        }
        if file.is_empty() {
            file = files_by_capability.values().next().cloned().unwrap_or_default();
        }
        let (backend, default_file) = match (backend.as_str(), platform.as_str()) {
            ("onnxruntime", _) | ("", "onnxruntime_onnx") => (Backend::Onnxruntime, crate::triton_config::ONNX_FILE),
            ("pytorch", _) | ("", "pytorch_libtorch") => (Backend::Pytorch, crate::triton_config::MODULE_FILE),
            ("tensorrt", _) | ("", "tensorrt_plan") => (Backend::Tensorrt, crate::triton_config::PLAN_FILE),
            (crate::triton_config::OWN_BACKEND, _) if file.ends_with(".plan") => {
                (Backend::TensorrtRtx, crate::triton_config::PLAN_FILE)
            }
            (crate::triton_config::OWN_BACKEND, _) => (Backend::Onnxruntime, crate::triton_config::ONNX_FILE),
            ("", other) | (other, _) => return Err(ArchiveFault::Backend(other.to_owned())),
        };
        let model_file = if file.is_empty() { default_file.to_owned() } else { file };
        Ok(Self { backend, max_batch_size: batch, model_file, files_by_capability })
    }
}

/// Compute capability and file of one item of `cc_model_filenames`.
fn pair_of(item: &Value) -> Option<(String, String)> {
    let Value::Message(fields) = item else { return None };
    let text = |name: &str| last(fields, name).map(|field| field.text().to_owned());
    Some((text("key")?, text("value")?))
}

/// A position in the text.
pub(crate) struct Reader<'a> {
    rest: &'a str,
    pub(crate) line: usize,
}

/// One word, number, bracket or other sign; strings are read apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    Word(&'a str),
    Sign(char),
    Quote(char),
}

impl<'a> Reader<'a> {
    /// The beginning of `text`.
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { rest: text, line: 1 }
    }

    /// The next field's name, or `None` at the end of the text.
    pub(crate) fn field_name(&mut self) -> Result<Option<String>, ArchiveFault> {
        while self.take_sign(',') || self.take_sign(';') {}
        let Some(token) = self.peek() else { return Ok(None) };
        let Token::Word(word) = token else { return Err(self.fault("expected the name of a field")) };
        self.advance(word.len());
        let has_colon = self.take_sign(':');
        match self.peek() {
            Some(Token::Sign('{' | '<' | '[')) => Ok(Some(word.to_owned())),
            Some(_) if has_colon => Ok(Some(word.to_owned())),
            _ => Err(self.fault(&format!("expected `:` or `{{` after `{word}`"))),
        }
    }

    /// A string value; adjacent strings are one.
    pub(crate) fn string(&mut self) -> Result<String, ArchiveFault> {
        let mut bytes = Vec::new();
        while let Some(Token::Quote(quote)) = self.peek() {
            self.advance(1);
            self.string_rest(quote, Some(&mut bytes))?;
            if !matches!(self.peek(), Some(Token::Quote(_))) {
                return String::from_utf8(bytes).map_err(|_| self.fault("a string is not UTF-8"));
            }
        }
        Err(self.fault("expected a string"))
    }

    fn unsigned(&mut self) -> Result<u64, ArchiveFault> {
        let Some(Token::Word(word)) = self.peek() else { return Err(self.fault("expected a number of 0 or more")) };
        let value = word.parse().map_err(|_| self.fault(&format!("`{word}` is not a number of 0 or more")))?;
        self.advance(word.len());
        Ok(value)
    }

    /// Skips a scalar, a list or a message with all that is in it.
    fn skip_value(&mut self) -> Result<(), ArchiveFault> {
        let mut open = Vec::new();
        loop {
            match self.peek() {
                None => return Err(self.fault("the text ends within a value")),
                Some(Token::Quote(quote)) => {
                    self.advance(1);
                    self.string_rest(quote, None)?;
                    if open.is_empty() && matches!(self.peek(), Some(Token::Quote(_))) {
                        continue;
                    }
                }
                Some(Token::Word(word)) => self.advance(word.len()),
                Some(Token::Sign('-')) if open.is_empty() => {
                    self.advance(1);
                    continue;
                }
                Some(Token::Sign(sign)) => {
                    match sign {
                        '{' => open.push('}'),
                        '<' => open.push('>'),
                        '[' => open.push(']'),
                        '}' | '>' | ']' if open.pop() != Some(sign) => {
                            return Err(self.fault(&format!("unexpected `{sign}`")));
                        }
                        '}' | '>' | ']' => {}
                        _ if open.is_empty() => return Err(self.fault(&format!("unexpected `{sign}`"))),
                        _ => {}
                    }
                    self.advance(sign.len_utf8());
                }
            }
            if open.is_empty() {
                return Ok(());
            }
        }
    }

    /// Reads up to the closing `quote`, undoing escapes.
    fn string_rest(&mut self, quote: char, mut bytes: Option<&mut Vec<u8>>) -> Result<(), ArchiveFault> {
        loop {
            let Some(c) = self.rest.chars().next().filter(|c| *c != '\n') else {
                return Err(self.fault("a string has no end"));
            };
            self.advance(c.len_utf8());
            let mut plain = [0; 4];
            let escaped;
            let content = match c {
                '\\' => {
                    escaped = [self.escape()?];
                    escaped.as_slice()
                }
                _ if c == quote => return Ok(()),
                _ => c.encode_utf8(&mut plain).as_bytes(),
            };
            if let Some(bytes) = &mut bytes {
                bytes.extend_from_slice(content);
            }
        }
    }

    /// The byte of an escape, after its backslash.
    fn escape(&mut self) -> Result<u8, ArchiveFault> {
        let Some(c) = self.rest.chars().next() else { return Err(self.fault("a string has no end")) };
        let (digits, radix, most) = match c {
            'x' | 'X' => (&self.rest[1..], 16, 2),
            '0'..='7' => (self.rest, 8, 3),
            _ => {
                let byte = match c {
                    'a' => 7,
                    'b' => 8,
                    'f' => 12,
                    'n' => b'\n',
                    'r' => b'\r',
                    't' => b'\t',
                    'v' => 11,
                    '\\' | '\'' | '"' | '?' => u8::try_from(c).unwrap_or(b'?'),
                    _ => return Err(self.fault(&format!("unknown escape `\\{c}`"))),
                };
                self.advance(1);
                return Ok(byte);
            }
        };
        let count = digits.chars().take(most).take_while(|digit| digit.is_digit(radix)).count();
        let value = u8::from_str_radix(&digits[..count], radix).map_err(|_| self.fault("a bad escape"))?;
        self.advance(count + (self.rest.len() - digits.len()));
        Ok(value)
    }

    pub(crate) fn take_sign(&mut self, sign: char) -> bool {
        let found = self.peek() == Some(Token::Sign(sign));
        if found {
            self.advance(1);
        }
        found
    }

    /// The next token, after spaces and comments; it stays there.
    pub(crate) fn peek(&mut self) -> Option<Token<'a>> {
        loop {
            let spaces = self.rest.len() - self.rest.trim_start().len();
            self.advance(spaces);
            if !self.rest.starts_with('#') {
                break;
            }
            self.advance(self.rest.find('\n').unwrap_or(self.rest.len()));
        }
        let first = self.rest.chars().next()?;
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && !"_.+".contains(c)).unwrap_or(self.rest.len());
        Some(match first {
            '"' | '\'' => Token::Quote(first),
            _ if end > 0 => Token::Word(&self.rest[..end]),
            _ => Token::Sign(first),
        })
    }

    pub(crate) fn advance(&mut self, byte_count: usize) {
        let (passed, rest) = self.rest.split_at(byte_count);
        self.line += passed.matches('\n').count();
        self.rest = rest;
    }

    pub(crate) fn fault(&self, reason: &str) -> ArchiveFault {
        ArchiveFault::Config { line: self.line, reason: reason.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        ServingConfig::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn unknown_fields_are_skipped_whole() {
        let text = r#"
# platform: "wrong"
name: 'm' "ore"; parameters [ { key: "a" value { string_value: "} ] max_batch_size: 99" } } ],
input { name: "x" dims: [ -1, 3 ] reshape < shape: [ ] > }
optimization { cuda { graphs: true } } version_policy: { latest { num_versions: 1 } }
x: -1.5e+3 y: -inf
backend: "onnx" 'runtime' max_batch_size: 8
default_model_filename: "a\056\x6fnnx""#;
        let config = ServingConfig::parse(text).unwrap();
        let model_file = "a.onnx".to_owned();
        assert_eq!(
            config,
            ServingConfig {
                backend: Backend::Onnxruntime,
                max_batch_size: 8,
                model_file,
                files_by_capability: BTreeMap::new()
            }
        );
    }

    #[test]
    fn defaults_follow_the_platform() {
        let config = ServingConfig::parse("platform: \"onnxruntime_onnx\"").unwrap();
        assert_eq!((config.max_batch_size, config.model_file.as_str()), (0, "model.onnx"));
        let own = ServingConfig::parse("backend: \"planforge\"").unwrap();
        assert_eq!((own.backend, own.model_file.as_str()), (Backend::Onnxruntime, "model.onnx"));
        let text = "backend: \"planforge\" cc_model_filenames { key: \"8.9\", value: \"b.plan\" }\
                    cc_model_filenames [{ key: \"8.6\" value: \"a.plan\" }]";
        let several = ServingConfig::parse(text).unwrap();
        assert_eq!((several.backend, several.model_file.as_str()), (Backend::TensorrtRtx, "a.plan"));
        assert_eq!(several.files_by_capability["8.9"], "b.plan");
        let engine = ServingConfig::parse("backend: \"planforge\" default_model_filename: \"a.plan\"").unwrap();
        assert_eq!((engine.backend, engine.model_file.as_str()), (Backend::TensorrtRtx, "a.plan"));
        let plan = ServingConfig::parse("platform: \"tensorrt_plan\"").unwrap();
        assert_eq!((plan.backend, plan.model_file.as_str()), (Backend::Tensorrt, "model.plan"));
        assert_eq!(fault("backend: \"dali\""), "`config.pbtxt` names backend `dali`, which is not known");
    }

    #[test]
    fn mistakes_name_the_line() {
        assert_eq!(fault("\nname \"m\""), "`config.pbtxt` line 2: expected `:` or `{` after `name`");
        assert_eq!(fault("a {\n b: 1"), "`config.pbtxt` line 2: the text ends within a value");
        assert_eq!(fault("a { ]"), "`config.pbtxt` line 1: unexpected `]`");
        assert_eq!(fault("max_batch_size: -1"), "`config.pbtxt` line 1: expected a number of 0 or more");
        assert_eq!(fault("backend: \"a\nb\""), "`config.pbtxt` line 1: a string has no end");
        assert_eq!(fault("backend: \"\\q\""), "`config.pbtxt` line 1: unknown escape `\\q`");
        assert!(fault("\u{feff}name: 1").contains("expected the name of a field"));
    }
}
