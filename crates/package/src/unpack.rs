//! Unpacks an archive of unknown origin and finds the model in it, by the rules that Triton has for
//! multi-model endpoints and a little stricter where Triton's choice would depend on chance.

use crate::config_reader::{Backend, ServingConfig};
use crate::reader::{self, ArchiveEntry, MOST_CONFIG_BYTES, UnpackLimits, read_entries, read_text};
use crate::{ArchiveFault, Error, Result};
use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use tar::EntryType;

/// A model on disk, ready to be loaded.
#[derive(Debug, Clone)]
pub struct UnpackedModel {
    /// The model file; the files it refers to lie beside it.
    pub model_file: PathBuf,
    /// Engines by the compute capability, such as `8.9`, of the GPUs that take each; empty where one is for all.
    pub files_by_capability: BTreeMap<String, PathBuf>,
    /// What runs it.
    pub backend: Backend,
    /// Largest batch of one request; 0 when the model's shapes have no batch dimension.
    pub max_batch_size: u64,
    /// Version, the name of its folder.
    pub version: String,
    /// Bytes of all files of the archive.
    pub byte_count: u64,
}

/// Unpacks `archive` into the new folder `target`. After an error the folder is gone again.
///
/// # Errors
/// [`Error::BadArchive`] with the reason, or an I/O error of the target.
pub fn unpack(archive: &Path, target: &Path, limits: &UnpackLimits) -> Result<UnpackedModel> {
    let file = fs_err::File::open(archive)?;
    fs_err::create_dir_all(target.parent().unwrap_or(Path::new(".")))?;
    fs_err::create_dir(target)?;
    let mut unpacking = Target { folder: target, folders: HashSet::new(), most_folders: limits.entry_count };
    let unpacked = read_entries(file, *limits, |mut entry| unpacking.add(&mut entry));
    let unpacked = unpacked.and_then(|byte_count| find_model(target, byte_count));
    unpacked.map_err(|failure| {
        // The first error is the one to tell.
        let _ = fs_err::remove_dir_all(target);
        match failure {
            Failure::Archive(fault) => Error::BadArchive { path: archive.to_owned(), fault },
            Failure::Disk(error) => error.into(),
        }
    })
}

/// Whose fault it is.
enum Failure {
    Archive(ArchiveFault),
    Disk(io::Error),
}

impl From<ArchiveFault> for Failure {
    fn from(fault: ArchiveFault) -> Self {
        Self::Archive(fault)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// Where an archive is unpacked to.
struct Target<'a> {
    folder: &'a Path,
    /// Folders in it, whether they are entries or only lie on the way to one.
    folders: HashSet<PathBuf>,
    most_folders: u64,
}

impl Target<'_> {
    fn add(&mut self, entry: &mut ArchiveEntry<'_>) -> std::result::Result<(), Failure> {
        let shown = |path: &Path| path.to_string_lossy().into_owned();
        match entry.entry_type {
            EntryType::Directory => self.add_folder(&entry.path),
            EntryType::Regular | EntryType::Continuous => {
                self.add_folder(entry.path.parent().unwrap_or(Path::new("")))?;
                let output = match fs_err::File::create_new(self.folder.join(&entry.path)) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        return Err(ArchiveFault::Duplicate(shown(&entry.path)).into());
                    }
                    output => output?,
                };
                copy(&mut entry.content, output)
            }
            _ => Err(ArchiveFault::EntryType(shown(&entry.path)).into()),
        }
    }

    fn add_folder(&mut self, path: &Path) -> std::result::Result<(), Failure> {
        let before = self.folders.len();
        for folder in path.ancestors().filter(|folder| !folder.as_os_str().is_empty()) {
            if !self.folders.insert(folder.to_owned()) {
                break;
            }
        }
        if self.folders.len() as u64 > self.most_folders {
            return Err(ArchiveFault::TooManyEntries(self.most_folders).into());
        }
        if self.folders.len() > before {
            fs_err::create_dir_all(self.folder.join(path))?;
        }
        Ok(())
    }
}

/// Like `io::copy`, but keeps apart which side failed.
fn copy(content: &mut dyn Read, mut output: fs_err::File) -> std::result::Result<(), Failure> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = content.read(&mut buffer).map_err(reader::fault)?;
        if count == 0 {
            return Ok(());
        }
        output.write_all(&buffer[..count])?;
    }
}

/// Finds the one model: `config.pbtxt` at the top, or in the only folder at the top.
fn find_model(target: &Path, byte_count: u64) -> std::result::Result<UnpackedModel, Failure> {
    let config_path = |folder: &Path| folder.join("config.pbtxt");
    let folder = if config_path(target).is_file() {
        target.to_owned()
    } else {
        let names = folder_names(target)?;
        match names.as_slice() {
            [] => return Err(ArchiveFault::NoModel.into()),
            [name] => target.join(name),
            _ => return Err(ArchiveFault::SeveralModels(names.join(", ")).into()),
        }
    };
    let shown = |path: &Path| path.strip_prefix(target).unwrap_or(path).to_string_lossy().into_owned();
    let config = config_path(&folder);
    if !config.is_file() {
        return Err(ArchiveFault::NoConfig(shown(&config)).into());
    }
    let text = read_text(fs_err::File::open(&config)?, &shown(&config), MOST_CONFIG_BYTES)?;
    let text =
        String::from_utf8(text).map_err(|_| ArchiveFault::Config { line: 1, reason: "it is not UTF-8".to_owned() })?;
    let config = ServingConfig::parse(&text)?;
    let mut versions = folder_names(&folder)?;
    // To Triton a name with a leading zero is no version.
    versions.retain(|name| name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0')));
    let [version] = versions.as_slice() else {
        let found = if versions.is_empty() { "none".to_owned() } else { versions.join(", ") };
        return Err(ArchiveFault::Versions(found).into());
    };
    let found = |name: &str| {
        let file = folder.join(version).join(name);
        let is_plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if is_plain && file.is_file() { Ok(file) } else { Err(ArchiveFault::NoModelFile(shown(&file))) }
    };
    let model_file = found(&config.model_file)?;
    let by_capability = config.files_by_capability.iter();
    let by_capability: std::result::Result<_, ArchiveFault> =
        by_capability.map(|(capability, name)| Ok((capability.clone(), found(name)?))).collect();
    Ok(UnpackedModel {
        model_file,
        files_by_capability: by_capability?,
        backend: config.backend,
        max_batch_size: config.max_batch_size,
        version: version.clone(),
        byte_count,
    })
}

/// Names of the folders in a folder, sorted.
fn folder_names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for item in fs_err::read_dir(folder)? {
        let item = item?;
        if item.file_type()?.is_dir() {
            names.push(item.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests;
