//! Handing out a checkpoint's tensors by name, and keeping account of which were used.

use super::{Checkpoint, StoredTensor, StoredType};
use crate::pattern::matches;
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
    /// Names of those that are left out, as the checkpoint has them.
    ignored: Vec<String>,
}

/// Names of the first TensorFlow checkpoints and the names in use today.
const OLD_NAMES: [(&str, &str); 2] = [("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")];

impl Parameters {
    /// All tensors of `checkpoint`. A leading `prefix` (`bert.`), which task heads add, is dropped, and
    /// old names are replaced by today's. Tensors whose name in the checkpoint matches a pattern of `ignored` are left out.
    ///
    /// # Errors
    /// [`Error::SameTensor`] for two tensors that differ and have one name then.
    pub(crate) fn new(checkpoint: &Checkpoint, prefix: &str, ignored: &[String]) -> Result<Self> {
        let is_ignored = |tensor: &&StoredTensor| ignored.iter().any(|pattern| matches(pattern, &tensor.name));
        let all = || checkpoint.files.iter().flat_map(|file| &file.tensors);
        let names_ignored = all().filter(is_ignored).map(|tensor| tensor.name.clone()).collect();
        let mut by_name: BTreeMap<String, TensorRef> = BTreeMap::new();
        for (file, stored) in checkpoint.files.iter().enumerate() {
            for tensor in stored.tensors.iter().filter(|tensor| !is_ignored(tensor)) {
                let mut name = tensor.name.strip_prefix(prefix).unwrap_or(&tensor.name).to_owned();
                for (old, new) in OLD_NAMES {
                    if let Some(stem) = name.strip_suffix(old) {
                        name = format!("{stem}{new}");
                    }
                }
                if let Some(known) = by_name.get(&name) {
                    let file = &checkpoint.files[known.file];
                    if !known.tensor.equals(&file.path, tensor, &stored.path)? {
                        let in_file = |tensor: &StoredTensor, file: &str| format!("`{}` of `{file}`", tensor.name);
                        let (one, two) = (in_file(&known.tensor, &file.name), in_file(tensor, &stored.name));
                        return Err(Error::SameTensor { one, two });
                    }
                    continue;
                }
                by_name.insert(name, TensorRef { file, tensor: tensor.clone() });
            }
        }
        Ok(Self { by_name, used: BTreeSet::new(), ignored: names_ignored })
    }

    /// Whether a tensor of this name is there.
    #[must_use]
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The weight `name`, which must have this shape.
    ///
    /// # Errors
    /// Missing, misshapen, empty, or of an element type that weights do not have.
    pub(crate) fn take(&mut self, name: &str, shape: &[usize]) -> Result<TensorRef> {
        let found = self.by_name.get(name).ok_or_else(|| self.missing(name))?;
        if found.tensor.shape != shape {
            return Err(Error::TensorShape {
                name: name.to_owned(),
                found: found.tensor.shape.clone(),
                expected: shape.to_vec(),
            });
        }
        if shape.contains(&0) {
            return Err(Error::EmptyTensor { name: name.to_owned(), shape: shape.to_vec() });
        }
        if let StoredType::Other(_) = found.tensor.data_type {
            return Err(Error::TensorType { name: name.to_owned(), found: found.tensor.data_type.name() });
        }
        self.used.insert(name.to_owned());
        Ok(found.clone())
    }

    /// The error for a tensor that is not there.
    fn missing(&self, name: &str) -> Error {
        let end = format!(".{name}");
        let longer = self.by_name.iter().find(|(found, _)| found.ends_with(&end)).map(|(_, found)| &found.tensor.name);
        let advice = match longer {
            Some(longer) => format!("the checkpoint has `{longer}`; save its tensors without what stands before that name"),
            None => "check that the checkpoint was trained for the key `task`: `architectures` in its config.json names what \
                     it was trained for"
                .to_owned(),
        };
        Error::MissingTensor { name: name.to_owned(), advice }
    }

    /// Names that were never taken or are left out, as the checkpoint has them.
    #[must_use]
    pub(crate) fn unused(&self) -> Vec<String> {
        let unused = self.by_name.iter().filter(|(name, _)| !self.used.contains(*name));
        unused.map(|(_, found)| found.tensor.name.clone()).chain(self.ignored.iter().cloned()).collect()
    }
}
