//! Fixtures with expected values from a reference: folders with `case.toml`, found anywhere below `fixtures`.

use planforge_core::{ImageSize, Task};
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};

/// A folder with `case.toml`, whose keys these are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixtureCase {
    /// Path of the folder below the folder of its kind, with `-` between its parts.
    #[serde(skip)]
    pub name: String,
    /// The folder.
    #[serde(skip)]
    pub folder: PathBuf,
    /// What the expected values are of.
    pub kind: CaseKind,
    /// The task that the fixture is for.
    pub task: Task,
    /// Names of the outputs, in order.
    #[serde(default)]
    pub outputs: Vec<String>,
    /// Size of the images, where the checkpoint names none.
    pub image_size: Option<ImageSize>,
    /// Standard deviation that the reference divides each channel by.
    pub deviation: Option<[f64; 3]>,
    /// Files that an fp32 export points into.
    #[serde(default)]
    pub weights: Vec<String>,
    /// Number of parameters.
    pub parameters: Option<u64>,
    /// Whether the case stands for its family in tests that take too long for all cases.
    #[serde(default)]
    pub representative: bool,
}

/// What the expected values of a case are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaseKind {
    /// The outputs of a checkpoint in safetensors.
    Checkpoint,
    /// The outputs of a checkpoint that `torch.save` wrote.
    PytorchCheckpoint,
    /// Images as a checkpoint's preprocessing prepares them.
    Preprocessing,
    /// The outputs of a checkpoint when the small files next to it are changed.
    SmallFiles,
    /// The outputs of an ONNX file as another tool writes it, or why it is refused.
    Graph,
}

const CASE_FILE: &str = "case.toml";
/// A folder with this file is a checkpoint, or the image preprocessing of one.
const CHECKPOINT_FILE: &str = "config.json";

impl FixtureCase {
    /// Reads the case in `folder`, called `name`.
    ///
    /// # Errors
    /// I/O errors, and a file of another shape.
    pub fn read(folder: &Path, name: &str) -> io::Result<Self> {
        let file = folder.join(CASE_FILE);
        let text = fs_err::read_to_string(&file)?;
        let case: Self = toml::from_str(&text)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("`{}`: {error}", file.display())))?;
        Ok(Self { name: name.to_owned(), folder: folder.to_owned(), ..case })
    }
}

/// The cases of one kind, by name.
///
/// # Panics
/// A fixture without `case.toml`, with one of another shape, and no case at all.
#[must_use]
pub fn fixture_cases(kind: CaseKind) -> Vec<FixtureCase> {
    let fixtures = crate::repository().join("fixtures");
    let all = find_cases(&fixtures).unwrap_or_else(|error| panic!("{error}"));
    let cases: Vec<_> = all.into_iter().filter(|case| case.kind == kind).collect();
    assert!(!cases.is_empty(), "no {kind:?} below `{}`", fixtures.display());
    cases
}

/// Every case below `root`, by name.
///
/// # Errors
/// A checkpoint without `case.toml`, and one of another shape.
fn find_cases(root: &Path) -> io::Result<Vec<FixtureCase>> {
    let mut cases = Vec::new();
    for group in folders(root)? {
        collect(&group, "", &mut cases)?;
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

fn collect(folder: &Path, name: &str, cases: &mut Vec<FixtureCase>) -> io::Result<()> {
    if folder.join(CASE_FILE).exists() {
        cases.push(FixtureCase::read(folder, name)?);
        return Ok(());
    }
    if folder.join(CHECKPOINT_FILE).exists() {
        let message = format!("missing `{CASE_FILE}` in fixture `{}`; expected its kind and task", folder.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    for inner in folders(folder)? {
        let own = inner.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = if name.is_empty() { own } else { format!("{name}-{own}") };
        collect(&inner, &name, cases)?;
    }
    Ok(())
}

fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries: Vec<_> = fs_err::read_dir(folder)?.collect::<io::Result<_>>()?;
    Ok(entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    #[test]
    fn a_checkpoint_without_a_case_file_is_named() {
        let root = tempfile::tempdir().unwrap();
        let case = "kind = \"checkpoint\"\ntask = \"fill-mask\"\n";
        write(root.path(), "models/bert/masked/config.json", "{}");
        write(root.path(), "models/bert/masked/case.toml", case);
        write(root.path(), "models/bert/masked/1_Pooling/config.json", "{}");
        write(root.path(), "gpu/driver.c", "");
        let found = find_cases(root.path()).unwrap();
        assert_eq!(found.iter().map(|case| case.name.as_str()).collect::<Vec<_>>(), ["bert-masked"]);
        assert_eq!((found[0].kind, found[0].task), (CaseKind::Checkpoint, Task::FillMask));

        write(root.path(), "models/vit/config.json", "{}");
        let error = find_cases(root.path()).unwrap_err().to_string();
        assert!(error.contains("models/vit`") && error.contains("missing `case.toml`"), "{error}");
        write(root.path(), "models/vit/case.toml", &format!("{case}taks = 1\n"));
        let error = find_cases(root.path()).unwrap_err().to_string();
        assert!(error.contains("models/vit/case.toml`") && error.contains("taks"), "{error}");
    }

    #[test]
    fn every_fixture_of_a_model_has_a_case_file() {
        for kind in [CaseKind::Checkpoint, CaseKind::PytorchCheckpoint, CaseKind::Preprocessing, CaseKind::Graph] {
            assert!(!fixture_cases(kind).is_empty());
        }
    }
}
