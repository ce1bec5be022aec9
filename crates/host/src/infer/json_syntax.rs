//! Mistakes in JSON that Triton's reader finds wherever they are, and that the reader used here finds only in what is read.

/// What Triton's reader has to say about a text that is JSON otherwise, if anything.
pub(super) fn hidden_mistake(json: &str) -> Option<&'static str> {
    let mut is_string = false;
    json.split('"').find_map(|part| {
        let was_string = is_string;
        // A quotation mark after an odd number of backslashes belongs to its string.
        let backslashes = part.bytes().rev().take_while(|&byte| byte == b'\\').count();
        is_string = if was_string { backslashes % 2 == 1 } else { true };
        if was_string {
            has_lone_surrogate(part).then_some("The surrogate pair in string is invalid.")
        } else {
            let mut numbers = part.split(|it| !is_of_number(it));
            numbers.any(is_too_big).then_some("Number too big to be stored in double.")
        }
    })
}

fn is_of_number(character: char) -> bool {
    character.is_ascii_digit() || matches!(character, '+' | '-' | '.' | 'e' | 'E')
}

fn is_too_big(number: &str) -> bool {
    // Fewer digits are not enough without an exponent.
    (number.len() > 300 || number.contains(['e', 'E'])) && number.parse().is_ok_and(f64::is_infinite)
}

/// Whether a part of a string has one half of a surrogate pair without the other (RFC 8259, section 7).
fn has_lone_surrogate(string: &str) -> bool {
    let mut rest = string;
    while let Some(at) = rest.find('\\') {
        rest = &rest[at..];
        match (escaped(rest), rest.get(6..).and_then(escaped)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => rest = &rest[12..],
            (Some(0xd800..=0xdfff), _) => return true,
            // The next character may be a backslash.
            _ => rest = rest.char_indices().nth(2).map_or("", |(end, _)| &rest[end..]),
        }
    }
    false
}

/// The UTF-16 code unit of the escape, such as `\u00e4`, that a text begins with.
fn escaped(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_too_big_are_found_outside_of_strings() {
        for json in ["1e400", "{\"a\":[0,-1E+999]}", "{\"a\\\"b\":1e309}", &format!("[1{}]", "0".repeat(310))] {
            assert_eq!(hidden_mistake(json), Some("Number too big to be stored in double."), "{json}");
        }
        for json in ["1e308", "\"1e400\"", "{\"a\\\"1e400\":true,\"e\":false}", "[1e-400]", &"0".repeat(400)] {
            assert_eq!(hidden_mistake(json), None, "{json}");
        }
    }

    #[test]
    fn halves_of_pairs_are_found_in_strings() {
        for json in [r#""\ud800""#, r#"{"a\udc00":1}"#, r#"["\\\ud83dx"]"#, r#""\ud83d\u0041""#] {
            assert_eq!(hidden_mistake(json), Some("The surrogate pair in string is invalid."), "{json}");
        }
        for json in [r#""\ud83d\ude00""#, r#""\\ud800""#, r#""\u00e4 ü\n""#, r#"{"a\"":"\ud83d\ude00"}"#] {
            assert_eq!(hidden_mistake(json), None, "{json}");
        }
    }
}
