//! An ONNX file of a repository, and the files that its tensors are in.

use crate::path::stays_inside;
use crate::{Error, Result};
use planforge_core::{MAX_GRAPH_BYTE_COUNT, read_file};
use planforge_onnx::external_files;
use std::path::Path;

/// Paths within a repository of a graph and of the files that it names.
#[derive(Debug)]
pub(crate) struct GraphFiles {
    /// The graph.
    graph: String,
    /// Files that its tensors are in.
    pub(crate) data: Vec<String>,
}

impl GraphFiles {
    /// The files of `graph`, which is in `directory`. A file that is not a graph names none: it is reported when it is used.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn read(directory: &Path, graph: &str) -> Result<Self> {
        let files = external_files(&read_file(&directory.join(graph), MAX_GRAPH_BYTE_COUNT)?).unwrap_or_default();
        let folder = folder_of(graph);
        let data = files.into_keys().map(|file| format!("{folder}{file}")).collect();
        Ok(Self { graph: graph.to_owned(), data })
    }

    /// Whether `path` is the graph, a file that it names, or the configuration in its folder.
    pub(crate) fn needs(&self, path: &str) -> bool {
        let is_config = || path.strip_prefix(folder_of(&self.graph)) == Some("config.json");
        path == self.graph || self.data.iter().any(|file| file == path) || is_config()
    }
}

/// The folder of a path with the `/` after it; empty for a file at the top.
fn folder_of(path: &str) -> &str {
    path.rfind('/').map_or("", |end| &path[..=end])
}

/// Fails unless `graph` is in the listing of a repository.
///
/// # Errors
/// [`Error::NoGraph`] with the ONNX files that there are.
pub(crate) fn require_graph<'a>(repo: &str, graph: &str, listing: impl Iterator<Item = &'a str> + Clone) -> Result<()> {
    if stays_inside(graph) && listing.clone().any(|path| path == graph) {
        return Ok(());
    }
    let others: Vec<_> = listing.filter(|path| path.ends_with(".onnx")).collect();
    Err(Error::NoGraph { repo: repo.to_owned(), graph: graph.to_owned(), others: others.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::named::NamedFiles;
    use crate::select::needed_files;

    #[test]
    fn a_graph_comes_with_the_files_that_it_names_and_without_the_weights() {
        let listing = [
            "model.safetensors",
            "config.json",
            "onnx/config.json",
            "onnx/model.onnx",
            "onnx/model.onnx_data",
            "onnx/emb",
            "emb",
            "onnx/model_int8.onnx",
            "tokenizer.json",
        ];
        let graph = GraphFiles { graph: "onnx/model.onnx".to_owned(), data: vec!["onnx/emb".to_owned()] };
        let listing = listing.iter().map(|&path| path.to_owned());
        let needed = needed_files("o/n", Some(&graph), &NamedFiles::default(), listing).unwrap();
        assert_eq!(needed, ["config.json", "onnx/config.json", "onnx/emb", "onnx/model.onnx", "tokenizer.json"]);
    }

    #[test]
    fn a_graph_that_is_missing_is_reported_with_the_others() {
        let listing = ["model.safetensors", "onnx/model.onnx", "onnx/model_int8.onnx"];
        require_graph("o/n", "onnx/model.onnx", listing.into_iter()).unwrap();
        let error = require_graph("o/n", "model.onnx", listing.into_iter()).unwrap_err().to_string();
        assert!(error.contains("`model.onnx`") && error.contains("onnx/model.onnx, onnx/model_int8.onnx"), "{error}");
        assert!(require_graph("o/n", "../x.onnx", std::iter::once("../x.onnx")).is_err());
    }
}
