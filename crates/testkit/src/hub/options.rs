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
    /// What it answers otherwise than the Hub.
    pub mirror: Mirror,
}

/// What a mirror answers otherwise than the Hub.
#[derive(Debug, Clone, Default)]
pub struct Mirror {
    /// A path before all others, such as `/x/hf`.
    pub prefix: String,
    /// What links to the second page of a listing begin with, such as `https://huggingface.co`; none for one page.
    pub next_page: Option<String>,
    /// Whether a revision is answered without its commit.
    pub lacks_commit: bool,
    /// Whether the route that lists a commit's files is missing.
    pub lacks_listing: bool,
    /// What the headers of a file name it by.
    pub tags: Tags,
    /// The status of answers to `HEAD`, if not the usual one.
    pub head: Option<&'static str>,
}

/// What the headers of a file name it by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tags {
    /// `ETag`, and `X-Linked-Etag` and `X-Linked-Size` of files outside git.
    #[default]
    Linked,
    /// A weak `ETag` with the same digest.
    Weak,
    /// The SHA-1 of the bytes.
    Sha1,
    /// An `ETag` of the mirror's own, the same for all files.
    Own,
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
