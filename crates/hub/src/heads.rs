//! The files of a commit at a mirror that has no listing with digests: each file is asked about, as `huggingface_hub` does.

use crate::client::Client;
use crate::headers::{blob, byte_count};
use crate::listing::{Blob, ListedFile};
use crate::path::stays_inside;
use crate::{Error, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::Method;

/// Files asked about at once.
const FILES: usize = 8;

/// Size and digest of the files `paths` of a commit, from the headers of each. A mirror may refuse `HEAD`; then it is asked for
/// the first byte. Where a redirection leaves out the size, it is followed.
///
/// # Errors
/// The Hub's refusals, and [`Error::Listing`] for a file without size or `ETag`.
pub(crate) async fn list_by_headers(client: &Client<'_>, commit: &str, paths: &[String]) -> Result<Vec<ListedFile>> {
    let asking = stream::iter(paths).map(|path| ask(client, commit, path)).buffered(FILES);
    let files: Vec<ListedFile> = asking.try_collect().await?;
    let unverified = files.iter().filter(|file| matches!(file.blob, Blob::Unverified(_))).count();
    if unverified > 0 {
        client.note(format!("the mirror names no digests of {unverified} files; only their sizes are checked"));
    }
    Ok(files)
}

async fn ask(client: &Client<'_>, commit: &str, path: &str) -> Result<ListedFile> {
    if !stays_inside(path) {
        return Err(Error::Path { repo: client.options.repo.clone(), path: path.to_owned() });
    }
    let url = client.file_url(commit, path);
    let (mut size, mut found) = (None, None);
    for method in [Method::HEAD, Method::GET] {
        if let Some((status, headers)) = client.retry(async || client.headers(method.clone(), &url).await).await? {
            (size, found) = (byte_count(&headers, status), blob(&headers, path));
            break;
        }
    }
    if size.is_none() || found.is_none() {
        let (status, headers, is_own) = client.retry(async || client.first_byte(&url).await).await?;
        size = size.or_else(|| byte_count(&headers, status));
        // What stores bytes elsewhere has names of its own for them.
        found = found.or_else(|| blob(&headers, path).filter(|_| is_own));
    }
    match (size, found) {
        (Some(byte_count), Some(blob)) => Ok(ListedFile { path: path.to_owned(), byte_count, blob }),
        (None, _) => Err(client.bad_listing(format!("`{path}` without a size"))),
        (_, None) => Err(client.bad_listing(format!("`{path}` without a digest or `ETag`"))),
    }
}
