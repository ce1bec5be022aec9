//! Requests to the Hub: the commit of a revision, the files of a commit, and bytes of a file.
//!
//! Answers are read up to a limit, downloads resume, and what arrives is compared with the digest that the Hub lists.
//! hf-hub knows the form of the answers; its own requests have no such limit.

use crate::cache::is_commit;
use crate::headers::{next_page, requested_pause};
use crate::listing::{Entry, ListedFile};
use crate::retry::{Failure, retry};
use crate::{Error, FetchOptions, Result, Token};
use hf_hub::repository::ModelInfo;
use planforge_core::{MAX_FILE_COUNT, Progress, Step};
use reqwest::header::{HeaderMap, RANGE};
use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode, Url};
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

/// The smallest range that there is.
const FIRST_BYTE: &str = "bytes=0-0";

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One repository of one Hub.
pub(crate) struct Client<'a> {
    pub(crate) options: &'a FetchOptions,
    pub(crate) progress: Arc<dyn Progress>,
    endpoint: Url,
    http: reqwest::Client,
    /// Returns redirections as they are.
    direct: reqwest::Client,
}

/// What a revision stands for.
pub(crate) struct Revision {
    pub(crate) commit: String,
    /// Paths of its files, as far as the Hub names them with it.
    pub(crate) paths: Vec<String>,
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
        let http = |redirects: Policy| {
            reqwest::Client::builder()
                .user_agent(concat!("planforge/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT.min(options.transfer.timeout))
                .read_timeout(options.transfer.timeout)
                .redirect(redirects)
                .build()
                .map_err(|cause| Error::Connection { url: options.endpoint.clone(), cause })
        };
        Ok(Self { options, progress, endpoint, http: http(Policy::default())?, direct: http(Policy::none())? })
    }

    /// The commit that the revision stands for, and its files.
    pub(crate) async fn revision(&self) -> Result<Revision> {
        let FetchOptions { repo, revision, .. } = self.options;
        let url = self.url(&["api", "models"], &["revision", revision], "");
        let info: ModelInfo = self.retry(async || self.json(&url, MAX_ANSWER_BYTE_COUNT).await).await?.value;
        if info.id != *repo {
            self.note(format!("the repository is called `{}` now", info.id));
        }
        let paths: Vec<_> = info.siblings.into_iter().flatten().map(|file| file.rfilename).collect();
        let commit = match info.sha {
            Some(commit) => commit,
            None if is_commit(revision) => revision.clone(),
            None => self.commit_of_files(&paths).await?,
        };
        if is_commit(&commit) {
            Ok(Revision { commit, paths })
        } else {
            Err(self.bad_listing(format!("`{commit}` as its commit")))
        }
    }

    /// The commit of a revision by the headers of one of its files, where a mirror does not name it otherwise.
    async fn commit_of_files(&self, paths: &[String]) -> Result<String> {
        let Some(path) = paths.first() else { return Err(self.bad_listing("no commit and no files".to_owned())) };
        let url = self.file_url(&self.options.revision, path);
        let found = self.retry(async || self.headers(Method::HEAD, &url).await).await?;
        let commit = found.as_ref().and_then(|(_, headers)| headers.get("x-repo-commit")?.to_str().ok());
        commit.map(str::to_owned).ok_or_else(|| self.bad_listing("no commit".to_owned()))
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
        let response = request.send().await.map_err(|error| broken(url, error))?;
        if !self.is_own(&response) && response.status().is_client_error() {
            // The address that the Hub led to is signed, and its time may be over: the Hub is asked for another one.
            let (status, pause) = (response.status(), requested_pause(response.headers(), response.status()));
            return Err(Failure::transient(answer_error(url.as_str(), status, pause), pause));
        }
        let mut response = self.accept(url, response)?;
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

    /// Status and headers of a file, its redirections not followed; none where the server refuses the method.
    pub(crate) async fn headers(&self, method: Method, url: &Url) -> Attempt<Option<(StatusCode, HeaderMap)>> {
        let request = self.direct.request(method.clone(), url.clone());
        let request = if method == Method::GET { request.header(RANGE, FIRST_BYTE) } else { request };
        let response = self.authorized(request, url).send().await.map_err(|error| broken(url, error))?;
        let status = response.status();
        if status.is_success() || status.is_redirection() {
            return Ok(Some((status, response.headers().clone())));
        }
        if is_transient(status) { self.accept(url, response).map(|_| None) } else { Ok(None) }
    }

    /// Status and headers with which the first byte of a file comes, and whether from the endpoint itself.
    pub(crate) async fn first_byte(&self, url: &Url) -> Attempt<(StatusCode, HeaderMap, bool)> {
        let request = self.get(url).header(RANGE, FIRST_BYTE);
        let mut response = request.send().await.map_err(|error| broken(url, error))?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            // An empty file has no first byte.
            response = self.get(url).send().await.map_err(|error| broken(url, error))?;
        }
        let is_own = self.is_own(&response);
        let response = self.accept(url, response)?;
        Ok((response.status(), response.headers().clone(), is_own))
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

    pub(crate) fn bad_listing(&self, what: String) -> Error {
        Error::Listing { repo: self.options.repo.clone(), what }
    }

    /// The JSON at `url`, of at most `limit` bytes.
    async fn json<T: DeserializeOwned>(&self, url: &Url, limit: usize) -> Attempt<Page<T>> {
        let response = self.get(url).timeout(ANSWER_TIMEOUT).send().await.map_err(|error| broken(url, error))?;
        let mut response = self.accept(url, response)?;
        let next = next_page(response.headers(), url, &self.endpoint);
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

    fn get(&self, url: &Url) -> reqwest::RequestBuilder {
        self.authorized(self.http.get(url.clone()), url)
    }

    /// A request, with the token if it goes to the endpoint.
    fn authorized(&self, request: reqwest::RequestBuilder, url: &Url) -> reqwest::RequestBuilder {
        match &self.options.token {
            Some(Token(token)) if url.origin() == self.endpoint.origin() => request.bearer_auth(token),
            _ => request,
        }
    }

    /// Whether a response comes from the endpoint, and not from an address that it led to.
    fn is_own(&self, response: &reqwest::Response) -> bool {
        response.url().origin() == self.endpoint.origin()
    }

    fn url(&self, before: &[&str], after: &[&str], path: &str) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(before).extend(self.options.repo.split('/')).extend(after);
            segments.extend(path.split('/').filter(|part| !part.is_empty()));
        }
        url
    }

    /// The response, if it is a success.
    fn accept(&self, url: &Url, response: reqwest::Response) -> Attempt<reqwest::Response> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let pause = requested_pause(response.headers(), status);
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
                let error = answer_error(url, status, pause);
                if is_transient(status) {
                    return Failure::transient(error, pause);
                }
                error
            }
        })
    }
}

fn answer_error(url: &str, status: StatusCode, pause: Option<Duration>) -> Error {
    Error::Answer { url: url.to_owned(), status: status.to_string(), pause }
}

/// Whether the same request may succeed later. What a server does not implement, it will not do then either.
fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429) || status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
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
