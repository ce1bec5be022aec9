//! Handing out a checkpoint's tensors by name, and keeping account of which were used.

use super::{Checkpoint, StoredTensor, StoredType};
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};

/// A tensor of the checkpoint and its file.
#[derive(Debug, Clone)]
pub(crate) struct TensorRef {
    /// Position of the file in [`Checkpoint::files`].
    pub(crate) file: usize,
    /// The tensor.
    pub(crate) tensor: StoredTensor,
}

/// The tensors of a checkpoint under the names the architecture uses.
#[derive(Debug)]
pub(crate) struct Parameters {
    by_name: BTreeMap<String, TensorRef>,
    used: BTreeSet<String>,
}

/// Names of the first TensorFlow checkpoints and the names in use today.
const OLD_NAMES: [(&str, &str); 2] = [("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")];

impl Parameters {
    /// All tensors of `checkpoint`. A leading `prefix` (`bert.`), which task heads add, is dropped, and
    /// old names are replaced by today's.
    #[must_use]
    pub(crate) fn new(checkpoint: &Checkpoint, prefix: &str) -> Self {
        let mut by_name = BTreeMap::new();
        for (file, stored) in checkpoint.files.iter().enumerate() {
            for tensor in &stored.tensors {
                let mut name = tensor.name.strip_prefix(prefix).unwrap_or(&tensor.name).to_owned();
                for (old, new) in OLD_NAMES {
                    if let Some(stem) = name.strip_suffix(old) {
                        name = format!("{stem}{new}");
                    }
                }
                by_name.insert(name, TensorRef { file, tensor: tensor.clone() });
            }
        }
        Self { by_name, used: BTreeSet::new() }
    }

    /// Whether a tensor of this name is there.
    #[must_use]
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The weight `name`, which must have this shape.
    ///
    /// # Errors
    /// Missing, misshapen, or of an element type that weights do not have.
    pub(crate) fn take(&mut self, name: &str, shape: &[usize]) -> Result<TensorRef> {
        let found = self.by_name.get(name).ok_or_else(|| Error::MissingTensor { name: name.to_owned() })?;
        if found.tensor.shape != shape {
            return Err(Error::TensorShape {
                name: name.to_owned(),
                found: found.tensor.shape.clone(),
                expected: shape.to_vec(),
            });
        }
        if let StoredType::Other(_) = found.tensor.data_type {
            return Err(Error::TensorType { name: name.to_owned(), found: found.tensor.data_type.name() });
        }
        self.used.insert(name.to_owned());
        Ok(found.clone())
    }

    /// Names that were never taken, as the checkpoint has them.
    #[must_use]
    pub(crate) fn unused(&self) -> Vec<String> {
        let unused = self.by_name.iter().filter(|(name, _)| !self.used.contains(*name));
        unused.map(|(_, found)| found.tensor.name.clone()).collect()
    }
}
