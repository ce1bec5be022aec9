//! Texts that protobuf's own reader takes or refuses.

use super::*;

fn fault(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// The only value of a text.
fn only(text: &str) -> Value {
    let fields = parse(text).unwrap();
    assert_eq!(fields.len(), 1, "{text}");
    fields[0].value.clone()
}

#[test]
fn lists_and_repeated_fields_are_the_same() {
    let list = parse("input [ { name: \"a\" dims: [ -1, 3 ] }, { name: 'b' } ]").unwrap();
    let blocks = parse("input { name: \"a\" dims: -1 dims: 3 }\n# twice\ninput: < name: \"b\" >").unwrap();
    let names = |fields: &[Field]| -> Vec<String> {
        all(fields, "input").map(|field| field.last("name").unwrap().text().to_owned()).collect()
    };
    assert_eq!(names(&list), ["a", "b"]);
    assert_eq!(names(&list), names(&blocks));
    let dims: Vec<_> = blocks[0].all("dims").filter_map(Field::number).collect();
    assert_eq!((dims, blocks[1].line), (vec![-1, 3], 3));
    let empty = parse("dims: [ ]").unwrap();
    assert_eq!((all(&empty, "dims").count(), last(&empty, "dims"), empty.len()), (0, None, 1));
}

#[test]
fn after_a_value_there_may_be_one_separator() {
    for text in ["a: 1, b: 2; c [ ], d { e: 1, f: [ 2, 3 ], },", "a { b: 1; }; c < d: \"x\", >,", "a: 1 b: 2"] {
        parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    }
    for text in [", a: 1", "a: 1,, b: 2", "a: 1;, b: 2", "a { , b: 1 }", "a: [ 4, ]", "a: [ 4 5 ]", "a: [ { b: 1 }, ]"]
    {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn mistakes_name_the_line() {
    assert_eq!(fault("\nname \"m\""), "`config.pbtxt` line 2: expected `:` or `{` after `name`");
    assert_eq!(fault("a {\n b: 1"), "`config.pbtxt` line 2: expected `}`, found the end of the text");
    assert_eq!(fault("a: \"\n\""), "`config.pbtxt` line 1: a string has no end");
    assert_eq!(fault("a: [\n\n"), "`config.pbtxt` line 3: the text ends where a value is expected");
    assert_eq!(fault("a: 1\nb: 8x"), "`config.pbtxt` line 2: `8` is a number, and `x` follows it");
    for text in ["a }", "a { ]", "a < b: 1 }", "a: ", "a: +8", "a: - [", "a: [ [ 1 ] ]", "a.b: 1", "[a] { }"] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn blocks_within_blocks_have_a_bound() {
    let nested = |depth: usize| format!("{}{}", "a{".repeat(depth), "}".repeat(depth));
    parse(&nested(100)).unwrap();
    let refused = "`config.pbtxt` line 1: more than 100 blocks are within each other";
    assert_eq!(fault(&nested(101)), refused);
    assert_eq!(fault(&"a{".repeat(1 << 19)), refused);
    assert_eq!(fault(&"a:[<".repeat(1 << 18)), refused);
}

#[test]
fn spaces_are_those_of_ascii() {
    assert_eq!(parse(" \t\r\u{b}\u{c}a:1# é\n").unwrap().len(), 1);
    for text in ["\u{feff}a: 1", "a:\u{a0}1", "a: 1 \u{85}", "a: 1\u{1}", "a: 1\0", "a: 1 #\0"] {
        assert!(parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn numbers_end_where_protobuf_ends_them() {
    for number in ["0", "8", "-8", "0x8F", "0XE", "010", "1.", ".5", "0.5f", "1f", "1e-1", "2E+10F", "-inf"] {
        assert_eq!(only(&format!("a: {number}")), Value::Word(number.to_owned()));
    }
    assert_eq!(only("a: - 8"), Value::Word("-8".to_owned()));
    for number in ["08", "00.5", "0x", "0x8g", "8x", "8_", "1.2.3", "1e", "1e+", "1ef", "0x1.5", "1ff"] {
        assert!(matches!(parse(&format!("a: {number}")), Err(SyntaxError { .. })), "{number}");
    }
    for (word, number) in [("0x1F", Some(31)), ("010", Some(8)), ("-0x8", Some(-8)), ("1.0", None), ("a", None)] {
        assert_eq!(integer(word), number, "{word}");
    }
    assert_eq!(integer("18446744073709551615"), Some(i128::from(u64::MAX)));
    assert_eq!(integer("18446744073709551616"), None);
}

#[test]
fn strings_and_escapes_are_undone() {
    for (text, plain) in [
        (r#"'a' "b" 'c"'"#, "abc\""),
        (r#""\a\b\f\n\r\t\v\\\'\"\?""#, "\u{7}\u{8}\u{c}\n\r\t\u{b}\\'\"?"),
        (r#""\056\x6f\X4\60n""#, ".o\u{4}0n"),
        (r#""\u00e9\U0001F600\ud83d\ude00\303\251""#, "é😀😀é"),
        (r#""\ud83d\U001FFFFF\377\400""#, "\u{fffd}\u{fffd}\u{fffd}\0"),
        ("'é\u{a0}\u{1}'", "é\u{a0}\u{1}"),
    ] {
        assert_eq!(only(&format!("a: {text}")), Value::Text(plain.to_owned()), "{text}");
    }
    assert_eq!(fault(r#"a: "\q""#), "`config.pbtxt` line 1: unknown escape `\\q`");
    for text in [r#""\x""#, r#""\u12""#, r#""\U00200000""#, r#""a"#, r#""a\"#, "\"a\0\"", "'a\""] {
        assert!(matches!(parse(&format!("a: {text}")), Err(SyntaxError { .. })), "{text}");
    }
}
