//! Files with the elements of a tensor, which a configuration names.

use super::super::finding::Severity;
use super::super::listing::{File, Found};
use super::config::Config;
use crate::text_format::Field;

/// A file that a configuration names.
pub(super) struct DataFile<'a> {
    /// Its name.
    pub(super) field: &'a Field,
    /// The folder that it is in, next to the configuration.
    pub(super) folder: &'a str,
    /// Fewest bytes that it must have.
    pub(super) needed: u64,
    /// The server's response where it is missing; none where it does not answer.
    pub(super) missing: Option<&'a str>,
    /// Its response where it is too short.
    pub(super) answer: &'a str,
}

impl Config<'_> {
    /// A file is there and has the bytes of its tensor.
    pub(super) fn data_file(&mut self, data: &DataFile<'_>) -> Option<&File> {
        let name = format!("{}/{}", data.folder, data.field.text());
        let what = format!("{} file", data.folder.replace("warmup", "warm-up").replace('_', "-"));
        let listing = self.listing;
        match listing.find(&self.model.path(&name)) {
            Found::File(file) if file.byte_count < data.needed => {
                let message = format!("{what} `{name}` has {} bytes; the tensor has {}", file.byte_count, data.needed);
                self.error(data.field, message, data.answer);
                None
            }
            Found::File(file) => Some(file),
            found => {
                let reason = match found {
                    Found::Folder => "is a folder; it crashes the whole server".to_owned(),
                    Found::Broken(broken) => format!("is {broken}"),
                    Found::File(_) | Found::Nothing => "is missing".to_owned(),
                };
                let answer = data.missing.filter(|_| reason == "is missing");
                self.push(data.field, Severity::Error, format!("{what} `{name}` {reason}"), answer.map(str::to_owned));
                None
            }
        }
    }
}

/// Bytes of a tensor; 0 where its type has no size, or nothing is to be known of them.
pub(super) fn byte_count(data_type: &str, dims: &[i64]) -> u64 {
    let size = match data_type {
        "TYPE_BOOL" | "TYPE_UINT8" | "TYPE_INT8" => 1,
        "TYPE_UINT16" | "TYPE_INT16" | "TYPE_FP16" | "TYPE_BF16" => 2,
        "TYPE_UINT32" | "TYPE_INT32" | "TYPE_FP32" => 4,
        "TYPE_UINT64" | "TYPE_INT64" | "TYPE_FP64" => 8,
        _ => return 0,
    };
    element_count(dims).and_then(|count| count.checked_mul(size)).unwrap_or(0)
}

/// Elements of a tensor, if its dims tell them.
pub(super) fn element_count(dims: &[i64]) -> Option<u64> {
    let mut counts = dims.iter().map(|dim| u64::try_from(*dim).ok());
    if dims.is_empty() { Some(0) } else { counts.try_fold(1_u64, |count, dim| count.checked_mul(dim?)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_have_a_size() {
        assert_eq!(byte_count("TYPE_FP32", &[2, 3]), 24);
        assert_eq!(byte_count("TYPE_BOOL", &[7]), 7);
        assert_eq!(byte_count("TYPE_BF16", &[1]), 2);
        assert_eq!(byte_count("TYPE_STRING", &[4]), 0);
        for dims in [&[][..], &[-1], &[0, 4], &[i64::MAX, i64::MAX]] {
            assert_eq!(byte_count("TYPE_INT64", dims), 0, "{dims:?}");
        }
    }
}
