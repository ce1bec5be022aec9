//! Which folder of an archive the server would take for the model.

use super::finding::{Finding, Severity};
use super::versions;
use crate::files::MAX_CONFIG_BYTES;
use planforge_archive::{
    ArchiveEntry, Content, Entries, EntryType, InvalidArchive, UnpackLimits, read_entries, read_text,
};
use planforge_core::PlacedWeights;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

/// The answer where the server finds no version of a model in the folder that it takes for one.
pub(super) const NO_VERSION: &str = "at least one version must be available under the version policy";
/// An archive whose files are more than any server takes is not read to its end.
const LIMITS: UnpackLimits = UnpackLimits { byte_count: 256 << 30, entry_count: 100_000 };
/// Most bytes of a list of weights.
const MOST_LIST_BYTES: u64 = 16 << 20;
/// Most bytes of memory for paths and texts.
const MOST_KEPT_BYTES: usize = 64 << 20;
/// What a path takes besides its letters.
const PATH_BYTES: usize = 64;

/// What an archive holds, by path.
#[derive(Debug, Default)]
pub(super) struct Listing {
    folders: BTreeSet<String>,
    files: BTreeSet<String>,
    links: BTreeSet<String>,
    texts: BTreeMap<String, String>,
    kept_bytes: usize,
}

impl Listing {
    /// Reads a tar.gz file, and keeps paths and the text of each configuration and list of weights that may count.
    pub(super) fn read(file: impl Read) -> Result<Self, InvalidArchive> {
        let mut listing = Self::default();
        read_entries(file, LIMITS, |entry| listing.add(entry))?;
        Ok(listing)
    }

    /// The files of an archive to be, and the texts that are looked at.
    pub(super) fn of(entries: &Entries) -> Self {
        let mut listing = Self::default();
        for (path, content) in entries {
            let folders = path.match_indices('/').map(|(end, _)| path[..end].to_owned());
            listing.folders.extend(folders);
            listing.files.insert(path.clone());
            if let Content::Bytes(bytes) = content
                && most_text(path).is_some()
            {
                listing.texts.insert(path.clone(), String::from_utf8_lossy(bytes).into_owned());
            }
        }
        listing
    }

    fn add(&mut self, entry: ArchiveEntry<'_>) -> Result<(), InvalidArchive> {
        let path = entry.path.to_string_lossy().into_owned();
        for (end, _) in path.match_indices('/') {
            self.add_folder(&path[..end])?;
        }
        match entry.entry_type {
            _ if path.is_empty() => {}
            EntryType::Directory => self.add_folder(&path)?,
            EntryType::Regular | EntryType::Continuous => {
                if let Some(most) = most_text(&path) {
                    let text = String::from_utf8_lossy(&read_text(entry.content, &path, most)?).into_owned();
                    self.keep(text.len())?;
                    self.texts.insert(path.clone(), text);
                }
                self.keep(path.len())?;
                self.files.insert(path);
            }
            _ => {
                self.keep(path.len())?;
                self.links.insert(path);
            }
        }
        Ok(())
    }

    fn add_folder(&mut self, path: &str) -> Result<(), InvalidArchive> {
        if !self.folders.contains(path) {
            self.keep(path.len())?;
            self.folders.insert(path.to_owned());
        }
        Ok(())
    }

    fn keep(&mut self, byte_count: usize) -> Result<(), InvalidArchive> {
        self.kept_bytes += byte_count + PATH_BYTES;
        if self.kept_bytes > MOST_KEPT_BYTES { Err(InvalidArchive::TooMuchText(MOST_KEPT_BYTES)) } else { Ok(()) }
    }

    /// Paths and texts of the lists of weights in a folder.
    pub(super) fn weight_lists(&self, folder: &str) -> impl Iterator<Item = (&str, &str)> {
        let prefix = format!("{folder}/");
        let inner = self
            .texts
            .range(prefix.clone()..)
            .map_while(move |(path, text)| Some((path.strip_prefix(&prefix)?, path, text)));
        let lists = inner.filter(|(name, ..)| !name.contains('/') && PlacedWeights::is_file_name(name));
        lists.map(|(_, path, text)| (path.as_str(), text.as_str()))
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Whether there is a file or a folder of this path.
    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains(path) || self.folders.contains(path) || self.links.contains(path)
    }

    pub(super) fn has_folder(&self, path: &str) -> bool {
        self.folders.contains(path)
    }

    /// Names of the folders in a folder; the top is empty.
    pub(super) fn folders_in(&self, folder: &str) -> Vec<&str> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let inner = self.folders.range(prefix.clone()..).map_while(|path| path.strip_prefix(prefix.as_str()));
        inner.filter(|name| !name.is_empty() && !name.contains('/')).collect()
    }
}

/// Most bytes of a file that is looked into: a configuration in the folder of a model, or a list of weights in that of
/// a version.
fn most_text(path: &str) -> Option<u64> {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let depth = if folders.is_empty() { 0 } else { 1 + folders.matches('/').count() };
    match name {
        "config.pbtxt" if depth <= 1 => Some(MAX_CONFIG_BYTES),
        name if depth <= 2 && PlacedWeights::is_file_name(name) => Some(MOST_LIST_BYTES),
        _ => None,
    }
}

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
    let folder = if listing.files.contains("config.pbtxt") { String::new() } else { only_folder(listing)? };
    model_in(listing, &folder)
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

fn only_folder(listing: &Listing) -> Result<String, Box<Finding>> {
    let folders = listing.folders_in("");
    let ensemble =
        folders.iter().find(|folder| listing.text(&format!("{folder}/config.pbtxt")).is_some_and(is_ensemble));
    match (ensemble, folders.as_slice()) {
        (Some(ensemble), _) => Ok((*ensemble).to_owned()),
        (None, [only]) => Ok((*only).to_owned()),
        (None, []) => {
            let link = listing.links.iter().find(|path| !path.contains('/'));
            let message = match link {
                Some(link) => format!("`{link}` at the top is a link; the model's folder must be one"),
                None => "there is neither a folder nor a `config.pbtxt` at the top".to_owned(),
            };
            Err(Box::new(Finding::error(".", message, NO_VERSION)))
        }
        (None, several) => {
            let message = format!(
                "there are several folders at the top, of which the server takes the one that its file system lists \
                 last: {}",
                several.join(", ")
            );
            Err(Box::new(Finding::error(".", message, NO_VERSION)))
        }
    }
}
