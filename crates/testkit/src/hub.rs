//! A Hub on 127.0.0.1: the routes that fetching a model takes, over a folder, with the headers of the real one.

use planforge_core::digest_bytes;
use serde_json::json;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The one commit of the one repository.
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A running Hub; its thread ends with the process.
pub struct TestHub {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

struct Repository {
    name: String,
    folder: PathBuf,
    requests: Arc<Mutex<Vec<String>>>,
}

impl TestHub {
    /// Serves the files of `folder` as the branch `main` of the model repository `name`.
    ///
    /// # Errors
    /// Those of listening on a free port.
    pub fn start(name: &str, folder: &Path) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let requests = Arc::default();
        let repository =
            Repository { name: name.to_owned(), folder: folder.to_owned(), requests: Arc::clone(&requests) };
        let repository = Arc::new(repository);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let repository = Arc::clone(&repository);
                // A client that goes away early is its own affair.
                std::thread::spawn(move || repository.answer(stream));
            }
        });
        Ok(Self { address, requests })
    }

    /// Base URL, for `HF_ENDPOINT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The commit that `main` stands for.
    #[must_use]
    pub const fn commit(&self) -> &'static str {
        COMMIT
    }

    /// Method and path of every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Repository {
    fn answer(&self, stream: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let mut words = head.split_whitespace();
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{method} {target}"));
        let path = target.split('?').next().unwrap_or_default();
        let (status, headers, body) = self.route(path);
        let mut stream = reader.into_inner();
        write!(stream, "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
        if method == "HEAD" { Ok(()) } else { stream.write_all(&body) }
    }

    /// Status, headers and body.
    fn route(&self, path: &str) -> (&'static str, String, Vec<u8>) {
        let not_found = || ("404 Not Found", "X-Error-Code: EntryNotFound\r\n".to_owned(), Vec::new());
        let api = format!("/api/models/{}", self.name);
        let json = |value: serde_json::Value| {
            ("200 OK", "Content-Type: application/json\r\n".to_owned(), value.to_string().into_bytes())
        };
        if let Some(rest) = path.strip_prefix(&api) {
            let files = self.files();
            let is_commit = rest.strip_prefix("/revision/") == Some(COMMIT);
            return match rest {
                _ if rest.is_empty() || rest == "/revision/main" || is_commit => {
                    let siblings: Vec<_> = files.iter().map(|(name, _)| json!({ "rfilename": name })).collect();
                    json(json!({ "id": self.name, "modelId": self.name, "sha": COMMIT, "siblings": siblings }))
                }
                _ if rest.starts_with("/tree/") => {
                    let entry = |(name, size): &(String, u64)| json!({ "type": "file", "oid": "0", "size": size, "path": name });
                    json(files.iter().map(entry).collect())
                }
                _ => not_found(),
            };
        }
        let file = path.strip_prefix(&format!("/{}/resolve/", self.name)).and_then(|rest| rest.split_once('/'));
        let bytes = file.and_then(|(_, file)| std::fs::read(self.folder.join(file)).ok());
        let Some(bytes) = bytes else { return not_found() };
        let digest = digest_bytes(&bytes);
        let headers =
            format!("Content-Type: application/octet-stream\r\nETag: \"{digest}\"\r\nX-Repo-Commit: {COMMIT}\r\n");
        ("200 OK", headers, bytes)
    }

    /// Relative names and sizes, two levels deep.
    fn files(&self) -> Vec<(String, u64)> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let inner = std::fs::read_dir(entry.path()).into_iter().flatten().flatten();
            let inner = inner.map(|file| (format!("{name}/{}", file.file_name().to_string_lossy()), file.path()));
            let all = inner.chain([(name.clone(), entry.path())]).filter(|(_, path)| path.is_file());
            files.extend(all.map(|(name, path)| (name, path.metadata().map_or(0, |metadata| metadata.len()))));
        }
        files.sort();
        files
    }
}
