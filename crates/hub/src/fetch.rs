//! Fetching a repository: from the cache where it holds the commit, from the Hub otherwise.

use crate::cache::{RepoCache, is_commit};
use crate::client::{Client, Revision};
use crate::download::download;
use crate::graph::{GraphFiles, require_graph};
use crate::heads::list_by_headers;
use crate::listing::ListedFile;
use crate::named::{MODULES, NamedFiles, lacks_module_weights};
use crate::select::{has_pytorch_weights, needed_files, weight_indexes};
use crate::snapshot::{digest_files, list};
use crate::unusable::onnx_files;
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
/// [`Error::Incomplete`], [`Error::NoWeights`], [`Error::Adapter`], [`Error::NoGraph`], [`Error::Path`], [`Error::Listing`], [`Error::Corrupt`],
/// [`Error::LfsPointer`] and [`Error::Digest`] for what is not a good checkpoint.
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
        graphs: found.graphs,
    })
}

/// A snapshot in the cache whose files are not digested yet.
struct Found {
    directory: PathBuf,
    commit: String,
    /// Paths of the files that a checkpoint needs.
    files: Vec<String>,
    /// Paths of the ONNX files that it lists: those of the repository, or of them those that the cache has.
    graphs: Vec<String>,
    /// `Cached` where nothing was downloaded.
    outcome: Outcome,
}

/// The snapshot in the cache: for a full commit always, for a branch or tag only in offline mode, since
/// it may have moved. Where the cache has PyTorch files only, which another program may have put there, the
/// repository may have safetensors: it is asked, so that the same commit gives the same export everywhere, unless the cache
/// has all files that were used before ([`FetchOptions::pinned`]).
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
    let listing = list(&snapshot)?;
    let graph = match &options.graph {
        Some(graph) if listing.contains(graph) => Some(GraphFiles::read(&snapshot, graph)?),
        Some(graph) if options.offline => {
            return require_graph(&options.repo, graph, listing.iter().map(String::as_str)).map(|()| None);
        }
        Some(_) => return Ok(None),
        None => None,
    };
    // What the caller needs is there: the commit holds nothing else that would be taken.
    let is_whole = !options.pinned.is_empty() && options.pinned.iter().all(|file| snapshot.join(file).exists());
    let may_ask = !options.offline && !is_whole;
    let lacks_data = graph.iter().flat_map(|graph| &graph.data).any(|file| !listing.contains(file));
    let (named, graphs) = (NamedFiles::read(&snapshot), onnx_files(&listing));
    let lacks_shards = weight_indexes(&named, &listing)
        .iter()
        .any(|index| named.shards.get(index).is_none_or(|shards| shards.iter().any(|file| !listing.contains(file))));
    match needed_files(&options.repo, graph.as_ref(), &named, listing) {
        Ok(_) if may_ask && (lacks_data || graph.is_none() && lacks_shards) => Ok(None),
        Ok(files) if may_ask && (has_pytorch_weights(&files) || lacks_module_weights(&snapshot)) => Ok(None),
        Ok(files) if files.iter().all(|file| snapshot.join(file).exists()) => {
            Ok(Some(Found { directory: snapshot, commit, files, graphs, outcome: Outcome::Cached }))
        }
        Ok(_) => Ok(None),
        Err(Error::Incomplete { .. } | Error::NoWeights { .. }) if may_ask => Ok(None),
        Err(error) => Err(error),
    }
}

async fn from_hub(options: &FetchOptions, cache: &RepoCache, progress: &Arc<dyn Progress>) -> Result<Found> {
    let client = Client::new(options, Arc::clone(progress))?;
    let Revision { commit, paths } = client.revision().await?;
    let mut listing = match client.listing(&commit).await {
        // Some mirrors pass on files and nothing else.
        Err(Error::Answer { .. }) if !paths.is_empty() => list_by_headers(&client, &commit, &paths).await?,
        listing => listing?,
    };
    let graph = match &options.graph {
        Some(graph) => Some(graph_from_hub(&client, cache, &commit, graph, &listing).await?),
        None => None,
    };
    let has_fetched_graph = graph.as_ref().is_some_and(|(_, fetched)| *fetched);
    let (named, has_fetched_names) = names_from_hub(&client, cache, &commit, &listing).await?;
    let paths: Vec<String> = listing.iter().map(|file| file.path.clone()).collect();
    let graphs = onnx_files(&paths);
    let needed = needed_files(&options.repo, graph.as_ref().map(|(files, _)| files), &named, paths)?;
    listing.retain(|file| options.all_files || needed.contains(&file.path));
    let fetched = download(&client, cache, &commit, &listing).await? || has_fetched_graph || has_fetched_names;
    cache.set_commit_of(&options.revision, &commit)?;
    let outcome = if fetched { Outcome::Built } else { Outcome::Cached };
    Ok(Found { directory: cache.snapshot(&commit), commit, files: needed, graphs, outcome })
}

/// What files of the repository name, for which these are fetched before the others, and whether any had to be: the list of
/// modules has their folders, and indexes in these have shards.
async fn names_from_hub(
    client: &Client<'_>,
    cache: &RepoCache,
    commit: &str,
    listing: &[ListedFile],
) -> Result<(NamedFiles, bool)> {
    let of = |paths: &[String]| listing.iter().filter(|file| paths.contains(&file.path)).cloned().collect::<Vec<_>>();
    let snapshot = cache.snapshot(commit);
    let has_fetched_modules = download(client, cache, commit, &of(&[MODULES.to_owned()])).await?;
    let paths: Vec<String> = listing.iter().map(|file| file.path.clone()).collect();
    let indexes = of(&weight_indexes(&NamedFiles::read(&snapshot), &paths));
    let has_fetched_indexes = download(client, cache, commit, &indexes).await?;
    Ok((NamedFiles::read(&snapshot), has_fetched_modules || has_fetched_indexes))
}

/// The files of a graph, for which it is fetched before the others, and whether it had to be.
async fn graph_from_hub(
    client: &Client<'_>,
    cache: &RepoCache,
    commit: &str,
    graph: &str,
    listing: &[ListedFile],
) -> Result<(GraphFiles, bool)> {
    require_graph(&client.options.repo, graph, listing.iter().map(|file| file.path.as_str()))?;
    let own: Vec<_> = listing.iter().filter(|file| file.path == graph).cloned().collect();
    let fetched = download(client, cache, commit, &own).await?;
    Ok((GraphFiles::read(&cache.snapshot(commit), graph)?, fetched))
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
