//! The zip container that `torch.save` writes: its pickle, and the places of its storages.

use super::storages::Storages;
use super::subject::{Subject, shown};
use crate::{Error, Result};
use rawzip::{
    CompressionMethod, FileReader, RECOMMENDED_BUFFER_SIZE, ZipArchive, ZipArchiveEntryWayfinder, ZipFileHeaderRecord,
};
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;

/// Largest pickle read: names, shapes and places, not weights.
pub(super) const MAX_PICKLE_BYTE_COUNT: u64 = 64 << 20;
/// Most records of a container.
const MAX_RECORD_COUNT: usize = 1 << 18;

/// First bytes of a zip container.
const ZIP: &[u8] = b"PK\x03\x04";
/// What PyTorch before 0.1.10 wrote has this word of a tar header at this place.
const TAR: (usize, &[u8]) = (257, b"ustar");

/// A container whose records have been located.
#[derive(Debug)]
pub(super) struct Archive {
    /// The pickle.
    pub(super) pickle: Vec<u8>,
    /// Name of the folder of all records.
    root: String,
    records: BTreeMap<String, Record>,
}

#[derive(Debug)]
struct Record {
    /// Its bytes in the file.
    range: Range<u64>,
    /// Its entry in the directory of the container.
    place: ZipArchiveEntryWayfinder,
}

impl Archive {
    /// Reads the directory of the container and its pickle.
    ///
    /// # Errors
    /// Another format than that of PyTorch 1.6 and later, compressed records, big-endian numbers, and damage of any kind.
    pub(super) fn read(subject: Subject<'_>) -> Result<Self> {
        refuse_other_formats(subject)?;
        let file = fs_err::File::open(subject.0)?;
        let length = file.metadata()?.len();
        let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
        let zip = ZipArchive::from_file(file.into_file(), &mut buffer).map_err(|error| damaged(subject, &error))?;
        let records = records(&zip, &mut buffer, length, subject)?;
        let mut roots =
            records.keys().filter_map(|name| name.strip_suffix("/data.pkl")).filter(|root| !root.contains('/'));
        let (Some(root), None) = (roots.next(), roots.next()) else {
            return Err(subject.damaged("it does not have one record `data.pkl`"));
        };
        let byte_order = records.get(&format!("{root}/byteorder"));
        // PyTorch before 2.1 did not write it.
        let byte_order = byte_order.map_or(Ok(b"little".to_vec()), |record| content(&zip, record, 64, subject))?;
        if byte_order != b"little" {
            let found = shown(&String::from_utf8_lossy(&byte_order));
            return Err(subject.unsupported(format!("its byte order is `{found}`, not `little`")));
        }
        let pickle = content(&zip, &records[&format!("{root}/data.pkl")], MAX_PICKLE_BYTE_COUNT, subject)?;
        Ok(Self { pickle, root: root.to_owned(), records })
    }
}

impl Storages for Archive {
    fn find(&self, key: &str) -> Option<Range<u64>> {
        self.records.get(&format!("{}/data/{key}", self.root)).map(|record| record.range.clone())
    }
}

fn refuse_other_formats(subject: Subject<'_>) -> Result<()> {
    let mut start = Vec::new();
    fs_err::File::open(subject.0)?.take(512).read_to_end(&mut start)?;
    if start.starts_with(ZIP) {
        return Ok(());
    }
    if start.get(TAR.0..).is_some_and(|rest| rest.starts_with(TAR.1)) {
        return Err(subject.unsupported("it has the format of PyTorch before 0.1.10"));
    }
    Err(subject.damaged("it does not start as a zip container does"))
}

/// All records of the container, none of them compressed or beyond the end of the file.
fn records(
    zip: &ZipArchive<FileReader>,
    buffer: &mut [u8],
    length: u64,
    subject: Subject<'_>,
) -> Result<BTreeMap<String, Record>> {
    let mut records = BTreeMap::new();
    let mut entries = zip.entries(buffer);
    while let Some(entry) = entries.next_entry().map_err(|error| damaged(subject, &error))? {
        let name = checked_name(&entry, subject)?;
        let found = zip.get_entry(entry.wayfinder()).map_err(|error| damaged(subject, &error))?;
        let (start, end) = found.compressed_data_range();
        if end > length {
            return Err(subject.damaged(format!("record `{}` ends beyond the file", shown(&name))));
        }
        if records.len() == MAX_RECORD_COUNT {
            return Err(subject.unsupported(format!("it has more than {MAX_RECORD_COUNT} records")));
        }
        if let Some(_twice) = records.insert(name.clone(), Record { range: start..end, place: entry.wayfinder() }) {
            return Err(subject.damaged(format!("it has two records `{}`", shown(&name))));
        }
    }
    Ok(records)
}

/// The name of an entry that is stored as it is, and below the container's own folder.
fn checked_name(entry: &ZipFileHeaderRecord<'_>, subject: Subject<'_>) -> Result<String> {
    let name = String::from_utf8_lossy(entry.file_path().as_bytes()).into_owned();
    if name.contains('\\') || name.split('/').any(|part| part == ".." || part.is_empty()) {
        return Err(subject.damaged(format!("record `{}` is outside the container", shown(&name))));
    }
    let stored = entry.compression_method() == CompressionMethod::STORE
        && !entry.flags().is_encrypted()
        && entry.compressed_size_hint() == entry.uncompressed_size_hint();
    if stored {
        Ok(name)
    } else {
        Err(subject.unsupported(format!("record `{}` is compressed or encrypted", shown(&name))))
    }
}

/// The bytes of a record, at most `limit`, compared with their checksum.
fn content(zip: &ZipArchive<FileReader>, record: &Record, limit: u64, subject: Subject<'_>) -> Result<Vec<u8>> {
    let byte_count = record.range.end - record.range.start;
    if byte_count > limit {
        return Err(subject.unsupported(format!("a record has {byte_count} bytes, at most {limit} are read")));
    }
    let entry = zip.get_entry(record.place).map_err(|error| damaged(subject, &error))?;
    let mut bytes = Vec::new();
    let read = entry.verifying_reader(entry.reader()).read_to_end(&mut bytes);
    read.map_err(|error| subject.damaged(format!("its zip container is damaged: {error}")))?;
    Ok(bytes)
}

fn damaged(subject: Subject<'_>, error: &rawzip::Error) -> Error {
    subject.damaged(format!("its zip container is damaged: {error}"))
}
