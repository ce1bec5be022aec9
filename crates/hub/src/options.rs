//! What to fetch, and how to reach it.

use planforge_core::DigestCache;
use std::path::PathBuf;
use std::time::Duration;

/// What to fetch, and how to reach it.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// `owner/name`.
    pub repo: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// Cache folder in the standard layout.
    pub cache: PathBuf,
    /// Base URL of the Hub or of a mirror.
    pub endpoint: String,
    /// Access token; never logged, and sent to the endpoint alone.
    pub token: Option<Token>,
    /// An ONNX file of the repository that is wanted instead of the weights.
    pub graph: Option<String>,
    /// Files of the commit that were used before, where `revision` is a pinned commit. A cache that has them is not compared
    /// with the Hub.
    pub pinned: Vec<String>,
    /// Fetch what a checkpoint does not need, too.
    pub all_files: bool,
    /// Use the cache alone.
    pub offline: bool,
    /// Digests of files that have not changed.
    pub digests: DigestCache,
    /// How patiently to download.
    pub transfer: Transfer,
}

/// An access token that does not show itself.
#[derive(Clone)]
pub struct Token(pub String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// How patiently to download.
#[derive(Debug, Clone, Copy)]
pub struct Transfer {
    /// Most attempts at one request.
    pub attempts: u32,
    /// The pause after the first failure; each later one is twice as long.
    pub first_pause: Duration,
    /// A request fails at once when the server asks for a longer pause than this.
    pub longest_pause: Duration,
    /// How long a connection may be silent.
    pub timeout: Duration,
    /// Smallest piece of a large file, in bytes; pieces are fetched several at once.
    pub least_piece: u64,
}

impl Default for Transfer {
    /// The Hub counts requests in windows of five minutes.
    fn default() -> Self {
        Self {
            attempts: 6,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(300),
            timeout: Duration::from_secs(30),
            least_piece: 1 << 20,
        }
    }
}
