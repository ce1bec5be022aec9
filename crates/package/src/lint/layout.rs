//! Which folder of an archive the server would take for the model.

use super::Finding;
use crate::ArchiveFault;
use crate::archive::{Content, Entries};
use crate::text_format::{self, last};
use flate2::read::MultiGzDecoder;
use planforge_core::PlacedWeights;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read};
use std::path::Component;
use tar::EntryType;

/// The answer where the server finds no version of a model in the folder that it takes for one.
pub(super) const NO_VERSION: &str = "at least one version must be available under the version policy";
/// Most bytes of a configuration that are read.
const MOST_TEXT: u64 = 1 << 20;
/// Most entries that are listed.
const MOST_ENTRIES: usize = 100_000;

/// What an archive holds, by path.
#[derive(Debug, Default)]
pub(super) struct Listing {
    folders: BTreeSet<String>,
    files: BTreeSet<String>,
    links: BTreeSet<String>,
    texts: BTreeMap<String, String>,
}

impl Listing {
    /// Reads the headers of a tar.gz file, and the text of each `config.pbtxt` and of each list of weights.
    pub(super) fn read(file: impl Read) -> Result<Self, ArchiveFault> {
        let mut listing = Self::default();
        let mut tar = tar::Archive::new(MultiGzDecoder::new(BufReader::new(file)));
        for (count, entry) in tar.entries().map_err(ArchiveFault::Unreadable)?.enumerate() {
            let entry = entry.map_err(ArchiveFault::Unreadable)?;
            if count >= MOST_ENTRIES {
                return Err(ArchiveFault::TooManyEntries(MOST_ENTRIES as u64));
            }
            listing.add(entry)?;
        }
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
                && is_text(path)
            {
                listing.texts.insert(path.clone(), String::from_utf8_lossy(bytes).into_owned());
            }
        }
        listing
    }

    fn add(&mut self, mut entry: tar::Entry<'_, impl Read>) -> Result<(), ArchiveFault> {
        let path = entry.path().map_err(ArchiveFault::Unreadable)?.into_owned();
        let shown = path.to_string_lossy().into_owned();
        let mut parts = Vec::new();
        for component in path.components() {
            match component {
                Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
                Component::CurDir => {}
                _ => return Err(ArchiveFault::UnsafePath(shown)),
            }
        }
        let path = parts.join("/");
        for end in 1..parts.len() {
            self.folders.insert(parts[..end].join("/"));
        }
        match entry.header().entry_type() {
            _ if path.is_empty() => {}
            EntryType::Directory => drop(self.folders.insert(path)),
            EntryType::Regular | EntryType::Continuous => {
                if is_text(&path) {
                    let mut text = Vec::new();
                    (&mut entry).take(MOST_TEXT).read_to_end(&mut text).map_err(ArchiveFault::Unreadable)?;
                    self.texts.insert(path.clone(), String::from_utf8_lossy(&text).into_owned());
                }
                self.files.insert(path);
            }
            _ => drop(self.links.insert(path)),
        }
        Ok(())
    }

    /// Paths and texts of the lists of weights in a folder.
    pub(super) fn weight_lists(&self, folder: &str) -> impl Iterator<Item = (&str, &str)> {
        let is_in = move |path: &str| path.rsplit_once('/').is_some_and(|(parent, _)| parent == folder);
        let lists = self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        lists.filter(move |(path, _)| PlacedWeights::is_file_name(path) && is_in(path))
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Whether there is a file or a folder of this path.
    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains(path) || self.folders.contains(path) || self.links.contains(path)
    }

    /// Names of the folders in a folder; the top is empty.
    pub(super) fn folders_in(&self, folder: &str) -> Vec<&str> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let inner = self.folders.iter().filter_map(|path| path.strip_prefix(prefix.as_str()));
        inner.filter(|name| !name.is_empty() && !name.contains('/')).collect()
    }
}

/// Whether a file is looked into.
fn is_text(path: &str) -> bool {
    path.ends_with("config.pbtxt") || PlacedWeights::is_file_name(path)
}

/// The folder that the server takes for the model.
#[derive(Debug)]
pub(super) struct ModelFolder {
    /// Empty when it is the top.
    folder: String,
    /// Its versions, ascending.
    pub(super) versions: Vec<u64>,
}

impl ModelFolder {
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
    let place = if folder.is_empty() { "." } else { folder.as_str() };
    let names = listing.folders_in(&folder);
    let mut versions: Vec<u64> = names.iter().filter_map(|name| name.parse().ok()).collect();
    versions.sort_unstable();
    if versions.is_empty() {
        let message = match names.as_slice() {
            [] => "there is no version folder, such as `1`".to_owned(),
            [inner] if listing.has(&format!("{folder}/{inner}/config.pbtxt")) => {
                format!("the model lies one folder too deep, in `{inner}`")
            }
            names => format!("no folder is a version, such as `1`: {}", names.join(", ")),
        };
        return Err(Box::new(Finding::error(place, message, NO_VERSION)));
    }
    let mut findings = Vec::new();
    if versions.len() > 1 {
        let message = "there are several versions; unless `version_policy` says otherwise the highest alone is served";
        findings.push(Finding::warning(place, message));
    }
    Ok((ModelFolder { folder, versions }, findings))
}

fn only_folder(listing: &Listing) -> Result<String, Box<Finding>> {
    let folders = listing.folders_in("");
    let ensemble = folders.iter().find(|folder| {
        let text = listing.text(&format!("{folder}/config.pbtxt")).unwrap_or_default();
        let fields = text_format::parse(text).unwrap_or_default();
        last(&fields, "platform").is_some_and(|platform| platform.text() == "ensemble")
    });
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
