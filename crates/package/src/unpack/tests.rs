//! Archives as an attacker or another tool might write them.

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::path::PathBuf;
use tar::{Builder, EntryType, Header};

const CONFIG: &str = "backend: \"onnxruntime\" max_batch_size: 4";

/// Writes a tar.gz of `(type, name, content or target)`; names are put into the header as they are.
fn write(entries: &[(EntryType, &str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar.gz");
    let mut builder = Builder::new(GzEncoder::new(fs_err::File::create(&path).unwrap(), Compression::fast()));
    for (entry_type, name, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*entry_type);
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        let is_link = matches!(entry_type, EntryType::Symlink | EntryType::Link);
        if is_link {
            header.set_link_name(content).unwrap();
        }
        let content = if is_link { "" } else { content };
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap();
    (folder, path)
}

fn files(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    write(&files.iter().map(|(name, content)| (EntryType::Regular, *name, *content)).collect::<Vec<_>>())
}

/// The fault of an archive; nothing may be left of it.
fn fault(archive: &Path, limits: &UnpackLimits) -> String {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("model");
    let error = unpack(archive, &target, limits).unwrap_err();
    assert!(!target.exists());
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
    match error {
        Error::BadArchive { fault, .. } => fault.to_string(),
        other => panic!("{other}"),
    }
}

fn fault_of(entries: &[(&str, &str)]) -> String {
    fault(&files(entries).1, &UnpackLimits::default())
}

#[test]
fn nested_and_flat_layouts_are_read() {
    for prefix in ["m/", "", "./", "./m/"] {
        let (config, graph) = (format!("{prefix}config.pbtxt"), format!("{prefix}3/model.onnx"));
        let (_folder, archive) = files(&[(&config, CONFIG), (&graph, "graph"), ("README", "extra files are fine")]);
        let target = tempfile::tempdir().unwrap();
        let model = unpack(&archive, &target.path().join("x"), &UnpackLimits::default()).unwrap();
        assert_eq!((model.max_batch_size, model.version.as_str()), (4, "3"));
        assert_eq!(fs_err::read(&model.model_file).unwrap(), b"graph");
    }
}

#[test]
fn entries_stay_in_the_folder() {
    assert_eq!(fault_of(&[("../x", "")]), "entry `../x` leads out of the archive");
    assert_eq!(fault_of(&[("m/../../x", "")]), "entry `m/../../x` leads out of the archive");
    assert_eq!(fault_of(&[("/tmp/x", "")]), "entry `/tmp/x` leads out of the archive");
    for kind in [EntryType::Char, EntryType::Fifo] {
        let (_folder, archive) = write(&[(kind, "m/config.pbtxt", "")]);
        assert!(fault(&archive, &UnpackLimits::default()).contains("neither a file nor a folder"), "{kind:?}");
    }
    for kind in [EntryType::Symlink, EntryType::Link] {
        let (_folder, archive) = write(&[(kind, "m/config.pbtxt", "/etc/passwd")]);
        let text = fault(&archive, &UnpackLimits::default());
        assert!(text.ends_with("link `m/config.pbtxt` to `/etc/passwd`, which is an absolute path"), "{text}");
    }
}

#[test]
fn files_that_come_twice_or_by_a_link_are_served() {
    let (_folder, archive) = write(&[
        (EntryType::Regular, "m/config.pbtxt", "nonsense"),
        (EntryType::Regular, "m/config.pbtxt", CONFIG),
        (EntryType::Regular, "m/files/graph", "graph"),
        (EntryType::Link, "m/files/same", "m/files/graph"),
        (EntryType::Symlink, "m/1/model.onnx", "../files/same"),
    ]);
    let target = tempfile::tempdir().unwrap();
    let model = unpack(&archive, &target.path().join("x"), &UnpackLimits::default()).unwrap();
    assert_eq!(fs_err::read(&model.model_file).unwrap(), b"graph");
}

#[test]
fn limits_hold() {
    let (_folder, archive) = files(&[("m/a", "12345"), ("m/b", "12345")]);
    assert!(fault(&archive, &UnpackLimits { byte_count: 9, entry_count: 9 }).contains("more than 9 bytes"));
    assert!(fault(&archive, &UnpackLimits { byte_count: 10, entry_count: 1 }).contains("more than 1 entries"));
    let few = UnpackLimits { entry_count: 20, ..UnpackLimits::default() };
    let deep = |name: &str| format!("m/{}x", format!("{name}/").repeat(10));
    let (_folder, archive) = files(&[(&deep("a"), ""), (&deep("b"), "")]);
    assert_eq!(fault(&archive, &few), "it has more than 20 entries or folders");
    let config = "# Long.\n".repeat(1 << 18);
    assert_eq!(fault_of(&[("m/config.pbtxt", &config)]), "`m/config.pbtxt` is larger than 1048576 bytes");
}

#[test]
fn the_model_must_be_the_only_one_and_complete() {
    let config = ("m/config.pbtxt", CONFIG);
    assert!(fault_of(&[("README", "")]).contains("neither a folder nor"));
    assert_eq!(fault_of(&[config, ("m/1/model.onnx", ""), ("n/x", "")]), "it has several folders at the top: m, n");
    assert_eq!(fault_of(&[("m/1/model.onnx", "")]), "`m/config.pbtxt` is missing");
    assert_eq!(fault_of(&[config]), "expected a version folder such as `1` that the version policy takes, found none");
    assert!(fault_of(&[config, ("m/v1/model.onnx", "")]).contains("found none"));
    assert!(fault_of(&[config, ("m/01/model.onnx", "")]).contains("found none"));
    let chosen = format!("{CONFIG} version_policy {{ specific {{ versions: [3] }} }}");
    let files = [("m/config.pbtxt", chosen.as_str()), ("m/1/model.onnx", ""), ("m/2/model.onnx", "")];
    assert!(fault_of(&files).contains("that the version policy takes, found 1, 2"));
    let labels = format!("{CONFIG} output {{ name: \"y\" label_filename: \"labels.txt\" }}");
    assert_eq!(fault_of(&[("m/config.pbtxt", &labels), ("m/1/model.onnx", "")]), "labels `labels.txt` are missing");
    assert_eq!(fault_of(&[config, ("m/1/model.pt", "")]), "`m/1/model.onnx` is missing");
    assert!(fault_of(&[("m/config.pbtxt", "backend: \"python\""), ("m/1/model.py", "")]).contains("`python`"));
    assert!(fault_of(&[("m/config.pbtxt", "{"), ("m/1/model.onnx", "")]).contains("line 1"));
    let outside = "backend: \"onnxruntime\" default_model_filename: \"../../config.pbtxt\"";
    assert!(fault_of(&[("m/config.pbtxt", outside), ("m/1/model.onnx", "")]).contains("is missing"));
}

#[test]
fn corruption_is_found() {
    let (_folder, archive) = files(&[("m/config.pbtxt", CONFIG), ("m/1/model.onnx", &"graph".repeat(10_000))]);
    let bytes = fs_err::read(&archive).unwrap();
    let mut flipped = bytes.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 1;
    for corrupt in [&bytes[..bytes.len() / 2], b"not an archive".as_slice(), b"", flipped.as_slice()] {
        fs_err::write(&archive, corrupt).unwrap();
        let text = fault(&archive, &UnpackLimits::default());
        assert!(text.contains("corrupt or not a tar.gz") || text.contains("neither a folder"), "{text}");
    }
    let missing = unpack(Path::new("/nowhere/a.tar.gz"), &archive, &UnpackLimits::default()).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/a.tar.gz"), "{missing}");
}
