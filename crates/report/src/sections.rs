//! The sections of the page below the answer. A section with nothing to show is left out, except
//! for the two measurements, which then say why.

use super::charts::{latency_chart, memory_chart, throughput_chart};
use super::html::{Cell, details, list, paragraph, section, table};
use super::model::{EngineRunFacts, ModelFacts, PlanRow, Report};
use super::units;
use planforge_core::{
    CONTEXT_BYTE_COUNT, Capacity, ComputeCapability, Digest, LoadPoint, LoadResult, ModelFormat, Outcome, Variant,
};

/// All sections in order.
pub(super) fn sections(report: &Report) -> String {
    [
        capacity(report.capacity.as_ref()),
        load(report.load.as_ref()),
        models(report),
        engines(report),
        plan(report),
        archives(report),
        sentences("Skipped", &report.skipped),
        artifacts(report),
        environment(report),
        sentences("Notes", &report.notes),
    ]
    .concat()
}

fn capacity(capacity: Option<&Capacity>) -> String {
    let body = match capacity {
        None => paragraph("absent", "No chart of memory: no memory probe ran."),
        Some(capacity) if capacity.steps.is_empty() => {
            paragraph("absent", "No chart of memory: the probe ended before a copy was loaded.")
        }
        Some(capacity) => memory_chart(capacity).html() + &details("Every copy in figures", &probe_table(capacity)),
    };
    section("How many copies fit", &body)
}

fn probe_table(capacity: &Capacity) -> String {
    let rows: Vec<_> = (1_u32..)
        .zip(&capacity.steps)
        .map(|(copy, step)| {
            vec![
                number(copy),
                Cell::Code(step.target_model.clone()),
                Cell::Number(units::duration(step.cold)),
                Cell::Number(units::duration(step.warm)),
                Cell::Number(units::bytes(step.used_byte_count)),
                number(step.loaded),
                Cell::Text(if copy <= capacity.copies { "counts" } else { "does not count" }.to_owned()),
            ]
        })
        .collect();
    table(
        &["Copy", "Target model", "First answer", "Second answer", "Memory in use", "Models loaded", "Verdict"],
        &rows,
    )
}

fn load(load: Option<&LoadResult>) -> String {
    let body = match load {
        None => paragraph("absent", "No charts of latency and throughput: no load test ran."),
        Some(load) => {
            let latency = if load.seconds.iter().any(|point| point.latency.is_some()) {
                latency_chart(load).html()
            } else {
                paragraph("absent", "No chart of latency: no request was answered with success.")
            };
            let throughput = if load.total.requests > 0 {
                throughput_chart(load).html()
            } else {
                paragraph("absent", "No chart of throughput: no request was answered.")
            };
            [stage_table(load), latency, throughput, failure_table(load)].concat()
        }
    };
    section("How much traffic they take", &body)
}

fn stage_table(load: &LoadResult) -> String {
    let mut rows: Vec<_> =
        (1_u32..).zip(&load.stages).map(|(index, stage)| load_row(&index.to_string(), stage)).collect();
    rows.push(load_row("all", &load.total));
    table(
        &["Stage", "Users", "Length", "Requests", "Failures", "Per second", "p50", "p90", "p95", "p99", "Slowest"],
        &rows,
    )
}

fn load_row(name: &str, point: &LoadPoint) -> Vec<Cell> {
    let mut row = vec![
        Cell::Number(name.to_owned()),
        number(point.users),
        Cell::Number(units::duration(point.duration)),
        Cell::Number(units::count(point.requests)),
        Cell::Number(units::count(point.failures)),
        Cell::Number(units::three_digits(point.throughput)),
    ];
    row.extend(match &point.latency {
        Some(latency) => [latency.p50, latency.p90, latency.p95, latency.p99, latency.max]
            .map(|duration| Cell::Number(units::duration(duration))),
        None => std::array::from_fn(|_| Cell::Number("–".to_owned())),
    });
    row
}

fn failure_table(load: &LoadResult) -> String {
    if load.failures.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = load
        .failures
        .iter()
        .map(|(text, count)| vec![Cell::Number(units::count(*count)), Cell::Text(text.clone())])
        .collect();
    format!("<h3>Failures</h3>\n{}", table(&["Count", "Answer"], &rows))
}

fn models(report: &Report) -> String {
    let mut body = String::new();
    if let Some(source) = &report.source {
        let text = format!(
            "From {} at {} (commit {}), {} of files.",
            source.repo,
            source.revision,
            source.commit,
            units::bytes(source.byte_count)
        );
        body += &paragraph("", &text);
        if let Some(card) = &source.card {
            body += &paragraph("", &format!("Its authors say: {card}."));
        }
    }
    if !report.models.is_empty() {
        let rows: Vec<_> = report
            .models
            .iter()
            .map(|model| {
                vec![
                    Cell::Text(model.architecture.clone()),
                    Cell::Text(format_text(model)),
                    Cell::Text(model.precision.to_string()),
                    Cell::Number(units::short_count(model.parameter_count)),
                    Cell::Number(units::bytes(model.weight_byte_count)),
                    Cell::Number(model.wide_values.len().to_string()),
                ]
            })
            .collect();
        body += &table(&["Architecture", "Format", "Precision", "Parameters", "Weights", "Values kept in fp32"], &rows);
    }
    body += &checks(report);
    if body.is_empty() { body } else { section("Model", &body) }
}

/// `ONNX, opset 20`.
fn format_text(model: &ModelFacts) -> String {
    match (model.format, model.opset) {
        (ModelFormat::Onnx, Some(opset)) => format!("ONNX, opset {opset}"),
        (ModelFormat::Onnx, None) => "ONNX".to_owned(),
        (ModelFormat::TorchScript, _) => "TorchScript".to_owned(),
    }
}

fn checks(report: &Report) -> String {
    if report.checks.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = report
        .checks
        .iter()
        .map(|check| {
            vec![
                Cell::Code(check.subject.clone()),
                Cell::Code(check.reference.clone()),
                Cell::Code(check.output.clone()),
                number(check.samples),
                Cell::Number(format!("{:.7}", check.min_cosine)),
                Cell::Number(format!("{:.2e}", check.max_absolute_error)),
                Cell::Mark(if check.passed { "✓ agrees" } else { "✗ differs" }.to_owned(), check.passed),
            ]
        })
        .collect();
    let head = ["Model", "Compared with", "Output", "Samples", "Lowest cosine", "Largest difference", "Verdict"];
    format!("<h3>Same answers as the reference</h3>\n{}", table(&head, &rows))
}

fn engines(report: &Report) -> String {
    if report.engines.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = report
        .engines
        .iter()
        .map(|engine| {
            vec![
                Cell::Text(engine.gpus.join(", ")),
                Cell::Text(joined(&engine.compute_capabilities)),
                Cell::Text(engine.precision.to_string()),
                Cell::Number(units::bytes(engine.byte_count)),
                number(engine.layer_count),
                Cell::Number(figure(engine.figures.weight_byte_count)),
                Cell::Number(figure(engine.figures.activation_byte_count)),
                Cell::Number(units::duration(engine.build_duration)),
                Cell::Number(units::bytes(engine.build_peak_byte_count)),
                Cell::Text(engine.header_version.clone()),
                Cell::Text(joined(&engine.header_compute_capabilities)),
                digest(&engine.sha256),
                outcome(engine.outcome),
                Cell::Text(run_words(engine.run.as_ref())),
            ]
        })
        .collect();
    let head = [
        "GPU",
        "Built for",
        "Precision",
        "Size",
        "Layers",
        "Weights on the GPU",
        "Activations on the GPU",
        "Build time",
        "Peak memory of the build",
        "TensorRT",
        "Header says",
        "SHA-256",
        "Origin",
        "Run",
    ];
    section("TensorRT engines", &table(&head, &rows))
}

fn run_words(run: Option<&EngineRunFacts>) -> String {
    match run {
        Some(EngineRunFacts::On(gpu)) => format!("on {gpu}"),
        Some(EngineRunFacts::NotRun(reason)) => format!("not run: {reason}"),
        None => "not run".to_owned(),
    }
}

fn plan(report: &Report) -> String {
    if report.plan.is_empty() {
        return String::new();
    }
    let row = |row: &PlanRow| {
        vec![
            Cell::Code(row.variant.clone()),
            Cell::Text(row.gpu.clone()),
            Cell::Number(units::bytes(row.gpu_byte_count)),
            Cell::Number(units::count(row.max_batch)),
            Cell::Number(units::bytes(row.memory.weight_byte_count)),
            Cell::Number(units::bytes(row.memory.activation_byte_count)),
            Cell::Number(units::bytes(row.memory.byte_count())),
            Cell::Number(units::count(row.copies)),
        ]
    };
    let head = ["Engine", "GPU", "Memory", "Max batch", "Weights", "Activations", "One copy", "Copies predicted"];
    let words = format!(
        "From the builder's figures; nothing was loaded on a GPU. Copies share {} for the CUDA context, an allowance, and \
         fill at most {} of the memory together with it.",
        units::bytes(CONTEXT_BYTE_COUNT),
        units::percent(report.plan[0].threshold)
    );
    let rows: Vec<_> = report.plan.iter().map(row).collect();
    section("Copies predicted to fit", &(paragraph("", &words) + &table(&head, &rows)))
}

/// An amount that the builder's log may not have.
fn figure(byte_count: Option<u64>) -> String {
    byte_count.map_or_else(|| "–".to_owned(), units::bytes)
}

fn joined(capabilities: &[ComputeCapability]) -> String {
    capabilities.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn archives(report: &Report) -> String {
    if report.archives.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = report
        .archives
        .iter()
        .map(|archive| {
            vec![
                Cell::Code(Variant::id(&archive.variant)),
                Cell::Number(units::bytes(archive.byte_count)),
                Cell::Number(units::bytes(archive.unpacked_byte_count)),
                Cell::Number(archive.max_batch_size.to_string()),
                Cell::Number(archive.copies.map_or_else(|| "–".to_owned(), |copies| copies.to_string())),
                digest(&archive.sha256),
            ]
        })
        .collect();
    let head = ["Package", "Archive", "Unpacked", "Max batch", "Copies published", "SHA-256"];
    section("Packages", &table(&head, &rows))
}

fn artifacts(report: &Report) -> String {
    if report.artifacts.is_empty() {
        return String::new();
    }
    let rows: Vec<_> = report
        .artifacts
        .iter()
        .map(|row| {
            vec![
                Cell::Text(row.step.name().to_owned()),
                Cell::Code(row.subject.clone()),
                Cell::Code(row.path.clone()),
                Cell::Number(units::bytes(row.byte_count)),
                digest(&row.sha256),
                Cell::Number(units::duration(row.elapsed)),
                outcome(row.outcome),
            ]
        })
        .collect();
    let head = ["Step", "Subject", "File", "Size", "SHA-256", "Time", "Origin"];
    section("Files made", &table(&head, &rows))
}

fn environment(report: &Report) -> String {
    let environment = &report.environment;
    let mut rows = Vec::new();
    let mut add = |name: &str, value: String| rows.push(vec![Cell::Text(name.to_owned()), Cell::Text(value)]);
    if !environment.planforge_version.is_empty() {
        add("planforge", environment.planforge_version.clone());
    }
    for library in &environment.libraries {
        add(&library.name, library.version.clone());
    }
    if let Some(model) = &environment.cpu_model {
        add("Processor", model.clone());
    }
    if let Some(count) = environment.cpu_count {
        add("Logical processors", count.to_string());
    }
    if let Some(byte_count) = environment.memory_byte_count {
        add("Memory", units::bytes(byte_count));
    }
    if let Some(served) = &report.served {
        add("Endpoint", format!("{}, served by {}", served.variant, served.by));
    }
    if rows.is_empty() { String::new() } else { section("Measured on", &table(&["What", "Value"], &rows)) }
}

fn sentences(title: &str, sentences: &[String]) -> String {
    if sentences.is_empty() { String::new() } else { section(title, &list(sentences)) }
}

fn number(number: u32) -> Cell {
    Cell::Number(units::count(number.into()))
}

fn digest(digest: &Digest) -> Cell {
    Cell::Code(digest.short().to_owned())
}

fn outcome(outcome: Outcome) -> Cell {
    Cell::Text(match outcome {
        Outcome::Built => "built".to_owned(),
        Outcome::Cached => "from the cache".to_owned(),
    })
}
