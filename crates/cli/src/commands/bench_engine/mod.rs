//! `bench-engine`: latency, throughput and memory of an engine on a GPU of this machine.

mod inputs;

use crate::args::BenchEngineArguments;
use crate::commands::context::CommandContext;
use crate::printer::format_bytes;
use crate::table::table;
use anyhow::Result;
use inputs::{chosen_shapes, synthetic_input};
use planforge_bench::{BenchTimes, EngineFigures, LatencyFigures, RunTimes, measure_engine};
use planforge_core::Progress;
use planforge_runtime::{EngineModel, EngineSession, ExecutionOptions, Gpu, Tensor, TensorView};
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

/// What was measured, and on what.
#[derive(Debug, Serialize)]
struct Benched {
    engine: PathBuf,
    gpu: String,
    compute_capability: String,
    /// Version of CUDA that the driver is for.
    cuda_driver: String,
    tensorrt: String,
    shapes: Vec<(String, Vec<i64>)>,
    batch: i64,
    streams: usize,
    cuda_graph: bool,
    specialization: String,
    /// Items in a second: runs times batch.
    items_per_second: f64,
    /// Memory of the GPU that the engine took, its weights above all, by what was free before and after.
    engine_byte_count: u64,
    /// Memory that the streams took beyond that.
    stream_byte_count: u64,
    /// What intermediate values of a stream take, as the engine reports it.
    activation_byte_count: u64,
    #[serde(flatten)]
    figures: EngineFigures,
}

/// Measures the engine and prints what was found.
pub(super) fn bench_engine(context: &CommandContext, arguments: &BenchEngineArguments) -> Result<()> {
    let library = context.settings.pipeline.native.tensorrt_library();
    // Its context exists from here on, so that it does not count as the engine's.
    let gpu = Gpu::open(arguments.gpu);
    let free_before = gpu.as_ref().map(Gpu::free_byte_count);
    let engine = EngineModel::load(&library, &arguments.engine, arguments.gpu)?;
    let free_with_engine = engine.gpu().free_byte_count()?;
    let shapes =
        chosen_shapes(engine.profiles(), arguments.batch.map(|batch| i64::from(batch.get())), &arguments.shapes)?;
    let tensors = tensors(&engine, &shapes)?;
    let options = ExecutionOptions {
        cuda_graphs: arguments.cuda_graph,
        specialization: arguments.specialization.into(),
        timings: true,
    };
    let mut sessions = Vec::new();
    for _ in 0..arguments.streams.get() {
        let mut session = engine.session(options)?;
        session.run(&tensors, &[])?;
        sessions.push(session);
    }
    let free_with_streams = engine.gpu().free_byte_count()?;
    let terminal = &context.terminal;
    let times = BenchTimes { warm_up: arguments.warm_up, measured: arguments.seconds };
    let streams = sessions.iter_mut().map(|session| || timed_run(session, &tensors)).collect();
    let figures = measure_engine(streams, times, &|| terminal.is_cancelled())?;
    if terminal.is_cancelled() {
        return Err(planforge_core::Error::Cancelled.into());
    }
    let batch = shapes.first().and_then(|(_, shape)| shape.first().copied()).unwrap_or(1);
    let benched = Benched {
        engine: arguments.engine.clone(),
        gpu: engine.gpu().facts().product.clone(),
        compute_capability: engine.gpu().facts().compute_capability.to_string(),
        cuda_driver: engine.gpu().driver_version()?,
        tensorrt: engine.library_version().to_owned(),
        batch,
        streams: arguments.streams.get(),
        cuda_graph: arguments.cuda_graph,
        specialization: format!("{:?}", arguments.specialization).to_lowercase(),
        items_per_second: figures.runs_per_second * batch as f64,
        engine_byte_count: free_before.unwrap_or(Ok(0))?.saturating_sub(free_with_engine),
        stream_byte_count: free_with_engine.saturating_sub(free_with_streams),
        activation_byte_count: engine.activation_byte_counts().iter().copied().max().unwrap_or(0),
        shapes,
        figures,
    };
    context.show(&benched, &text(&benched))
}

fn tensors(engine: &EngineModel, shapes: &[(String, Vec<i64>)]) -> Result<Vec<Tensor>> {
    let with_shape = |(name, shape): &(String, Vec<i64>)| {
        engine.inputs().iter().find(|spec| spec.name == *name).map(|spec| synthetic_input(spec, shape))
    };
    shapes.iter().filter_map(with_shape).collect()
}

/// One run, from tensors in the host's memory to tensors in the host's memory.
fn timed_run(session: &mut EngineSession, tensors: &[Tensor]) -> planforge_runtime::Result<RunTimes> {
    let views: Vec<TensorView<'_>> = tensors.iter().map(Tensor::view).collect();
    let start = Instant::now();
    session.run_lent(&views, &[], |_| ())?;
    let host = start.elapsed();
    let timings = session.timings();
    let (upload, compute, download) = (timings.upload, timings.compute, timings.download);
    Ok(RunTimes { host, enqueue: timings.enqueue, upload, compute, download })
}

fn text(benched: &Benched) -> String {
    let Benched { gpu, compute_capability, cuda_driver, tensorrt, .. } = benched;
    let mut text = format!("{}\n", benched.engine.display());
    let _ = writeln!(text, "on {gpu} ({compute_capability}), CUDA driver {cuda_driver}, TensorRT-RTX {tensorrt}");
    for (name, shape) in &benched.shapes {
        let _ = writeln!(text, "input `{name}` {shape:?}");
    }
    let graph = if benched.cuda_graph { "a CUDA graph" } else { "no CUDA graph" };
    let streams = if benched.streams == 1 { "1 stream".to_owned() } else { format!("{} streams", benched.streams) };
    let _ = writeln!(text, "{streams}, {graph}, kernels for these shapes: {}\n", benched.specialization);
    text.push_str(&latencies(&benched.figures));
    let EngineFigures { runs, seconds, runs_per_second, .. } = benched.figures;
    let _ = writeln!(
        text,
        "\n{runs} runs in {seconds:.2} s: {runs_per_second:.1} runs/s, {:.1} items/s",
        benched.items_per_second
    );
    let _ = writeln!(
        text,
        "GPU memory: {} for the engine, {} for the streams ({} of each for intermediate values, as the engine reports)",
        format_bytes(benched.engine_byte_count),
        format_bytes(benched.stream_byte_count),
        format_bytes(benched.activation_byte_count)
    );
    text
}

/// A row for each part of a run.
fn latencies(figures: &EngineFigures) -> String {
    let row = |(name, figures): (&str, LatencyFigures)| {
        let LatencyFigures { min_ms, mean_ms, median_ms, p90_ms, p95_ms, p99_ms, max_ms } = figures;
        let values = [min_ms, mean_ms, median_ms, p90_ms, p95_ms, p99_ms, max_ms].map(|value| format!("{value:.3}"));
        std::iter::once(name.to_owned()).chain(values).collect::<Vec<_>>()
    };
    let parts = [
        ("host to host", figures.host),
        ("enqueue (host)", figures.enqueue),
        ("host to GPU", figures.upload),
        ("GPU compute", figures.compute),
        ("GPU to host", figures.download),
    ];
    table(&["ms", ">min", ">mean", ">median", ">p90", ">p95", ">p99", ">max"], &parts.map(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_account_has_every_figure() {
        let run = |milliseconds: u64| RunTimes {
            host: Duration::from_millis(milliseconds),
            compute: Duration::from_micros(milliseconds * 500),
            ..RunTimes::default()
        };
        let runs: Vec<_> = (1..=100).map(run).collect();
        let figures = EngineFigures::of(&runs, Duration::from_millis(5050));
        let benched = Benched {
            engine: "m.plan".into(),
            gpu: "NVIDIA L4".to_owned(),
            compute_capability: "8.9".to_owned(),
            cuda_driver: "12.8".to_owned(),
            tensorrt: "1.7.1.116".to_owned(),
            shapes: vec![("ids".to_owned(), vec![8, 128])],
            batch: 8,
            streams: 2,
            cuda_graph: true,
            specialization: "eager".to_owned(),
            items_per_second: figures.runs_per_second * 8.0,
            engine_byte_count: 45 << 20,
            stream_byte_count: 24 << 20,
            activation_byte_count: 11 << 20,
            figures,
        };
        let expected = "\
m.plan
on NVIDIA L4 (8.9), CUDA driver 12.8, TensorRT-RTX 1.7.1.116
input `ids` [8, 128]
2 streams, a CUDA graph, kernels for these shapes: eager

 ms                min    mean  median     p90     p95     p99      max
 host to host    1.000  50.500  50.000  90.000  95.000  99.000  100.000
 enqueue (host)  0.000   0.000   0.000   0.000   0.000   0.000    0.000
 host to GPU     0.000   0.000   0.000   0.000   0.000   0.000    0.000
 GPU compute     0.500  25.250  25.000  45.000  47.500  49.500   50.000
 GPU to host     0.000   0.000   0.000   0.000   0.000   0.000    0.000

100 runs in 5.05 s: 19.8 runs/s, 158.4 items/s
GPU memory: 45.0 MiB for the engine, 24.0 MiB for the streams (11.0 MiB of each for intermediate values, as the engine reports)
";
        assert_eq!(text(&benched), expected);
        let json = serde_json::to_value(&benched).unwrap();
        assert_eq!((json["host"]["p95_ms"].as_f64(), json["runs"].as_u64()), (Some(95.0), Some(100)));
    }
}
