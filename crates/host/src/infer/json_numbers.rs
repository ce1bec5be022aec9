//! Numbers that JSON does not have, and that Triton takes and writes: `NaN`, `Inf` and `Infinity`.

use std::borrow::Cow;

/// The beginning of a string that stands for such a number; no string of a request begins so.
const MARK: &str = "\\u0000";
const SPECIAL: [&str; 3] = ["NaN", "Infinity", "Inf"];

/// The same text with these numbers as strings that [`special_number`] reads.
pub(super) fn mark_special_numbers(json: &[u8]) -> Cow<'_, [u8]> {
    if !json.iter().any(|&byte| byte == b'N' || byte == b'I') {
        return Cow::Borrowed(json);
    }
    let mut marked = Vec::with_capacity(json.len());
    let (mut rest, mut is_string) = (json, false);
    while let [byte, ..] = rest {
        let number = (!is_string).then(|| SPECIAL.iter().find(|name| rest.starts_with(name.as_bytes()))).flatten();
        if let Some(number) = number {
            let sign = if marked.pop_if(|last| *last == b'-').is_some() { "-" } else { "" };
            marked.extend(format!("\"{MARK}{sign}{number}\"").bytes());
            rest = &rest[number.len()..];
            continue;
        }
        // What is escaped in a string is not its end.
        let taken = if is_string && *byte == b'\\' { 2.min(rest.len()) } else { 1 };
        is_string ^= *byte == b'"';
        marked.extend_from_slice(&rest[..taken]);
        rest = &rest[taken..];
    }
    Cow::Owned(marked)
}

/// The number that a string stands for; none for a string of the request's own.
pub(super) fn special_number(text: &str) -> Option<f64> {
    match text.strip_prefix('\0')? {
        "NaN" | "-NaN" => Some(f64::NAN),
        "Inf" | "Infinity" => Some(f64::INFINITY),
        "-Inf" | "-Infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// The string that stands for a number that is not finite.
pub(super) fn marked(number: f32) -> &'static str {
    match number {
        number if number.is_nan() => "\0NaN",
        number if number > 0.0 => "\0Infinity",
        _ => "\0-Infinity",
    }
}

/// The same text with numbers for the strings of [`marked`], which is not JSON any more, as Triton writes it.
pub(super) fn unmark_special_numbers(json: &[u8]) -> Vec<u8> {
    let mut text = String::from_utf8_lossy(json).into_owned();
    for number in ["NaN", "Infinity", "-Infinity"] {
        text = text.replace(&format!("\"{MARK}{number}\""), number);
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_marked_and_strings_are_not() {
        let json = br#"{"NaN \" Inf":[NaN,-Infinity,Inf,1]}"#;
        let marked = mark_special_numbers(json);
        let value: serde_json::Value = serde_json::from_slice(&marked).unwrap();
        let numbers = value["NaN \" Inf"].as_array().unwrap();
        let read: Vec<_> = numbers.iter().map(|it| it.as_str().and_then(special_number)).collect();
        assert!(read[0].unwrap().is_nan());
        assert_eq!(read[1..], [Some(f64::NEG_INFINITY), Some(f64::INFINITY), None]);
        assert_eq!(special_number("NaN"), None);
    }
}
