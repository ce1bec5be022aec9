//! What the files of a snapshot are a version of.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How a folder without commits is written in records and locks.
const LOCAL: &str = "local";

/// The commit of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Commit {
    /// None: the files are those of a local folder.
    Local,
    /// The id of a commit on the Hub.
    Id(String),
}

impl Commit {
    /// The id, or `local`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Local => LOCAL,
            Self::Id(id) => id,
        }
    }

    /// Whether the files are those of a local folder.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        matches!(self, Self::Local)
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<String> for Commit {
    fn from(text: String) -> Self {
        if text == LOCAL { Self::Local } else { Self::Id(text) }
    }
}

impl From<Commit> for String {
    fn from(commit: Commit) -> Self {
        commit.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_written_as_its_id_and_a_folder_as_local() {
        for (commit, json) in [(Commit::Local, "\"local\""), (Commit::Id("c0ffee".to_owned()), "\"c0ffee\"")] {
            assert_eq!(serde_json::to_string(&commit).unwrap(), json);
            assert_eq!(serde_json::from_str::<Commit>(json).unwrap(), commit);
        }
    }
}
