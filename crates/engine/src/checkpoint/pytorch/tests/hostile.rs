//! Pickles that ask for code, for room, or for bytes that are not theirs.

use super::*;

#[test]
fn code_is_never_asked_for() {
    let run = |callable: Code| [callable, tuple(&[text("touch /tmp/owned")]), b"R".to_vec()].concat();
    asks_for(&run(global("os", "system")), "os.system");
    asks_for(&dict(&[("a", run(global("posix", "system")))]), "posix.system");
    asks_for(&run(global("builtins", "eval")), "builtins.eval");
    asks_for(&run(global("torch.storage", "_load_from_bytes")), "torch.storage._load_from_bytes");
    asks_for(&run([text("os"), text("system"), b"\x93".to_vec()].concat()), "os.system");
    asks_for(
        &run([text("collections"), text("OrderedDict.__init__"), b"\x93".to_vec()].concat()),
        "collections.OrderedDict.__init__",
    );
    asks_for(&global("torch", "\u{1b}[2Jx"), "torch.\\u{1b}[2Jx");
    asks_for(&global("a", &"b".repeat(9000)), &format!("a.{}…", "b".repeat(98)));
    // INST, OBJ, NEWOBJ, NEWOBJ_EX, PERSID, EXT1: there is no list of what they could make.
    for (code, opcode) in [
        (b"(ios\nsystem\n".to_vec(), "0x69"),
        ([b"(", global("collections", "OrderedDict").as_slice(), b"o"].concat(), "0x6f"),
        ([global("collections", "OrderedDict"), b")\x81".to_vec()].concat(), "0x81"),
        ([global("collections", "OrderedDict"), b")}\x92".to_vec()].concat(), "0x92"),
        (b"Pid\n".to_vec(), "0x50"),
        (b"\x82\x01".to_vec(), "0x82"),
    ] {
        refused(&code, &format!("opcode {opcode}, which no dictionary of tensors needs"));
    }
}

#[test]
fn known_names_are_called_as_state_dicts_call_them_or_not_at_all() {
    let call = |callable: Code, arguments: Code| [callable, arguments, b"R".to_vec()].concat();
    let ordered = || global("collections", "OrderedDict");
    refused(&call(ordered(), tuple(&[integer(1)])), "`collections.OrderedDict` as no plain");
    refused(&call(global("torch", "FloatStorage"), b")".to_vec()), "`torch.FloatStorage` as no plain");
    refused(&call(global("torch", "float32"), b")".to_vec()), "`torch.float32` as no plain");
    refused(&call(text("os"), b")".to_vec()), "calls something that is not a function");
    refused(&call(ordered(), b"N".to_vec()), "calls something that is not a function");
    refused(&[floats(0, &[6], &[1]), b"}b".to_vec()].concat(), "attributes to something that is not a dictionary");
    refused(&[integer(1), b"Q".to_vec()].concat(), "names a storage as no checkpoint does");
    refused(&storage("collections.OrderedDict", "0", 6), "storage of type `collections.OrderedDict`");
}

#[test]
fn nothing_grows_beyond_the_file() {
    refused(b"X\xff\xff\xff\x7fa", "ends too early");
    refused(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffa", "ends too early");
    refused(b"\x8e\0\0\0\0\0\0\0\x80", "ends too early");
    refused(b"B\xff\xff\xff\xff", "ends too early");
    refused(b"T\xff\xff\xff\xff", "ends too early");
    refused(b"\x8b\xff\xff\xff\xff", "ends too early");
    refused(b"cno line end", "ends too early");
    refused(b"Nr\xff\xff\xff\xffj\xfe\xff\xff\xff", "repeats a value that it did not store");
    assert!(read(&[b"Nr\xff\xff\xff\xff0".to_vec(), dict(&[("a", floats(0, &[6], &[1]))])].concat()).is_ok());
    refused(&b"N2".repeat(1 << 20), "more than 2097152 opcodes");
    refused(&b"(".repeat(1 << 22), "more than 2097152 opcodes");
    // 400,000 times the same key for the same dictionary of 400,000 entries.
    let entries = [text("a"), b"q\0N".to_vec(), b"h\0N".repeat(400_000)].concat();
    let large = [b"}(".to_vec(), entries, b"uq\x01".to_vec()].concat();
    let model = [text("model"), b"q\x02h\x01".to_vec(), b"h\x02h\x01".repeat(400_000)].concat();
    refused(&[large, b"}(".to_vec(), model, b"u".to_vec()].concat(), "not a dictionary of tensors");
}

#[test]
fn depth_costs_nothing() {
    refused(&[b")".to_vec(), b"\x85".repeat(2_000_000)].concat(), "not a dictionary of tensors");
    refused(&[b"}".repeat(600_000), b"N".to_vec()].concat(), "not a dictionary of tensors");
    // A dictionary that is its own state dict, and one whose tensors are next to it.
    let endless = [b"}q\0".to_vec(), text("state_dict"), b"h\0s".to_vec()].concat();
    refused(&endless, "not a dictionary of tensors");
    let with_tensors = [endless, text("a"), floats(0, &[6], &[1]), b"s".to_vec()].concat();
    assert_eq!(read(&with_tensors).unwrap().tensors.len(), 1);
}

#[test]
fn stacks_are_not_left() {
    for code in [&b"0"[..], b"1", b"2", b"t", b"e", b"a", b"s", b"u", b"d", b"l", b"b", b"R", b"Q", b"\x85", b"\x93"] {
        refused(code, "is damaged at byte");
        refused(&[b"NN(", code].concat().repeat(2), "");
    }
    refused(b"NN(0", "a value that it did not have");
    refused(b"}(Nu", "not a dictionary");
    refused(b"]NNs", "not a dictionary");
    refused(b"h\0", "repeats a value that it did not store");
    refused(b"X\x01\0\0\0\xff", "not UTF-8");
    refused(b"\x80\x01", "protocol 1");
}

#[test]
fn every_cut_of_a_pickle_is_damage() {
    let whole = pickle(&dict(&[("a", floats(0, &[6], &[1]))]));
    for length in 0..whole.len() {
        let records: [(&str, &[u8]); 2] = [("archive/data.pkl", &whole[..length]), ("archive/data/0", &[7; 24])];
        assert!(matches!(read_records(&records).unwrap_err(), Error::Pytorch { .. }), "{length}");
    }
}

#[test]
fn tensors_that_are_no_part_of_a_storage_are_named() {
    let named = |value: Code, words: &str| {
        refused(&dict(&[("good", floats(0, &[6], &[1])), ("bad", value)]), &format!("tensor `bad` {words}"));
    };
    named(floats(0, &[3, 3], &[1, 3]), "of shape [3, 3] ends beyond its storage");
    named(floats(2, &[3], &[2]), "of shape [3] ends beyond its storage");
    named(
        floats(0, &[2, 1 << 30, 1 << 30], &[1, 0, 0]),
        "of shape [2, 1073741824, 1073741824] repeats the elements of its storage",
    );
    named(floats(0, &[6], &[]), "of shape [6] ends beyond its storage");
    let strides = |code: Code| read(&dict(&[("a", code)])).unwrap().tensors[0].strides.clone();
    assert_eq!(strides(floats(0, &[3, 2], &[1, 3])), Some(vec![1, 3]));
    assert_eq!(strides(floats(0, &[3], &[2])), Some(vec![2]));
    assert_eq!(strides(floats(0, &[2, 3], &[0, 1])), Some(vec![0, 1]));
    assert_eq!(strides(floats(0, &[2, 3], &[3, 1])), None);
    named(floats(0, &[6], &[-1]), "has an invalid shape");
    named(floats(0, &[-6], &[1]), "has an invalid shape");
    named(floats(0, &[1; 17], &[1; 17]), "has an invalid shape, or more than 16 dimensions");
    named(floats(0, &[7], &[1]), "of shape [7] ends beyond its storage");
    named(floats(1, &[6], &[1]), "of shape [6] ends beyond its storage");
    named(floats(-1, &[6], &[1]), "of shape [6] ends beyond its storage");
    named(floats(i32::MAX, &[0], &[1]), "of shape [0] ends beyond its storage");
    named(floats(0, &[i32::MAX; 3], &[1; 3]), "of shape [2147483647, 2147483647, 2147483647] ends beyond its storage");
    let of = |kind: &str, key: &str, count: i32| tensor(storage(kind, key, count), 0, &[1], &[1]);
    named(of("torch.FloatStorage", "1", 6), "is in the storage `1`, which the file does not have");
    named(of("torch.FloatStorage", "../data.pkl", 6), "is in the storage `../data.pkl`, which the file does not");
    named(of("torch.FloatStorage", "0", 5), "is in the storage `0`, which has 24 bytes where 5 elements are");
    named(of("torch.FloatStorage", "0", -6), "is in the storage `0`, which has 24 bytes where -6 elements are");
    named(of("torch.DoubleStorage", "0", i32::MAX), "is in the storage `0`, which has 24 bytes");
    let most = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec();
    let id = [text("storage"), global("torch", "FloatStorage"), text("0"), text("cpu"), most];
    let overflowing = tensor([tuple(&id), b"Q".to_vec()].concat(), 0, &[6], &[1]);
    named(overflowing, "is in the storage `0`, which has 24 bytes where 9223372036854775807 elements are described");
    let twice = dict(&[("a", floats(0, &[6], &[1])), ("a", floats(0, &[6], &[1]))]);
    refused(&twice, "two tensors have the name `a`");
}
