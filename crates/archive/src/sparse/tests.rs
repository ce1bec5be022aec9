//! Sparse files of GNU tar itself, and some that no tool writes.

use crate::{EntryKind, InvalidArchive, UnpackLimits, extract, read_entries};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;
use tar::{Builder, EntryType, Header};

/// GNU tar's forms: its own entry type, and the three of pax headers.
const FORMS: [&[&str]; 4] = [
    &["--format=gnu"],
    &["--format=posix", "--sparse-version=0.0"],
    &["--format=posix", "--sparse-version=0.1"],
    &["--format=posix", "--sparse-version=1.0"],
];

/// Writes `pieces` of data at their places into a file of `byte_count` bytes.
fn write_sparse(path: &Path, byte_count: u64, pieces: &[(u64, &[u8])]) {
    let mut file = fs_err::File::create(path).unwrap();
    for (place, data) in pieces {
        file.seek(SeekFrom::Start(*place)).unwrap();
        file.write_all(data).unwrap();
    }
    file.set_len(byte_count).unwrap();
}

/// Files with holes in different places, in a folder `m`.
fn sample(folder: &Path) {
    fs_err::create_dir_all(folder.join("m/1")).unwrap();
    let many: Vec<(u64, &[u8])> = (0..100).map(|number| (number * 65_536, &b"a piece"[..])).collect();
    write_sparse(&folder.join("m/1/many"), 100 * 65_536, &many);
    write_sparse(&folder.join("m/1/hole"), 1 << 20, &[]);
    write_sparse(&folder.join("m/1/start"), 1 << 20, &[(0, &[7; 5000])]);
    write_sparse(&folder.join("m/1/end"), (1 << 20) + 9, &[(1 << 20, b"the end !")]);
    write_sparse(&folder.join(format!("m/1/{}", "long".repeat(40))), 1 << 20, &[(65_536, b"x")]);
    fs_err::write(folder.join("m/1/plain"), "plain").unwrap();
}

fn gnu_tar(folder: &Path, form: &[&str]) -> Vec<u8> {
    let packed = folder.join("packed.tar.gz");
    let status = Command::new("tar").args(form).arg("-czSf").arg(&packed).arg("-C").arg(folder).arg("m").status();
    assert!(status.unwrap().success());
    fs_err::read(packed).unwrap()
}

#[test]
fn all_forms_of_gnu_tar_are_read_and_extracted() {
    for form in FORMS {
        let folder = tempfile::tempdir().unwrap();
        sample(folder.path());
        let packed = gnu_tar(folder.path(), form);
        let target = folder.path().join("target");
        fs_err::create_dir(&target).unwrap();
        let byte_count = extract(packed.as_slice(), &target, &UnpackLimits::default()).unwrap();
        let mut seen = 0;
        for file in fs_err::read_dir(folder.path().join("m/1")).unwrap() {
            let file = file.unwrap();
            let extracted = fs_err::read(target.join("m/1").join(file.file_name())).unwrap();
            assert!(extracted == fs_err::read(file.path()).unwrap(), "{form:?}: {:?}", file.file_name());
            seen += extracted.len() as u64;
        }
        assert_eq!(seen, byte_count, "{form:?}");
        assert_eq!(fs_err::read_dir(target.join("m/1")).unwrap().count(), 6, "{form:?}");
    }
}

#[test]
fn sizes_are_those_with_holes() {
    for form in FORMS {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir(folder.path().join("m")).unwrap();
        // Larger than the disk: holes that are not asked for are not read.
        write_sparse(&folder.path().join("m/huge"), 200 << 30, &[(100 << 30, b"data")]);
        fs_err::write(folder.path().join("m/next"), "next").unwrap();
        let packed = gnu_tar(folder.path(), form);
        let limits = UnpackLimits { byte_count: 256 << 30, entry_count: 10 };
        let mut sizes = Vec::new();
        let read = read_entries::<InvalidArchive>(packed.as_slice(), limits, |entry| {
            if let EntryKind::File(byte_count) = entry.kind {
                sizes.push((entry.path.display().to_string(), byte_count));
            }
            Ok(())
        });
        assert_eq!(read.unwrap(), (200 << 30) + 4, "{form:?}");
        sizes.sort();
        assert_eq!(sizes, [("m/huge".to_owned(), 200 << 30), ("m/next".to_owned(), 4)], "{form:?}");
        let refused = extract(packed.as_slice(), &folder.path().join("t"), &UnpackLimits::default()).unwrap_err();
        assert_eq!(refused.to_string(), "it unpacks to more than 17179869184 bytes", "{form:?}");
    }
}

/// An archive of one file with these pax records.
fn with_records(records: &[(&str, &str)], content: &[u8]) -> Vec<u8> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    builder.append_pax_extensions(records.iter().map(|(key, value)| (*key, value.as_bytes()))).unwrap();
    let mut header = Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_entry_type(EntryType::Regular);
    builder.append_data(&mut header, "m/GNUSparseFile.1/x", content).unwrap();
    builder.into_inner().unwrap().finish().unwrap()
}

/// Path and content of the one file, or the fault.
fn read(records: &[(&str, &str)], content: &[u8]) -> Result<(String, Vec<u8>), String> {
    let mut found = None;
    let packed = with_records(records, content);
    let all = read_entries::<InvalidArchive>(packed.as_slice(), UnpackLimits::default(), |entry| {
        let mut bytes = Vec::new();
        entry.content.read_to_end(&mut bytes).map_err(InvalidArchive::from)?;
        found = Some((entry.path.display().to_string(), bytes));
        Ok(())
    });
    all.map(|_| found.unwrap()).map_err(|fault| fault.to_string())
}

#[test]
fn maps_fit_their_data() {
    let map = |map: &str, size: &str| {
        let records = [("GNU.sparse.name", "m/x"), ("GNU.sparse.size", size), ("GNU.sparse.map", map)];
        read(&records, b"abcdef")
    };
    assert_eq!(map("1,2,4,4", "10"), Ok(("m/x".to_owned(), b"\0ab\0cdef\0\0".to_vec())));
    assert_eq!(map("0,6", "6"), Ok(("m/x".to_owned(), b"abcdef".to_vec())));
    let corrupt = Err(InvalidArchive::SparseFile.to_string());
    // Overlapping, out of order, beyond the end, too little and too much data, and no pairs at all.
    for (list, size) in [
        ("0,4,2,2", "9"),
        ("4,4,0,2", "9"),
        ("4,6", "9"),
        ("0,5", "9"),
        ("0,7", "9"),
        ("0", "9"),
        ("0,-6", "9"),
        ("18446744073709551615,6", "9"),
        ("", "9"),
    ] {
        assert_eq!(map(list, size), corrupt, "{list} in {size}");
    }
    assert_eq!(map("0,6", "6x"), corrupt);
    let outside = read(&[("GNU.sparse.name", "../x"), ("GNU.sparse.size", "6"), ("GNU.sparse.map", "0,6")], b"abcdef");
    assert_eq!(outside.unwrap_err(), "entry `../x` leads out of the archive");
}

#[test]
fn lists_before_the_data_have_a_bound() {
    let list = |list: &[u8], data: &[u8], size: &str| {
        let records = [
            ("GNU.sparse.major", "1"),
            ("GNU.sparse.minor", "0"),
            ("GNU.sparse.name", "m/x"),
            ("GNU.sparse.realsize", size),
        ];
        let mut content = list.to_vec();
        content.resize(content.len().next_multiple_of(512), 0);
        content.extend_from_slice(data);
        read(&records, &content)
    };
    assert_eq!(list(b"1\n2\n3\n", b"abc", "6"), Ok(("m/x".to_owned(), b"\0\0abc\0".to_vec())));
    let corrupt = Err(InvalidArchive::SparseFile.to_string());
    for text in [&b"2\n2\n3\n"[..], b"1000000000\n", b"", b"x\n", b"1\n2\n99999999999999999999999999\n", &[b'1'; 600]] {
        assert_eq!(list(text, b"abc", "6"), corrupt, "{}", String::from_utf8_lossy(text));
    }
    assert_eq!(list(b"1\n2\n3\n", b"abcd", "6"), corrupt);
    let newer = read(&[("GNU.sparse.major", "2"), ("GNU.sparse.realsize", "6")], b"");
    assert_eq!(newer, Err(InvalidArchive::SparseFile.to_string()));
}
