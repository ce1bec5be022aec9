//! Requests to the Hub: the commit of a revision, the files of a commit, and bytes of a file.
//!
//! Answers are read up to a limit, downloads resume, and what arrives is compared with the digest that the Hub lists.

use crate::cache::is_commit;
use crate::listing::{Entry, ListedFile};
use crate::retry::{Failure, retry};
use crate::{Error, FetchOptions, Result, Token};
use planforge_core::{MAX_FILE_COUNT, Progress, Step};
use reqwest::header::{LINK, RANGE, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Pages of a listing; the Hub puts a thousand files on one.
const MOST_PAGES: usize = 1000;

/// Most bytes of the answer about a revision, and of all pages of a listing: 100,000 files take 30 MB.
const MAX_ANSWER_BYTE_COUNT: usize = 64 << 20;

/// How long one such answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One repository of one Hub.
pub(crate) struct Client<'a> {
    pub(crate) options: &'a FetchOptions,
    pub(crate) progress: Arc<dyn Progress>,
    endpoint: Url,
    http: reqwest::Client,
}

/// What the Hub answers about a revision, as far as it is needed.
#[derive(Deserialize)]
struct RepositoryInfo {
    id: String,
    sha: Option<String>,
}

/// A JSON answer.
struct Page<T> {
    value: T,
    byte_count: usize,
    /// Where the next page is.
    next: Option<Url>,
}

type Attempt<T> = std::result::Result<T, Failure>;

impl<'a> Client<'a> {
    pub(crate) fn new(options: &'a FetchOptions, progress: Arc<dyn Progress>) -> Result<Self> {
        let endpoint = Url::parse(&options.endpoint).ok().filter(|url| url.has_host());
        let endpoint = endpoint.ok_or_else(|| Error::Endpoint { endpoint: options.endpoint.clone() })?;
        if let Some(what) = options.token.as_ref().and_then(invalid_token) {
            return Err(Error::Token { what });
        }
        let http = reqwest::Client::builder()
            .user_agent(concat!("planforge/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT.min(options.transfer.timeout))
            .read_timeout(options.transfer.timeout)
            .build()
            .map_err(|cause| Error::Connection { url: options.endpoint.clone(), cause })?;
        Ok(Self { options, progress, endpoint, http })
    }

    /// The commit that the revision stands for.
    pub(crate) async fn commit(&self) -> Result<String> {
        let url = self.url(&["api", "models"], &["revision", &self.options.revision], "");
        let RepositoryInfo { id, sha } = self.retry(async || self.json(&url, MAX_ANSWER_BYTE_COUNT).await).await?.value;
        if id != self.options.repo {
            self.note(format!("the repository is called `{id}` now"));
        }
        let commit = sha.unwrap_or_default();
        if is_commit(&commit) { Ok(commit) } else { Err(self.bad_listing(format!("`{commit}` as its commit"))) }
    }

    /// All files of a commit.
    pub(crate) async fn listing(&self, commit: &str) -> Result<Vec<ListedFile>> {
        let mut url = self.url(&["api", "models"], &["tree", commit], "");
        url.set_query(Some("recursive=true"));
        let mut files = Vec::new();
        let mut left = MAX_ANSWER_BYTE_COUNT;
        for _ in 0..MOST_PAGES {
            let page: Page<Vec<Entry>> = self.retry(async || self.json(&url, left).await).await?;
            left -= page.byte_count;
            for file in page.value.into_iter().filter_map(Entry::file) {
                files.push(file.map_err(|path| self.bad_listing(format!("`{path}` without a digest")))?);
            }
            if files.len() > MAX_FILE_COUNT {
                return Err(self.bad_listing(format!("more than {MAX_FILE_COUNT} files")));
            }
            let Some(next) = page.next else { return Ok(files) };
            url = next;
        }
        Err(self.bad_listing(format!("more than {MOST_PAGES} pages of files")))
    }

    /// Appends the bytes of `range` to `bytes`. After a failure, `bytes` keeps what arrived, and the next call requests
    /// the rest. Calls `received` with the length of each chunk.
    pub(crate) async fn bytes(
        &self,
        url: &Url,
        range: &Range<u64>,
        bytes: &mut Vec<u8>,
        received: impl Fn(usize),
    ) -> Attempt<()> {
        let wanted = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let start = range.start + bytes.len() as u64;
        let request = self.get(url).header(RANGE, format!("bytes={start}-{}", range.end - 1));
        let mut response = self.answer(url, request.send().await).await?;
        // A server that does not know ranges sends everything.
        let mut before = if response.status() == StatusCode::PARTIAL_CONTENT { 0 } else { start };
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(url, error))? {
            let skipped = before.min(chunk.len() as u64);
            before -= skipped;
            let chunk = &chunk[usize::try_from(skipped).unwrap_or(chunk.len())..];
            let chunk = &chunk[..chunk.len().min(wanted - bytes.len())];
            bytes.extend_from_slice(chunk);
            received(chunk.len());
            if bytes.len() == wanted {
                return Ok(());
            }
        }
        let error = Error::Short { url: url.to_string(), found: bytes.len() as u64, expected: range.end - range.start };
        Err(Failure::transient(error, None))
    }

    /// URL of a file of the repository.
    pub(crate) fn file_url(&self, commit: &str, path: &str) -> Url {
        self.url(&[], &["resolve", commit], path)
    }

    /// Sends a note about this repository to the progress listener.
    pub(crate) fn note(&self, text: String) {
        self.progress.note(Step::Fetch, &self.options.repo, text);
    }

    /// Tries again what may pass.
    pub(crate) async fn retry<T>(&self, attempt: impl AsyncFnMut() -> Attempt<T>) -> Result<T> {
        retry(&self.options.transfer, |text| self.note(text), attempt).await
    }

    /// The JSON at `url`, of at most `limit` bytes.
    async fn json<T: DeserializeOwned>(&self, url: &Url, limit: usize) -> Attempt<Page<T>> {
        let mut response = self.answer(url, self.get(url).timeout(ANSWER_TIMEOUT).send().await).await?;
        let link = response.headers().get(LINK).and_then(|link| link.to_str().ok()).unwrap_or_default();
        let next = link.split(',').find(|link| link.contains("rel=\"next\""));
        let next = next.and_then(|link| url.join(link.split_once('<')?.1.split_once('>')?.0).ok());
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(url, error))? {
            if bytes.len() + chunk.len() > limit {
                let what = format!("answers of more than {MAX_ANSWER_BYTE_COUNT} bytes, the last from `{url}`");
                return Err(Failure::permanent(self.bad_listing(what)));
            }
            bytes.extend_from_slice(&chunk);
        }
        let invalid = |error: serde_json::Error| {
            Failure::transient(self.bad_listing(format!("`{url}` answered other JSON than expected: {error}")), None)
        };
        let value = serde_json::from_slice(&bytes).map_err(invalid)?;
        Ok(Page { value, byte_count: bytes.len(), next })
    }

    /// A request, with the token if it goes to the endpoint.
    fn get(&self, url: &Url) -> reqwest::RequestBuilder {
        let request = self.http.get(url.clone());
        match &self.options.token {
            Some(Token(token)) if url.origin() == self.endpoint.origin() => request.bearer_auth(token),
            _ => request,
        }
    }

    fn url(&self, before: &[&str], after: &[&str], path: &str) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(before).extend(self.options.repo.split('/')).extend(after);
            segments.extend(path.split('/').filter(|part| !part.is_empty()));
        }
        url
    }

    async fn answer(&self, url: &Url, sent: reqwest::Result<reqwest::Response>) -> Attempt<reqwest::Response> {
        let response = sent.map_err(|error| broken(url, error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let pause = header(RETRY_AFTER.as_str()).trim().parse().ok().map(Duration::from_secs);
        Err(self.refusal(url.as_str(), status, [header("x-error-code"), header("x-error-message")], pause))
    }

    /// What an answer other than success means.
    fn refusal(&self, url: &str, status: StatusCode, [code, message]: [&str; 2], pause: Option<Duration>) -> Failure {
        let FetchOptions { repo, revision, endpoint, token, .. } = self.options;
        let (repo, endpoint) = (repo.clone(), endpoint.clone());
        let number = status.as_u16();
        // For a repository that it does not show, the Hub asks who is there.
        let is_hidden = number == 401 && token.is_none() || code == "RepoNotFound";
        Failure::permanent(match code {
            "GatedRepo" => Error::Gated { repo, endpoint },
            _ if is_hidden => Error::NoRepository { repo, endpoint },
            "RevisionNotFound" => Error::NoRevision { repo, revision: revision.clone() },
            _ if number == 401 || number == 403 => {
                Error::Denied { repo, endpoint, status: status.to_string(), message: message.to_owned() }
            }
            _ => {
                let error = Error::Answer { url: url.to_owned(), status: status.to_string(), pause };
                if number == 408 || number == 429 || status.is_server_error() {
                    return Failure::transient(error, pause);
                }
                error
            }
        })
    }

    fn bad_listing(&self, what: String) -> Error {
        Error::Listing { repo: self.options.repo.clone(), what }
    }
}

/// Why a token cannot be sent.
fn invalid_token(Token(token): &Token) -> Option<&'static str> {
    if token.contains(['\n', '\r']) {
        Some("it has several lines")
    } else if !token.is_ascii() {
        Some("it has characters that are not ASCII")
    } else if !token.chars().all(|character| character.is_ascii_graphic()) {
        Some("it has blanks or control characters")
    } else {
        None
    }
}

/// A connection that was not made, was silent, or ended early.
fn broken(url: &Url, cause: reqwest::Error) -> Failure {
    let url = url.to_string();
    let lasts = cause.is_builder() || cause.is_redirect();
    // The address that a redirection led to is signed.
    let error = Error::Connection { url, cause: cause.without_url() };
    if lasts { Failure::permanent(error) } else { Failure::transient(error, None) }
}
