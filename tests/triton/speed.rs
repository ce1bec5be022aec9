//! Throughput against Triton's Python backend over the same graph, in the same server, by turns (`scripts/bench triton`).

#![expect(clippy::print_stdout, reason = "a person runs it for what it measures")]

use super::answers::{ARCHITECTURES, minilm};
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
/// Instances of planforge's backend, as its packages have them.
const INSTANCES: &str = "instance_group [\n  {\n    count: 2\n  }\n]\n";
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

/// Loads an archive for planforge's backend, and its files for Python's: in one instance, with as many threads as there
/// are processors, and in an instance of one thread for each of them.
fn load_all(server: &TritonServer, archive: &Path, name: &str) -> [String; 3] {
    let [own, one, many] = ["planforge", "python", "instances"].map(|form| format!("{name}-{form}.tar.gz"));
    let loaded = server.load(archive, &own);
    assert_eq!(loaded.status, 200, "{}", loaded.text());
    let processors = std::thread::available_parallelism().unwrap();
    let instances = format!(
        "instance_group [ {{ kind: KIND_CPU count: {processors} }} ]\n\
         parameters {{ key: \"intra_op_thread_count\" value: {{ string_value: \"1\" }} }}\n"
    );
    for (target, further) in [(&one, ""), (&many, instances.as_str())] {
        let folder = TritonServer::unpack(archive, target).join(name);
        let config = folder.join("config.pbtxt");
        let text = fs_err::read_to_string(&config).unwrap();
        let text = text.replace("backend: \"planforge\"", "backend: \"python\"");
        let text = text.replace("default_model_filename: \"model.onnx\"\n", "");
        assert!(text.contains(INSTANCES), "{text}");
        let text = text.replace(INSTANCES, "");
        // The model joins what has one length.
        let text = text.replace("    allow_ragged_batch: true\n", "");
        fs_err::write(&config, text + further).unwrap();
        fs_err::copy(repository().join("scripts/reference/triton-model.py"), folder.join("1/model.py")).unwrap();
        let loaded = server.load_unpacked(target);
        assert_eq!(loaded.status, 200, "{}\n{}", loaded.text(), server.log());
    }
    [own, one, many]
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

/// ONNX Runtime in this process with its own defaults, no server and no client: what a backend that leaves all to it could
/// answer at most.
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

/// A model that is loaded by all.
struct Loaded<'a> {
    server: &'a TritonServer,
    /// planforge's, Python's, and Python's with more instances.
    targets: [String; 3],
    graph: &'a Path,
}

impl Loaded<'_> {
    /// Requests to planforge's backend so far, the microseconds that they were in the server, and of those the ones in
    /// which the model ran.
    fn spent(&self) -> [f64; 3] {
        ["nv_inference_request_success", "nv_inference_request_duration_us", "nv_inference_compute_infer_duration_us"]
            .map(|counter| self.server.counter(counter, &self.targets[0]))
    }

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
        let begun = self.spent();
        let mut turns = Vec::new();
        for _ in 0..=TURNS {
            let [own, one, many] =
                [0, 1, 2].map(|index| throughput(self.server, &self.targets[index], &bodies, traffic.clients));
            turns.push([own, one, many, alone.throughput(traffic.batch)]);
        }
        let of = |value: &dyn Fn(&[f64; 4]) -> f64| median(turns[1..].iter().map(value).collect());
        let [own, one, many, alone] = [0, 1, 2, 3].map(|index| of(&|rates| rates[index]));
        let ended = self.spent();
        let [in_server, computing] = [1, 2].map(|part| (ended[part] - begun[part]) / (ended[0] - begun[0]) / 1e3);
        println!(
            "{name}, {}: planforge {own:.0}/s; Python backend {one:.0}/s, ratio {:.2}; in an instance for each \
             processor {many:.0}/s, ratio {:.2}; ONNX Runtime alone {alone:.0}/s; a request is {in_server:.2} ms in the \
             server with planforge, of which it is computed {computing:.2} ms",
            traffic.describe(),
            of(&|rates| rates[0] / rates[1]),
            of(&|rates| rates[0] / rates[2])
        );
    }
}

fn median(mut values: Vec<f64>) -> f64 {
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
        let targets = load_all(&server, &archive, "all-MiniLM-L6-v2");
        let minilm = Loaded { server: &server, targets, graph: &graph };
        for traffic in MINILM_TRAFFIC {
            minilm.compare("all-MiniLM-L6-v2", traffic);
        }
        for (name, task) in ARCHITECTURES {
            let packaged = Packaged::fixture(name, task);
            let targets = load_all(&server, &packaged.archive, name);
            let graph = packaged.model.path(&packaged.model.record.graph);
            let loaded = Loaded { server: &server, targets, graph: &graph };
            loaded.compare(&format!("small {name}"), Traffic { batch: 1, lengths: &[16], clients: 16 });
        }
        server.stop();
    });
}
