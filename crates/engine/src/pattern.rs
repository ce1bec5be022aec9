//! Names with `*`.

/// Whether `name` is `pattern`, in which each `*` stands for any characters, or none.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let (inner, end) = rest.rsplit_once('*').map_or(("", rest), |(inner, end)| (inner, end));
    for part in inner.split('*') {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        let all = |pattern: &str, names: [&str; 4]| names.map(|name| matches(pattern, name));
        assert_eq!(all("cls.*", ["cls.", "cls.bias", "cls", "a.cls.b"]), [true, true, false, false]);
        assert_eq!(
            all("*.inv_freq", ["a.inv_freq", ".inv_freq", "inv_freq", "a.inv_freq.b"]),
            [true, true, false, false]
        );
        assert_eq!(all("a.*.b.*.c", ["a.1.b.2.c", "a.1.c", "a.b.c", "a.1.b.2.d"]), [true, false, false, false]);
        assert_eq!(all("a*a", ["aa", "aba", "a", "ab"]), [true, true, false, false]);
        assert_eq!(all("x", ["x", "xx", "", "*"]), [true, false, false, false]);
    }
}
