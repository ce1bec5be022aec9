//! The Hub's routes: what a revision stands for, the files of a commit, and the files.

use super::http::{Request, Response};
use super::options::{Access, COMMIT, HubOptions, Tags};
use planforge_core::digest_bytes;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use std::net::SocketAddr;
use std::path::Path;

/// The one repository.
pub(super) struct Repository {
    pub(super) options: HubOptions,
    /// Where large files come from.
    pub(super) cdn: SocketAddr,
}

impl Repository {
    /// What the Hub answers.
    pub(super) fn answer(&self, request: &Request) -> Response {
        let name = &self.options.name;
        if let Some(former) = &self.options.former_name
            && request.path().contains(&format!("/{former}/"))
        {
            let target = request.target.replacen(former.as_str(), name, 1);
            return Response::new("307 Temporary Redirect").with("Location", target);
        }
        let api = request.path().strip_prefix("/api/models/").and_then(|path| path.strip_prefix(name.as_str()));
        let resolve = request.path().strip_prefix('/').and_then(|path| path.strip_prefix(name.as_str()));
        let resolve = resolve.and_then(|path| path.strip_prefix("/resolve/"));
        if api.is_none() && resolve.is_none() {
            return unknown_repository(request);
        }
        match (&self.options.access, &request.token) {
            (Access::Public, _) => {}
            (Access::Private(known) | Access::Gated(known), Some(token)) if token == known => {}
            (Access::Private(_), Some(_)) => {
                return Response::refusal("401 Unauthorized", "", "Invalid credentials in Authorization header");
            }
            (Access::Private(_), None) => return unknown_repository(request),
            (Access::Gated(_), _) if resolve.is_none() => {}
            (Access::Gated(_), token) => {
                let status = if token.is_some() { "403 Forbidden" } else { "401 Unauthorized" };
                return Response::refusal(status, "GatedRepo", &format!("Access to model {name} is restricted."));
            }
        }
        match (api, resolve.and_then(|path| path.split_once('/'))) {
            (Some(""), _) => self.info(),
            (Some(path), _) if self.options.mirror.lacks_listing && path.starts_with("/tree/") => {
                Response::new("404 Not Found")
            }
            (Some(path), _) => self.about(path, request),
            (None, Some((revision, file))) if is_known(revision) => match self.options.mirror.head {
                Some(status) if request.method == "HEAD" => Response::new(status),
                _ => self.file(file),
            },
            _ => unknown_revision(),
        }
    }

    /// What the content delivery network answers.
    pub(super) fn deliver(&self, request: &Request) -> Response {
        let digest = request.path().strip_prefix("/blobs/").unwrap_or_default();
        let files = self.files().into_iter().filter_map(|path| std::fs::read(self.options.folder.join(path)).ok());
        match files.into_iter().find(|bytes| digest_bytes(bytes).as_str() == digest) {
            Some(body) if request.target.ends_with("?signature=secret") => {
                // What stores bytes does not know what the Hub calls them.
                Response { body, ..Response::new("200 OK").with("ETag", "\"of the store\"") }
            }
            _ => Response::new("403 Forbidden"),
        }
    }

    /// `/revision/...` and `/tree/...`.
    fn about(&self, path: &str, request: &Request) -> Response {
        let revision = path.strip_prefix("/revision/").or_else(|| path.strip_prefix("/tree/"));
        match revision {
            Some(revision) if !is_known(revision) => unknown_revision(),
            Some(_) if path.starts_with("/revision/") => self.info(),
            Some(_) => self.tree(request),
            None => Response::refusal("404 Not Found", "", "Sorry, we can't find the page you are looking for."),
        }
    }

    fn info(&self) -> Response {
        let siblings: Vec<_> = self.files().iter().map(|path| json!({ "rfilename": path })).collect();
        let name = &self.options.name;
        let mut info = json!({ "id": name, "modelId": name, "sha": COMMIT, "private": false, "siblings": siblings });
        if self.options.mirror.lacks_commit {
            info["sha"] = Value::Null;
        }
        Response::json(&info)
    }

    fn tree(&self, request: &Request) -> Response {
        let mut entries: Vec<_> = self.files().iter().filter_map(|path| self.entry(path)).collect();
        for wrong in &self.options.wrong_responses {
            entries.retain(|entry| entry["path"] != wrong.path);
            entries.push(entry(&wrong.path, wrong.byte_count, &wrong.digest));
        }
        let Some(base) = &self.options.mirror.next_page else { return Response::json(&Value::Array(entries)) };
        let second = entries.split_off(1.min(entries.len()));
        if request.target.contains("cursor=") {
            return Response::json(&Value::Array(second));
        }
        let link = format!("<{base}{}&cursor=x>; rel=\"next\"", request.target);
        Response::json(&Value::Array(entries)).with("Link", link)
    }

    fn entry(&self, path: &str) -> Option<Value> {
        let bytes = std::fs::read(self.options.folder.join(path)).ok()?;
        let digest = if self.is_large(&bytes) { digest_bytes(&bytes).to_string() } else { git_object_id(&bytes) };
        Some(entry(path, bytes.len() as u64, &digest))
    }

    fn file(&self, path: &str) -> Response {
        let Some(bytes) = std::fs::read(self.options.folder.join(path)).ok() else {
            return Response::refusal("404 Not Found", "EntryNotFound", "Entry not found")
                .with("X-Repo-Commit", COMMIT);
        };
        if self.is_large(&bytes) {
            let digest = digest_bytes(&bytes);
            let location = format!("http://{}/blobs/{digest}?signature=secret", self.cdn);
            let response = Response::new("302 Found").with("Location", location).with("X-Repo-Commit", COMMIT);
            let response = response.with("ETag", self.tag(digest.as_str(), &bytes));
            if self.options.mirror.tags != Tags::Linked {
                return response;
            }
            return response
                .with("X-Linked-Size", bytes.len().to_string())
                .with("X-Linked-Etag", format!("\"{digest}\""));
        }
        let tag = self.tag(&git_object_id(&bytes), &bytes);
        Response { body: bytes, ..Response::new("200 OK").with("ETag", tag).with("X-Repo-Commit", COMMIT) }
    }

    /// The `ETag` of a file.
    fn tag(&self, digest: &str, bytes: &[u8]) -> String {
        match self.options.mirror.tags {
            Tags::Linked => format!("\"{digest}\""),
            Tags::Weak => format!("W/\"{digest}\""),
            Tags::Sha1 => format!("\"{}\"", hexadecimal(&Sha1::digest(bytes))),
            Tags::Own => "\"1-of the mirror\"".to_owned(),
        }
    }

    fn is_large(&self, bytes: &[u8]) -> bool {
        bytes.len() as u64 >= self.options.large
    }

    /// Relative paths, sorted.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        list(&self.options.folder, "", &mut files);
        files.sort();
        files
    }
}

fn list(folder: &Path, prefix: &str, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.path() {
            path if path.is_dir() => list(&path, &format!("{name}/"), files),
            _ => files.push(name),
        }
    }
}

fn is_known(revision: &str) -> bool {
    revision == "main" || revision == COMMIT
}

fn entry(path: &str, byte_count: u64, digest: &str) -> Value {
    if digest.len() == 64 {
        let pointer = json!({ "oid": digest, "size": byte_count, "pointerSize": 134 });
        return json!({ "type": "file", "oid": "1".repeat(40), "size": byte_count, "lfs": pointer, "path": path });
    }
    json!({ "type": "file", "oid": digest, "size": byte_count, "path": path })
}

/// To those without a token, the Hub does not say whether it hides something.
fn unknown_repository(request: &Request) -> Response {
    let status = if request.token.is_some() { "404 Not Found" } else { "401 Unauthorized" };
    Response::refusal(status, "RepoNotFound", "Repository not found")
}

fn unknown_revision() -> Response {
    Response::refusal("404 Not Found", "RevisionNotFound", "Invalid rev id")
}

fn git_object_id(bytes: &[u8]) -> String {
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", bytes.len()));
    hasher.update(bytes);
    hexadecimal(&hasher.finalize())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
