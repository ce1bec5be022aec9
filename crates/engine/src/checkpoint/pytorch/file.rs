//! From a container and its pickle to the tensors of a file, each checked against its record.

use super::archive::Archive;
use super::pickle;
use super::subject::{Subject, shown};
use super::values::{Heap, Storage, Tensor, Tuple, Value};
use crate::Result;
use crate::checkpoint::{StoredTensor, StoredType, TensorFile};
use safetensors::tensor::Dtype;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

/// Keys under which training scripts put the dictionary of tensors.
const WRAPPERS: [&str; 2] = ["state_dict", "model"];
/// Most dimensions of a tensor; weights have up to five.
const MAX_DIMENSIONS: usize = 16;

impl TensorFile {
    /// Reads the pickle of `path` and checks that its tensors are whole, row-major parts of its records.
    ///
    /// # Errors
    /// [`crate::Error::Pytorch`] and [`crate::Error::PytorchUnsupported`] naming the file and the fault,
    /// [`crate::Error::PytorchGlobal`] when it asks for code.
    pub(crate) fn read_pytorch(name: &str, path: &Path) -> Result<Self> {
        let subject = Subject(path);
        let archive = Archive::read(subject)?;
        let tensors = tensors(&archive, &archive.pickle, subject)?;
        Ok(Self { name: name.to_owned(), path: path.to_owned(), tensors })
    }
}

/// The tensors that `pickle` describes, in file order.
pub(super) fn tensors(archive: &Archive, pickle: &[u8], subject: Subject<'_>) -> Result<Vec<StoredTensor>> {
    let (value, heap) = pickle::load(pickle, subject)?;
    let mut names = BTreeSet::new();
    let mut tensors = Vec::new();
    for &(name, value) in state_dict(value, &heap, subject)? {
        let Value::Tensor(tensor) = value else { continue };
        if !names.insert(name) {
            return Err(subject.damaged(format!("two tensors have the name `{}`", shown(name))));
        }
        tensors.push(stored_tensor(name, heap.tensor(tensor), &heap, archive, subject)?);
    }
    tensors.sort_by(|a, b| (a.offset, &a.name).cmp(&(b.offset, &b.name)));
    Ok(tensors)
}

/// The entries of the dictionary that holds the tensors: `value`, or one that it wraps.
fn state_dict<'h, 'a>(
    value: Value<'a>,
    heap: &'h Heap<'a>,
    subject: Subject<'_>,
) -> Result<&'h [(&'a str, Value<'a>)]> {
    let entries = |value: Value<'_>| match value {
        Value::Dict(dict) => heap.entries(dict),
        _ => &[],
    };
    let has_tensors =
        |entries: &&[(&str, Value<'_>)]| entries.iter().any(|(_, value)| matches!(value, Value::Tensor(_)));
    let top = entries(value);
    let wrapped = WRAPPERS.iter().filter_map(|wrapper| top.iter().rfind(|(key, _)| key == wrapper));
    let mut candidates = std::iter::once(top).chain(wrapped.map(|&(_, value)| entries(value)));
    candidates.find(has_tensors).ok_or_else(|| subject.unsupported("it is not a dictionary of tensors"))
}

fn stored_tensor(
    name: &str,
    tensor: Tensor<'_>,
    heap: &Heap<'_>,
    archive: &Archive,
    subject: Subject<'_>,
) -> Result<StoredTensor> {
    let record = record(tensor.storage, archive).map_err(|message| {
        let key = shown(tensor.storage.key);
        subject.damaged(format!("tensor `{}` is in the storage `{key}`, {message}", shown(name)))
    })?;
    let (Some(shape), Some(strides)) = (sizes(heap, tensor.shape), sizes(heap, tensor.strides)) else {
        let message =
            format!("tensor `{}` has an invalid shape, or more than {MAX_DIMENSIONS} dimensions", shown(name));
        return Err(subject.damaged(message));
    };
    let Some((start, byte_count)) = extent(&tensor, &shape, record.end - record.start) else {
        let message = format!("tensor `{}` of shape {shape:?} ends beyond its storage", shown(name));
        return Err(subject.damaged(message));
    };
    if !is_row_major(&shape, &strides) {
        let message = format!(
            "tensor `{}` of shape {shape:?} has the strides {strides:?}, it is not in row-major order",
            shown(name)
        );
        return Err(subject.unsupported(message));
    }
    let (name, data_type) = (name.to_owned(), StoredType::from(tensor.data_type));
    Ok(StoredTensor { name, data_type, shape, offset: record.start + start, byte_count })
}

/// The record that is this storage, or why there is none.
fn record(storage: Storage<'_>, archive: &Archive) -> std::result::Result<Range<u64>, String> {
    let record = archive.storage(storage.key).ok_or("which the file does not have")?;
    let described = u64::try_from(storage.element_count).ok();
    let described = described.and_then(|count| count.checked_mul(storage.data_type.map_or(1, byte_width)));
    let found = record.end - record.start;
    if described == Some(found) {
        return Ok(record);
    }
    Err(format!("which has {found} bytes where {} elements are described", storage.element_count))
}

/// Start and length of a tensor within a storage of `storage_byte_count` bytes; none for one that ends beyond it.
fn extent(tensor: &Tensor<'_>, shape: &[usize], storage_byte_count: u64) -> Option<(u64, u64)> {
    let width = byte_width(tensor.data_type);
    let start = u64::try_from(tensor.offset).ok()?.checked_mul(width)?;
    let byte_count = shape.iter().try_fold(width, |product, &size| product.checked_mul(size as u64))?;
    (start.checked_add(byte_count)? <= storage_byte_count).then_some((start, byte_count))
}

/// Whether elements follow each other with the last dimension fastest. The stride of a dimension with
/// one element has no meaning, nor has any stride of a tensor without elements.
fn is_row_major(shape: &[usize], strides: &[usize]) -> bool {
    if shape.len() != strides.len() {
        return false;
    }
    let mut expected = 1;
    let follows = |(&size, &stride): (&usize, &usize)| {
        let follows = size == 1 || stride == expected;
        expected *= size;
        follows
    };
    shape.contains(&0) || shape.iter().zip(strides).rev().all(follows)
}

/// Sizes or strides out of a tuple.
fn sizes(heap: &Heap<'_>, tuple: Tuple) -> Option<Vec<usize>> {
    let items = Some(heap.items(tuple)).filter(|items| items.len() <= MAX_DIMENSIONS)?;
    let size = |value: &Value<'_>| match value {
        Value::Integer(size) => usize::try_from(*size).ok(),
        _ => None,
    };
    items.iter().map(size).collect()
}

fn byte_width(data_type: Dtype) -> u64 {
    (data_type.bitsize() / 8) as u64
}
