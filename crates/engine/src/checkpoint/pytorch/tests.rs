//! Files built byte by byte: good ones, hostile ones, and thousands of damaged ones.

mod hostile;

use super::archive::Archive;
use super::file::tensors;
use super::legacy::MAGIC;
use super::subject::Subject;
use crate::checkpoint::{StoredTensor, StoredType, TensorFile};
use crate::{Error, Result};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rawzip::path::EntryPath;
use rawzip::{CompressionMethod, ZipArchiveWriter};
use std::io::Write;
use std::path::Path;

/// Opcodes and their arguments.
type Code = Vec<u8>;

fn text(text: &str) -> Code {
    [b"X", (text.len() as u32).to_le_bytes().as_slice(), text.as_bytes()].concat()
}

fn integer(value: i32) -> Code {
    [b"J", value.to_le_bytes().as_slice()].concat()
}

fn global(module: &str, name: &str) -> Code {
    format!("c{module}\n{name}\n").into_bytes()
}

fn tuple(items: &[Code]) -> Code {
    [b"(", items.concat().as_slice(), b"t"].concat()
}

fn sizes(sizes: &[i32]) -> Code {
    tuple(&sizes.iter().map(|&size| integer(size)).collect::<Vec<_>>())
}

fn storage(kind: &str, key: &str, element_count: i32) -> Code {
    let (module, name) = kind.rsplit_once('.').unwrap();
    let id = [text("storage"), global(module, name), text(key), text("cpu"), integer(element_count)];
    [tuple(&id), b"Q".to_vec()].concat()
}

/// A call of `_rebuild_tensor_v2`.
fn tensor(storage: Code, offset: i32, shape: &[i32], strides: &[i32]) -> Code {
    let hooks = [global("collections", "OrderedDict"), b")R".to_vec()].concat();
    let arguments = [storage, integer(offset), sizes(shape), sizes(strides), b"\x89".to_vec(), hooks];
    [global("torch._utils", "_rebuild_tensor_v2"), tuple(&arguments), b"R".to_vec()].concat()
}

/// Six floats of storage `0`, row-major or not.
fn floats(offset: i32, shape: &[i32], strides: &[i32]) -> Code {
    tensor(storage("torch.FloatStorage", "0", 6), offset, shape, strides)
}

fn dict(entries: &[(&str, Code)]) -> Code {
    let entries: Vec<Code> = entries.iter().map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"}(", entries.concat().as_slice(), b"u"].concat()
}

fn pickle(value: &[u8]) -> Code {
    [b"\x80\x02", value, b"."].concat()
}

fn container(records: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipArchiveWriter::new(Vec::new());
    for (name, bytes) in records {
        let (mut entry, config) =
            zip.new_file(EntryPath::verbatim(name.as_bytes())).compression_method(method).start().unwrap();
        let mut writer = config.wrap(&mut entry);
        writer.write_all(bytes).unwrap();
        let (_, descriptor) = writer.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    zip.finish().unwrap()
}

fn read_bytes(bytes: &[u8]) -> Result<TensorFile> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pytorch_model.bin");
    fs_err::write(&path, bytes).unwrap();
    TensorFile::read_pytorch("pytorch_model.bin", &path)
}

fn read_records(records: &[(&str, &[u8])]) -> Result<TensorFile> {
    read_bytes(&container(records, CompressionMethod::STORE))
}

/// A file with this pickle and 24 bytes as storage `0`.
fn read(value: &[u8]) -> Result<TensorFile> {
    read_records(&[("archive/data.pkl", &pickle(value)), ("archive/data/0", &[7; 24])])
}

#[track_caller]
fn refused(value: &[u8], words: &str) {
    let error = read(value).unwrap_err().to_string();
    assert!(error.contains(words) && error.contains("pytorch_model.bin"), "{error}");
}

#[track_caller]
fn asks_for(value: &[u8], expected: &str) {
    match read(value).unwrap_err() {
        Error::PytorchGlobal { global, .. } => assert_eq!(global, expected),
        other => panic!("{other}"),
    }
}

#[test]
fn tensors_lie_where_the_records_are() {
    let parameter = [floats(2, &[2, 2], &[2, 1]), b"\x88".to_vec(), b"N".to_vec()];
    let entries = [
        ("second", floats(3, &[3], &[1])),
        ("first", floats(0, &[3, 1], &[1, 77])),
        ("parameter", [global("torch._utils", "_rebuild_parameter"), tuple(&parameter), b"R".to_vec()].concat()),
        ("scalar", floats(5, &[], &[])),
        ("empty", floats(6, &[0, 4], &[9, 9])),
        ("steps", integer(3)),
        ("names", b"](X\x01\0\0\0ae".to_vec()),
    ];
    let file = read(&dict(&entries)).unwrap();
    let start = file.tensors[0].offset;
    let found: Vec<_> =
        file.tensors.iter().map(|found| (found.name.as_str(), found.offset - start, found.shape.clone())).collect();
    let expected = [
        ("first", 0, vec![3, 1]),
        ("parameter", 8, vec![2, 2]),
        ("second", 12, vec![3]),
        ("scalar", 20, vec![]),
        ("empty", 24, vec![0, 4]),
    ];
    assert_eq!(found, expected);
    let bytes = container(
        &[("archive/data.pkl", &pickle(&dict(&entries))), ("archive/data/0", &[7; 24])],
        CompressionMethod::STORE,
    );
    assert_eq!(bytes[start as usize..][..24], [7; 24]);
    assert_ne!(bytes[start as usize - 1], 7);
}

#[test]
fn dictionaries_within_dictionaries_are_unwrapped_once() {
    for wrapper in ["state_dict", "model"] {
        let inner = dict(&[("a", floats(0, &[6], &[1]))]);
        let attributes = [dict(&[("_metadata", b"}".to_vec())]), b"b".to_vec()].concat();
        let file = read(&dict(&[("epoch", integer(1)), (wrapper, [inner.clone(), attributes].concat())])).unwrap();
        assert_eq!(file.tensors.len(), 1, "{wrapper}");
        refused(&dict(&[(wrapper, dict(&[("state_dict", inner)]))]), "not a dictionary of tensors");
    }
    for other in [b"N".to_vec(), integer(3), b")".to_vec(), b"}".to_vec(), floats(0, &[6], &[1])] {
        refused(&other, "not a dictionary of tensors");
    }
}

#[test]
fn element_types_come_from_the_storage_or_the_tensor() {
    let kinds = [
        ("Float", 6, StoredType::F32),
        ("Half", 12, StoredType::F16),
        ("BFloat16", 12, StoredType::Bf16),
        ("Long", 3, StoredType::from(safetensors::tensor::Dtype::I64)),
        ("Bool", 24, StoredType::from(safetensors::tensor::Dtype::BOOL)),
    ];
    for (kind, count, expected) in kinds {
        let storage = storage(&format!("torch.{kind}Storage"), "0", count);
        let file = read(&dict(&[("a", tensor(storage, 0, &[count], &[1]))])).unwrap();
        assert_eq!((file.tensors[0].data_type, file.tensors[0].byte_count), (expected, 24), "{kind}");
    }
    let untyped = storage("torch.storage.UntypedStorage", "0", 24);
    let hooks = b"N".to_vec();
    let data_type = global("torch", "uint16");
    let arguments = [untyped.clone(), integer(1), sizes(&[2]), sizes(&[1]), b"\x89".to_vec(), hooks, data_type.clone()];
    let call = [global("torch._utils", "_rebuild_tensor_v3"), tuple(&arguments), b"R".to_vec()].concat();
    assert_eq!(read(&dict(&[("a", call)])).unwrap().tensors[0].byte_count, 4);
    refused(&dict(&[("a", tensor(untyped, 0, &[6], &[1]))]), "without an element type");
    let typed = tensor(data_type, 0, &[6], &[1]);
    refused(&dict(&[("a", typed)]), "as no plain dictionary of tensors does");
}

#[test]
fn containers_are_plain_zip_files() {
    let good = pickle(&dict(&[("a", floats(0, &[6], &[1]))]));
    let with = |records: &[(&str, &[u8])]| {
        let mut all: Vec<(&str, &[u8])> = vec![("m/data.pkl", &good), ("m/data/0", &[7; 24])];
        all.extend_from_slice(records);
        read_records(&all)
    };
    let fails = |result: Result<TensorFile>, words: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    assert!(with(&[("m/byteorder", b"little"), ("m/version", b"3\n"), ("m/.data/serialization_id", b"1")]).is_ok());
    fails(with(&[("m/byteorder", b"big")]), "its byte order is `big`, not `little`");
    fails(with(&[("m/byteorder", &[b'l'; 65])]), "a record has 65 bytes, at most 64 are read");
    fails(with(&[("../data.pkl", &good)]), "record `../data.pkl` is outside the container");
    fails(with(&[("m/../../x", b"")]), "record `m/../../x` is outside the container");
    fails(with(&[("/etc/passwd", b"")]), "record `/etc/passwd` is outside the container");
    fails(with(&[("m\\x", b"")]), "is outside the container");
    fails(with(&[("n/data.pkl", &good)]), "it does not have one record `data.pkl`");
    fails(with(&[("m/data/0", &[7; 24])]), "two records `m/data/0`");
    fails(read_records(&[("m/data/0", &[7; 24])]), "it does not have one record `data.pkl`");
    let records: [(&str, &[u8]); 2] = [("m/data.pkl", &good), ("m/data/0", &[7; 24])];
    fails(read_bytes(&container(&records, CompressionMethod::DEFLATE)), "record `m/data.pkl` is compressed");
    let mut changed = container(&records, CompressionMethod::STORE);
    let place = changed.windows(good.len()).position(|window| window == good).unwrap();
    changed[place + good.len() / 2] ^= 1;
    fails(read_bytes(&changed), "its zip container is damaged");
    let whole = container(&records, CompressionMethod::STORE);
    for length in 0..whole.len() {
        assert!(read_bytes(&whole[..length]).is_err(), "{length}");
    }
}

/// What PyTorch before 1.6 wrote: a dictionary of tensors, the keys of its storages, and the storages.
fn legacy(value: &[u8], little: bool, keys: &[&str], storages: &[(u64, &[u8])]) -> Vec<u8> {
    let truth = if little { b"\x88".to_vec() } else { b"\x89".to_vec() };
    let keys: Vec<Code> = keys.iter().map(|key| text(key)).collect();
    let keys = [b"](", keys.concat().as_slice(), b"e"].concat();
    let pickles = [pickle(&integer(1001)), pickle(&dict(&[("little_endian", truth)])), pickle(value), pickle(&keys)];
    let storages = storages.iter().map(|(count, bytes)| [&count.to_le_bytes(), *bytes].concat());
    [MAGIC.to_vec(), pickles.concat(), storages.collect::<Vec<_>>().concat()].concat()
}

fn old_storage(key: &str, count: i32, part: Code) -> Code {
    let id = [text("storage"), global("torch", "FloatStorage"), text(key), text("cpu"), integer(count), part];
    [tuple(&id), b"Q".to_vec()].concat()
}

#[test]
fn storages_of_older_files_follow_their_pickles() {
    let (first, second): (Vec<u8>, Vec<u8>) = ((0..24).collect(), (100..108).collect());
    let part = tuple(&[text("9"), integer(2), integer(3)]);
    let value = dict(&[
        ("a", tensor(old_storage("0", 6, b"N".to_vec()), 1, &[2], &[1])),
        ("b", tensor(old_storage("1", 2, b"N".to_vec()), 0, &[2], &[1])),
        ("c", tensor(old_storage("0", 6, part), 1, &[2], &[1])),
    ]);
    let good = legacy(&value, true, &["1", "0"], &[(2, &second), (6, &first)]);
    let file = read_bytes(&good).unwrap();
    let content = |name: &str| {
        let tensor = file.tensors.iter().find(|tensor| tensor.name == name).unwrap();
        good[tensor.offset as usize..(tensor.offset + tensor.byte_count) as usize].to_vec()
    };
    assert_eq!(content("a"), first[4..12]);
    assert_eq!(content("b"), second);
    assert_eq!(content("c"), first[12..20]);
    let fails = |bytes: &[u8], words: &str| {
        let error = read_bytes(bytes).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    fails(&legacy(&value, false, &["1", "0"], &[(2, &second), (6, &first)]), "its byte order is not `little`");
    fails(&legacy(&value, true, &["1", "0"], &[(2, &second), (5, &first)]), "where 6 elements are described");
    fails(&legacy(&value, true, &["1", "0"], &[(2, &second), (1 << 62, &first)]), "storage `0` ends beyond the file");
    fails(&legacy(&value, true, &["1"], &[(2, &second)]), "which the file does not have");
    fails(&legacy(&value, true, &["1", "1"], &[(2, &second), (2, &second)]), "two storages `1`");
    fails(&legacy(&value, true, &["7"], &[(2, &second)]), "no tensor is in its storage `7`");
    for length in 0..good.len() {
        assert!(read_bytes(&good[..length]).is_err(), "{length}");
    }
    let mut generator = StdRng::seed_from_u64(2);
    for _ in 0..1000 {
        let mut bytes = good.clone();
        mutate(&mut bytes, &mut generator);
        if let Ok(file) = read_bytes(&bytes) {
            lie_in_the_file(&file.tensors, bytes.len() as u64);
        }
    }
}

#[test]
fn dictionaries_of_pairs_are_read_once() {
    let pair = |key: &str, value: Code| [b"](", text(key).as_slice(), value.as_slice(), b"e"].concat();
    let pairs = [b"](", pair("a", floats(0, &[6], &[1])).as_slice(), b"e"].concat();
    let ordered = |pairs: Code| [global("collections", "OrderedDict"), tuple(&[pairs]), b"R".to_vec()].concat();
    assert_eq!(read(&ordered(pairs)).unwrap().tensors[0].name, "a");
    refused(&ordered(b"]".to_vec()), "is not a dictionary of tensors");
}

#[test]
fn other_formats_are_told_apart_from_damage() {
    let mut tar = [0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    let error = read_bytes(&tar).unwrap_err();
    assert!(matches!(error, Error::PytorchUnsupported { .. }), "{error}");
    assert!(error.to_string().ends_with("it has the format of PyTorch before 0.1.10"), "{error}");
    for other in [&b""[..], b"version https://example.org\n", b"PK\x05\x06"] {
        let error = read_bytes(other).unwrap_err().to_string();
        assert!(error.contains("does not start as a zip container does"), "{error}");
    }
}

/// Changes of the kinds that damage and malice make.
fn mutate(bytes: &mut Vec<u8>, generator: &mut StdRng) {
    for _ in 0..generator.random_range(1..6) {
        if bytes.is_empty() {
            return;
        }
        let place = generator.random_range(0..bytes.len());
        let end = (place + generator.random_range(1..40)).min(bytes.len());
        match generator.random_range(0..6) {
            0 => bytes[place] = generator.random(),
            1 => bytes[place] ^= 1 << generator.random_range(0..8),
            2 => drop(bytes.drain(place..end)),
            3 => bytes.truncate(end),
            4 => {
                let piece = bytes[place..end].to_vec();
                let target = generator.random_range(0..bytes.len());
                bytes.splice(target..target, piece);
            }
            _ => bytes[place..end].fill(generator.random()),
        }
    }
}

fn lie_in_the_file(tensors: &[StoredTensor], file_byte_count: u64) {
    for tensor in tensors {
        let end = tensor.strides.as_ref().map_or(tensor.byte_count, |strides| {
            let last = tensor.shape.iter().zip(strides).map(|(&size, &stride)| size.saturating_sub(1) * stride);
            (last.sum::<usize>() as u64 + 1) * tensor.data_type.byte_count().unwrap_or(1)
        });
        assert!(tensor.offset + end <= file_byte_count, "{tensor:?}");
        if let Some(width) = tensor.data_type.byte_count() {
            assert_eq!(tensor.shape.iter().product::<usize>() as u64 * width, tensor.byte_count, "{tensor:?}");
        }
    }
}

#[test]
fn damaged_files_never_panic_or_point_beyond_themselves() {
    let real = planforge_testkit::repository().join("fixtures/pytorch/bert/pytorch_model.bin");
    let bytes = fs_err::read(&real).unwrap();
    let archive = Archive::read(Subject(&real)).unwrap();
    let mut generator = StdRng::seed_from_u64(1);
    let mut good = 0;
    for _ in 0..2000 {
        let mut pickle = archive.pickle.clone();
        mutate(&mut pickle, &mut generator);
        if let Ok(tensors) = tensors(&archive, &pickle, Subject(Path::new("mutated"))) {
            lie_in_the_file(&tensors, bytes.len() as u64);
            good += 1;
        }
    }
    assert!((1..1900).contains(&good), "{good} of the mutated pickles were good: too many or too few to show anything");
    for _ in 0..500 {
        let mut container = bytes.clone();
        // Half of them in the directory of the container.
        let at = if generator.random() { bytes.len() - 4000 } else { 0 };
        let mut end = container.split_off(at);
        mutate(&mut end, &mut generator);
        container.append(&mut end);
        if let Ok(file) = read_bytes(&container) {
            lie_in_the_file(&file.tensors, container.len() as u64);
        }
    }
}
