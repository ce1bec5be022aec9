//! The local endpoint against ONNX Runtime alone over the same graph, by turns (`scripts/bench host`).

#![expect(clippy::print_stdout, reason = "a person runs it for what it measures")]

use crate::support::{Hosted, KeptConnection, Workspace};
use planforge_core::RequestBody;
use planforge_runtime::{OnnxSession, SessionOptions, Spinning, Tensor, TensorValues, load_library};
use planforge_testkit::native;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Requests to each process, and runs of each session.
const REQUESTS: usize = 200;
/// Processes, and sessions: where its memory happens to be makes one faster than another for as long as it lives.
const LIVES: usize = 5;
/// Time of a measurement of throughput.
const TURN: Duration = Duration::from_secs(4);
/// Connections that wait, and those that send.
const CONNECTIONS: [usize; 2] = [1000, 64];
const COPIES: usize = 40;

const PIPELINE: &str = r#"name = "minilm"
task = "sentence-embedding"
[source]
repo = "sentence-transformers/all-MiniLM-L6-v2"
[[profiles]]
batch = [1, 1, 4]
sequence = [16, 128, 128]
[package]
platforms = ["onnx"]
copies = COPIES
[host]
memory = "MEMORY"
intra_op_threads = 1
"#;

fn workspace(memory: &str) -> Workspace {
    let workspace = Workspace::empty();
    workspace.write("minilm.toml", &PIPELINE.replace("COPIES", &COPIES.to_string()).replace("MEMORY", memory));
    workspace
}

/// One text of 128 tokens.
fn inputs() -> Vec<Tensor> {
    let tensor = |name: &str, value: fn(i64) -> i64| {
        Tensor::new(name, &[1, 128], TensorValues::Int64((0..128).map(value).collect())).unwrap()
    };
    vec![
        tensor("input_ids", |index| 1000 + 37 * index),
        tensor("attention_mask", |_| 1),
        tensor("token_type_ids", |_| 0),
    ]
}

/// The same as raw bytes, which are asked for in the answer too.
fn body() -> RequestBody {
    crate::triton::binary_body(&inputs())
}

fn session(workspace: &Workspace) -> OnnxSession {
    load_library(&native().join("onnxruntime/libonnxruntime.so")).unwrap();
    let options =
        SessionOptions { intra_op_threads: 1, spinning: Spinning::Never, arena: true, ..SessionOptions::default() };
    let graph = workspace.path("planforge-out/minilm/export/onnx-fp32/model.onnx");
    OnnxSession::load(&graph, &options).unwrap()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Milliseconds of a call.
fn time(call: impl FnOnce()) -> f64 {
    let start = Instant::now();
    call();
    start.elapsed().as_secs_f64() * 1e3
}

/// The median of `count` calls.
fn p50(count: usize, mut call: impl FnMut()) -> f64 {
    median((0..count).map(|_| time(&mut call)).collect())
}

fn invoke(connection: &mut KeptConnection, target_model: &str, body: &RequestBody) {
    let (status, answer) = connection.invoke("minilm", target_model, &body.content_type, &body.bytes);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
}

#[test]
#[ignore = "a measurement, which scripts/bench host makes"]
fn the_local_endpoint_against_onnx_runtime_alone() {
    let workspace = workspace("8 GiB");
    let (inputs, body) = (inputs(), body());
    let mut lives = Vec::new();
    for _ in 0..LIVES {
        let hosted = Hosted::start(&workspace, "minilm.toml");
        let mut session = session(&workspace);
        let mut connection = KeptConnection::open(&hosted.address);
        let mut endpoint = || time(|| invoke(&mut connection, "minilm-v0.tar.gz", &body));
        let mut alone = || time(|| drop(session.run(&inputs, &[]).unwrap()));
        for _ in 0..REQUESTS / 10 {
            endpoint();
            alone();
        }
        // One by one, so that what else this machine does meets both alike.
        let times: Vec<[f64; 2]> = (0..REQUESTS).map(|_| [endpoint(), alone()]).collect();
        lives.push([0, 1].map(|index| median(times.iter().map(|pair| pair[index]).collect())));
        hosted.stop();
    }
    let of = |value: &dyn Fn(&[f64; 2]) -> f64| median(lives.iter().map(value).collect());
    println!(
        "all-MiniLM-L6-v2, 1 x 128, one client: p50 {:.2} ms through the endpoint, {:.2} ms in ONNX Runtime alone, ratio {:.3} \
         (of each process: {:.3?})",
        of(&|life| life[0]),
        of(&|life| life[1]),
        of(&|life| life[0] / life[1]),
        lives.iter().map(|life| life[0] / life[1]).collect::<Vec<_>>()
    );
    let hosted = Hosted::start(&workspace, "minilm.toml");
    many_connections(&hosted, session(&workspace), &inputs, &body);
    hosted.stop();
}

/// Requests per second of clients that are always waiting for an answer, against runs on all processors.
fn many_connections(hosted: &Hosted, session: OnnxSession, inputs: &[Tensor], body: &RequestBody) {
    let [idle, busy] = CONNECTIONS;
    let waiting: Vec<_> = (0..idle).map(|_| TcpStream::connect(&hosted.address).unwrap()).collect();
    let processors = std::thread::available_parallelism().unwrap().get();
    let rate = |count: usize, work: &(dyn Fn(usize, &dyn Fn() -> bool) + Sync)| {
        let (start, done) = (Instant::now(), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for index in 0..count {
                let (start, done) = (&start, &done);
                let counted = move || {
                    done.fetch_add(1, Ordering::Relaxed);
                    start.elapsed() < TURN
                };
                scope.spawn(move || work(index, &counted));
            }
        });
        done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
    };
    let (mut turns, sessions) = (Vec::new(), std::sync::Mutex::new(session));
    for _ in 0..3 {
        // As many copies as processors, so that none waits for another's turn.
        let endpoint = rate(busy, &|index, counted| {
            let mut connection = KeptConnection::open(&hosted.address);
            let target_model = format!("minilm-v{}.tar.gz", index % processors);
            invoke(&mut connection, &target_model, body);
            while counted() {
                invoke(&mut connection, &target_model, body);
            }
        });
        let alone = rate(processors, &|_, counted| {
            let mut session = sessions.lock().unwrap().share();
            while counted() {
                session.run(inputs, &[]).unwrap();
            }
        });
        turns.push([endpoint, alone]);
    }
    drop(waiting);
    let of = |value: &dyn Fn(&[f64; 2]) -> f64| median(turns[1..].iter().map(value).collect());
    println!(
        "the same, {busy} busy and {idle} idle connections: {:.1}/s through the endpoint, {:.1}/s in ONNX Runtime alone on \
         {processors} processors, ratio {:.3}",
        of(&|turn| turn[0]),
        of(&|turn| turn[1]),
        of(&|turn| turn[0] / turn[1])
    );
}

#[test]
#[ignore = "a measurement, which scripts/bench host makes"]
fn warm_models_while_others_are_loaded() {
    // For some three copies, so that each load unloads one.
    let workspace = workspace("512 MiB");
    let hosted = Hosted::start(&workspace, "minilm.toml");
    let body = body();
    let mut connection = KeptConnection::open(&hosted.address);
    let target_model = "minilm-v0.tar.gz";
    let mut turns = Vec::new();
    for _ in 0..=3 {
        let quiet = p50(REQUESTS / 2, || invoke(&mut connection, target_model, &body));
        let (ended, loads) = (AtomicBool::new(false), AtomicU64::new(0));
        let beside = std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut others = KeptConnection::open(&hosted.address);
                for copy in (1..COPIES).cycle().take_while(|_| !ended.load(Ordering::Relaxed)) {
                    invoke(&mut others, &format!("minilm-v{copy}.tar.gz"), &body);
                    loads.fetch_add(1, Ordering::Relaxed);
                }
            });
            std::thread::sleep(Duration::from_millis(500));
            let beside = p50(REQUESTS / 2, || invoke(&mut connection, target_model, &body));
            ended.store(true, Ordering::Relaxed);
            beside
        });
        turns.push(([quiet, beside], loads.load(Ordering::Relaxed)));
    }
    let of = |value: &dyn Fn(&[f64; 2]) -> f64| median(turns[1..].iter().map(|(turn, _)| value(turn)).collect());
    println!(
        "a warm copy of all-MiniLM-L6-v2, 1 x 128: p50 {:.2} ms alone, {:.2} ms while {} others were loaded one by one, ratio {:.3}",
        of(&|turn| turn[0]),
        of(&|turn| turn[1]),
        turns.iter().map(|(_, loads)| loads).sum::<u64>(),
        of(&|turn| turn[1] / turn[0])
    );
    hosted.stop();
}
