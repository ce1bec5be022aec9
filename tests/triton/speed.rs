//! Throughput against Triton's Python backend over the same graph, in the same server, by turns (`scripts/bench triton`).

#![expect(clippy::print_stdout, reason = "a person runs it for what it measures")]

use super::answers::minilm;
use super::{Packaged, REQUIRED, assert_close, backend, binary_body, inputs, outputs};
use planforge_core::{RequestBody, Task};
use planforge_runtime::{OnnxSession, SessionOptions, load_library};
use planforge_testkit::{TritonOptions, TritonServer, isolated, native, repository};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Names a folder with Python's numpy and onnxruntime.
const PACKAGES: &str = "PLANFORGE_BENCH_PYTHON_PACKAGES";
/// One turn of one backend.
const TURN: Duration = Duration::from_secs(2);
/// Turns of each, after one that does not count.
const TURNS: u32 = 3;

/// planforge's backend and Python's, which looks for its packages beside itself.
fn backends(packages: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let [own, python] = ["planforge", "python"].map(|name| folder.path().join(name));
    fs_err::create_dir(&own).unwrap();
    fs_err::create_dir(&python).unwrap();
    symlink(backend(), own.join("libtriton_planforge.so")).unwrap();
    symlink(native().join("onnxruntime/libonnxruntime.so"), own.join("libonnxruntime.so")).unwrap();
    for from in [native().join("triton/backends/python"), packages.to_owned()] {
        for entry in fs_err::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            symlink(entry.path(), python.join(entry.file_name())).unwrap();
        }
    }
    folder
}

/// Loads an archive for planforge's backend, and its files for Python's.
fn load_both(server: &TritonServer, archive: &Path, name: &str) -> [String; 2] {
    let [own, python] = ["planforge", "python"].map(|backend| format!("{name}-{backend}.tar.gz"));
    let loaded = server.load(archive, &own);
    assert_eq!(loaded.status, 200, "{}", loaded.text());
    let folder = TritonServer::unpack(archive, &python).join(name);
    let config = folder.join("config.pbtxt");
    let text = fs_err::read_to_string(&config).unwrap();
    let text = text.replace("backend: \"planforge\"", "backend: \"python\"");
    fs_err::write(&config, text.replace("default_model_filename: \"model.onnx\"\n", "")).unwrap();
    fs_err::copy(repository().join("scripts/reference/triton-model.py"), folder.join("1/model.py")).unwrap();
    let loaded = server.load_unpacked(&python);
    assert_eq!(loaded.status, 200, "{}\n{}", loaded.text(), server.log());
    [own, python]
}

/// Requests answered per second to so many clients, each of which sends its next request when it has its answer.
fn throughput(server: &TritonServer, target_model: &str, body: &RequestBody, clients: usize) -> f64 {
    let (start, answered) = (Instant::now(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while start.elapsed() < TURN {
                    assert_eq!(super::invoke(server, target_model, body).status, 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    answered.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

/// Both by turns, so that what else this machine does meets both alike. The median of each, and of the ratios.
fn compare(server: &TritonServer, targets: &[String; 2], what: &str, body: &RequestBody, clients: usize) {
    let mut rates: [Vec<f64>; 2] = Default::default();
    for turn in 0..=TURNS {
        let measured = [0, 1].map(|index| throughput(server, &targets[index], body, clients));
        if turn > 0 {
            rates[0].push(measured[0]);
            rates[1].push(measured[1]);
        }
    }
    let mut ratios: Vec<f64> = rates[0].iter().zip(&rates[1]).map(|(own, peer)| own / peer).collect();
    let [own, peer] = [0, 1].map(|index| median(&mut rates[index]));
    let ratio = median(&mut ratios);
    println!("{what}, {clients} clients: planforge {own:.0}/s, Python backend {peer:.0}/s, ratio {ratio:.2}");
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
#[ignore = "a measurement, which scripts/bench triton makes"]
fn throughput_against_the_python_backend() {
    isolated(concat!(module_path!(), "::throughput_against_the_python_backend"), REQUIRED, || {
        let packages = PathBuf::from(std::env::var_os(PACKAGES).expect("scripts/bench triton sets it"));
        let backends = backends(&packages);
        let libraries = native().join("triton/lib").to_str().unwrap().to_owned();
        let environment = vec![("LD_LIBRARY_PATH".to_owned(), libraries)];
        let backends = Some(backends.path().to_owned());
        let server = TritonServer::start(&TritonOptions { backends, environment, ..TritonOptions::default() });
        let (_workspace, archive, graph) = minilm();
        load_library(&native().join("onnxruntime/libonnxruntime.so")).unwrap();
        let mut session = OnnxSession::load(&graph, &SessionOptions::default()).unwrap();
        let targets = load_both(&server, &archive, "all-MiniLM-L6-v2");
        for (batch, sequence, clients) in [(1, 16, 1), (1, 16, 16), (1, 64, 16), (8, 16, 4)] {
            let texts = inputs(session.inputs(), (batch, sequence), 1);
            let expected = session.run(&texts, &[]).unwrap();
            let body = binary_body(&texts);
            for target in &targets {
                assert_close(target, &outputs(&super::invoke(&server, target, &body)), &expected);
            }
            compare(&server, &targets, &format!("all-MiniLM-L6-v2, {batch} x {sequence} tokens"), &body, clients);
        }
        for (name, task) in [("bert", Task::FeatureExtraction), ("vit", Task::ImageClassification)] {
            let packaged = Packaged::fixture(name, task);
            let targets = load_both(&server, &packaged.archive, name);
            let body = binary_body(&packaged.inputs(1, 16, 1));
            compare(&server, &targets, &format!("small {name}, batch 1"), &body, 16);
        }
        server.stop();
    });
}
