//! What the repository of a test Hub holds, and who may read it.

use std::path::PathBuf;

/// The one commit of the one repository.
pub(super) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the Hub has, and whom it shows it to.
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// `owner/name` of the one repository.
    pub name: String,
    /// Its files.
    pub folder: PathBuf,
    /// Files from this size on are stored outside git and come from the content delivery network.
    pub large: u64,
    /// Who may read them.
    pub access: Access,
    /// A name that leads to this one.
    pub former_name: Option<String>,
    /// Entries of the listing that are not true.
    pub wrong_responses: Vec<WrongResponse>,
}

/// Who may read a repository.
#[derive(Debug, Clone)]
pub enum Access {
    /// Everybody.
    Public,
    /// Whoever has the token; to others there is no such repository.
    Private(String),
    /// Everybody may see what there is, whoever has the token may read it.
    Gated(String),
}

/// A wrong entry of a listing, for a file or for one that does not exist.
#[derive(Debug, Clone)]
pub struct WrongResponse {
    /// Path.
    pub path: String,
    /// Size.
    pub byte_count: u64,
    /// SHA-256 or git object id.
    pub digest: String,
}
