//! Which folders are versions of a model, and which of them are served (triton-inference-server/core,
//! `VersionsToLoad`).

use super::finding::Finding;
use crate::text_format::{Field, last};
use std::collections::HashSet;

/// Folders that are never versions.
const OTHERS: [&str; 3] = ["warmup", "initial_state", "configs"];

/// Most versions that are looked at.
const MOST_VERSIONS: usize = 100;

/// The meaning of a folder's name.
enum Name {
    /// The number that it begins with.
    Number(i64),
    /// Nothing: it is not looked at.
    Other,
    /// A number that the server was not made for.
    TooLarge,
}

/// Versions among the folders of a model, ascending, and what is strange about their names.
pub(super) fn of(place: &str, folders: &[&str]) -> (Vec<i64>, Vec<Finding>) {
    let known: HashSet<&str> = folders.iter().copied().collect();
    let (mut versions, mut findings) = (Vec::new(), Vec::new());
    for name in folders {
        match number(name) {
            Name::Number(number) => {
                versions.push(number);
                let own = number.to_string();
                if *name != own && !known.contains(own.as_str()) {
                    let message =
                        format!("version folder `{name}` is parsed as version {own}, but `{own}/` does not exist");
                    findings.push(Finding::warning(place, message));
                }
            }
            Name::Other if name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit()) => {
                findings.push(Finding::warning(place, format!("`{name}` is not a version: it begins with 0")));
            }
            Name::Other => {}
            Name::TooLarge => {
                let message = format!("version `{name}` is too large; it crashes the whole server");
                findings.push(Finding { answer: None, ..Finding::error(place, message, "") });
            }
        }
    }
    versions.sort_unstable();
    versions.dedup();
    (versions, findings)
}

/// A name is read as C's `strtoll` reads it: up to the first character that is no digit.
fn number(name: &str) -> Name {
    if OTHERS.contains(&name) || name.len() > 1 && name.starts_with('0') {
        return Name::Other;
    }
    let trimmed = name.trim_start_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
    let digits = trimmed.strip_prefix(['-', '+']).unwrap_or(trimmed);
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    if count == 0 {
        return Name::Other;
    }
    trimmed[..trimmed.len() - digits.len() + count].parse().map_or(Name::TooLarge, Name::Number)
}

/// Those of `versions` that a configuration wants served: one or several of the highest, all, or some. Of very many the
/// highest are enough to look at.
pub(super) fn served(fields: &[Field], versions: &[i64]) -> Vec<i64> {
    let versions = &versions[versions.len().saturating_sub(MOST_VERSIONS)..];
    let highest = |count: i64| {
        let count = usize::try_from(count).unwrap_or(0).min(versions.len());
        versions[versions.len() - count..].to_vec()
    };
    let Some(policy) = last(fields, "version_policy") else { return highest(1) };
    if let Some(specific) = policy.last("specific") {
        let wanted: Vec<i64> = specific.all("versions").filter_map(Field::number).collect();
        return versions.iter().copied().filter(|version| wanted.contains(version)).collect();
    }
    match policy.last("latest") {
        Some(latest) => highest(latest.last("num_versions").and_then(Field::number).unwrap_or(0)),
        None => versions.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text_format::parse;

    fn versions(folders: &[&str]) -> (Vec<i64>, String) {
        let (versions, findings) = of("m", folders);
        (versions, findings.into_iter().map(|finding| finding.message).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn names_are_read_up_to_what_is_no_digit() {
        assert_eq!(versions(&["0", "1", "10", "2", "warmup", "v3", "-", ""]), (vec![0, 1, 2, 10], String::new()));
        let strange = "version folder `2_old` is parsed as version 2, but `2/` does not exist";
        assert_eq!(versions(&["1", "2_old"]), (vec![1, 2], strange.to_owned()));
        assert_eq!(versions(&["2", "2_old", "2.bak"]), (vec![2], String::new()));
        assert_eq!(versions(&["-1"]), (vec![-1], String::new()));
        assert_eq!(versions(&["+3", " 4", "1e5"]).0, [1, 3, 4]);
        assert_eq!(versions(&["01", "0x1"]), (vec![], "`01` is not a version: it begins with 0".to_owned()));
        let (none, fault) = versions(&["99999999999999999999"]);
        assert!(none.is_empty() && fault.ends_with("it crashes the whole server"), "{fault}");
    }

    #[test]
    fn policies_choose() {
        let chosen = |text: &str| served(&parse(text).unwrap(), &[1, 2, 5]);
        assert_eq!(chosen(""), [5]);
        assert_eq!(chosen("version_policy { }"), [1, 2, 5]);
        assert_eq!(chosen("version_policy { all { } }"), [1, 2, 5]);
        assert_eq!(chosen("version_policy { latest { num_versions: 2 } }"), [2, 5]);
        assert_eq!(chosen("version_policy { latest { num_versions: 9 } }"), [1, 2, 5]);
        assert!(chosen("version_policy { latest { } }").is_empty());
        assert_eq!(chosen("version_policy { specific { versions: [ 5, 1, 7 ] } }"), [1, 5]);
    }
}
