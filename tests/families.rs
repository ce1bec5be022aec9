//! The families that the documents name are those that the program has.

use planforge_engine::{FAMILIES, Family};
use planforge_testkit::repository;
use std::fmt::Write as _;

/// Set to write the table instead of comparing it.
const UPDATE: &str = "PLANFORGE_BLESS";
const DOCUMENT: &str = "docs/models.md";
const START: &str = "<!-- families: written by the test `the_table_of_families_is_current` -->\n";
const END: &str = "<!-- end of families -->\n";

/// A row of Markdown.
fn row(family: &Family) -> String {
    let codes =
        |words: &mut dyn Iterator<Item = String>| words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let types = codes(&mut family.model_types.iter().map(ToString::to_string));
    let timm = codes(&mut family.timm_names.split(", ").filter(|name| !name.is_empty()).map(str::to_owned));
    let tasks = codes(&mut family.tasks.iter().map(ToString::to_string));
    format!("| {} | {types} | {timm} | {tasks} |\n", family.name)
}

#[test]
fn the_table_of_families_is_current() {
    let path = repository().join(DOCUMENT);
    let text = fs_err::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(START).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let mut table = "| family | `model_type` | timm's names | tasks |\n|---|---|---|---|\n".to_owned();
    for family in FAMILIES {
        write!(table, "{}", row(family)).unwrap();
    }
    let current = format!("{before}{START}\n{table}\n{END}{after}");
    if std::env::var_os(UPDATE).is_some() {
        fs_err::write(&path, current).unwrap();
    } else {
        assert_eq!(text, current, "`{DOCUMENT}` is out of date; run this test with {UPDATE}=1");
    }
}

#[test]
fn no_model_type_is_in_two_families() {
    let mut types: Vec<&str> = FAMILIES.iter().flat_map(|family| family.model_types).copied().collect();
    let count = types.len();
    types.sort_unstable();
    types.dedup();
    assert_eq!(types.len(), count);
}
