//! Numbers as people read them: three significant digits and a unit, with a space between that does
//! not break.

use planforge_core::Outcome;
use std::time::Duration;

/// Binary units of bytes, largest first.
const BYTE_UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

/// The unit to write `byte_count` in: its size in bytes and its name.
pub(crate) fn byte_unit(byte_count: u64) -> (u64, &'static str) {
    BYTE_UNITS.into_iter().find(|(size, _)| byte_count >= *size).unwrap_or((1, "bytes"))
}

/// `1.00 GiB`, `87.4 MiB`, `12 bytes`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn bytes(byte_count: u64) -> String {
    match byte_unit(byte_count) {
        (1, unit) => format!("{byte_count}\u{a0}{unit}"),
        (size, unit) => format!("{}\u{a0}{unit}", three_digits(byte_count as f64 / size as f64)),
    }
}

/// `812 µs`, `23.4 ms`, `1.25 s`, `3 min 20 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if duration.subsec_nanos() == 0 && duration.as_secs() < 120 {
        format!("{}\u{a0}s", duration.as_secs())
    } else if seconds < 0.000_999_5 {
        format!("{}\u{a0}µs", three_digits(seconds * 1e6))
    } else if seconds < 0.999_5 {
        format!("{}\u{a0}ms", three_digits(seconds * 1e3))
    } else if seconds < 119.5 {
        format!("{}\u{a0}s", three_digits(seconds))
    } else {
        let whole = duration.as_secs_f64().round();
        format!("{}\u{a0}min\u{a0}{}\u{a0}s", (whole / 60.0).floor(), whole % 60.0)
    }
}

/// `1.23`, `12.3`, `123`, `12,345`.
pub(crate) fn three_digits(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        size if size < 9.995 => format!("{number:.2}"),
        size if size < 99.95 => format!("{number:.1}"),
        _ => grouped(&format!("{number:.0}")),
    }
}

/// `4,321,000`.
pub(crate) fn count(number: u64) -> String {
    grouped(&number.to_string())
}

/// `22.7 M` parameters and the like.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn short_count(number: u64) -> String {
    match number {
        0..10_000 => count(number),
        10_000..1_000_000 => format!("{}\u{a0}K", three_digits(number as f64 / 1e3)),
        1_000_000..1_000_000_000 => format!("{}\u{a0}M", three_digits(number as f64 / 1e6)),
        _ => format!("{}\u{a0}B", three_digits(number as f64 / 1e9)),
    }
}

/// `1 copy`, `2 copies`.
pub(crate) fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// `90 %`, `87.5 %`.
pub(crate) fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.000_05 {
        return "less than 0.01\u{a0}%".to_owned();
    }
    let text = format!("{:.2}", share * 100.0);
    format!("{}\u{a0}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Where the result of a step came from.
pub(crate) const fn origin(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Built => "built",
        Outcome::Cached => "from the cache",
    }
}

/// Digits in groups of three.
#[must_use]
pub fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let mut text = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain<const N: usize>(texts: [String; N]) -> [String; N] {
        texts.map(|text| text.replace('\u{a0}', " "))
    }

    #[test]
    fn numbers_keep_three_digits() {
        assert_eq!([0.0, 0.5, 9.999, 99.99, 1234.5].map(three_digits), ["0", "0.50", "10.0", "100", "1,234"]);
        assert_eq!(plain([12, 1536, 1 << 30].map(bytes)), ["12 bytes", "1.50 KiB", "1.00 GiB"]);
        assert_eq!([999, 1_000_000].map(count), ["999", "1,000,000"]);
        assert_eq!(plain([22_713_216, 1_500].map(short_count)), ["22.7 M", "1,500"]);
        assert_eq!(plain([0.9, 0.875, 1.0, 1e-6].map(percent)), ["90 %", "87.5 %", "100 %", "less than 0.01 %"]);
    }

    #[test]
    fn durations_choose_their_unit() {
        let shown =
            [0, 812, 23_400, 1_250_000, 200_000_000].map(|microseconds| duration(Duration::from_micros(microseconds)));
        assert_eq!(plain(shown), ["0 s", "812 µs", "23.4 ms", "1.25 s", "3 min 20 s"]);
    }
}
