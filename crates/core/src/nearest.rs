//! Suggestions for names that were mistyped.

/// Names of `known` that are a few typing mistakes away from `name`, nearest first. Case is ignored.
pub(crate) fn similar<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let most = (name.chars().count() / 3).clamp(1, 4);
    let ranked = ranked(name, known);
    ranked.into_iter().filter(|(distance, _)| *distance <= most).map(|(_, name)| name).collect()
}

/// The `count` names of `known` nearest to `name`, however far they are.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>, count: usize) -> Vec<&'a str> {
    ranked(name, known).into_iter().take(count).map(|(_, name)| name).collect()
}

/// Edit distance and name, smallest distance first; names of the same distance keep their order.
fn ranked<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<(usize, &'a str)> {
    let lowercase = name.to_lowercase();
    let rank = |known: &'a str| (strsim::damerau_levenshtein(&lowercase, &known.to_lowercase()), known);
    let mut ranked: Vec<_> = known.into_iter().map(rank).collect();
    ranked.sort_by_key(|(distance, _)| *distance);
    ranked
}

/// `` `a`, `b` or `c` ``.
pub(crate) fn one_of<T: AsRef<str>>(names: &[T]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_suggests_the_name_that_was_meant() {
        let keys = ["formats", "precisions", "samples", "image_size"];
        assert_eq!(similar("precison", keys), ["precisions"]);
        assert_eq!(similar("FORMATS", keys), ["formats"]);
        assert_eq!(similar("weather", keys), [""; 0]);
    }

    #[test]
    fn alternatives_read_as_a_list() {
        assert_eq!(one_of(&["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(one_of(&["a"]), "`a`");
    }
}
