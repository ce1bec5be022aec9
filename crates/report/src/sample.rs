//! A report with something in every part, for tests.

use crate::record::{
    ArchiveFacts, ArtifactRow, EngineFacts, EngineRunFacts, Environment, Library, ModelFacts, PlanRow, PlanSource,
    Report, Served, SourceFacts,
};
use planforge_core::{
    BuilderFigures, Capacity, CapacityLimit, CheckFacts, ComputeCapability, ConcurrentGrowth, CopyMemory,
    LatencySummary, LoadPoint, LoadResult, ModelCard, ModelFormat, Outcome, Precision, PredictedCapacity, ProbeStep,
    Step, Task, Variant, digest_bytes,
};
use std::time::Duration;

pub(crate) fn full() -> Report {
    let digest = digest_bytes(b"engine");
    Report {
        source: Some(SourceFacts {
            repo: "sentence-transformers/all-MiniLM-L6-v2".to_owned(),
            revision: "main".to_owned(),
            commit: "8b3219a92973c328a8e22fadcfa821b5dc75636a".to_owned(),
            byte_count: 91_000_000,
            card: Some(ModelCard { license: Some("apache-2.0".to_owned()), ..ModelCard::default() }),
        }),
        models: vec![model()],
        checks: vec![check()],
        engines: vec![engine()],
        plan: vec![plan_row()],
        archives: vec![ArchiveFacts {
            variant: Variant::onnx(Precision::Fp16),
            byte_count: 42_000_000,
            unpacked_byte_count: 45_500_000,
            max_batch_size: 32,
            copies: Some(8),
            sha256: digest.clone(),
        }],
        skipped: vec!["unsupported GPU `t4`: it takes only fp16 matrix products".to_owned()],
        served: Some(Served { variant: "onnx-fp16".to_owned(), by: "ONNX Runtime on the CPU".to_owned() }),
        capacity: Some(capacity()),
        load: Some(load()),
        artifacts: vec![ArtifactRow {
            step: Step::Compile,
            subject: "tensorrt-fp16-t4".to_owned(),
            path: "engines/tensorrt-fp16-t4/model.plan".to_owned(),
            byte_count: 46_000_000,
            sha256: digest,
            elapsed: Duration::from_millis(2400),
            outcome: Outcome::Built,
        }],
        environment: Environment {
            planforge_version: "0.1.0".to_owned(),
            libraries: vec![Library { name: "ONNX Runtime".to_owned(), version: "1.31.0".to_owned() }],
            cpu_count: Some(2),
            cpu_model: Some("Example CPU at 3 GHz".to_owned()),
            memory_byte_count: Some(8 << 30),
        },
        notes: vec!["The endpoint used one thread for each inference.".to_owned()],
        ..Report::new("all-minilm", Task::SentenceEmbedding)
    }
}

fn model() -> ModelFacts {
    ModelFacts {
        architecture: "bert".to_owned(),
        precision: Precision::Fp16,
        format: ModelFormat::Onnx,
        opset: Some(20),
        parameter_count: 22_713_216,
        weight_byte_count: 45_426_432,
        keep_fp32: Vec::new(),
    }
}

fn check() -> CheckFacts {
    CheckFacts {
        subject: "onnx-fp16".to_owned(),
        reference: "onnx-fp32".to_owned(),
        output: "sentence_embedding".to_owned(),
        samples: 2,
        min_cosine: 0.999_999_8,
        max_absolute_error: 0.000_25,
        passed: true,
    }
}

fn engine() -> EngineFacts {
    let t4 = ComputeCapability { major: 7, minor: 5 };
    EngineFacts {
        gpu: "t4".to_owned(),
        gpus: vec!["t4".to_owned()],
        compute_capabilities: vec![t4],
        precision: Precision::Fp16,
        header_version: "1.7.1.116".to_owned(),
        header_compute_capabilities: vec![t4],
        byte_count: 46_000_000,
        layer_count: 312,
        figures: BuilderFigures { activation_byte_count: Some(9_000_000), ..BuilderFigures::default() },
        build_duration: Duration::from_millis(2340),
        builder_duration: Duration::from_millis(2290),
        build_peak_byte_count: 900_000_000,
        sha256: digest_bytes(b"engine"),
        outcome: Outcome::Built,
        run: Some(EngineRunFacts::NotRun("there is no CUDA driver here".to_owned())),
    }
}

fn plan_row() -> PlanRow {
    PlanRow {
        variant: "tensorrt-fp16-t4".to_owned(),
        gpu: "t4".to_owned(),
        gpu_byte_count: 15_360 << 20,
        is_board_memory: false,
        max_batch: 32,
        memory: CopyMemory { weight_byte_count: 45_000_000, activation_byte_count: 9_000_000 },
        shares_activations: false,
        threshold: 0.9,
        copies: 276,
        source: PlanSource::Builder,
    }
}

fn capacity() -> Capacity {
    let steps = (0..4_u32).map(|index| ProbeStep {
        target_model: format!("all-minilm-v{index}.tar.gz"),
        cold: Some(Duration::from_millis(410 + u64::from(index))),
        warm: Duration::from_millis(9),
        used_byte_count: 50_000_000 + u64::from(index + 1) * 250_000_000,
        growth_byte_count: Some(if index == 0 { 300_000_000 } else { 250_000_000 }),
        growth_after_smallest_byte_count: Some(120_000_000),
        loaded: index + 1,
    });
    Capacity {
        budget_byte_count: 1 << 30,
        threshold: 0.9,
        copies: 3,
        limit: CapacityLimit::Threshold,
        base_byte_count: Some(50_000_000),
        byte_count_per_copy: 250_000_000,
        concurrent_growth: Some(ConcurrentGrowth { requests: 2, byte_count: 20_000_000 }),
        predicted: Some(PredictedCapacity { copies: 4, byte_count_per_copy: 230_000_000 }),
        steps: steps.collect(),
    }
}

fn load() -> LoadResult {
    let seconds: Vec<_> = (0..12_u32)
        .map(|second| {
            let users = [1, 2, 4, 8][second as usize / 3];
            let rate = [80, 100, 110, 112][second as usize / 3];
            point(second.into(), 1, users, rate, if second == 10 { 12 } else { 0 })
        })
        .collect();
    let stages = [(0, 1, 80, 0), (3, 2, 100, 0), (6, 4, 110, 0), (9, 8, 150, 12)]
        .map(|(start, users, rate, failures)| point(start, 3, users, rate, failures));
    LoadResult {
        stages: stages.to_vec(),
        seconds,
        total: point(0, 12, 8, 110, 12),
        failures: vec![("424 ModelError: no memory".to_owned(), 12)],
        copies: 3,
        max_users: 8,
    }
}

/// A span of `seconds` with `rate` successful responses per second; latency grows with the users.
fn point(start: u64, seconds: u64, users: u32, rate: u64, failures: u64) -> LoadPoint {
    let latency = |milliseconds: u32| Duration::from_millis(u64::from(milliseconds * users));
    LoadPoint {
        start: Duration::from_secs(start),
        duration: Duration::from_secs(seconds),
        users,
        requests: rate * seconds + failures,
        failures,
        throughput: f64::from(u32::try_from(rate).unwrap()),
        latency: Some(LatencySummary {
            min: latency(7),
            mean: latency(9),
            p50: latency(9),
            p90: latency(11),
            p95: latency(12),
            p99: latency(15),
            max: latency(21),
        }),
    }
}
