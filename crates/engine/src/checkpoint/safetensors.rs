//! Files of tensors, and the headers of safetensors files. Only the header is read; weights stay where they are.

use crate::{Error, Result};
use planforge_core::{DataType, open_file};
use safetensors::tensor::{Dtype, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest header accepted, as in the reference implementation.
const MAX_HEADER_BYTE_COUNT: u64 = 100_000_000;

/// A file of weights and the places of its tensors.
#[derive(Debug, Clone)]
pub(crate) struct TensorFile {
    /// Path within the snapshot.
    pub(crate) name: String,
    /// Absolute path.
    pub(crate) path: PathBuf,
    /// Its tensors in file order.
    pub(crate) tensors: Vec<StoredTensor>,
}

/// A tensor in a file.
#[derive(Debug, Clone)]
pub(crate) struct StoredTensor {
    /// Name.
    pub(crate) name: String,
    /// Element type.
    pub(crate) data_type: StoredType,
    /// Shape.
    pub(crate) shape: Vec<usize>,
    /// Offset of its first byte from the start of the file.
    pub(crate) offset: u64,
    /// Length of all elements in bytes.
    pub(crate) byte_count: u64,
    /// Elements between neighbours in each dimension; none for elements that follow each other in row-major order.
    pub(crate) strides: Option<Vec<usize>>,
}

/// What two tensors of one file have in common that are one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TensorIdentity {
    offset: u64,
    byte_count: u64,
    shape: Vec<usize>,
    strides: Option<Vec<usize>>,
}

impl StoredTensor {
    /// Whether a graph can refer to it: its elements follow each other, at multiples of their size, as programs that map the
    /// file may need.
    #[must_use]
    pub(crate) fn can_be_mapped(&self) -> bool {
        self.strides.is_none() && self.data_type.byte_count().is_none_or(|width| self.offset.is_multiple_of(width))
    }

    /// Where it is, and how its elements follow each other.
    #[must_use]
    pub(crate) fn identity(&self) -> TensorIdentity {
        let (shape, strides) = (self.shape.clone(), self.strides.clone());
        TensorIdentity { offset: self.offset, byte_count: self.byte_count, shape, strides }
    }
}

/// Element type of a stored tensor, as far as weights are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoredType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16.
    Bf16,
    /// IEEE 754 binary64.
    F64,
    /// Integers and other types: never weights.
    Other(Dtype),
}

impl StoredType {
    /// How a file stores weights of a type.
    #[must_use]
    pub(crate) const fn of_weights(data_type: DataType) -> Self {
        match data_type {
            DataType::Fp16 => Self::F16,
            DataType::Bf16 => Self::Bf16,
            _ => Self::F32,
        }
    }

    /// Bytes of one element of a weight type.
    #[must_use]
    pub(crate) const fn byte_count(self) -> Option<u64> {
        match self {
            Self::F64 => Some(8),
            Self::F32 => Some(4),
            Self::F16 | Self::Bf16 => Some(2),
            Self::Other(_) => None,
        }
    }

    /// The name in the file format.
    #[must_use]
    pub(crate) fn name(self) -> String {
        match self {
            Self::F32 => "F32".to_owned(),
            Self::F16 => "F16".to_owned(),
            Self::Bf16 => "BF16".to_owned(),
            Self::F64 => "F64".to_owned(),
            Self::Other(other) => format!("{other:?}"),
        }
    }
}

impl From<Dtype> for StoredType {
    fn from(data_type: Dtype) -> Self {
        match data_type {
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::Bf16,
            Dtype::F64 => Self::F64,
            other => Self::Other(other),
        }
    }
}

impl TensorFile {
    /// Reads and checks the header of `path`: its length, that offsets neither overlap nor leave
    /// holes, that shapes agree with lengths, and that the file has exactly the length that follows from it.
    ///
    /// # Errors
    /// [`Error::Safetensors`] naming the file and the fault.
    pub(crate) fn read(name: &str, path: &Path) -> Result<Self> {
        let fail = |message: String| Error::Safetensors { path: path.to_owned(), message };
        let mut file = open_file(path)?;
        let length = file.metadata()?.len();
        let mut size = [0; 8];
        file.read_exact(&mut size).map_err(|_| fail(format!("it has {length} bytes, a header needs at least 8")))?;
        let header_length = u64::from_le_bytes(size);
        if header_length > MAX_HEADER_BYTE_COUNT || header_length > length - 8 {
            return Err(fail(format!("its header claims {header_length} bytes, the file has {length}")));
        }
        let mut header = vec![0; usize::try_from(header_length).unwrap_or(usize::MAX)];
        file.read_exact(&mut header)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| fail(format!("its header is damaged: {error}")))?;
        let expected = (8 + header_length).saturating_add(metadata.data_len() as u64);
        if expected != length {
            return Err(fail(format!("its header describes {expected} bytes, the file has {length}")));
        }
        let tensors = stored_tensors(&metadata, 8 + header_length);
        Ok(Self { name: name.to_owned(), path: path.to_owned(), tensors })
    }
}

fn stored_tensors(metadata: &Metadata, data_start: u64) -> Vec<StoredTensor> {
    let stored = |name: String| {
        let info = metadata.info(&name)?;
        let (start, end) = info.data_offsets;
        let data_type = StoredType::from(info.dtype);
        let (offset, byte_count) = (data_start + start as u64, (end - start) as u64);
        Some(StoredTensor { name, data_type, shape: info.shape.clone(), offset, byte_count, strides: None })
    };
    metadata.offset_keys().into_iter().filter_map(stored).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str, claimed: u64, data: &[u8]) -> Result<TensorFile> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let bytes = [&claimed.to_le_bytes(), header.as_bytes(), data].concat();
        fs_err::write(&path, bytes).unwrap();
        TensorFile::read("model.safetensors", &path)
    }

    fn refused(header: &str, data: &[u8]) -> String {
        read(header, header.len() as u64, data).unwrap_err().to_string()
    }

    #[test]
    fn a_good_header_gives_offsets_from_the_start_of_the_file() {
        let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        let file = read(header, header.len() as u64, &[0; 8]).unwrap();
        assert_eq!((file.tensors[0].offset, file.tensors[0].byte_count), (8 + header.len() as u64, 8));
    }

    #[test]
    fn hostile_headers_are_refused_with_the_reason() {
        let overlap = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
        assert!(refused(overlap, &[0; 12]).contains("damaged"));
        let huge_dims = r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,16],"data_offsets":[0,8]}}"#;
        assert!(refused(huge_dims, &[0; 8]).contains("damaged"));
        let cut = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        assert!(refused(cut, &[0; 4]).contains("the file has"));
        assert!(read("{}", u64::MAX, &[]).unwrap_err().to_string().contains("header claims"));
        assert!(read("{]", 2, &[]).unwrap_err().to_string().contains("damaged"));
    }
}
