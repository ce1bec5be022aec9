//! From a container and its pickle to the tensors of a file, each checked against its record.

use super::archive::Archive;
use super::pickle::{Loaded, load};
use super::storages::Storages;
use super::subject::{Subject, shown};
use super::values::{Heap, Storage, Tensor, Tuple, Value};
use crate::Result;
use crate::checkpoint::{StoredTensor, StoredType};
use safetensors::tensor::Dtype;
use std::collections::BTreeSet;
use std::ops::Range;

/// Keys under which training scripts put the dictionary of tensors.
const WRAPPERS: [&str; 2] = ["state_dict", "model"];
/// Most dimensions of a tensor; weights have up to five.
const MAX_DIMENSIONS: usize = 16;
/// Largest tensor that repeats elements of a smaller storage: it could be of any size.
const MAX_REPEATED_BYTE_COUNT: u64 = 1 << 24;

/// The tensors that `pickle` describes, in file order.
pub(super) fn tensors(archive: &Archive, pickle: &[u8], subject: Subject<'_>) -> Result<Vec<StoredTensor>> {
    let Loaded { value, heap, .. } = load(pickle, subject)?;
    tensors_of(value, &heap, archive, subject)
}

/// The tensors of a dictionary, in file order.
pub(super) fn tensors_of(
    value: Value<'_>,
    heap: &Heap<'_>,
    storages: &dyn Storages,
    subject: Subject<'_>,
) -> Result<Vec<StoredTensor>> {
    let mut names = BTreeSet::new();
    let mut tensors = Vec::new();
    for &(name, value) in state_dict(value, heap, subject)? {
        let Value::Tensor(tensor) = value else { continue };
        if !names.insert(name) {
            return Err(subject.damaged(format!("two tensors have the name `{}`", shown(name))));
        }
        tensors.push(stored_tensor(name, heap.tensor(tensor), heap, storages, subject)?);
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
    storages: &dyn Storages,
    subject: Subject<'_>,
) -> Result<StoredTensor> {
    let record = record(tensor.storage, storages).map_err(|message| {
        let key = shown(tensor.storage.key);
        subject.damaged(format!("tensor `{}` is in the storage `{key}`, {message}", shown(name)))
    })?;
    let (Some(shape), Some(strides)) = (sizes(heap, tensor.shape), sizes(heap, tensor.strides)) else {
        let message =
            format!("tensor `{}` has an invalid shape, or more than {MAX_DIMENSIONS} dimensions", shown(name));
        return Err(subject.damaged(message));
    };
    let Some((start, byte_count)) = extent(&tensor, &shape, &strides, record.end - record.start) else {
        let message = format!("tensor `{}` of shape {shape:?} ends beyond its storage", shown(name));
        return Err(subject.damaged(message));
    };
    if byte_count > (record.end - record.start).max(MAX_REPEATED_BYTE_COUNT) {
        let message = format!("tensor `{}` of shape {shape:?} repeats the elements of its storage", shown(name));
        return Err(subject.unsupported(message));
    }
    let strides = (!is_row_major(&shape, &strides)).then_some(strides);
    let (name, data_type) = (name.to_owned(), StoredType::from(tensor.data_type));
    Ok(StoredTensor { name, data_type, shape, offset: record.start + start, byte_count, strides })
}

/// The bytes that are this storage, or why there are none.
fn record(storage: Storage<'_>, storages: &dyn Storages) -> std::result::Result<Range<u64>, String> {
    let record = storages.find(storage.key).ok_or("which the file does not have")?;
    let described = u64::try_from(storage.element_count).ok();
    let described = described.and_then(|count| count.checked_mul(storage.data_type.map_or(1, byte_width)));
    let found = record.end - record.start;
    if described == Some(found) {
        return part(storage, &record).ok_or_else(|| "of which it has a part that ends beyond it".to_owned());
    }
    Err(format!("which has {found} bytes where {} elements are described", storage.element_count))
}

/// The part of a storage that is meant; none for one that ends beyond it.
fn part(storage: Storage<'_>, record: &Range<u64>) -> Option<Range<u64>> {
    let Some(part) = storage.part else { return Some(record.clone()) };
    let bytes = |count: i64| u64::try_from(count).ok()?.checked_mul(storage.data_type.map_or(1, byte_width));
    let start = record.start.checked_add(bytes(part.start)?)?;
    let end = start.checked_add(bytes(part.element_count)?)?;
    (end <= record.end).then_some(start..end)
}

/// Start of a tensor within a storage of `storage_byte_count` bytes, and the length of its elements one after the other; none
/// for one that ends beyond it.
fn extent(tensor: &Tensor<'_>, shape: &[usize], strides: &[usize], storage_byte_count: u64) -> Option<(u64, u64)> {
    let width = byte_width(tensor.data_type);
    let start = u64::try_from(tensor.offset).ok()?.checked_mul(width)?;
    let byte_count = shape.iter().try_fold(width, |product, &size| product.checked_mul(size as u64))?;
    if shape.len() != strides.len() {
        return None;
    }
    // From the first element to the last.
    let last = shape.iter().zip(strides).try_fold(0_u64, |last, (&size, &stride)| {
        last.checked_add((size as u64).saturating_sub(1).checked_mul(stride as u64)?)
    })?;
    let spanned = if byte_count == 0 { 0 } else { last.checked_add(1)?.checked_mul(width)? };
    (start.checked_add(spanned)? <= storage_byte_count).then_some((start, byte_count))
}

/// Whether elements follow each other with the last dimension fastest. The stride of a dimension with
/// one element has no meaning, nor has any stride of a tensor without elements.
fn is_row_major(shape: &[usize], strides: &[usize]) -> bool {
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

/// Bytes of an element.
pub(super) fn byte_width(data_type: Dtype) -> u64 {
    (data_type.bitsize() / 8) as u64
}
