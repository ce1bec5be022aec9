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
/// What is asked of all-MiniLM-L6-v2: texts of one length, and of any between 4 and 64 tokens.
const MINILM_TRAFFIC: [Traffic; 5] = [
    Traffic { batch: 1, lengths: &[16], clients: 1 },
    Traffic { batch: 1, lengths: &[16], clients: 16 },
    Traffic { batch: 1, lengths: &[64], clients: 16 },
    Traffic { batch: 8, lengths: &[16], clients: 4 },
    Traffic { batch: 1, lengths: &[16, 44, 8, 28, 64, 12, 36, 20, 4, 52, 24, 60, 32, 16, 48, 12], clients: 16 },
];
/// Turns of each, after one that does not count.
const TURNS: u32 = 3;

/// Requests of `batch` items by so many clients at once. Each client goes through the lengths again and again, and begins
/// at another one than its neighbour.
#[derive(Debug, Clone, Copy)]
struct Traffic {
    batch: usize,
    lengths: &'static [usize],
    clients: usize,
}

impl Traffic {
    /// Such as `1 x 16, 4 clients`.
    fn describe(&self) -> String {
        let range = (self.lengths.iter().min().unwrap(), self.lengths.iter().max().unwrap());
        let tokens = if range.0 == range.1 { range.0.to_string() } else { format!("{} to {}", range.0, range.1) };
        format!("{} x {tokens}, {} clients", self.batch, self.clients)
    }
}

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
fn throughput(server: &TritonServer, target_model: &str, bodies: &[RequestBody], clients: usize) -> f64 {
    let (start, answered) = (Instant::now(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for client in 0..clients {
            let answered = &answered;
            scope.spawn(move || {
                let mut connection = server.connect();
                for body in bodies.iter().cycle().skip(client).take_while(|_| start.elapsed() < TURN) {
                    let answer = connection.invoke(target_model, &body.content_type, &body.bytes);
                    assert_eq!(answer.status, 200, "{target_model}: {}\n{}", answer.text(), server.log());
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
    batches: Vec<Vec<Tensor>>,
}

impl Alone {
    /// Over the batches that the clients keep the server busy with; requests of several lengths one by one.
    fn new(graph: &Path, traffic: &Traffic) -> Self {
        let processors = std::thread::available_parallelism().unwrap().get();
        let options = SessionOptions {
            intra_op_threads: processors,
            spinning: Spinning::Long,
            arena: true,
            memory_pattern: true,
            ..SessionOptions::default()
        };
        let session = OnnxSession::load(graph, &options).unwrap();
        let items = if traffic.lengths.len() > 1 { 1 } else { (traffic.batch * traffic.clients).min(MAX_BATCH) };
        let batches = traffic.lengths.iter().map(|&length| inputs(session.inputs(), (items, length), 1)).collect();
        Self { session, batches }
    }

    /// Requests of `batch` items per second.
    fn throughput(&mut self, batch: usize) -> f64 {
        let (start, mut items) = (Instant::now(), 0);
        for inputs in self.batches.iter().cycle().take_while(|_| start.elapsed() < TURN) {
            self.session.run(inputs, &[]).unwrap();
            items += inputs[0].shape[0];
        }
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
    fn compare(&self, name: &str, traffic: Traffic) {
        let mut alone = Alone::new(self.graph, &traffic);
        let mut bodies = Vec::new();
        for &length in traffic.lengths {
            let given = inputs(alone.session.inputs(), (traffic.batch, length), 1);
            let (body, expected) = (binary_body(&given), alone.session.run(&given, &[]).unwrap());
            for target in &self.targets {
                assert_close(target, &outputs(&super::invoke(self.server, target, &body)), &expected);
            }
            bodies.push(body);
        }
        let mut rates: [Vec<f64>; 3] = Default::default();
        for turn in 0..=TURNS {
            let [own, peer] =
                [0, 1].map(|index| throughput(self.server, &self.targets[index], &bodies, traffic.clients));
            let measured = [own, peer, alone.throughput(traffic.batch)];
            if turn > 0 {
                rates.iter_mut().zip(measured).for_each(|(rates, rate)| rates.push(rate));
            }
        }
        let mut ratios: Vec<f64> = rates[0].iter().zip(&rates[1]).map(|(own, peer)| own / peer).collect();
        let [own, peer, alone] = rates.map(|mut rates| median(&mut rates));
        let ratio = median(&mut ratios);
        println!(
            "{name}, {}: planforge {own:.0}/s, Python backend {peer:.0}/s, ratio {ratio:.2}; ONNX Runtime alone \
             {alone:.0}/s",
            traffic.describe()
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
            let loaded = Loaded { server: &server, targets, graph: &graph };
            loaded.compare(&format!("small {name}"), Traffic { batch: 1, lengths: &[16], clients: 16 });
        }
        server.stop();
    });
}
