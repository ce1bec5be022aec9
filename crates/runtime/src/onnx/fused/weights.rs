//! Reading constants of a graph.

use planforge_onnx::{EXTERNAL, FLOAT, INT64, TensorProto};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

/// Where constants lie that are not in the graph's file.
pub(super) struct Weights {
    folder: PathBuf,
}

impl Weights {
    /// For the graph of this file.
    pub(super) fn beside(graph: &Path) -> Option<Self> {
        Some(Self { folder: graph.parent()?.to_owned() })
    }

    /// The numbers of a tensor of 32-bit floats, as many as its shape says. None where it is of another kind, or cannot be
    /// read: ONNX Runtime says why.
    pub(super) fn floats(&self, tensor: &TensorProto) -> Option<Vec<f32>> {
        if tensor.data_type != FLOAT {
            return None;
        }
        let bytes = self.bytes(tensor, elements(tensor)?.checked_mul(size_of::<f32>())?)?;
        Some(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    fn bytes(&self, tensor: &TensorProto, count: usize) -> Option<Vec<u8>> {
        if tensor.data_location != EXTERNAL {
            return Some(tensor.raw_data.clone()).filter(|bytes| bytes.len() == count);
        }
        let location = Path::new(tensor.external("location")?);
        // As ONNX Runtime has it, weights lie in the graph's folder or below it.
        if !location.components().all(|part| matches!(part, Component::Normal(_))) {
            return None;
        }
        let offset = tensor.external("offset").map_or(Some(0), |offset| offset.parse().ok())?;
        let length = tensor.external("length").map_or(Some(count), |length| length.parse().ok())?;
        let file = File::open(self.folder.join(location)).ok().filter(|_| length == count)?;
        // A length that is not there is not asked of the allocator either.
        file.metadata().ok().filter(|file| file.len().checked_sub(offset) >= Some(count as u64))?;
        let mut bytes = vec![0; count];
        file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    }
}

/// The numbers of a list of 64-bit integers that lies in the graph.
pub(super) fn integers(tensor: &TensorProto) -> Option<Vec<i64>> {
    (tensor.data_type == INT64 && tensor.data_location != EXTERNAL).then(|| tensor.integers())
}

/// Sizes of a tensor of 32-bit floats.
pub(super) fn float_shape(tensor: &TensorProto) -> Option<Vec<usize>> {
    (tensor.data_type == FLOAT).then(|| tensor.dims.iter().map(|&size| usize::try_from(size).ok()).collect())?
}

fn elements(tensor: &TensorProto) -> Option<usize> {
    tensor.dims.iter().try_fold(1_usize, |count, &size| count.checked_mul(usize::try_from(size).ok()?))
}
