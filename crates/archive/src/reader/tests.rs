//! Archives that want more than they are worth.

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use tar::Header;

/// A header in GNU's form.
fn header(entry_type: EntryType, name: &str, byte_count: u64) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(entry_type);
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_size(byte_count);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// An entry with its content and padding.
fn entry(entry_type: EntryType, name: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = header(entry_type, name, content.len() as u64);
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A file whose name does not fit into a header.
fn long_name(name: &str) -> Vec<u8> {
    let name = format!("{name}\0");
    [entry(EntryType::GNULongName, "././@LongLink", name.as_bytes()), entry(EntryType::Regular, "short", b"")].concat()
}

fn compressed(tar: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(tar).unwrap();
    gzip.finish().unwrap()
}

/// Paths of the entries, or the fault.
fn read(bytes: &[u8], limits: UnpackLimits) -> Result<Vec<String>, String> {
    let mut paths = Vec::new();
    let all = read_entries::<InvalidArchive>(bytes, limits, |entry| {
        paths.push(entry.path.to_string_lossy().into_owned());
        Ok(())
    });
    all.map(|_| paths).map_err(|fault| fault.to_string())
}

fn fault(tar: &[u8]) -> String {
    read(&compressed(tar), UnpackLimits::default()).unwrap_err()
}

#[test]
fn paths_have_a_length_that_systems_take() {
    let folders = format!("{}x", "a/".repeat(63));
    assert_eq!(read(&compressed(&long_name(&folders)), UnpackLimits::default()), Ok(vec![folders.clone()]));
    let refused = "an entry's path is longer than 4096 bytes or than 64 names: `";
    assert!(fault(&long_name(&format!("a/{folders}"))).starts_with(&format!("{refused}a/a/")));
    assert!(fault(&long_name(&"a".repeat(4097))).starts_with(&format!("{refused}aaaa")));
    assert!(fault(&long_name(&"a/".repeat(1 << 18))).starts_with(refused));
}

/// The `tar` crate keeps names and attributes in memory, however long they say that they are.
#[test]
fn headers_are_read_up_to_a_bound() {
    for entry_type in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
        let mut tar = header(entry_type, "x", 10 << 30);
        tar.resize(4 << 20, 0);
        assert_eq!(fault(&tar), InvalidArchive::LongHeader.to_string(), "{entry_type:?}");
    }
    assert_eq!(fault(&long_name(&"a/".repeat(1 << 19))), InvalidArchive::LongHeader.to_string());
    // Content that is skipped is not part of the next header.
    let two = [entry(EntryType::Regular, "a", &[7; 3 << 20]), entry(EntryType::Regular, "b", b"")].concat();
    assert_eq!(read(&compressed(&two), UnpackLimits::default()).unwrap(), ["a", "b"]);
}

#[test]
fn the_end_is_read_and_has_a_bound_too() {
    let tar = [entry(EntryType::Regular, "a", b"text"), vec![0; 1024]].concat();
    let good = compressed(&tar);
    assert_eq!(read(&good, UnpackLimits::default()).unwrap(), ["a"]);
    for place in [good.len() - 1, good.len() - 6] {
        let mut flipped = good.clone();
        flipped[place] ^= 1;
        assert!(read(&flipped, UnpackLimits::default()).unwrap_err().contains("corrupt"), "{place}");
    }
    let padded = compressed(&[tar, vec![0; 2 << 20]].concat());
    let few = UnpackLimits { byte_count: 10, entry_count: 10 };
    assert_eq!(read(&padded, few).unwrap_err(), "it unpacks to more than 10 bytes");
}

#[test]
fn what_counts_for_all_entries_is_no_entry() {
    let commit = entry(EntryType::XGlobalHeader, "pax_global_header", b"16 comment=abcd\n");
    let tar = [commit, entry(EntryType::Regular, "a", b"")].concat();
    assert_eq!(read(&compressed(&tar), UnpackLimits::default()).unwrap(), ["a"]);
}

#[test]
fn texts_have_a_length() {
    assert_eq!(read_text(&b"text"[..], "a", 4).unwrap(), b"text");
    assert_eq!(read_text(&b"text"[..], "a", 3).unwrap_err().to_string(), "`a` is larger than 3 bytes");
}
