//! The file that errors speak of.

use crate::Error;
use std::path::Path;

/// Most characters of a name that an error repeats.
const SHOWN: usize = 100;

/// A PyTorch checkpoint, as the subject of errors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a>(pub(super) &'a Path);

impl Subject<'_> {
    /// The file contradicts itself, or is cut.
    pub(super) fn damaged(self, message: impl Into<String>) -> Error {
        Error::Pytorch { path: self.0.to_owned(), message: message.into() }
    }

    /// PyTorch may read the file, this reader does not.
    pub(super) fn unsupported(self, message: impl Into<String>) -> Error {
        Error::PytorchUnsupported { path: self.0.to_owned(), message: message.into() }
    }

    /// The file asks for code.
    pub(super) fn global(self, module: &str, name: &str) -> Error {
        Error::PytorchGlobal { path: self.0.to_owned(), global: shown(&format!("{module}.{name}")) }
    }
}

/// A name out of the file, safe to print and not too long.
pub(super) fn shown(name: &str) -> String {
    let mut shown: String = name.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if name.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
