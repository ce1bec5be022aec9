//! The same files as GNU tar leaves of an archive.

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::path::PathBuf;
use std::process::Command;
use tar::{Builder, EntryType, Header};

/// A tar.gz of `(type, path, content or target)`.
fn packed(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (entry_type, path, text) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*entry_type);
        header.set_mode(if *entry_type == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_size(0);
        match entry_type {
            EntryType::Symlink | EntryType::Link => builder.append_link(&mut header, path, text).unwrap(),
            EntryType::Regular => {
                header.set_size(text.len() as u64);
                builder.append_data(&mut header, path, text.as_bytes()).unwrap();
            }
            _ => builder.append_data(&mut header, path, std::io::empty()).unwrap(),
        }
    }
    builder.into_inner().unwrap().finish().unwrap()
}

/// Paths, and what is at each.
fn contents(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        for entry in fs_err::read_dir(folder.join(&inner)).unwrap() {
            let entry = entry.unwrap();
            let path = inner.join(entry.file_name());
            let kind = entry.file_type().unwrap();
            let what = if kind.is_symlink() {
                format!("-> {}", fs_err::read_link(entry.path()).unwrap().display())
            } else if kind.is_dir() {
                folders.push(path.clone());
                "/".to_owned()
            } else {
                fs_err::read_to_string(entry.path()).unwrap()
            };
            found.push(format!("{} {what}", path.display()));
        }
    }
    found.sort();
    found
}

const FILE: EntryType = EntryType::Regular;
const FOLDER: EntryType = EntryType::Directory;
const SYMBOLIC: EntryType = EntryType::Symlink;
const HARD: EntryType = EntryType::Link;

#[test]
fn files_and_links_are_those_of_gnu_tar() {
    let same: [&[(EntryType, &str, &str)]; 11] = [
        &[(FILE, "m/b", "1"), (FILE, "m/b", "22")],
        &[(FILE, "m/b", "1"), (HARD, "m/c", "m/b"), (FILE, "m/b", "33")],
        &[(FILE, "m/b", "1"), (SYMBOLIC, "m/s", "b"), (HARD, "m/h", "m/s")],
        &[(FILE, "m/b", "1"), (FILE, "m/c", "2"), (HARD, "m/c", "m/b"), (HARD, "m/c", "m/c")],
        &[(FOLDER, "m/b", ""), (SYMBOLIC, "m/a", "b"), (FILE, "m/a/x", "1")],
        &[(FOLDER, "m/b", ""), (SYMBOLIC, "m/a", "b"), (FOLDER, "m/a", ""), (FILE, "m/a/x", "1")],
        &[(FILE, "m/a", "x"), (FOLDER, "m/a", "")],
        &[(FOLDER, "m/a", ""), (FILE, "m/a", "x")],
        &[(FILE, "m/b", "1"), (SYMBOLIC, "m/a", "b"), (FILE, "m/a", "2")],
        &[(SYMBOLIC, "m/1/a", "../files/a"), (FILE, "m/files/a", "1"), (SYMBOLIC, "m/2", "1")],
        &[(FILE, "m/b/x", "1"), (SYMBOLIC, "m/s", "b"), (HARD, "m/h", "m/s/x")],
    ];
    for entries in same {
        let archive = packed(entries);
        let folder = tempfile::tempdir().unwrap();
        let [own, other] = ["own", "gnu"].map(|name| folder.path().join(name));
        fs_err::create_dir(&own).unwrap();
        fs_err::create_dir(&other).unwrap();
        extract(archive.as_slice(), &own, &UnpackLimits::default()).unwrap();
        fs_err::write(folder.path().join("a.tar.gz"), &archive).unwrap();
        let tar = Command::new("tar").arg("-xzf").arg(folder.path().join("a.tar.gz")).arg("-C").arg(&other).status();
        assert!(tar.unwrap().success());
        assert_eq!(contents(&own), contents(&other), "{entries:?}");
    }
}

#[test]
fn links_that_lead_nowhere_are_refused() {
    let fault = |entries: &[(EntryType, &str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        extract(packed(entries).as_slice(), folder.path(), &UnpackLimits::default()).unwrap_err().to_string()
    };
    assert_eq!(fault(&[(SYMBOLIC, "m/a", "b")]), "symbolic link `m/a` to `b`, which is not in the archive");
    let absolute = "symbolic link `m/a` to `/etc/passwd`, which is an absolute path";
    assert_eq!(fault(&[(SYMBOLIC, "m/a", "/etc/passwd")]), absolute);
    let out = "symbolic link `m/a` to `../../x`, which leads out of the archive";
    assert_eq!(fault(&[(SYMBOLIC, "m/a", "../../x")]), out);
    assert_eq!(fault(&[(SYMBOLIC, "a", "a")]), "symbolic link `a` to `a`, which leads back to the link");
    let below = "entry `m/a/x` is below a file, or below a link that is not a folder of the archive";
    assert_eq!(fault(&[(SYMBOLIC, "m/a", "/tmp"), (FILE, "m/a/x", "")]), below);
    assert_eq!(fault(&[(SYMBOLIC, "m/a", ".."), (FILE, "m/a/x", "")]), below);
    assert_eq!(
        fault(&[(HARD, "m/h", "m/b"), (FILE, "m/b", "1")]),
        "hard link `m/h` to `m/b`, which is not in the archive"
    );
    assert_eq!(fault(&[(EntryType::Fifo, "m/f", "")]), "entry `m/f` is neither a file nor a folder nor a link");
}

/// A target without symbolic links, as a file system without them leaves it, in which `found` is then copied to `path`.
fn copied(
    entries: &[(EntryType, &str, &str)],
    limits: UnpackLimits,
    (found, path): (&str, &str),
) -> Result<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let mut target = Target { folder: folder.path(), tree: Tree::default(), limits, copied: Copied::default() };
    read_entries(&packed(entries)[..], limits, |mut entry| target.add(&mut entry))?;
    target.copy_tree(PathBuf::from(found), Path::new(path))?;
    Ok(contents(folder.path()))
}

#[test]
fn links_become_copies_where_there_are_no_links() {
    let entries = [
        (FILE, "a/file", "x"),
        (FILE, "a/inner/file", "y"),
        (SYMBOLIC, "a/link", "inner/file"),
        (SYMBOLIC, "a/folder", "../b"),
        (FILE, "b/file", "z"),
    ];
    let found = copied(&entries, UnpackLimits::default(), ("a", "copy")).unwrap();
    let copies: Vec<_> = found.iter().filter(|path| path.starts_with("copy/")).collect();
    assert_eq!(
        copies,
        ["copy/file x", "copy/folder /", "copy/folder/file z", "copy/inner /", "copy/inner/file y", "copy/link y"]
    );
    assert_eq!(copied(&entries, UnpackLimits::default(), ("a/inner/file", "copy")).unwrap().last().unwrap(), "copy y");
}

#[test]
fn copies_of_copies_have_an_end() {
    let limits = UnpackLimits { byte_count: 1 << 20, entry_count: 100 };
    // Each folder has the next one twice, and the last one the first.
    let mut entries = Vec::new();
    let names: Vec<_> = (0..20)
        .map(|number| (format!("{number}/1"), format!("{number}/2"), format!("../{}", (number + 1) % 20)))
        .collect();
    for (one, two, next) in &names {
        entries.extend([(SYMBOLIC, one.as_str(), next.as_str()), (SYMBOLIC, two.as_str(), next.as_str())]);
    }
    let error = copied(&entries, limits, ("0", "copy")).unwrap_err();
    assert!(matches!(error, Error::Invalid(InvalidArchive::TooManyEntries(100))), "{error}");
}
