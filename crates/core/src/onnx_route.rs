//! The end of an error that leads to the ONNX files of a repository.

/// Most files that an error names.
const MOST_NAMES: usize = 5;

/// How to use one of the ONNX files `graphs` of a repository, as the end of an error; empty without any.
#[must_use]
pub fn onnx_route(graphs: &[String]) -> String {
    let Some(first) = graphs.first() else { return String::new() };
    let named: Vec<_> = graphs.iter().take(MOST_NAMES).map(|graph| format!("`{graph}`")).collect();
    let more = match graphs.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "; its ONNX files can be used as they are: {}{more}; set `graph = \"{first}\"` in [source]",
        named.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_files_are_named() {
        let graphs: Vec<String> = (0..7).map(|number| format!("{number}.onnx")).collect();
        assert_eq!(onnx_route(&[]), "");
        assert!(onnx_route(&graphs[..2]).ends_with(": `0.onnx`, `1.onnx`; set `graph = \"0.onnx\"` in [source]"));
        assert!(onnx_route(&graphs).contains("`4.onnx` and 2 more; set"));
    }
}
