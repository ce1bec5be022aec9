//! Throughput against Triton's Python backend over the same graph, in the same server, by turns (`scripts/bench triton`).

#![expect(clippy::print_stdout, reason = "a person runs it for what it measures")]

use super::answers::{ARCHITECTURES, minilm, minilm_with};
use super::{MAX_BATCH, Packaged, REQUIRED, assert_close, backend, binary_body, inputs, outputs};
use planforge_core::RequestBody;
use planforge_runtime::{OnnxSession, SessionOptions, Spinning, Tensor, load_library};
use planforge_testkit::{TritonOptions, TritonServer, isolated, native, repository};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Names a folder with Python's numpy and onnxruntime.
const PACKAGES: &str = "PLANFORGE_BENCH_PYTHON_PACKAGES";
/// One turn of one backend.
const TURN: Duration = Duration::from_secs(2);
/// Items of a request, their tokens, and clients.
const MINILM_TRAFFIC: [(usize, usize, usize); 4] = [(1, 16, 1), (1, 16, 16), (1, 64, 16), (8, 16, 4)];
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
fn load_both(server: &TritonServer, archive: &Path, (name, form): (&str, &str)) -> [String; 2] {
    let [own, python] = ["planforge", "python"].map(|backend| format!("{name}-{form}-{backend}.tar.gz"));
    let loaded = server.load(archive, &own);
    assert_eq!(loaded.status, 200, "{}", loaded.text());
    let folder = TritonServer::unpack(archive, &python).join(name);
    let config = folder.join("config.pbtxt");
    let text = fs_err::read_to_string(&config).unwrap();
    let text = text.replace("backend: \"planforge\"", "backend: \"python\"");
    let text = text.replace("default_model_filename: \"model.onnx\"\n", "");
    // The model joins what has one length.
    fs_err::write(&config, text.replace("    allow_ragged_batch: true\n", "")).unwrap();
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
                let mut connection = server.connect();
                while start.elapsed() < TURN {
                    assert_eq!(connection.invoke(target_model, &body.content_type, &body.bytes).status, 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    answered.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

/// ONNX Runtime in this process with its own defaults, no server and no client: what either backend could answer at
/// most if it cost nothing.
struct Alone {
    session: OnnxSession,
    inputs: Vec<Tensor>,
}

impl Alone {
    /// Over the batches that so many clients of `batch` items keep the server busy with.
    fn new(graph: &Path, (batch, sequence, clients): (usize, usize, usize)) -> Self {
        let processors = std::thread::available_parallelism().unwrap().get();
        let options = SessionOptions {
            intra_op_threads: processors,
            spinning: Spinning::Long,
            arena: true,
            memory_pattern: true,
            ..SessionOptions::default()
        };
        let session = OnnxSession::load(graph, &options).unwrap();
        let inputs = inputs(session.inputs(), ((batch * clients).min(MAX_BATCH), sequence), 1);
        Self { session, inputs }
    }

    /// Requests of `batch` items per second.
    fn throughput(&mut self, batch: usize) -> f64 {
        let (start, mut runs) = (Instant::now(), 0);
        while start.elapsed() < TURN {
            self.session.run(&self.inputs, &[]).unwrap();
            runs += 1;
        }
        let items = runs * self.inputs[0].shape[0];
        items as f64 / batch as f64 / start.elapsed().as_secs_f64()
    }
}

/// A model that both backends have loaded.
struct Loaded<'a> {
    server: &'a TritonServer,
    /// planforge's and Python's.
    targets: [String; 2],
    graph: &'a Path,
}

impl Loaded<'_> {
    /// All by turns, so that what else this machine does meets all alike. The median of each, and of the ratios.
    fn compare(&self, name: &str, (batch, sequence, clients): (usize, usize, usize)) {
        let mut alone = Alone::new(self.graph, (batch, sequence, clients));
        let given = inputs(alone.session.inputs(), (batch, sequence), 1);
        let expected = alone.session.run(&given, &[]).unwrap();
        let body = binary_body(&given);
        for target in &self.targets {
            assert_close(target, &outputs(&super::invoke(self.server, target, &body)), &expected);
        }
        let mut rates: [Vec<f64>; 3] = Default::default();
        for turn in 0..=TURNS {
            let [own, peer] = [0, 1].map(|index| throughput(self.server, &self.targets[index], &body, clients));
            let measured = [own, peer, alone.throughput(batch)];
            if turn > 0 {
                rates.iter_mut().zip(measured).for_each(|(rates, rate)| rates.push(rate));
            }
        }
        let mut ratios: Vec<f64> = rates[0].iter().zip(&rates[1]).map(|(own, peer)| own / peer).collect();
        let [own, peer, alone] = rates.map(|mut rates| median(&mut rates));
        let ratio = median(&mut ratios);
        println!(
            "{name}, {batch} x {sequence}, {clients} clients: planforge {own:.0}/s, Python backend {peer:.0}/s, \
             ratio {ratio:.2}; ONNX Runtime alone {alone:.0}/s"
        );
    }
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
        load_library(&native().join("onnxruntime/libonnxruntime.so")).unwrap();
        let (_workspace, archive, graph) = minilm();
        let targets = load_both(&server, &archive, ("all-MiniLM-L6-v2", "plain"));
        let minilm = Loaded { server: &server, targets, graph: &graph };
        for traffic in MINILM_TRAFFIC {
            minilm.compare("all-MiniLM-L6-v2", traffic);
        }
        let processors = std::thread::available_parallelism().unwrap();
        let triton = format!("instances = {processors}\nconfig = \"one-thread.pbtxt\"\n");
        let (_workspace, archive, graph) = minilm_with(&triton);
        let targets = load_both(&server, &archive, ("all-MiniLM-L6-v2", "instances"));
        let minilm = Loaded { server: &server, targets, graph: &graph };
        for traffic in MINILM_TRAFFIC {
            minilm.compare(&format!("all-MiniLM-L6-v2 in {processors} instances"), traffic);
        }
        for (name, task) in ARCHITECTURES {
            let packaged = Packaged::fixture(name, task);
            let targets = load_both(&server, &packaged.archive, (name, "plain"));
            let graph = packaged.model.path(&packaged.model.record.graph);
            Loaded { server: &server, targets, graph: &graph }.compare(&format!("small {name}"), (1, 16, 16));
        }
        server.stop();
    });
}
