//! A real S3 server, SeaweedFS, on 127.0.0.1, and what is in it as anybody sees it.

use crate::parts::native;
use serde_json::json;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest that the server may take to start, or for one answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The folder where the server always puts its sockets.
const SOCKETS: &str = "/tmp";

/// Key and secret of an identity that may do everything.
pub const ADMIN: (&str, &str) = ("planforge-admin", "secret-of-admin");
/// One that may list and read.
pub const READER: (&str, &str) = ("planforge-reader", "secret-of-reader");
/// One that may list and write, and not read: the server does not copy for it.
pub const WRITER: (&str, &str) = ("planforge-writer", "secret-of-writer");

/// A running server. It has the bucket `models`; who signs nothing may look at everything in it.
#[derive(Debug)]
pub struct S3Server {
    child: Child,
    ports: Vec<u16>,
    folder: tempfile::TempDir,
}

impl S3Server {
    /// Starts the server that `scripts/setup` brings, and waits until it takes objects.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let held: Vec<_> = (0..8).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port is free")).collect();
        let ports: Vec<_> = held.iter().map(|it| it.local_addr().expect("it is bound").port()).collect();
        drop(held);
        let configuration = folder.path().join("identities.json");
        std::fs::write(&configuration, identities()).expect("a file can be made");
        let log = std::fs::File::create(folder.path().join("log")).expect("a file can be made");
        let names = ["s3.port", "master.port", "volume.port", "filer.port", "s3.port.grpc", "master.port.grpc"];
        let names = names.into_iter().chain(["volume.port.grpc", "filer.port.grpc"]);
        let mut command = Command::new(native().join("seaweedfs/weed"));
        command
            .args(["-logtostderr=true", "server", "-s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false", "-master.telemetry=false"])
            .args(["-master.volumeSizeLimitMB=1024", "-volume.max=0", "-volume.minFreeSpacePercent=1"])
            .args(names.zip(&ports).map(|(name, port)| format!("-{name}={port}")))
            .arg(format!("-dir={}", folder.path().display()))
            .arg(format!("-s3.config={}", configuration.display()))
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log);
        let child = command.spawn().expect("scripts/setup brings SeaweedFS");
        let mut server = Self { child, ports, folder };
        server.wait_until("PUT", "/models");
        server.wait_until("PUT", "/models/ready");
        server
    }

    fn wait_until(&mut self, method: &str, target: &str) {
        let start = Instant::now();
        while !self.request(method, target).is_ok_and(|(status, ..)| status == 200) {
            let ended = self.child.try_wait().expect("the server is a child of ours");
            assert!(ended.is_none() && start.elapsed() < PATIENCE, "the server does not take objects:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `127.0.0.1` and the port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// Bytes that the server keeps on disk.
    ///
    /// # Panics
    /// When its folder cannot be read.
    #[must_use]
    pub fn stored_byte_count(&self) -> u64 {
        let files = std::fs::read_dir(self.folder.path()).expect("the folder is there").flatten();
        let volumes = files.filter(|file| file.path().extension().is_some_and(|extension| extension == "dat"));
        volumes.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
    }

    /// The bytes of an object in `models`; none where there is none.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        let (status, _, body) = self.request("GET", &target(key, "")).expect("the server answers");
        (status == 200).then_some(body)
    }

    /// Headers of an object in `models`, in lower case, and its tags as XML.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn properties(&self, key: &str) -> String {
        let (_, head, _) = self.request("HEAD", &target(key, "")).expect("the server answers");
        let (_, _, tags) = self.request("GET", &target(key, "?tagging")).expect("the server answers");
        head.to_lowercase() + &String::from_utf8_lossy(&tags)
    }

    /// Puts an object into `models`.
    ///
    /// # Panics
    /// When the server does not take it.
    pub fn put(&self, key: &str, body: &[u8]) {
        let (status, ..) = self.exchange("PUT", &target(key, ""), body).expect("the server answers");
        assert_eq!(status, 200, "{}", self.log());
    }

    /// Keys in `models` below a prefix, sorted.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let mut keys = self.listed(&format!("?list-type=2&prefix={}", escaped(prefix)), "Contents");
        keys.sort();
        keys
    }

    /// Keys in `models` whose uploads in parts are not finished.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn unfinished(&self) -> Vec<String> {
        self.listed("?uploads", "Upload")
    }

    fn listed(&self, query: &str, element: &str) -> Vec<String> {
        let (status, _, body) = self.request("GET", &format!("/models{query}")).expect("the server answers");
        let text = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(status, 200, "{text}");
        let between = |text: &str, name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            rest.split_once(&format!("</{name}>")).map(|(inner, _)| inner.to_owned())
        };
        let start = format!("<{element}>");
        let pieces = text.split(&start).skip(1).filter_map(|piece| between(piece, "Key"));
        pieces.map(|key| key.replace("&#39;", "'").replace("&amp;", "&")).collect()
    }

    /// Everything the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.path().join("log")).unwrap_or_default()).into_owned()
    }

    fn request(&self, method: &str, target: &str) -> io::Result<(u16, String, Vec<u8>)> {
        self.exchange(method, target, b"")
    }

    /// Status, headers and body.
    fn exchange(&self, method: &str, target: &str, body: &[u8]) -> io::Result<(u16, String, Vec<u8>)> {
        let mut stream = TcpStream::connect(self.address())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let length = body.len();
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n",
            self.address()
        )?;
        stream.write_all(body)?;
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let mut body = Vec::new();
        reader.read_to_end(&mut body)?;
        if head.to_lowercase().contains("transfer-encoding: chunked") {
            body = unchunked(&body);
        }
        Ok((status, head, body))
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        // Asked to end, it would first wait half a minute for clients. Fails where it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for name in ["s3", "filer", "s3-grpc", "master-grpc", "volume-grpc", "filer-grpc"] {
            for port in &self.ports {
                let _ = std::fs::remove_file(Path::new(SOCKETS).join(format!("seaweedfs-{name}-{port}.sock")));
            }
        }
    }
}

fn identities() -> String {
    let identity = |name: &str, keys: Option<(&str, &str)>, actions: &[&str]| {
        let credentials = keys.map(|(access, secret)| json!([{ "accessKey": access, "secretKey": secret }]));
        json!({ "name": name, "credentials": credentials.unwrap_or(json!([])), "actions": actions })
    };
    let all = ["Admin", "Read", "Write", "List", "Tagging"];
    let identities = [
        identity("admin", Some(ADMIN), &all),
        identity("reader", Some(READER), &["Read:models", "List:models"]),
        identity("writer", Some(WRITER), &["Write:models", "List:models"]),
        // Who signs nothing: the tests themselves.
        identity("anonymous", None, &all),
    ];
    json!({ "identities": identities }).to_string()
}

/// Path of an object in `models`.
fn target(key: &str, query: &str) -> String {
    format!("/models/{}{query}", escaped(key))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => escaped.push(char::from(byte)),
            _ => write!(escaped, "%{byte:02X}").expect("a string takes everything"),
        }
    }
    escaped
}

fn unchunked(body: &[u8]) -> Vec<u8> {
    let (mut rest, mut whole) = (body, Vec::new());
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(&String::from_utf8_lossy(&rest[..end]), 16).unwrap_or(0);
        let start = end + 2;
        if size == 0 || rest.len() < start + size + 2 {
            break;
        }
        whole.extend_from_slice(&rest[start..start + size]);
        rest = &rest[start + size + 2..];
    }
    whole
}
