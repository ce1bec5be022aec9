//! `gpus`: the catalogue.

use crate::printer::{self, table};
use crate::settings::Settings;
use anyhow::Result;
use planforge_core::{Gpu, GpuCatalogue};

/// Prints the GPU types.
pub(super) fn gpus(settings: &Settings) -> Result<()> {
    let catalogue = GpuCatalogue::built_in();
    if settings.json {
        printer::stdout(&format!("{}\n", serde_json::to_string(&catalogue.gpus)?));
        return Ok(());
    }
    let rows: Vec<_> = catalogue.gpus.iter().map(row).collect();
    let headings = ["name", "product", ">compute", ">GiB", "rtx engines", "AWS instances"];
    printer::stdout(&table(&headings, &rows));
    Ok(())
}

fn row(gpu: &Gpu) -> Vec<String> {
    let precisions: Vec<_> = gpu.rtx_precisions.iter().map(ToString::to_string).collect();
    vec![
        gpu.name.clone(),
        gpu.product.clone(),
        gpu.compute_capability.to_string(),
        gpu.memory_gib.to_string(),
        if precisions.is_empty() { "none".to_owned() } else { precisions.join(", ") },
        gpu.instances.join(", "),
    ]
}
