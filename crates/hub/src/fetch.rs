//! Fetching a repository: from the cache where it holds the commit, from the Hub otherwise.

use crate::select::{has_pytorch_weights, needed_files};
use crate::snapshot::{digest_files, list};
use crate::{Error, Result};
use hf_hub::HFClient;
use hf_hub::progress::{DownloadEvent, ProgressEvent};
use planforge_core::{KnownDigests, Outcome, Progress, Snapshot, Step};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What to fetch, and how to reach it.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// `owner/name`.
    pub repo: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// Cache folder in the standard layout.
    pub cache: PathBuf,
    /// Base URL of the Hub.
    pub endpoint: String,
    /// Access token; never logged.
    pub token: Option<Token>,
    /// An ONNX file of the repository that is wanted instead of the weights.
    pub graph: Option<String>,
    /// Use the cache alone.
    pub offline: bool,
    /// Digests of files that have not changed.
    pub digests: KnownDigests,
}

/// An access token that does not show itself.
#[derive(Clone)]
pub struct Token(pub String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Fetches the files a checkpoint needs and digests them.
///
/// A full commit that the cache holds with safetensors is not asked for again. Interrupting is safe: the cache keeps
/// whole files only.
///
/// # Errors
/// [`Error::NotCached`] in offline mode, [`Error::Hub`] when the Hub refuses or does not answer,
/// [`Error::Incomplete`], [`Error::NoWeights`], [`Error::Path`] and [`Error::Digest`] for what is not a good
/// checkpoint.
pub async fn fetch(options: &FetchOptions, progress: Arc<dyn Progress>) -> Result<Snapshot> {
    let start = Instant::now();
    let repo = options.repo.as_str();
    progress.started(Step::Fetch, repo, None, "bytes");
    let (directory, commit, files, outcome) = match find_in_cache(options)? {
        Some(found) => found,
        None if options.offline => {
            let (repo, revision) = (options.repo.clone(), options.revision.clone());
            return Err(Error::NotCached { repo, revision, cache: options.cache.clone() });
        }
        None => download(options, &progress).await?,
    };
    let files = digest_files(&directory, &files, &options.digests, (&*progress, repo))?;
    progress.finished(Step::Fetch, repo, outcome, start.elapsed());
    Ok(Snapshot { repo: options.repo.clone(), revision: options.revision.clone(), commit, directory, files })
}

type Found = (PathBuf, String, Vec<String>, Outcome);

/// The snapshot in the cache: for a full commit always, for a branch or tag only in offline mode, since
/// it may have moved. Where the cache has PyTorch files only, which another program may have put there, the
/// repository may have safetensors: it is asked, so that the same commit gives the same export everywhere.
fn find_in_cache(options: &FetchOptions) -> Result<Option<Found>> {
    let folder = options.cache.join(format!("models--{}", options.repo.replace('/', "--")));
    let is_commit = options.revision.len() == 40 && options.revision.chars().all(|c| c.is_ascii_hexdigit());
    let commit = if is_commit {
        options.revision.clone()
    } else if options.offline {
        match fs_err::read_to_string(folder.join("refs").join(&options.revision)) {
            Ok(commit) => commit.trim().to_owned(),
            Err(_) => return Ok(None),
        }
    } else {
        return Ok(None);
    };
    let snapshot = folder.join("snapshots").join(&commit);
    if !snapshot.is_dir() {
        return Ok(None);
    }
    match needed_files(&options.repo, options.graph.as_deref(), list(&snapshot)?) {
        Ok(files) if has_pytorch_weights(&files) && !options.offline => Ok(None),
        Ok(files) if files.iter().all(|file| snapshot.join(file).exists()) => {
            Ok(Some((snapshot, commit, files, Outcome::Cached)))
        }
        Ok(_) => Ok(None),
        Err(Error::Incomplete { .. } | Error::NoWeights { .. } | Error::NoGraph { .. }) if !options.offline => Ok(None),
        Err(error) => Err(error),
    }
}

async fn download(options: &FetchOptions, progress: &Arc<dyn Progress>) -> Result<Found> {
    let fail = |source: hf_hub::HFError| Error::Hub {
        endpoint: options.endpoint.clone(),
        repo: options.repo.clone(),
        revision: options.revision.clone(),
        source: Box::new(source),
    };
    let mut builder = HFClient::builder().endpoint(&options.endpoint).cache_dir(&options.cache);
    if let Some(Token(token)) = &options.token {
        builder = builder.token(token);
    }
    let (owner, name) = hf_hub::split_id(&options.repo);
    let model = builder.build().map_err(fail)?.model(owner, name);
    let info = until_cancelled(progress, model.info().revision(&options.revision).send()).await?.map_err(fail)?;
    let listing = info.siblings.unwrap_or_default().into_iter().map(|sibling| sibling.rfilename);
    let files = needed_files(&options.repo, options.graph.as_deref(), listing)?;
    let watcher = Watcher { progress: Arc::clone(progress), subject: options.repo.clone(), files: Mutex::default() };
    let download = model
        .snapshot_download()
        .revision(&options.revision)
        .allow_patterns(files.iter().map(|file| escape_glob(file)).collect())
        .progress(hf_hub::progress::Progress::new(watcher))
        .send();
    let directory = until_cancelled(progress, download).await?.map_err(fail)?;
    // The folder is named by the commit that was really taken, should the branch have moved meanwhile.
    let commit = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok((directory, commit, files, Outcome::Built))
}

/// `work`, given up as soon as the user asks to stop.
async fn until_cancelled<T>(progress: &Arc<dyn Progress>, work: impl Future<Output = T>) -> Result<T> {
    let asked_to_stop = async {
        while !progress.is_cancelled() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        result = work => Ok(result),
        () = asked_to_stop => Err(planforge_core::Error::Cancelled.into()),
    }
}

/// A file name as a pattern that matches nothing else.
fn escape_glob(name: &str) -> String {
    name.chars().flat_map(|c| if "*?[]{}!\\".contains(c) { vec!['[', c, ']'] } else { vec![c] }).collect()
}

/// Adds up the bytes of all files under way.
struct Watcher {
    progress: Arc<dyn Progress>,
    subject: String,
    files: Mutex<HashMap<String, u64>>,
}

impl hf_hub::progress::ProgressHandler for Watcher {
    fn on_progress(&self, event: &ProgressEvent) {
        let ProgressEvent::Download(event) = event else { return };
        match event {
            DownloadEvent::Start { total_bytes, .. } => {
                self.progress.started(Step::Fetch, &self.subject, Some(*total_bytes), "bytes");
            }
            DownloadEvent::Progress { files } => {
                if let Ok(mut known) = self.files.lock() {
                    known.extend(files.iter().map(|file| (file.filename.clone(), file.bytes_completed)));
                    self.progress.advanced(Step::Fetch, &self.subject, known.values().sum());
                }
            }
            DownloadEvent::AggregateProgress { bytes_completed, .. } => {
                self.progress.advanced(Step::Fetch, &self.subject, *bytes_completed);
            }
            DownloadEvent::Complete => {}
        }
    }
}
