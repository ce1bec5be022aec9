//! Links in an archive. AWS documents that SageMaker does not extract archives with links; where they are extracted, they must
//! lead to something.

use super::checked::Checked;
use super::finding::{Finding, Severity};
use super::listing::Listing;
use std::path::Path;

/// The server's log line where it cannot look at what is in the folder of a model.
const NO_STAT: &str = "failed to stat file";

/// Adds what is wrong with links and is not found yet.
pub(super) fn check(listing: &Listing, checked: &Checked, findings: &mut Vec<Finding>) {
    let (count, first) = listing.links();
    if let Some((link, target)) = first {
        let others = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        let message = format!(
            "link to `{}`{others}; AWS documents that SageMaker does not extract archives with links",
            target.display()
        );
        findings.push(Finding::warning(link.to_string_lossy(), message));
    }
    let real = |folder: &String| listing.real_path(folder);
    let served: Vec<_> = checked.served.iter().filter_map(real).collect();
    for broken in listing.broken_links() {
        let message = broken.to_string();
        if findings.iter().any(|finding| finding.message.contains(&message)) {
            continue;
        }
        let place = broken.link.to_string_lossy();
        let folder = broken.link.parent().unwrap_or(Path::new(""));
        findings.push(if checked.folders.iter().any(|model| real(model).is_some_and(|model| model == folder)) {
            Finding::error(place, message, NO_STAT)
        } else if served.iter().any(|version| broken.link.starts_with(version)) {
            // The server loads the model if it does not need the file, which is not to be known without reading it.
            Finding { severity: Severity::Error, answer: None, ..Finding::warning(place, message) }
        } else {
            Finding::warning(place, message)
        });
    }
}
