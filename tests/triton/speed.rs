//! Throughput of planforge's backend against ONNX Runtime alone over the same graph, by turns (`scripts/bench triton`).

#![expect(clippy::print_stdout, reason = "a person runs it for what it measures")]

use super::answers::{ARCHITECTURES, minilm};
use super::{MAX_BATCH, Packaged, assert_close, binary_body, inputs, outputs, with_server};
use planforge_core::RequestBody;
use planforge_runtime::{OnnxSession, SessionOptions, Spinning, Tensor, load_library};
use planforge_testkit::{TritonServer, native};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One turn of the backend, or of ONNX Runtime.
const TURN: Duration = Duration::from_secs(2);
/// Turns of each, after one that does not count.
const TURNS: u32 = 3;
/// Requests to all-MiniLM-L6-v2: texts of one length, and of any between 4 and 64 tokens.
const MINILM_TRAFFIC: [Traffic; 5] = [
    Traffic { batch: 1, lengths: &[16], clients: 1 },
    Traffic { batch: 1, lengths: &[16], clients: 16 },
    Traffic { batch: 1, lengths: &[64], clients: 16 },
    Traffic { batch: 8, lengths: &[16], clients: 4 },
    Traffic { batch: 1, lengths: &[16, 44, 8, 28, 64, 12, 36, 20, 4, 52, 24, 60, 32, 16, 48, 12], clients: 16 },
];

/// Requests of `batch` items by concurrent clients. Each client repeats the lengths, starting one later than the client
/// before it.
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

/// Requests answered per second to concurrent clients, each of which sends its next request when it has its answer.
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

/// ONNX Runtime in this process with its own defaults, no server and no client: the most that a backend that leaves all
/// arithmetic to it could answer with one run at a time.
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

/// A model that the server has loaded, and its graph.
struct Loaded<'a> {
    server: &'a TritonServer,
    target_model: &'a str,
    graph: &'a Path,
}

impl<'a> Loaded<'a> {
    fn new(server: &'a TritonServer, archive: &Path, target_model: &'a str, graph: &'a Path) -> Self {
        let loaded = server.load(archive, target_model);
        assert_eq!(loaded.status, 200, "{}\n{}", loaded.text(), server.log());
        Self { server, target_model, graph }
    }

    /// Requests so far, the microseconds that they were in the server, and of those the ones in which the model ran.
    fn spent(&self) -> [f64; 3] {
        ["nv_inference_request_success", "nv_inference_request_duration_us", "nv_inference_compute_infer_duration_us"]
            .map(|counter| self.server.counter(counter, self.target_model))
    }

    /// Both by turns, so that other load of this machine meets both alike. Prints the median of each, and of the ratios.
    fn compare(&self, name: &str, traffic: Traffic) {
        let mut alone = Alone::new(self.graph, &traffic);
        let mut bodies = Vec::new();
        for &length in traffic.lengths {
            let given = inputs(alone.session.inputs(), (traffic.batch, length), 1);
            let (body, expected) = (binary_body(&given), alone.session.run(&given, &[]).unwrap());
            let answer = super::invoke(self.server, self.target_model, &body);
            assert_close(self.target_model, &outputs(&answer), &expected);
            bodies.push(body);
        }
        let begun = self.spent();
        let mut turns = Vec::new();
        for _ in 0..=TURNS {
            let backend = throughput(self.server, self.target_model, &bodies, traffic.clients);
            turns.push([backend, alone.throughput(traffic.batch)]);
        }
        let of = |value: &dyn Fn(&[f64; 2]) -> f64| median(turns[1..].iter().map(value).collect());
        let [backend, alone] = [0, 1].map(|index| of(&|rates| rates[index]));
        let ended = self.spent();
        let [in_server, computing] = [1, 2].map(|part| (ended[part] - begun[part]) / (ended[0] - begun[0]) / 1e3);
        println!(
            "{name}, {}: planforge {backend:.0}/s; ONNX Runtime alone {alone:.0}/s, ratio {:.2}; a request is \
             {in_server:.2} ms in the server, of which it is computed {computing:.2} ms",
            traffic.describe(),
            of(&|rates| rates[0] / rates[1])
        );
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
#[ignore = "a measurement, which scripts/bench triton makes"]
fn throughput_against_onnx_runtime_alone() {
    with_server(concat!(module_path!(), "::throughput_against_onnx_runtime_alone"), |server| {
        load_library(&native().join("onnxruntime/libonnxruntime.so")).unwrap();
        let (_workspace, archive, graph) = minilm();
        let minilm = Loaded::new(server, &archive, "all-MiniLM-L6-v2.tar.gz", &graph);
        for traffic in MINILM_TRAFFIC {
            minilm.compare("all-MiniLM-L6-v2", traffic);
        }
        for (name, task) in ARCHITECTURES {
            let packaged = Packaged::fixture(name, task);
            let graph = packaged.model.path(&packaged.model.record.graph);
            let target_model = format!("{name}.tar.gz");
            let loaded = Loaded::new(server, &packaged.archive, &target_model, &graph);
            loaded.compare(&format!("small {name}"), Traffic { batch: 1, lengths: &[16], clients: 16 });
        }
    });
}
