//! Unpacks an archive of unknown origin and finds the model in it, by the rules that Triton has for
//! multi-model endpoints and a little stricter where Triton's choice would depend on chance.

use crate::{ArchiveFault, Error, Result};
use planforge_archive::{UnpackLimits, extract, read_text};
use planforge_core::open_file;
use planforge_triton_config::{Backend, CONFIG_FILE, ConfiguredTensor, MAX_CONFIG_BYTES, ServingConfig, SyntaxError};
use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Most bytes of a file of labels.
const MAX_LABEL_BYTES: u64 = 16 << 20;

/// A model on disk, ready to be loaded.
#[derive(Debug, Clone)]
pub struct UnpackedModel {
    /// The model file; the files it refers to are next to it.
    pub model_file: PathBuf,
    /// Engines by the compute capability, such as `8.9`, of the GPUs that take each; empty where one is for all.
    pub files_by_capability: BTreeMap<String, PathBuf>,
    /// What runs it.
    pub backend: Backend,
    /// Largest batch of one request; 0 when the model's shapes have no batch dimension.
    pub max_batch_size: u64,
    /// Whether inputs and outputs that the configuration leaves out are those of the model.
    pub is_completed: bool,
    /// Inputs of the configuration.
    pub inputs: Vec<ConfiguredTensor>,
    /// Outputs of the configuration.
    pub outputs: Vec<ConfiguredTensor>,
    /// Names of classes by output.
    pub labels: BTreeMap<String, Vec<String>>,
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
    let file = open_file(archive)?;
    fs_err::create_dir_all(target.parent().unwrap_or(Path::new(".")))?;
    fs_err::create_dir(target)?;
    let unpacked = extract(file, target, limits).map_err(Failure::from);
    let unpacked = unpacked.and_then(|byte_count| find_model(target, byte_count));
    unpacked.map_err(|failure| {
        // The first error is the one to report.
        let _ = fs_err::remove_dir_all(target);
        match failure {
            Failure::Archive(fault) => Error::BadArchive { path: archive.to_owned(), fault },
            Failure::Other(error) => error,
        }
    })
}

/// An archive that cannot be served, or an error that is not the archive's.
enum Failure {
    Archive(ArchiveFault),
    Other(Error),
}

impl From<ArchiveFault> for Failure {
    fn from(fault: ArchiveFault) -> Self {
        Self::Archive(fault)
    }
}

impl From<planforge_archive::Error> for Failure {
    fn from(error: planforge_archive::Error) -> Self {
        match error {
            planforge_archive::Error::Invalid(fault) => Self::Archive(fault.into()),
            other => Self::Other(other.into()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Other(error.into())
    }
}

/// Finds the one model: `config.pbtxt` at the top, or in the only folder at the top.
fn find_model(target: &Path, byte_count: u64) -> std::result::Result<UnpackedModel, Failure> {
    let config_path = |folder: &Path| folder.join(CONFIG_FILE);
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
    let text =
        read_text(fs_err::File::open(&config)?, &shown(&config), MAX_CONFIG_BYTES).map_err(ArchiveFault::from)?;
    let config = parse_config(text)?;
    let mut versions = folder_names(&folder)?;
    // To Triton a name with a leading zero is no version.
    versions.retain(|name| name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0')));
    let numbers = versions.iter().filter_map(|name| name.parse().ok());
    let Some(version) = config.versions.choose(numbers).map(|number| number.to_string()) else {
        let found = if versions.is_empty() { "none".to_owned() } else { versions.join(", ") };
        return Err(ArchiveFault::Versions(found).into());
    };
    let labels = read_labels(&folder, &config.outputs)?;
    let found = |name: &str| {
        let file = folder.join(&version).join(name);
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
        is_completed: config.is_completed,
        inputs: config.inputs,
        outputs: config.outputs,
        labels,
        version,
        byte_count,
    })
}

fn parse_config(text: Vec<u8>) -> std::result::Result<ServingConfig, ArchiveFault> {
    let not_text = |_| SyntaxError { line: 1, reason: "it is not UTF-8".to_owned() };
    let text = String::from_utf8(text).map_err(not_text).map_err(planforge_triton_config::Error::from)?;
    Ok(ServingConfig::parse(&text)?)
}

/// Names of classes: a line for each, in files next to the configuration.
fn read_labels(
    folder: &Path,
    outputs: &[ConfiguredTensor],
) -> std::result::Result<BTreeMap<String, Vec<String>>, Failure> {
    let labelled = outputs.iter().filter(|output| !output.label_filename.is_empty());
    let labels = labelled.map(|output| {
        let (name, path) = (&output.label_filename, folder.join(&output.label_filename));
        let is_plain = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if !is_plain || !path.is_file() {
            return Err(Failure::Archive(ArchiveFault::NoLabels(name.clone())));
        }
        let text = read_text(fs_err::File::open(&path)?, name, MAX_LABEL_BYTES).map_err(ArchiveFault::from)?;
        let lines = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
        Ok((output.name.clone(), lines))
    });
    labels.collect()
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
