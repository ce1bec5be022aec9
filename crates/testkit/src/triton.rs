//! A real `tritonserver` in SageMaker's multi-model mode, driven by the calls that SageMaker makes.

use crate::parts::native;
use serde_json::json;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where SageMaker unpacks archives; the server derives the model's repository from it.
const MODELS: &str = "/opt/ml/models";
/// The longest that any single answer may take; loading the largest model here takes seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct TritonOptions {
    /// Folder of backends; that of the server itself when left out.
    pub backends: Option<PathBuf>,
    /// Whether configurations may leave out what backends can complete, as in SageMaker's container.
    pub auto_complete: bool,
    /// Whether it has its own HTTP port too, for [`TritonServer::infer`].
    pub http: bool,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// Further variables.
    pub environment: Vec<(String, String)>,
}

/// A running server. Requests use a connection of their own each, as idle ones would hold up loads and unloads; for many
/// requests there is [`TritonServer::connect`].
#[derive(Debug)]
pub struct TritonServer {
    child: Child,
    port: u16,
    metrics_port: u16,
    http_port: u16,
    folder: tempfile::TempDir,
}

/// An answer of the server.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`, empty without one.
    pub content_type: String,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl TritonServer {
    /// Starts the server that `scripts/setup` brings, as SageMaker's container does, and
    /// waits until it is live. It listens on all addresses, so this is called within [`crate::isolated`].
    ///
    /// # Panics
    /// When it does not become live.
    #[must_use]
    pub fn start(options: &TritonOptions) -> Self {
        let home = native().join("triton");
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let [port, metrics_port, http_port] = [(); 3].map(|()| free_port().expect("a port is free"));
        let backends = options.backends.clone().unwrap_or_else(|| home.join("backends"));
        let repository = folder.path().join("repository");
        std::fs::create_dir(&repository).expect("a folder can be made");
        let log = std::fs::File::create(folder.path().join("log")).expect("a file can be made");
        let mut command = Command::new(home.join("bin/tritonserver"));
        command
            .args(["--allow-sagemaker=true", "--allow-grpc=false", "--metrics-address=127.0.0.1"])
            .arg(format!("--allow-http={}", options.http))
            .args(["--http-address=127.0.0.1".to_owned(), format!("--http-port={http_port}")])
            .args(["--model-control-mode=explicit", "--model-namespacing=true"])
            .arg(format!("--sagemaker-port={port}"))
            .arg(format!("--metrics-port={metrics_port}"))
            .arg(format!("--model-repository={}", repository.display()))
            .arg(format!("--backend-directory={}", backends.display()))
            .arg(format!("--cache-directory={}", home.join("caches").display()))
            .args((!options.auto_complete).then_some("--disable-auto-complete-config"))
            .args(&options.arguments)
            .envs([("SAGEMAKER_MULTI_MODEL", "true"), ("SAGEMAKER_TRITON_PING_MODE", "live")])
            .envs(options.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log);
        let child = command.spawn().expect("scripts/setup brings tritonserver");
        let mut server = Self { child, port, metrics_port, http_port, folder };
        server.wait_until_live();
        server
    }

    fn wait_until_live(&mut self) {
        let start = Instant::now();
        while !self.send("GET", "/ping", None, ("", b"")).is_ok_and(|answer| answer.status == 200) {
            let ended = self.child.try_wait().expect("the server is a child of ours");
            assert!(ended.is_none() && start.elapsed() < PATIENCE, "the server is not live:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The port of SageMaker's calls.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Unpacks an archive where SageMaker does and asks the server to load it as `target_model`.
    ///
    /// # Panics
    /// When the archive cannot be unpacked, or the server does not answer.
    #[must_use]
    pub fn load(&self, archive: &Path, target_model: &str) -> Answer {
        Self::unpack(archive, target_model);
        self.load_unpacked(target_model)
    }

    /// Unpacks an archive where SageMaker does, and returns the folder.
    ///
    /// # Panics
    /// When it cannot be unpacked.
    pub fn unpack(archive: &Path, target_model: &str) -> PathBuf {
        let folder = Self::model_folder(target_model);
        std::fs::create_dir_all(&folder).expect("/opt is an empty folder");
        let status = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&folder).status();
        assert!(status.expect("tar can be run").success(), "`{}` cannot be unpacked", archive.display());
        folder
    }

    /// Asks the server to load what is in [`Self::model_folder`].
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn load_unpacked(&self, target_model: &str) -> Answer {
        let url = Self::model_folder(target_model);
        let body = json!({ "model_name": hash(target_model), "url": url }).to_string();
        self.request("POST", "/models", target_model, ("application/json", body.as_bytes()))
    }

    /// Asks the server to unload a model, which no request may be using: the server would never answer. Its folder stays.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn unload(&self, target_model: &str) -> Answer {
        self.request("DELETE", &format!("/models/{}", hash(target_model)), target_model, ("", b""))
    }

    /// Invokes a model.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn invoke(&self, target_model: &str, content_type: &str, body: &[u8]) -> Answer {
        let path = format!("/models/{}/invoke", hash(target_model));
        self.request("POST", &path, target_model, (content_type, body))
    }

    /// Invokes a model through the server's own HTTP port with a head in JSON and raw elements after it.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn infer(&self, target_model: &str, (head, raw): (&str, &[u8])) -> Answer {
        let path = format!("/v2/models/{target_model}/infer");
        // Another header after the first one.
        let headers = format!("application/octet-stream\r\nInference-Header-Content-Length: {}", head.len());
        let body = [head.as_bytes(), raw].concat();
        let answer = self.send_to(self.http_port, ("POST", &path), None, (&headers, &body));
        answer.unwrap_or_else(|error| panic!("no answer to POST {path}: {error}\n{}", self.log()))
    }

    /// A connection that is kept from request to request, as SageMaker keeps its own.
    ///
    /// # Panics
    /// When the server does not listen.
    #[must_use]
    pub fn connect(&self) -> TritonConnection {
        TritonConnection(connect(self.port).expect("the server listens"))
    }

    /// Where the archive of a model is unpacked.
    #[must_use]
    pub fn model_folder(target_model: &str) -> PathBuf {
        Path::new(MODELS).join(hash(target_model)).join("model")
    }

    /// Everything the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A counter of the server's for a loaded model, such as `nv_inference_count`.
    ///
    /// # Panics
    /// When the server does not tell it.
    #[must_use]
    pub fn counter(&self, name: &str, target_model: &str) -> f64 {
        let answer = self.send_to(self.metrics_port, ("GET", "/metrics"), None, ("", b""));
        let text = answer.expect("the server tells its metrics").text();
        let model = format!("model=\"{target_model}\"");
        let line = text.lines().find(|line| line.starts_with(&format!("{name}{{")) && line.contains(&model));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        value.unwrap_or_else(|| panic!("no `{name}` of {target_model} in:\n{text}"))
    }

    /// A counter, as soon as it is `least`: requests are counted after they are answered. What it is after ten seconds where
    /// it stays below.
    ///
    /// # Panics
    /// Those of [`TritonServer::counter`].
    #[must_use]
    pub fn counter_at(&self, name: &str, target_model: &str, least: f64) -> f64 {
        let start = Instant::now();
        loop {
            let value = self.counter(name, target_model);
            if value >= least || start.elapsed() > Duration::from_secs(10) {
                return value;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Resident memory of the server in bytes.
    ///
    /// # Panics
    /// When the server has ended.
    #[must_use]
    pub fn resident_byte_count(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the server runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the server runs");
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number of KiB") * 1024
    }

    /// Threads of the server.
    ///
    /// # Panics
    /// When the server has ended.
    #[must_use]
    pub fn thread_count(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("the server runs").count()
    }

    /// Files that the server has mapped, each once.
    ///
    /// # Panics
    /// When the server has ended.
    #[must_use]
    pub fn mapped_files(&self) -> Vec<PathBuf> {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.child.id())).expect("the server runs");
        let mut files: Vec<_> =
            maps.lines().filter_map(|line| line.find('/').map(|start| PathBuf::from(&line[start..]))).collect();
        files.sort();
        files.dedup();
        files
    }

    /// Asks the server to end and waits until it has.
    ///
    /// # Panics
    /// When it ends badly.
    pub fn stop(mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(asked.expect("kill can be run").success(), "the server has ended by itself:\n{}", self.log());
        let status = self.child.wait().expect("the server is a child of ours");
        assert!(status.success(), "the server ended with {status}:\n{}", self.log());
    }

    fn request(&self, method: &str, path: &str, target_model: &str, content: (&str, &[u8])) -> Answer {
        let answer = self.send(method, path, Some(target_model), content);
        answer.unwrap_or_else(|error| panic!("no answer to {method} {path}: {error}\n{}", self.log()))
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        target_model: Option<&str>,
        (content_type, body): (&str, &[u8]),
    ) -> io::Result<Answer> {
        self.send_to(self.port, (method, path), target_model, (content_type, body))
    }

    fn send_to(
        &self,
        port: u16,
        (method, path): (&str, &str),
        target_model: Option<&str>,
        (content_type, body): (&str, &[u8]),
    ) -> io::Result<Answer> {
        let mut stream = connect(port)?;
        stream.get_mut().write_all(&request((method, path, "close"), target_model, (content_type, body)))?;
        answer(&mut stream)
    }
}

/// A connection for many requests, one after the other. While it is open and idle, a load or unload may have to wait.
#[derive(Debug)]
pub struct TritonConnection(BufReader<TcpStream>);

impl TritonConnection {
    /// Invokes a model.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn invoke(&mut self, target_model: &str, content_type: &str, body: &[u8]) -> Answer {
        let path = format!("/models/{}/invoke", hash(target_model));
        let request = request(("POST", &path, "keep-alive"), Some(target_model), (content_type, body));
        self.0.get_mut().write_all(&request).expect("the server reads");
        answer(&mut self.0).expect("the server answers")
    }
}

fn connect(port: u16) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

fn request(
    (method, path, connection): (&str, &str, &str),
    target_model: Option<&str>,
    (content_type, body): (&str, &[u8]),
) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: {connection}\r\n");
    if let Some(target_model) = target_model {
        head.push_str(&format!("X-Amzn-SageMaker-Target-Model: {target_model}\r\n"));
    }
    if !content_type.is_empty() {
        head.push_str(&format!("Content-Type: {content_type}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    [head.as_bytes(), body].concat()
}

impl Drop for TritonServer {
    fn drop(&mut self) {
        // Fails where it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads an answer by the length that it tells. The end of the connection would not do: processes that the server
/// starts meanwhile for Python models keep it open.
fn answer(reader: &mut impl BufRead) -> io::Result<Answer> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    };
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let length = header("Content-Length").map_or(Some(0), |length| length.parse().ok());
    let (Some(status), Some(length)) = (status, length) else { return Err(io::Error::other(head)) };
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Answer { status, content_type: header("Content-Type").unwrap_or_default(), body })
}

/// The name that SageMaker gives to a target model: 32 hexadecimal digits, always the same.
fn hash(target_model: &str) -> String {
    planforge_core::digest_bytes(target_model.as_bytes()).to_string()[..32].to_owned()
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
