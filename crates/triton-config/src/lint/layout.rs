//! Which folder of an archive the server would take for the model.

use super::finding::{Finding, Severity};
use super::listing::Listing;
use super::versions;

/// The answer where the server finds no version of a model in the folder that it takes for one.
pub(super) const NO_VERSION: &str = "at least one version must be available under the version policy";

/// The folder that the server takes for the model.
#[derive(Debug)]
pub(super) struct ModelFolder {
    /// Empty when it is the top.
    folder: String,
    /// Its versions, ascending.
    pub(super) versions: Vec<i64>,
}

impl ModelFolder {
    /// Its path; empty when it is the top.
    pub(super) fn folder(&self) -> &str {
        &self.folder
    }

    /// Path of a file of the model in the archive.
    pub(super) fn path(&self, file: &str) -> String {
        if self.folder.is_empty() { file.to_owned() } else { format!("{}/{file}", self.folder) }
    }
}

/// Finds it by the server's rule: the top, if it has a configuration; else the one folder at the top, or that of an
/// ensemble.
///
/// # Errors
/// Why there is none.
pub(super) fn find_model(listing: &Listing) -> Result<(ModelFolder, Vec<Finding>), Box<Finding>> {
    if listing.has("config.pbtxt") {
        return model_in(listing, "");
    }
    let (folder, warning) = only_folder(listing)?;
    let (model, mut findings) = model_in(listing, &folder)?;
    findings.extend(warning);
    Ok((model, findings))
}

/// The model in a folder.
///
/// # Errors
/// Why there is none.
pub(super) fn model_in(listing: &Listing, folder: &str) -> Result<(ModelFolder, Vec<Finding>), Box<Finding>> {
    let place = if folder.is_empty() { "." } else { folder };
    let names = listing.folders_in(folder);
    let (versions, mut findings) = versions::of(place, &names);
    if let Some(fatal) = findings.iter().position(|finding| finding.severity == Severity::Error) {
        return Err(Box::new(findings.swap_remove(fatal)));
    }
    if versions.is_empty() {
        let message = match names.as_slice() {
            [] => "the version folder, such as `1`, is missing".to_owned(),
            [inner] if listing.has(&format!("{folder}/{inner}/config.pbtxt")) => {
                format!("the model is one folder too deep, in `{inner}`")
            }
            names => format!("no folder is a version, such as `1`: {}", names.join(", ")),
        };
        return Err(Box::new(Finding::error(place, message, NO_VERSION)));
    }
    if versions.len() > 1 {
        let message = "there are several versions; without a `version_policy` only the highest is served";
        findings.push(Finding::warning(place, message));
    }
    Ok((ModelFolder { folder: folder.to_owned(), versions }, findings))
}

/// The server looks for these words before it reads the configuration.
fn is_ensemble(text: &str) -> bool {
    let mut platforms = text.match_indices("platform:").map(|(at, name)| &text[at + name.len()..]);
    platforms.any(|value| value.trim_start_matches(|c: char| c.is_ascii_whitespace()).starts_with("\"ensemble\""))
}

/// Folders at the top whose configuration is an ensemble's, those first that are part of no other.
pub(super) fn ensembles(listing: &Listing) -> Vec<&str> {
    let text = |folder: &str| listing.text(&format!("{folder}/config.pbtxt"));
    let mut ensembles = listing.folders_at_top();
    ensembles.retain(|folder| text(folder).is_some_and(is_ensemble));
    let names = |folder: &str, other: &str| text(folder).is_some_and(|text| text.contains(&format!("\"{other}\"")));
    let is_part = |folder: &&str| ensembles.iter().any(|other| other != folder && names(other, folder));
    let (parts, mut whole): (Vec<_>, Vec<_>) = ensembles.iter().copied().partition(is_part);
    whole.extend(parts);
    whole
}

/// The folder for the model, and a warning where the server may take another.
fn only_folder(listing: &Listing) -> Result<(String, Option<Finding>), Box<Finding>> {
    let folders = listing.folders_at_top();
    match (ensembles(listing).as_slice(), folders.as_slice()) {
        ([ensemble], _) | ([], [ensemble]) => Ok(((*ensemble).to_owned(), None)),
        ([outer, ..], _) => {
            let message = format!(
                "there are several ensembles at the top, of which the server takes the one that its file system lists \
                 last: {}",
                ensembles(listing).join(", ")
            );
            Ok(((*outer).to_owned(), Some(Finding::warning(".", message))))
        }
        ([], []) => {
            let message = match listing.link_at_top() {
                Some(link) => format!("`{link}` at the top is a link; the model's folder must be one"),
                None => "there is neither a folder nor a `config.pbtxt` at the top".to_owned(),
            };
            Err(Box::new(Finding::error(".", message, NO_VERSION)))
        }
        ([], several) => {
            let message = format!(
                "there are several folders at the top, of which the server takes the one that its file system lists \
                 last: {}",
                several.join(", ")
            );
            Err(Box::new(Finding::error(".", message, NO_VERSION)))
        }
    }
}
