//! The words, numbers, strings and signs of a text.

use crate::SyntaxError;

/// One token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A letter or `_`, and digits after it.
    Name(&'a str),
    /// A number without its sign, as it is written.
    Number(&'a str),
    /// What is between quotes, escapes undone.
    Text(Vec<u8>),
    /// Any other character.
    Sign(char),
    /// The end of the text.
    End,
}

/// A place in the text.
pub(super) struct Tokens<'a> {
    /// The token at this place.
    pub(super) token: Token<'a>,
    /// Its line, from 1.
    pub(super) line: usize,
    /// What follows it.
    rest: &'a str,
    /// The line that `rest` begins in.
    rest_line: usize,
}

impl<'a> Tokens<'a> {
    /// The first token of `text`.
    pub(super) fn new(text: &'a str) -> Result<Self, SyntaxError> {
        let mut tokens = Self { token: Token::End, line: 1, rest: text, rest_line: 1 };
        tokens.advance()?;
        Ok(tokens)
    }

    /// Goes to the next token and returns the one before.
    pub(super) fn advance(&mut self) -> Result<Token<'a>, SyntaxError> {
        self.skip_blanks();
        self.line = self.rest_line;
        let token = match self.first() {
            None => Token::End,
            Some('a'..='z' | 'A'..='Z' | '_') => Token::Name(self.pass(name_length(self.rest))),
            Some('0'..='9') => Token::Number(self.number()?),
            Some('.') if self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) => Token::Number(self.number()?),
            Some(quote @ ('"' | '\'')) => Token::Text(self.text(quote)?),
            Some(sign) => {
                self.pass(sign.len_utf8());
                Token::Sign(sign)
            }
        };
        Ok(std::mem::replace(&mut self.token, token))
    }

    /// Goes on if the token is this sign.
    pub(super) fn take(&mut self, sign: char) -> Result<bool, SyntaxError> {
        let is_here = self.token == Token::Sign(sign);
        if is_here {
            self.advance()?;
        }
        Ok(is_here)
    }

    pub(super) fn fault(&self, reason: impl Into<String>) -> SyntaxError {
        SyntaxError { line: self.line, reason: reason.into() }
    }

    fn first(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Consumes `byte_count` bytes and returns them.
    fn pass(&mut self, byte_count: usize) -> &'a str {
        let (passed, rest) = self.rest.split_at(byte_count);
        self.rest_line += passed.matches('\n').count();
        self.rest = rest;
        passed
    }

    fn skip_blanks(&mut self) {
        loop {
            let blank = |c: char| c.is_ascii_whitespace() || c == '\u{b}';
            self.pass(self.rest.find(|c| !blank(c)).unwrap_or(self.rest.len()));
            if !self.rest.starts_with('#') {
                return;
            }
            self.pass(self.rest.find(['\n', '\0']).unwrap_or(self.rest.len()));
        }
    }

    fn number(&mut self) -> Result<&'a str, SyntaxError> {
        let number = self.pass(number_length(self.rest));
        let is_cut = if is_hexadecimal(number) { number.len() == 2 } else { number.ends_with(['e', 'E', '+', '-']) };
        match self.first() {
            _ if is_cut => Err(self.fault(format!("`{number}` is a number cut short"))),
            Some(c) if c.is_ascii_alphanumeric() || c == '_' || c == '.' => {
                Err(self.fault(format!("`{number}` is a number, and `{c}` follows it")))
            }
            _ => Ok(number),
        }
    }

    /// A string up to its closing `quote`.
    fn text(&mut self, quote: char) -> Result<Vec<u8>, SyntaxError> {
        self.pass(1);
        let mut bytes = Vec::new();
        loop {
            let plain = self.rest.find([quote, '\\', '\n', '\0']).unwrap_or(self.rest.len());
            bytes.extend_from_slice(self.pass(plain).as_bytes());
            match self.first() {
                Some('\\') => self.escape(&mut bytes)?,
                Some(end) if end == quote => {
                    self.pass(1);
                    return Ok(bytes);
                }
                _ => return Err(self.fault("a string has no end")),
            }
        }
    }

    /// One escape: a letter, up to three octal digits, up to two hexadecimal ones, or a code point.
    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), SyntaxError> {
        self.pass(1);
        let c = self.first().ok_or_else(|| self.fault("a string has no end"))?;
        let byte = match c {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' | '\'' | '"' | '?' => c as u8,
            '0'..='7' => {
                let digits = self.digits(8, 3);
                bytes.push(u32::from_str_radix(digits, 8).map_or(0, |code| code.to_le_bytes()[0]));
                return Ok(());
            }
            'x' | 'X' => {
                self.pass(1);
                let digits = self.digits(16, 2);
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| self.fault("a bad escape"))?);
                return Ok(());
            }
            'u' | 'U' => {
                let code = self.code_point()?;
                bytes.extend_from_slice(char::from_u32(code).unwrap_or('\u{fffd}').encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.fault(format!("unknown escape `\\{c}`"))),
        };
        self.pass(1);
        bytes.push(byte);
        Ok(())
    }

    /// `u` and four digits, or `U` and eight; a pair of surrogates is one code point.
    fn code_point(&mut self) -> Result<u32, SyntaxError> {
        let count = if self.pass(1) == "u" { 4 } else { 8 };
        let first = self.hexadecimal(count)?;
        let is_pair = (0xd800..0xdc00).contains(&first) && self.rest.starts_with("\\u");
        let second = self.rest.get(2..6).filter(|_| is_pair).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match second.filter(|second| (0xdc00..0xe000).contains(second)) {
            Some(second) => {
                self.pass(6);
                Ok(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))
            }
            None => Ok(first),
        }
    }

    fn hexadecimal(&mut self, count: usize) -> Result<u32, SyntaxError> {
        let digits = self.digits(16, count);
        // Of eight digits the highest is `001fffff`.
        let value = u32::from_str_radix(digits, 16).ok().filter(|value| digits.len() == count && *value < 0x20_0000);
        value.ok_or_else(|| self.fault("a bad escape"))
    }

    fn digits(&mut self, radix: u32, most: usize) -> &'a str {
        let count = self.rest.chars().take(most).take_while(|c| c.is_digit(radix)).count();
        self.pass(count)
    }
}

fn name_length(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())
}

fn is_hexadecimal(number: &str) -> bool {
    number.starts_with("0x") || number.starts_with("0X")
}

/// Bytes of the number that `text` begins with: hexadecimal, octal, or decimal, that with a fraction, an exponent and a
/// letter `f`.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let at = |place: usize| bytes.get(place).copied().unwrap_or(0);
    let end = |from: usize, digit: fn(&u8) -> bool| from + bytes[from..].iter().take_while(|byte| digit(byte)).count();
    if is_hexadecimal(text) {
        return end(2, u8::is_ascii_hexdigit);
    }
    if at(0) == b'0' && at(1).is_ascii_digit() {
        return end(1, |byte| (b'0'..=b'7').contains(byte));
    }
    let mut length = end(0, u8::is_ascii_digit);
    if at(length) == b'.' {
        length = end(length + 1, u8::is_ascii_digit);
    }
    if matches!(at(length), b'e' | b'E') {
        length += 1 + usize::from(matches!(at(length + 1), b'+' | b'-'));
        let exponent = length;
        length = end(exponent, u8::is_ascii_digit);
        if length == exponent {
            return length;
        }
    }
    length + usize::from(matches!(at(length), b'f' | b'F'))
}
