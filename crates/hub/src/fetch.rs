//! Fetching a repository: from the cache where it holds the commit, from the Hub otherwise.

use crate::cache::{RepoCache, is_commit};
use crate::client::Client;
use crate::download::download;
use crate::select::{has_pytorch_weights, needed_files};
use crate::snapshot::{digest_files, list};
use crate::{Error, FetchOptions, Result};
use planforge_core::{Commit, Outcome, Progress, Snapshot, Step};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Fetches the files a checkpoint needs and digests them.
///
/// A full commit that the cache holds with safetensors is not asked for again. Interrupting is safe: nothing is seen
/// under its name before it is whole and has the digest that the Hub lists. What in the cache does not have the digest
/// by which it is named is removed and fetched again.
///
/// # Errors
/// [`Error::NotCached`] in offline mode; the Hub's refusals ([`Error::Gated`], [`Error::NoRepository`],
/// [`Error::NoRevision`], [`Error::Denied`]); [`Error::GaveUp`] after several attempts; [`Error::Space`];
/// [`Error::Incomplete`], [`Error::NoWeights`], [`Error::Path`], [`Error::Listing`], [`Error::Corrupt`] and
/// [`Error::Digest`] for what is not a good checkpoint.
pub async fn fetch(options: &FetchOptions, progress: Arc<dyn Progress>) -> Result<Snapshot> {
    let start = Instant::now();
    let repo = options.repo.as_str();
    let cache = RepoCache::new(&options.cache, repo);
    progress.started(Step::Fetch, repo, None, "bytes");
    let mut removed = 0;
    let (found, files) = loop {
        let found = match find_in_cache(options, &cache)? {
            Some(found) => found,
            None if options.offline => {
                let (repo, revision) = (options.repo.clone(), options.revision.clone());
                return Err(Error::NotCached { repo, revision, cache: options.cache.clone() });
            }
            None => until_cancelled(&progress, from_hub(options, &cache, &progress)).await??,
        };
        // Progress of digesting starts at zero again.
        progress.started(Step::Fetch, repo, None, "bytes");
        match digest_files(&found.directory, &found.files, &options.digests, &*progress, repo) {
            Err(Error::Digest { path, .. }) if !options.offline && removed < found.files.len() => {
                progress.note(Step::Fetch, repo, format!("`{}` is corrupt and is fetched again", path.display()));
                fs_err::remove_file(path)?;
                removed += 1;
            }
            files => break (found, files?),
        }
    };
    progress.finished(Step::Fetch, repo, found.outcome, start.elapsed());
    Ok(Snapshot {
        repo: options.repo.clone(),
        revision: options.revision.clone(),
        commit: Commit::Id(found.commit),
        directory: found.directory,
        files,
    })
}

/// A snapshot in the cache whose files are not digested yet.
struct Found {
    directory: PathBuf,
    commit: String,
    /// Paths of the files that a checkpoint needs.
    files: Vec<String>,
    /// `Cached` where nothing was downloaded.
    outcome: Outcome,
}

/// The snapshot in the cache: for a full commit always, for a branch or tag only in offline mode, since
/// it may have moved. Where the cache has PyTorch files only, which another program may have put there, the
/// repository may have safetensors: it is asked, so that the same commit gives the same export everywhere.
fn find_in_cache(options: &FetchOptions, cache: &RepoCache) -> Result<Option<Found>> {
    let commit = if is_commit(&options.revision) { Some(options.revision.clone()) } else { None };
    let commit = match commit {
        Some(commit) if options.offline || !options.all_files => commit,
        None if options.offline => match cache.commit_of(&options.revision) {
            Some(commit) => commit,
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    let snapshot = cache.snapshot(&commit);
    if !snapshot.is_dir() {
        return Ok(None);
    }
    match needed_files(&options.repo, options.graph.as_deref(), list(&snapshot)?) {
        Ok(files) if has_pytorch_weights(&files) && !options.offline => Ok(None),
        Ok(files) if files.iter().all(|file| snapshot.join(file).exists()) => {
            Ok(Some(Found { directory: snapshot, commit, files, outcome: Outcome::Cached }))
        }
        Ok(_) => Ok(None),
        Err(Error::Incomplete { .. } | Error::NoWeights { .. } | Error::NoGraph { .. }) if !options.offline => Ok(None),
        Err(error) => Err(error),
    }
}

async fn from_hub(options: &FetchOptions, cache: &RepoCache, progress: &Arc<dyn Progress>) -> Result<Found> {
    let client = Client::new(options, Arc::clone(progress))?;
    let commit = client.commit().await?;
    let mut listing = client.listing(&commit).await?;
    let paths = listing.iter().map(|file| file.path.clone());
    let needed = needed_files(&options.repo, options.graph.as_deref(), paths)?;
    listing.retain(|file| options.all_files || needed.contains(&file.path));
    let fetched = download(&client, cache, &commit, &listing).await?;
    cache.set_commit_of(&options.revision, &commit)?;
    let outcome = if fetched { Outcome::Built } else { Outcome::Cached };
    Ok(Found { directory: cache.snapshot(&commit), commit, files: needed, outcome })
}

/// Runs `work` until it ends or the user cancels.
async fn until_cancelled<T>(progress: &Arc<dyn Progress>, work: impl Future<Output = T>) -> Result<T> {
    let cancelled = async {
        while !progress.is_cancelled() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        result = work => Ok(result),
        () = cancelled => Err(planforge_core::Error::Cancelled.into()),
    }
}
