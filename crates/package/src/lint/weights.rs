//! Weights beside an engine that was built without: planforge's backend does not load it when one of their files is missing.

use super::Finding;
use super::layout::{Listing, ModelFolder};
use planforge_core::PlacedWeights;
use std::path::Path;

/// What is wrong with the lists of weights in the version that is served.
pub(super) fn check(model: &ModelFolder, listing: &Listing) -> Vec<Finding> {
    let version = model.versions.last().copied().unwrap_or(1);
    let folder = model.path(&version.to_string());
    let mut findings = Vec::new();
    for (list, text) in listing.weight_lists(&folder) {
        let placed = match PlacedWeights::parse(text.as_bytes(), Path::new(list)) {
            Ok(placed) => placed,
            Err(error) => {
                findings.push(Finding::error(list, error.to_string(), "is not a valid list of weights"));
                continue;
            }
        };
        for file in placed.files() {
            let path = format!("{folder}/{file}");
            if !listing.has(&path) {
                let message = format!("weights of the engine lie in this file, says `{list}`, and it is missing");
                findings.push(Finding::error(path, message, "cannot be mapped into memory"));
            }
        }
    }
    findings
}
