//! How two locks differ: item by item, so that each can be named.

use super::file::{Lock, LockedFile};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use toml::Value;

/// What an item of a lock is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemKind {
    /// Version of a tool.
    Tool,
    /// Repository, revision or commit.
    Source,
    /// A file of the checkpoint.
    File,
    /// A key of the pipeline file.
    Option,
    /// A file of an exported model.
    Export,
    /// An engine.
    Engine,
    /// An archive.
    Archive,
}

impl ItemKind {
    /// Whether it is something planforge makes.
    #[must_use]
    pub const fn is_artifact(self) -> bool {
        matches!(self, Self::Export | Self::Engine | Self::Archive)
    }
}

impl fmt::Display for ItemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tool => "tool",
            Self::Source => "source",
            Self::File => "file",
            Self::Option => "option",
            Self::Export => "export",
            Self::Engine => "engine",
            Self::Archive => "archive",
        })
    }
}

/// What a lock records of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fact {
    /// A version, a name or a value.
    Text(String),
    /// Content.
    File(LockedFile),
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::File(file) => write!(f, "{} ({} bytes)", file.sha256.short(), file.byte_count),
        }
    }
}

/// An item of two locks, in one of which it may be absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What it is.
    pub kind: ItemKind,
    /// Its name within its kind.
    pub name: String,
    /// In the lock.
    pub locked: Option<Fact>,
    /// As it was found or made.
    pub found: Option<Fact>,
}

impl Difference {
    /// Whether both say the same.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.locked == self.found
    }

    /// Whether the lock does not hold. Artifacts and tools that were not made or used this time do not count: a lock
    /// may hold more than one command makes.
    #[must_use]
    pub fn is_drift(&self) -> bool {
        let may_be_absent = self.kind.is_artifact() || self.kind == ItemKind::Tool;
        !self.is_same() && (self.found.is_some() || !may_be_absent)
    }

    /// Whether artifacts may differ on account of it.
    #[must_use]
    pub fn is_cause(&self) -> bool {
        match self.kind {
            ItemKind::Tool => !self.is_same() && self.locked.is_some() && self.found.is_some(),
            ItemKind::File | ItemKind::Option => !self.is_same(),
            _ => false,
        }
    }
}

/// ``engine `tensorrt-fp16-l4` is 0123456789ab (48 bytes), the lock has ba9876543210 (50 bytes)``.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, .. } = self;
        match (&self.found, &self.locked) {
            (Some(found), Some(locked)) => write!(f, "{kind} `{name}` is {found}, the lock has {locked}"),
            (Some(found), None) => write!(f, "{kind} `{name}` is {found}, the lock does not have it"),
            (None, Some(locked)) => write!(f, "{kind} `{name}` is absent, the lock has {locked}"),
            (None, None) => write!(f, "{kind} `{name}` is absent"),
        }
    }
}

impl Lock {
    /// Every item of this lock and of `found`, sorted by kind and name.
    #[must_use]
    pub fn compare(&self, found: &Self) -> Vec<Difference> {
        let (mut locked, mut found) = (self.facts(), found.facts());
        let mut keys: Vec<_> = locked.keys().chain(found.keys()).cloned().collect();
        keys.sort();
        keys.dedup();
        let item = |key: (ItemKind, String)| {
            let (locked, found) = (locked.remove(&key), found.remove(&key));
            Difference { kind: key.0, name: key.1, locked, found }
        };
        keys.into_iter().map(item).collect()
    }

    /// The lock after `found` was made: with the other artifacts of this one where nothing that they depend on has
    /// changed, and without them otherwise.
    #[must_use]
    pub fn updated(&self, found: &Self) -> Self {
        if self.compare(found).iter().any(Difference::is_cause) {
            return found.clone();
        }
        let mut lock = self.clone();
        let Self { tools, source, exports, engines, archives, .. } = found.clone();
        lock.source = source;
        lock.tools.extend(tools);
        lock.exports.extend(exports);
        lock.engines.extend(engines);
        lock.archives.extend(archives);
        lock
    }

    fn facts(&self) -> BTreeMap<(ItemKind, String), Fact> {
        let mut facts = BTreeMap::new();
        let mut add = |kind, name: &str, fact| drop(facts.insert((kind, name.to_owned()), fact));
        for (name, version) in &self.tools {
            add(ItemKind::Tool, name, Fact::Text(version.clone()));
        }
        let source = &self.source;
        for (name, text) in
            [("repo", &source.repo), ("revision", &source.revision), ("commit", &Some(source.commit.to_string()))]
        {
            if let Some(text) = text {
                add(ItemKind::Source, name, Fact::Text(text.clone()));
            }
        }
        for (path, file) in &source.files {
            add(ItemKind::File, path, Fact::File(file.clone()));
        }
        add(ItemKind::Option, "name", Fact::Text(self.name.to_string()));
        for (key, value) in flat("", &Value::Table(self.options.clone())) {
            add(ItemKind::Option, &key, Fact::Text(value));
        }
        for (export, files) in &self.exports {
            for (path, file) in files {
                add(ItemKind::Export, &format!("{export}/{path}"), Fact::File(file.clone()));
            }
        }
        for (variant, engine) in &self.engines {
            add(ItemKind::Engine, variant, Fact::File(engine.file()));
        }
        for (variant, file) in &self.archives {
            add(ItemKind::Archive, variant, Fact::File(file.clone()));
        }
        facts
    }
}

/// Dotted keys and values; tables in a list are distinguished by their index.
fn flat(prefix: &str, value: &Value) -> Vec<(String, String)> {
    let below =
        |key: &str, value| flat(&if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }, value);
    match value {
        Value::Table(table) => table.iter().flat_map(|(key, value)| below(key, value)).collect(),
        Value::Array(items) if items.iter().any(Value::is_table) => {
            items.iter().enumerate().flat_map(|(index, item)| below(&index.to_string(), item)).collect()
        }
        value => vec![(prefix.to_owned(), value.to_string())],
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::{engine, file, lock};
    use super::*;

    fn said(locked: &Lock, found: &Lock, which: fn(&Difference) -> bool) -> Vec<String> {
        locked.compare(found).iter().filter(|item| which(item)).map(ToString::to_string).collect()
    }

    #[test]
    fn an_engine_for_another_gpu_is_added_and_the_others_stay() {
        let mut found = lock();
        found.engines = [("tensorrt-fp16-l40s".to_owned(), engine("l40s", "l40s"))].into();
        found.exports.clear();
        let updated = lock().updated(&found);
        assert_eq!(updated.engines.len(), 2);
        assert_eq!(updated.exports, lock().exports);
        assert_eq!(said(&updated, &found, Difference::is_drift), [""; 0], "what is not made is no drift");
        let drift = said(&lock(), &found, Difference::is_drift);
        assert!(drift.len() == 1 && drift[0].starts_with("engine `tensorrt-fp16-l40s` is "), "{drift:?}");
        assert!(drift[0].ends_with("(4 bytes), the lock does not have it"), "{drift:?}");
    }

    #[test]
    fn what_was_made_of_other_inputs_goes() {
        let change: [fn(&mut Lock); 3] = [
            |lock| drop(lock.source.files.insert("model.safetensors".to_owned(), file("others"))),
            |lock| drop(lock.options.insert("task".to_owned(), Value::String("fill-mask".to_owned()))),
            |lock| drop(lock.tools.insert("planforge".to_owned(), "2.0.0".to_owned())),
        ];
        for change in change {
            let mut found = lock();
            found.engines.clear();
            change(&mut found);
            assert_eq!(lock().updated(&found), found);
            assert_eq!(said(&lock(), &found, Difference::is_cause).len(), 1);
        }
    }

    #[test]
    fn each_changed_option_is_named() {
        let mut found = lock();
        let Some(Value::Array(profiles)) = found.options.get_mut("profiles") else { panic!("no profiles") };
        profiles[0]["batch"] = Value::Array([1, 2, 8].map(Value::Integer).to_vec());
        let drift = said(&lock(), &found, Difference::is_drift);
        assert_eq!(drift, ["option `profiles.0.batch` is [1, 2, 8], the lock has [1, 2, 4]"]);
    }

    #[test]
    fn a_tool_that_was_not_used_is_kept() {
        let mut locked = lock();
        locked.tools.insert("tensorrt-rtx".to_owned(), "1.7".to_owned());
        assert_eq!(locked.updated(&lock()), locked);
    }
}
