//! A folder of its own for each test, the program, and a client that sends exact bytes.

use planforge_testkit::{TinyBert, native, sample_hub};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The longest any run of the program may take here.
const PATIENCE: Duration = Duration::from_secs(300);

/// A folder with a checkpoint, a pipeline file and an output folder.
pub(crate) struct Workspace {
    pub(crate) folder: tempfile::TempDir,
}

/// planforge's Triton backend, which Cargo builds for these tests into their own folder, not next to the program.
pub(crate) fn triton_backend() -> PathBuf {
    let library = std::env::current_exe().unwrap().with_file_name("libtriton_planforge.so");
    assert!(library.is_file(), "`{}` is missing", library.display());
    library
}

/// How a run of the program ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Workspace {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A tiny checkpoint in `model` and its pipeline in `tiny.toml`.
    pub(crate) fn tiny() -> Self {
        let workspace = Self::empty();
        TinyBert::default().write(&workspace.path("model")).unwrap();
        workspace.write("tiny.toml", TINY);
        workspace
    }

    /// The real model's pipeline, with a load test of two seconds, in `real.toml`.
    pub(crate) fn real() -> Self {
        let workspace = Self::empty();
        let file = planforge_testkit::repository().join("pipelines/all-MiniLM-L6-v2.toml");
        let text = fs_err::read_to_string(file).unwrap();
        let (before_load, _) = text.split_once("[load]").unwrap();
        let load = "[load]\nstages = [{ users = 1, seconds = 1 }, { users = 4, seconds = 1 }]\n";
        workspace.write("real.toml", &format!("{before_load}{load}"));
        workspace
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        fs_err::write(self.path(file), text).unwrap();
    }

    /// Replaces a part of a file that must be there.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) {
        let text = fs_err::read_to_string(self.path(file)).unwrap();
        assert!(text.contains(from), "`{from}` is not in {file}");
        self.write(file, &text.replace(from, to));
    }

    /// Packages the tiny pipeline for `platforms`, none of which needs engines, and removes its GPU types.
    pub(crate) fn package_without_engines(&self, platforms: &str) {
        self.edit("tiny.toml", "gpus = [\"t4\", \"l4\"]\n", "");
        self.edit("tiny.toml", "platforms = [\"onnx\", \"tensorrt\"]", &format!("platforms = {platforms}"));
    }

    /// The program in this folder, with nothing of the caller's environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_planforge"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.folder.path())
            .env("PLANFORGE_NATIVE_DIR", native())
            .env("PLANFORGE_TRITON_BACKEND", triton_backend())
            .env("HF_HUB_CACHE", sample_hub())
            .env("HF_HUB_OFFLINE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn planforge(&self, arguments: &[&str]) -> Ended {
        end(self.command(arguments))
    }

    /// Runs the program, which must succeed, and reads its standard output as JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.planforge(&[arguments, &["--json"]].concat());
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// Files below a folder, relative to it, sorted; empty when it does not exist.
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let mut files = Vec::new();
        list(&self.path(folder), &self.path(folder), &mut files);
        files.sort();
        files
    }

    /// What a run that ended early may have left in the output folder.
    pub(crate) fn half_written(&self) -> Vec<String> {
        let files = self.files("planforge-out").into_iter();
        files
            .filter(|file| {
                file.contains("/.building-") || file.contains(".planforge-") || file.contains("host/models/")
            })
            .collect()
    }
}

fn list(root: &Path, folder: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        files.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        if path.is_dir() {
            list(root, &path, files);
        }
    }
}

/// Runs a command to its end, or ends it when it takes too long.
pub(crate) fn end(mut command: Command) -> Ended {
    let mut child = command.spawn().unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    });
    let watcher = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).unwrap();
        text
    });
    let status = wait(&mut child);
    Ended { status, stdout: watcher.join().unwrap(), stderr: reader.join().unwrap() }
}

/// Runs a command that is not made by [`Workspace::command`] to its end.
pub(crate) fn end_quietly(mut command: Command) -> Ended {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    end(command)
}

/// Waits for a child within the time any run may take.
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("it took longer than {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Ended {
    /// Asserts the exit code and that standard error holds all of `words`.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.status.code(), Some(code), "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not in:\n{}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }

    #[track_caller]
    pub(crate) fn succeeds(&self) {
        assert_eq!(self.status.code(), Some(0), "{}", self.stderr);
    }
}

/// A connection that is kept from request to request.
pub(crate) struct KeptConnection(BufReader<TcpStream>);

impl KeptConnection {
    pub(crate) fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self(BufReader::new(stream))
    }

    /// Invokes a copy; status and body of the answer.
    pub(crate) fn invoke(
        &mut self,
        endpoint: &str,
        target_model: &str,
        content_type: &str,
        body: &[u8],
    ) -> (u16, Vec<u8>) {
        let head = invocation_head(endpoint, target_model, content_type, body);
        self.0.get_mut().write_all(&[format!("{head}\r\n").as_bytes(), body].concat()).unwrap();
        let (status, _, body) = read_answer(&mut self.0);
        (status, body)
    }
}

fn invocation_head(endpoint: &str, target_model: &str, content_type: &str, body: &[u8]) -> String {
    format!(
        "POST /endpoints/{endpoint}/invocations HTTP/1.1\r\nHost: localhost\r\n\
         X-Amzn-SageMaker-Target-Model: {target_model}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n",
        body.len()
    )
}

/// Status, content type and body.
fn read_answer(reader: &mut BufReader<TcpStream>) -> (u16, String, Vec<u8>) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
    }
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    let head = head.to_lowercase();
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let mut body = vec![0; header("content-length").unwrap().parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    (status, header("content-type").unwrap_or_default().to_owned(), body)
}

/// `planforge host` on a free port.
pub(crate) struct Hosted {
    child: Child,
    pub(crate) address: String,
}

/// A pipeline file over the smallest ViT, with two images next to it.
pub(crate) fn tiny_vit(pipeline: &str) -> Workspace {
    let workspace = Workspace::empty();
    fs_err::create_dir(workspace.path("model")).unwrap();
    let fixtures = planforge_testkit::repository().join("fixtures");
    for file in ["config.json", "model.safetensors"] {
        fs_err::copy(fixtures.join("models/timm-vit").join(file), workspace.path("model").join(file)).unwrap();
    }
    for file in ["wide.png", "tall.jpg"] {
        fs_err::copy(fixtures.join("images").join(file), workspace.path(file)).unwrap();
    }
    workspace.write("vit.toml", pipeline);
    workspace
}

impl Hosted {
    pub(crate) fn start(workspace: &Workspace, pipeline: &str) -> Self {
        Self::start_with(workspace, pipeline, |_| {})
    }

    /// As [`Self::start`], with variables that `prepare` sets.
    pub(crate) fn start_with(workspace: &Workspace, pipeline: &str, prepare: impl FnOnce(&mut Command)) -> Self {
        Self::start_all(workspace, &[pipeline], prepare)
    }

    /// One address for several pipelines.
    pub(crate) fn start_all(workspace: &Workspace, pipelines: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = workspace.command(&["host", "--port", "0", "--json"]);
        command.args(pipelines);
        prepare(&mut command);
        Self::of(command)
    }

    /// What a command that serves has started.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        let address = ready["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        Self { child, address }
    }

    /// Sends bytes as they are and returns status and body of the answer. The request must ask the
    /// server to close the connection.
    pub(crate) fn send(&self, request: &[u8]) -> (u16, Value) {
        let (status, _, body) = self.send_bytes(request);
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// As [`Self::send`], with content type and bytes of the answer.
    fn send_bytes(&self, request: &[u8]) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(request).unwrap();
        read_answer(&mut BufReader::new(stream))
    }

    /// Invokes a copy with a JSON body.
    pub(crate) fn invoke(&self, endpoint: &str, target_model: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let (status, _, body) = self.invoke_bytes(endpoint, target_model, "application/json", body.as_bytes());
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// Invokes a copy with a body of any content type; status, content type and body of the answer.
    pub(crate) fn invoke_bytes(
        &self,
        endpoint: &str,
        target_model: &str,
        content_type: &str,
        body: &[u8],
    ) -> (u16, String, Vec<u8>) {
        let head = invocation_head(endpoint, target_model, content_type, body);
        self.send_bytes(&[format!("{head}Connection: close\r\n\r\n").as_bytes(), body].concat())
    }

    /// Ends it as Ctrl-C does; it must end well.
    pub(crate) fn stop(mut self) {
        interrupt(&self.child);
        assert_eq!(wait(&mut self.child).code(), Some(0));
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends SIGINT to a child of ours.
pub(crate) fn interrupt(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

/// The smallest pipeline that makes one ONNX package and one engine.
const TINY: &str = r#"name = "tiny"
task = "sentence-embedding"

[source]
path = "model"

[[profiles]]
batch = [1, 2, 4]
sequence = [4, 16, 64]

[export]
precisions = ["fp32", "fp16"]
samples = ["the cat sat on the mat .", "a small dog ran , and so did all of them on the long road ."]

[compile]
gpus = ["t4", "l4"]

[package]
platforms = ["onnx", "tensorrt"]
copies = 3

[load]
stages = [{ users = 2, seconds = 1 }]
"#;
