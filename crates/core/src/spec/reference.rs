//! The reference of the pipeline file, generated from the structs it is read into.

use super::pipeline::Pipeline;
use super::schema::{Absent, Choice, Key, Shape, Table, ValueType, table_of, toml_literal};

const HEAD: &str = "\
# Pipeline file

<!-- Generated from crates/core/src/spec; `PLANFORGE_BLESS=1 scripts/test` writes it. -->

A pipeline file is TOML. It describes one model: where the checkpoint comes from, the shapes and targets to build for, and \
how to publish and measure the result. `name`, `task`, `[source]` and at least one `[[profiles]]` table are required; every \
other key has a default. Paths are relative to the pipeline file. All mistakes of a file are reported at once.
";

/// The reference of the pipeline file as Markdown.
#[must_use]
pub fn pipeline_reference() -> String {
    let mut text = HEAD.to_owned();
    for section in sections() {
        text.push_str(&section.markdown());
    }
    text
}

/// One table of the file.
struct Section {
    /// `export`, `load.stages`; empty for the file itself.
    path: String,
    /// How the table is written.
    form: Form,
    table: Table,
}

enum Form {
    File,
    Table,
    ArrayOfTables,
}

/// Every table of the file, each followed by those within it.
fn sections() -> Vec<Section> {
    let mut found = Vec::new();
    collect(String::new(), Form::File, table_of::<Pipeline>(), &mut found);
    found
}

fn collect(path: String, form: Form, table: Table, found: &mut Vec<Section>) {
    let inner: Vec<(String, Form, Table)> = table.keys.iter().filter_map(|key| inner_table(&path, key)).collect();
    found.push(Section { path, form, table });
    for (path, form, table) in inner {
        collect(path, form, table, found);
    }
}

fn inner_table(path: &str, key: &Key) -> Option<(String, Form, Table)> {
    let path = if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
    match &key.value.shape {
        Shape::Table(table) => Some((path, Form::Table, table.clone())),
        Shape::Array { item, .. } => match &item.shape {
            Shape::Table(table) => Some((path, Form::ArrayOfTables, table.clone())),
            _ => None,
        },
        _ => None,
    }
}

impl Section {
    fn header(&self) -> String {
        match self.form {
            Form::File => String::new(),
            Form::Table => format!("[{}]", self.path),
            Form::ArrayOfTables => format!("[[{}]]", self.path),
        }
    }

    fn markdown(&self) -> String {
        let title = match self.form {
            Form::File => "Top level".to_owned(),
            _ => format!("`{}`", self.header()),
        };
        let keys = self.table.keys.iter().filter(|key| matches!(self.form, Form::File) || !key.is_table());
        let rows: String = keys.map(row).collect();
        let choices: String = self.table.keys.iter().filter_map(choices_of).collect();
        let description = if matches!(self.form, Form::File) { "" } else { &self.table.description };
        let description = if description.is_empty() { String::new() } else { format!("{description}\n\n") };
        let example = self.example().map_or_else(String::new, |example| format!("\n```toml\n{example}```\n"));
        format!(
            "\n## {title}\n\n{description}| key | type | default | allowed values | description |\n|---|---|---|---|---|\n\
             {rows}{choices}{example}"
        )
    }

    /// The table with the example values of its keys.
    fn example(&self) -> Option<String> {
        let example = self.table.example.as_ref()?;
        let header = self.header();
        let header = if header.is_empty() { String::new() } else { format!("{header}\n") };
        let lines = example.iter().map(|(key, value)| format!("{key} = {}\n", toml_literal(value)));
        Some(header + &lines.collect::<String>())
    }
}

fn row(key: &Key) -> String {
    let cells = [
        format!("`{}`", key.name),
        key.value.type_name(),
        default_of(key),
        key.value.allowed_values(),
        key.description.clone(),
    ];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

fn default_of(key: &Key) -> String {
    match &key.absent {
        Absent::Required => "required".to_owned(),
        Absent::Depends(words) => words.clone(),
        Absent::Value(_) if key.is_table() => "the defaults of its keys".to_owned(),
        Absent::Value(value) => format!("`{}`", toml_literal(value)),
        Absent::Unknown => String::new(),
    }
}

/// What the values of a key mean, where they have descriptions.
fn choices_of(key: &Key) -> Option<String> {
    let described = |choices: &[Choice]| {
        let lines = choices.iter().map(|choice| format!("- `{}`: {}\n", choice.value, choice.description));
        format!("\nValues of `{}`:\n\n{}", key.name, lines.collect::<String>())
    };
    let choices = match &key.value.shape {
        Shape::Choice(choices) => choices,
        Shape::Array { item, .. } => match &item.shape {
            Shape::Choice(choices) => choices,
            _ => return None,
        },
        _ => return None,
    };
    choices.iter().all(|choice| !choice.description.is_empty()).then(|| described(choices))
}

impl Key {
    fn is_table(&self) -> bool {
        inner_table("", self).is_some()
    }
}

impl ValueType {
    fn type_name(&self) -> String {
        match &self.shape {
            Shape::Table(_) => "table".to_owned(),
            Shape::Map(item) => format!("table of {}s", item.type_name()),
            Shape::Array { item, length } => {
                let count = length.map_or_else(String::new, |length| format!("{length} "));
                let item = item.type_name();
                match item.strip_prefix("array of ") {
                    Some(inner) => format!("array of {count}arrays of {inner}"),
                    None => format!("array of {count}{item}s"),
                }
            }
            Shape::Choice(_) | Shape::String => "string".to_owned(),
            Shape::Integer { .. } => "integer".to_owned(),
            Shape::Number => "number".to_owned(),
            Shape::Boolean => "boolean".to_owned(),
        }
    }

    fn allowed_values(&self) -> String {
        match (&self.allowed, &self.shape) {
            (Some(allowed), _) => allowed.clone(),
            (None, Shape::Array { item, .. } | Shape::Map(item)) => item.allowed_values(),
            (None, Shape::Choice(choices)) => {
                choices.iter().map(|choice| format!("`{}`", choice.value)).collect::<Vec<_>>().join(", ")
            }
            (None, Shape::Integer { min, max }) => match (min, max) {
                (Some(min), Some(max)) => format!("{min} to {max}"),
                (Some(min), None) => format!("{min} or more"),
                (None, Some(max)) => format!("at most {max}"),
                (None, None) => String::new(),
            },
            (None, Shape::Boolean) => "`true`, `false`".to_owned(),
            (None, Shape::Table(_)) => "see below".to_owned(),
            (None, Shape::String | Shape::Number) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the reference lacks.
    fn gaps() -> Vec<String> {
        let mut found = Vec::new();
        for section in sections() {
            for key in &section.table.keys {
                let parts = [
                    ("description", key.description.is_empty()),
                    ("type", key.value.type_name().is_empty()),
                    ("default", default_of(key).is_empty()),
                    ("allowed values", key.value.allowed_values().is_empty()),
                ];
                let missing = parts.iter().filter(|(_, is_missing)| *is_missing);
                found.extend(missing.map(|(part, _)| format!("`{}.{}` has no {part}", section.path, key.name)));
            }
            if section.table.description.is_empty() || section.table.example.is_none() {
                found.push(format!("table `{}` has no description or no example", section.path));
            }
        }
        found
    }

    #[test]
    fn every_key_has_a_description_a_type_a_default_and_allowed_values() {
        assert_eq!(gaps(), [""; 0]);
    }

    #[test]
    fn every_example_of_the_reference_is_valid() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("example.toml");
        let all = sections();
        let example = |path: &str| all.iter().find(|section| section.path == path).and_then(Section::example).unwrap();
        let engines = "[compile]\ngpus = [\"l4\"]\n";
        for section in all.iter().filter(|section| section.path.contains(|_| true)) {
            let mut parts = vec![example(""), example("source"), example("profiles")];
            if !["source", "profiles"].contains(&section.path.as_str()) {
                parts.push(example(&section.path));
            }
            if section.path == "package" {
                parts.push(engines.to_owned());
            }
            fs_err::write(&path, parts.join("\n")).unwrap();
            Pipeline::read(&path).unwrap_or_else(|error| panic!("{}: {error}", section.path));
        }
    }
}
