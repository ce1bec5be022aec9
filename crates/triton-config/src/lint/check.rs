//! Checks a whole archive.

use super::finding::{Finding, Severity};
use super::layout::{self, Listing, ModelFolder};
use super::{ensemble, rules, versions, weights};
use crate::{Result, fields, text_format};
use planforge_archive::{Entries, InvalidArchive};
use std::collections::BTreeSet;
use std::path::Path;

/// Texts in a target model's name that turn any error of its load into "out of memory", upon which SageMaker unloads
/// other models.
const OUT_OF_MEMORY: [&str; 8] = [
    "OOM",
    "Out of memory",
    "Out Of Memory",
    "out of memory",
    "MemoryError",
    "OutOfMemory",
    "CUDA_OUT_OF_MEMORY",
    "No space left on device",
];

/// Everything that is wrong with `archive`, the worst first.
///
/// # Errors
/// I/O errors of opening it. What is wrong inside is a finding.
pub fn lint(archive: &Path) -> Result<Vec<Finding>> {
    let file = fs_err::File::open(archive)?;
    let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut findings = Vec::new();
    if let Some(word) = OUT_OF_MEMORY.into_iter().find(|word| name.contains(word)) {
        let message = format!("the name has `{word}` in it, so any error of its load is taken for lack of memory");
        findings.push(Finding { answer: Some("507".to_owned()), ..Finding::warning(name.clone(), message) });
    }
    match Listing::read(file) {
        Ok(listing) => findings.extend(check(&listing)),
        Err(fault) => findings.push(unreadable(&name, &fault)),
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(findings)
}

/// Everything that is wrong with an archive of these files.
#[must_use]
pub fn lint_entries(entries: &Entries) -> Vec<Finding> {
    check(&Listing::of(entries))
}

fn unreadable(name: &str, fault: &InvalidArchive) -> Finding {
    Finding { severity: Severity::Error, place: name.to_owned(), message: fault.to_string(), answer: None }
}

fn check(listing: &Listing) -> Vec<Finding> {
    match layout::find_model(listing) {
        Ok((model, mut findings)) => {
            findings.extend(check_model(&model, listing, &mut BTreeSet::new()));
            findings
        }
        Err(finding) => vec![*finding],
    }
}

/// A model, and those that it is made of and that are not in `seen`.
fn check_model(model: &ModelFolder, listing: &Listing, seen: &mut BTreeSet<String>) -> Vec<Finding> {
    let place = model.path("config.pbtxt");
    let is_member = !seen.is_empty();
    seen.insert(model.folder().to_owned());
    let Some(text) = listing.text(&place) else {
        let message = "there is no configuration; SageMaker's container would make one up where the backend can";
        return vec![Finding::warning(place, message)];
    };
    let fields = match text_format::parse(text) {
        Ok(fields) => fields,
        Err(fault) => return vec![Finding::error(place, fault.to_string(), fields::UNREADABLE)],
    };
    if let Err((line, message)) = fields::check(&fields) {
        return vec![Finding::error(format!("{place}:{line}"), message, fields::UNREADABLE)];
    }
    let served = versions::served(&fields, &model.versions);
    let mut findings = rules::check(&fields, model, listing, &served);
    findings.extend(weights::check(model, listing, &served));
    findings.extend(ensemble::check(&fields, &place));
    findings.extend(ensemble::other_name(&fields, model.folder(), &place).filter(|_| is_member));
    for (name, line) in ensemble::members(&fields) {
        if let Some(finding) = ensemble::absence(name, line, model, listing) {
            findings.push(finding);
        } else if !seen.contains(name) {
            match layout::model_in(listing, name) {
                Ok((member, strange)) => {
                    findings.extend(strange);
                    findings.extend(check_model(&member, listing, seen));
                }
                Err(finding) => findings.push(*finding),
            }
        }
    }
    findings
}
