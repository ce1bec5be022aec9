//! A file of either format.

use super::archive::Archive;
use super::file::tensors;
use super::legacy::{MAGIC, legacy_tensors};
use super::subject::Subject;
use crate::Result;
use crate::checkpoint::TensorFile;
use planforge_core::open_file;
use std::io::Read;
use std::path::Path;

impl TensorFile {
    /// Reads the pickle of `path` and checks that its tensors are parts of its records.
    ///
    /// # Errors
    /// [`crate::Error::Pytorch`] and [`crate::Error::PytorchUnsupported`] naming the file and the fault,
    /// [`crate::Error::PytorchGlobal`] when it asks for code.
    pub(crate) fn read_pytorch(name: &str, path: &Path) -> Result<Self> {
        let subject = Subject(path);
        let mut start = Vec::new();
        open_file(path)?.take(MAGIC.len() as u64).read_to_end(&mut start)?;
        let tensors = if start == MAGIC {
            legacy_tensors(subject)?
        } else {
            let archive = Archive::read(subject)?;
            tensors(&archive, &archive.pickle, subject)?
        };
        Ok(Self { name: name.to_owned(), path: path.to_owned(), tensors })
    }
}
