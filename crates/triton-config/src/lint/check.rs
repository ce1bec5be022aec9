//! Checks a whole archive.

use super::checked::Checked;
use super::finding::{Finding, Severity};
use super::layout::{self, ModelFolder};
use super::listing::Listing;
use super::{ensemble, links, rules, versions, weights};
use crate::{Result, fields, text_format};
use planforge_archive::{Entries, InvalidArchive};
use planforge_core::open_file;
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
    let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut findings = Vec::new();
    if let Some(word) = OUT_OF_MEMORY.into_iter().find(|word| name.contains(word)) {
        let message = format!("the name has `{word}` in it, so any error of its load is taken for lack of memory");
        findings.push(Finding { answer: Some("507".to_owned()), ..Finding::warning(name.clone(), message) });
    }
    match read(archive)? {
        Ok(listing) => findings.extend(check(&listing)),
        Err(fault) => findings.push(unreadable(&name, &fault)),
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(findings)
}

/// Reads an archive, and once more where a link leads to the text of a configuration.
fn read(archive: &Path) -> Result<std::result::Result<Listing, InvalidArchive>> {
    let read = |wanted: &BTreeSet<_>| Ok(Listing::read(open_file(archive)?, wanted));
    let listing = read(&BTreeSet::new())?;
    match listing.as_ref().map(Listing::linked_texts) {
        Ok(wanted) if !wanted.is_empty() => read(&wanted),
        _ => Ok(listing),
    }
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
    let mut checked = Checked::default();
    let mut findings = match layout::find_model(listing) {
        Ok((model, mut findings)) => {
            findings.extend(check_model(&model, listing, &mut checked));
            // Of several ensembles the server may take another.
            let others = layout::ensembles(listing).into_iter().filter(|_| !model.folder().is_empty());
            for folder in others {
                if !checked.folders.contains(folder) {
                    findings.extend(check_folder(folder, listing, &mut checked));
                }
            }
            findings
        }
        Err(finding) => vec![*finding],
    };
    links::check(listing, &checked, &mut findings);
    findings
}

fn check_folder(folder: &str, listing: &Listing, checked: &mut Checked) -> Vec<Finding> {
    match layout::model_in(listing, folder) {
        Ok((model, mut findings)) => {
            findings.extend(check_model(&model, listing, checked));
            findings
        }
        Err(finding) => vec![*finding],
    }
}

/// A model, and those that it is made of and that are not checked yet.
fn check_model(model: &ModelFolder, listing: &Listing, checked: &mut Checked) -> Vec<Finding> {
    let place = model.path("config.pbtxt");
    let is_member = !checked.ensembles.is_empty();
    checked.folders.insert(model.folder().to_owned());
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
    checked.served.extend(served.iter().map(|version| model.path(&version.to_string())));
    let mut findings = rules::check(&fields, model, listing, &served);
    findings.extend(weights::check(model, listing, &served));
    findings.extend(ensemble::check(&fields, &place));
    findings.extend(ensemble::other_name(&fields, model.folder(), &place).filter(|_| is_member));
    checked.ensembles.push(model.folder().to_owned());
    for (name, line) in ensemble::names(&fields) {
        if let Some(finding) = ensemble::absence(name, line, &checked.ensembles, listing) {
            findings.push(finding);
        } else if !checked.folders.contains(name) {
            findings.extend(check_folder(name, listing, checked));
        }
    }
    checked.ensembles.pop();
    if findings.iter().all(|finding| finding.severity != Severity::Error) {
        findings.extend(ensemble::check_members(&fields, &place, listing));
    }
    findings
}
