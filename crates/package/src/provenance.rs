//! Where an archive came from: an in-toto statement (v1) with SLSA's provenance predicate (v1), next to the archive.
//!
//! It is derived from the lock, so it has the same bytes on every machine: it has no clock, host or invocation. It is not
//! signed; `cosign attest-blob` and its like take the file as it is.
//!
//! - <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>
//! - <https://slsa.dev/spec/v1.0/provenance>

use crate::{Error, Result};
use planforge_core::{Archive, Digest, Lock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
/// How parameters and dependencies are to be read.
const BUILD_TYPE: &str = "urn:planforge:archive:v1";
/// planforge itself, on any machine; its version is in the field next to it.
const BUILDER: &str = "urn:planforge";
const HUB: &str = "https://huggingface.co";

/// The statement about one archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Provenance {
    /// Always in-toto's statement, v1.
    #[serde(rename = "_type")]
    statement_type: String,
    /// The archive.
    pub subject: Vec<Resource>,
    /// Always SLSA's provenance, v1.
    predicate_type: String,
    /// How it was made.
    pub predicate: Predicate,
}

/// SLSA's provenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Predicate {
    /// Inputs.
    pub build_definition: BuildDefinition,
    /// What built it.
    pub run_details: RunDetails,
}

/// Parameters and dependencies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BuildDefinition {
    /// How the rest is to be read.
    build_type: String,
    /// The parameters in the pipeline file.
    pub external_parameters: Parameters,
    /// The Hub's commit and the files taken from it.
    pub resolved_dependencies: Vec<Resource>,
}

/// The parameters of one archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Which of its packages.
    pub variant: String,
    /// Revision asked for; none for a folder.
    pub revision: Option<String>,
    /// The keys of the pipeline file that decide bytes, as in the lock.
    pub options: serde_json::Value,
}

/// What built it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunDetails {
    /// The builder.
    pub builder: BuilderFacts,
}

/// planforge, with its libraries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuilderFacts {
    /// Always planforge.
    id: String,
    /// Versions by name.
    pub version: BTreeMap<String, String>,
}

/// in-toto's resource descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// File name, or path within the repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its address; none for a file from a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Digests by algorithm: `sha256` of a file, `gitCommit` of a repository.
    pub digest: BTreeMap<String, String>,
}

impl Provenance {
    /// The statement about `archive`, made of what `lock` names with `tools`, versions by name.
    ///
    /// # Panics
    /// Never: the options of a lock are plain data.
    #[must_use]
    pub fn new(lock: &Lock, archive: &Archive, tools: BTreeMap<String, String>) -> Self {
        let source = &lock.source;
        let repository = source.repo.as_ref().map(|repo| format!("{HUB}/{repo}"));
        let commit = repository.clone().map(|uri| Resource {
            name: source.repo.clone(),
            uri: Some(uri),
            digest: [("gitCommit".to_owned(), source.commit.to_string())].into(),
        });
        let files = source.files.iter().map(|(path, file)| {
            let uri = repository.as_ref().map(|repository| format!("{repository}/resolve/{}/{path}", source.commit));
            Resource::file(path, uri, &file.sha256)
        });
        let parameters = Parameters {
            pipeline: lock.name.to_string(),
            variant: archive.variant.id(),
            revision: source.revision.clone(),
            options: serde_json::to_value(&lock.options).expect("options are plain data with string keys"),
        };
        let resolved_dependencies = commit.into_iter().chain(files).collect();
        let build_type = BUILD_TYPE.to_owned();
        let build_definition = BuildDefinition { build_type, external_parameters: parameters, resolved_dependencies };
        let builder = BuilderFacts { id: BUILDER.to_owned(), version: tools };
        Self {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject: vec![Resource::file(&archive.file, None, &archive.sha256)],
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate: Predicate { build_definition, run_details: RunDetails { builder } },
        }
    }

    /// The path of the statement about `archive`: next to it, with `.intoto.json` after its name.
    #[must_use]
    pub fn path(archive: &Path) -> PathBuf {
        archive.with_added_extension("intoto.json")
    }

    /// Writes the statement next to `archive`.
    ///
    /// # Errors
    /// I/O errors name the path.
    ///
    /// # Panics
    /// Never: a statement is plain data.
    pub fn write(&self, archive: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self).expect("a statement is plain data");
        text.push(b'\n');
        Ok(planforge_core::write_atomically(&Self::path(archive), &text)?)
    }

    /// Reads the statement next to `archive`; none where the file does not exist.
    ///
    /// # Errors
    /// [`Error::Core`] with line for a file that is no such statement, I/O errors.
    pub fn read(archive: &Path) -> Result<Option<Self>> {
        let path = Self::path(archive);
        let text = match fs_err::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let wrong = |message: String| {
            Error::Core(planforge_core::Error::Parse { what: "provenance statement", path: path.clone(), message })
        };
        let found: Self = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        if found.statement_type != STATEMENT_TYPE || found.predicate_type != PREDICATE_TYPE {
            return Err(wrong(format!("it is a `{}` about `{}`", found.statement_type, found.predicate_type)));
        }
        Ok(Some(found))
    }

    /// Whether the statement is about a file of this digest.
    #[must_use]
    pub fn is_about(&self, sha256: &Digest) -> bool {
        self.subject.iter().any(|subject| subject.digest.get("sha256").is_some_and(|it| it == sha256.as_str()))
    }
}

impl Resource {
    fn file(name: &str, uri: Option<String>, sha256: &Digest) -> Self {
        let digest = [("sha256".to_owned(), sha256.to_string())].into();
        Self { name: Some(name.to_owned()), uri, digest }
    }
}
