//! Files of tensors that tests change.

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Tensors by name: type, shape and bytes.
#[derive(Clone, Default)]
pub(crate) struct Weights(pub(crate) BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>);

impl Weights {
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = fs_err::read(path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors().into_iter();
        let owned = |(name, tensor): (String, TensorView<'_>)| {
            (name, (tensor.dtype(), tensor.shape().to_vec(), tensor.data().to_vec()))
        };
        Self(tensors.map(owned).collect())
    }

    pub(crate) fn write(&self, path: &Path) {
        let views = self.0.iter().map(|(name, (kind, shape, bytes))| {
            let view = TensorView::new(*kind, shape.clone(), bytes).unwrap();
            (name.clone(), view)
        });
        let views: Vec<(String, TensorView<'_>)> = views.collect();
        fs_err::write(path, serialize(views, None).unwrap()).unwrap();
    }

    /// Those with the names that `rename` gives; tensors without a name are left out.
    pub(crate) fn renamed(&self, rename: impl Fn(&str) -> Option<String>) -> Self {
        Self(self.0.iter().filter_map(|(name, tensor)| Some((rename(name)?, tensor.clone()))).collect())
    }

    /// Adds a copy of the tensor `like`, with another first byte where it is `changed`.
    pub(crate) fn add(&mut self, like: &str, name: &str, changed: bool) {
        let mut tensor = self.0[like].clone();
        tensor.2[0] ^= u8::from(changed);
        self.0.insert(name.to_owned(), tensor);
    }
}
