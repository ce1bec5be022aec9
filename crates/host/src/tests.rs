//! Bound endpoints over real archives and the real ONNX Runtime.

mod access;
mod engines;
mod errors;
mod inference;
mod lifecycle;
mod limits;
mod memory;

use crate::{Host, HostOptions, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use planforge_core::{EndpointError, EndpointState, TARGET_MODEL_HEADER};
use planforge_store::FileStore;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// No test may come near it.
const UNLIMITED: u64 = 1 << 40;

fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().find(|folder| folder.join("Cargo.lock").is_file()).unwrap().to_owned()
}

/// Loads the library that `scripts/setup` puts into `.native`, or under `PLANFORGE_NATIVE_DIR`.
fn load_library() {
    let native = std::env::var_os("PLANFORGE_NATIVE_DIR").map_or_else(|| repository().join(".native"), PathBuf::from);
    let library = native.join("onnxruntime/libonnxruntime.so");
    assert!(library.is_file(), "`{}` is missing: run `scripts/setup`", library.display());
    planforge_runtime::load_library(&library).unwrap();
}

/// A store and a work folder.
struct Folders {
    root: TempDir,
}

impl Folders {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir(root.path().join("store")).unwrap();
        Self { root }
    }

    fn store(&self) -> PathBuf {
        self.root.path().join("store")
    }

    fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// Names of everything in the endpoint's part of the work folder.
    fn unpacked(&self) -> Vec<String> {
        let mut names = Vec::new();
        for host in fs_err::read_dir(self.work()).into_iter().flatten() {
            for item in fs_err::read_dir(host.unwrap().path()).into_iter().flatten() {
                names.push(item.unwrap().file_name().into_string().unwrap());
            }
        }
        names.sort();
        names
    }

    /// Writes an archive of a fixture with `max_batch_size` into the store.
    fn publish(&self, target_model: &str, fixture: &str, max_batch_size: u64) {
        let folder = repository().join("fixtures/tiny-onnx").join(fixture);
        let mut files = Vec::new();
        for item in fs_err::read_dir(folder).unwrap() {
            let item = item.unwrap();
            files.push((item.file_name().into_string().unwrap(), fs_err::read(item.path()).unwrap()));
        }
        if fixture == "wide" {
            // W[i][j] = 1 where i = j mod 1024: y repeats x four times.
            let mut weights = vec![0_u8; 128 + (16 << 20)];
            for j in 0..4096 {
                let at = 128 + 4 * ((j % 1024) * 4096 + j);
                weights[at..at + 4].copy_from_slice(&1_f32.to_le_bytes());
            }
            files.push(("model.safetensors".to_owned(), weights));
        }
        let config = format!("backend: \"onnxruntime\" max_batch_size: {max_batch_size}").into_bytes();
        write_archive(&self.store().join(target_model), &config, &files);
    }
}

fn write_archive(path: &Path, config: &[u8], files: &[(String, Vec<u8>)]) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    let beside = path.with_extension("part");
    let mut builder = tar::Builder::new(GzEncoder::new(fs_err::File::create(&beside).unwrap(), Compression::fast()));
    let mut append = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, name, content).unwrap();
    };
    append("model/config.pbtxt", config);
    for (name, content) in files {
        append(&format!("model/1/{name}"), content);
    }
    builder.into_inner().unwrap().finish().unwrap();
    fs_err::rename(beside, path).unwrap();
}

/// A served endpoint named `e`.
struct Served {
    address: SocketAddr,
    client: Client,
    shutdown: oneshot::Sender<()>,
    task: JoinHandle<Result<()>>,
}

impl Served {
    async fn start(folders: &Folders, budget_byte_count: u64) -> Self {
        Self::start_with(options(folders, budget_byte_count)).await
    }

    async fn start_with(options: HostOptions) -> Self {
        load_library();
        let host = Host::bind(options).await.unwrap();
        let address = host.address();
        let (shutdown, ended) = oneshot::channel();
        let task = tokio::spawn(host.serve(async move {
            let _ = ended.await;
        }));
        let client = Client::builder().no_proxy().build().unwrap();
        Self { address, client, shutdown, task }
    }

    async fn end(self) {
        drop(self.client);
        self.shutdown.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }

    fn post(&self, target_model: &str) -> RequestBuilder {
        let url = format!("http://{}/endpoints/e/invocations", self.address);
        self.client.post(url).header(TARGET_MODEL_HEADER, target_model)
    }

    async fn invoke(&self, target_model: &str, body: &Value) -> Response {
        self.post(target_model).body(body.to_string()).send().await.unwrap()
    }

    /// The answer's outputs.
    async fn outputs(&self, target_model: &str, body: &Value) -> Value {
        let response = self.invoke(target_model, body).await;
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert_eq!(status, 200, "{answer}");
        answer["outputs"].clone()
    }

    async fn state(&self) -> EndpointState {
        let url = format!("http://{}/planforge/state", self.address);
        self.client.get(url).send().await.unwrap().json().await.unwrap()
    }
}

fn options(folders: &Folders, budget_byte_count: u64) -> HostOptions {
    let address = "127.0.0.1:0".parse().unwrap();
    HostOptions::new("e", address, Arc::new(FileStore::new(&folders.store())), &folders.work(), budget_byte_count)
}

/// Status, kind and body of a refusal.
async fn api_error(response: Response) -> (u16, String, EndpointError) {
    let status = response.status().as_u16();
    let kind = response.headers()["x-amzn-errortype"].to_str().unwrap().to_owned();
    assert_eq!(response.headers()["content-type"], "application/json");
    (status, kind, response.json().await.unwrap())
}

fn tensor(name: &str, datatype: &str, shape: &[u64], data: impl Into<Value>) -> Value {
    json!({ "name": name, "datatype": datatype, "shape": shape, "data": data.into() })
}

/// Two rows for `embed`: sums [30, 32, 34, 36] and [30, 31, 32, 33], tokens 2 and 1.
fn embed_request() -> Value {
    json!({ "inputs": [
        tensor("ids", "INT64", &[2, 3], json!([1, 2, 15, 3, 0, 0])),
        tensor("mask", "INT64", &[2, 3], json!([1, 1, 0, 1, 0, 0])),
    ] })
}

/// One row for `wide`, all elements `value`.
fn wide_request(value: f32) -> Value {
    json!({ "inputs": [tensor("x", "FP32", &[1, 1024], json!(vec![value; 1024]))] })
}
