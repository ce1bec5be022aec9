//! Weights next to an engine that was built without: planforge's backend does not load it when one of their files is
//! missing.

use super::finding::Finding;
use super::layout::ModelFolder;
use super::listing::Listing;
use planforge_core::PlacedWeights;
use std::path::Path;

/// What is wrong with the lists of weights in the versions that are served.
pub(super) fn check(model: &ModelFolder, listing: &Listing, served: &[i64]) -> Vec<Finding> {
    served.iter().flat_map(|version| check_folder(&model.path(&version.to_string()), listing)).collect()
}

fn check_folder(folder: &str, listing: &Listing) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (list, text) in listing.weight_lists(folder) {
        let placed = match PlacedWeights::parse(text.as_bytes(), Path::new(&list)) {
            Ok(placed) => placed,
            Err(error) => {
                findings.push(Finding::error(list, error.to_string(), "is not a valid list of weights"));
                continue;
            }
        };
        for file in placed.files() {
            let path = format!("{folder}/{file}");
            if !listing.has(&path) {
                let message = format!("the file is missing, and `{list}` names it for weights of the engine");
                findings.push(Finding::error(path, message, "cannot be mapped into memory"));
            }
        }
    }
    findings
}
