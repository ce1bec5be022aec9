//! Files of a commit into the cache: several at once, large ones in several pieces at once.
//!
//! Pieces are appended in order, so that what a killed process leaves is the beginning of the file, where the next one
//! goes on. Nothing gets its final name before its size and digest are those of the listing.

use crate::cache::{RepoCache, check_space};
use crate::client::Client;
use crate::listing::ListedFile;
use crate::{Error, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use planforge_core::Step;
use reqwest::Url;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Files fetched at once.
const FILES: usize = 4;

/// Pieces of one file fetched at once.
const PIECES: usize = 4;

/// No piece is larger; those under way are in memory.
const LARGEST_PIECE: u64 = 8 << 20;

/// Downloads what the snapshot of `commit` lacks of `files`; returns whether anything was downloaded.
///
/// # Errors
/// [`Error::Space`] before anything is fetched; [`Error::GaveUp`], [`Error::Corrupt`] and the Hub's refusals.
pub(crate) async fn download(
    client: &Client<'_>,
    cache: &RepoCache,
    commit: &str,
    files: &[ListedFile],
) -> Result<bool> {
    let mut missing = Vec::new();
    for file in files {
        if !cache.has(commit, file, &*client.progress)? {
            missing.push(file);
        }
    }
    let to_come = missing.iter().filter(|file| !cache.has_blob(file));
    let byte_counts = to_come.clone().map(|file| file.byte_count);
    let total = byte_counts.fold(0, u64::saturating_add);
    let there = to_come.map(|file| length(&cache.incomplete(file)).min(file.byte_count)).sum();
    check_space(&cache.blobs(), total.saturating_sub(there))?;
    client.progress.started(Step::Fetch, &client.options.repo, Some(total), "bytes");
    let job = Job { client, cache, commit, received: AtomicU64::new(0) };
    let work = stream::iter(&missing).map(|file| job.ensure(file)).buffer_unordered(FILES);
    work.try_collect::<Vec<()>>().await?;
    Ok(!missing.is_empty())
}

struct Job<'a> {
    client: &'a Client<'a>,
    cache: &'a RepoCache,
    commit: &'a str,
    /// Bytes of all files so far.
    received: AtomicU64,
}

impl Job<'_> {
    async fn ensure(&self, file: &ListedFile) -> Result<()> {
        let waiting = || self.client.note(format!("waiting for another process that fetches `{}`", file.path));
        let lock = self.cache.lock(file, waiting).await?;
        if !self.cache.has_blob(file) {
            if lock.is_exclusive {
                self.fetch(file, &self.cache.incomplete(file)).await?;
            } else {
                // What another process writes at the same time must not be mixed with it.
                self.fetch(file, &self.cache.own_incomplete(file)?).await?;
            }
        }
        self.cache.link(self.commit, file)
    }

    /// A file's bytes, which are compared with the listing before they get their name. Since a beginning that was there
    /// may be at fault, they are fetched a second time if they differ.
    async fn fetch(&self, file: &ListedFile, incomplete: &Path) -> Result<()> {
        let mut found = String::new();
        for _ in 0..2 {
            self.fill(file, incomplete).await?;
            found = self.digest(file, incomplete.to_owned()).await?;
            if found == file.blob.name() {
                return Ok(fs_err::rename(incomplete, self.cache.blob(file))?);
            }
            fs_err::remove_file(incomplete)?;
            self.received.fetch_sub(file.byte_count, Ordering::Relaxed);
        }
        Err(Error::Corrupt {
            repo: self.client.options.repo.clone(),
            file: file.path.clone(),
            algorithm: file.blob.algorithm(),
            found,
            expected: file.blob.name().to_owned(),
        })
    }

    /// Appends what a file lacks.
    async fn fill(&self, file: &ListedFile, path: &Path) -> Result<()> {
        let mut out = fs_err::OpenOptions::new().create(true).append(true).open(path)?;
        let mut start = out.metadata()?.len();
        if start > file.byte_count {
            out.set_len(0)?;
            start = 0;
        }
        self.advance(start);
        let url = self.client.file_url(self.commit, &file.path);
        let size = (file.byte_count / 64).clamp(self.client.options.transfer.least_piece.max(1), LARGEST_PIECE);
        let ranges = std::iter::successors(Some(start), |start| Some(start + size))
            .take_while(|&start| start < file.byte_count)
            .map(|start| start..(start + size).min(file.byte_count));
        let mut pieces = stream::iter(ranges).map(|range| self.piece(&url, range)).buffered(PIECES);
        while let Some(bytes) = pieces.try_next().await? {
            out.write_all(&bytes)?;
        }
        Ok(())
    }

    async fn piece(&self, url: &Url, range: Range<u64>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let received = |count: usize| self.advance(count as u64);
        self.client.retry(async || self.client.bytes(url, &range, &mut bytes, received).await).await?;
        Ok(bytes)
    }

    /// Computed on a thread of its own, so that the other files' connections are not left silent.
    async fn digest(&self, file: &ListedFile, path: PathBuf) -> Result<String> {
        let (blob, progress) = (file.blob.clone(), Arc::clone(&self.client.progress));
        let digest = tokio::task::spawn_blocking(move || blob.of_file(&path, &*progress)).await;
        Ok(digest.map_err(std::io::Error::other)??)
    }

    fn advance(&self, count: u64) {
        let done = self.received.fetch_add(count, Ordering::Relaxed) + count;
        self.client.progress.advanced(Step::Fetch, &self.client.options.repo, done);
    }
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}
