//! `gpus`: the catalogue.

use crate::args::GpusArguments;
use crate::printer;
use crate::settings::Settings;
use crate::table::table;
use anyhow::Result;
use planforge_core::{Builder, BuilderSupport, Gpu, GpuCatalogue, Instance, Precision};

const NOTES: &str = "\
compute: compute capability. all: fp32, fp16 and bf16. x N: N GPUs in one instance.
rtx builds without a GPU; trtexec builds on the GPU itself.
*: SageMaker's documentation names the instance type for multi-model endpoints
on GPUs; for the others ask AWS first.
";

/// Precisions that the table abbreviates.
const ALL: [Precision; 3] = [Precision::Fp32, Precision::Fp16, Precision::Bf16];

/// Prints the catalogue.
pub(super) fn gpus(arguments: &GpusArguments, settings: &Settings) -> Result<()> {
    let mut catalogue = GpuCatalogue::built_in();
    if let Some(path) = &arguments.catalogue {
        catalogue = catalogue.extended_by(path)?;
    }
    let gpus = selected(&catalogue, &arguments.names)?;
    if settings.json {
        return printer::json(&gpus);
    }
    let rows: Vec<_> = gpus.iter().map(row).collect();
    let headings = ["name", ">compute", ">GiB", "rtx", "trtexec", "AWS instances"];
    printer::stdout(&format!("{}\n{NOTES}", table(&headings, &rows)))
}

/// The types of these names, each once; all types where none is named.
fn selected(catalogue: &GpuCatalogue, names: &[String]) -> Result<Vec<Gpu>> {
    if names.is_empty() {
        return Ok(catalogue.gpus.clone());
    }
    let mut found: Vec<Gpu> = Vec::new();
    for name in names {
        let gpu = catalogue.find(name)?;
        if !found.contains(gpu) {
            found.push(gpu.clone());
        }
    }
    Ok(found)
}

fn row(gpu: &Gpu) -> Vec<String> {
    let support = |builder: Builder| {
        gpu.builders.iter().find(|support| support.builder == builder).map_or_else(String::new, words)
    };
    vec![
        gpu.name.clone(),
        gpu.compute_capability.to_string(),
        gpu.memory_gib.to_string(),
        support(Builder::Rtx),
        support(Builder::Trtexec),
        instances(&gpu.instances),
    ]
}

/// `fp32, fp16`, `all from 10.8`, or `-`.
fn words(support: &BuilderSupport) -> String {
    if support.precisions.is_empty() {
        return "-".to_owned();
    }
    let is_all = ALL.iter().all(|precision| support.precisions.contains(precision));
    let names: Vec<_> = support.precisions.iter().map(ToString::to_string).collect();
    let mut text = if is_all { "all".to_owned() } else { names.join(", ") };
    for (word, version) in [("from", &support.since), ("to", &support.until)] {
        if let Some(version) = version {
            text = format!("{text} {word} {version}");
        }
    }
    text
}

/// Each family once: `g5.xlarge*, 2xlarge*, 12xlarge x 4`.
fn instances(instances: &[Instance]) -> String {
    let mut family = "";
    let mut texts = Vec::new();
    for Instance { name, gpu_count, multi_model } in instances {
        let (own, size) = name.split_once('.').unwrap_or((name, ""));
        let shown = if own == family { size } else { name };
        family = own;
        let count = if *gpu_count > 1 { format!(" x {gpu_count}") } else { String::new() };
        texts.push(format!("{shown}{}{count}", if *multi_model { "*" } else { "" }));
    }
    texts.join(", ")
}
