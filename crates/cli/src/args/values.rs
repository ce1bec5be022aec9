//! Parsers of argument values.

use planforge_core::{HostContainer, MemorySize, Precision};
use std::str::FromStr;
use std::time::Duration;

/// `90s`, `30m`, `12h`, `30d`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("invalid duration `{text}`; expected e.g. 90s, 30m, 12h or 30d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = number.parse().map_err(|_| wrong())?;
    count.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// A number from 1 on.
pub(super) fn parse_count<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "expected a whole number of at least 1".to_owned())
}

/// `http://127.0.0.1:8080`.
pub(super) fn parse_url(text: &str) -> Result<String, String> {
    let rest = ["http://", "https://"].into_iter().find_map(|scheme| text.strip_prefix(scheme));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with(['/', ':']) => Ok(text.to_owned()),
        _ => Err("expected e.g. http://127.0.0.1:8080".to_owned()),
    }
}

pub(super) fn parse_container(text: &str) -> Result<HostContainer, String> {
    HostContainer::try_from(text.to_owned())
}

pub(super) fn parse_memory(text: &str) -> Result<MemorySize, String> {
    MemorySize::try_from(text.to_owned())
}

pub(super) fn parse_precision(text: &str) -> Result<Precision, String> {
    let found = Precision::ALL.into_iter().find(|precision| precision.to_string() == text);
    found.ok_or_else(|| "expected fp32, fp16 or bf16".to_owned())
}
