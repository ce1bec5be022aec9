//! Where links lead.

use super::*;

fn tree(entries: &[(&str, Node<u8>)]) -> Tree<u8> {
    let mut tree = Tree::default();
    for (path, node) in entries {
        tree.add(Path::new(path), node.clone()).unwrap();
    }
    tree
}

fn link(target: &str) -> Node<u8> {
    Node::Link(target.into())
}

fn end(tree: &Tree<u8>, path: &str) -> Result<String, String> {
    match tree.resolve(Path::new(path)) {
        Ok((path, _)) => Ok(path.display().to_string()),
        Err(Unresolved::Missing) => Err("missing".to_owned()),
        Err(Unresolved::Link(broken)) => Err(broken.to_string()),
    }
}

#[test]
fn links_are_followed_within_the_archive() {
    let tree = tree(&[
        ("m/1/model.onnx", link("../files/a")),
        ("m/files/a", link("b")),
        ("m/files/b", Node::File(7)),
        ("m/2", link("1")),
        ("top", link("m/./files/")),
    ]);
    assert_eq!(end(&tree, "m/1/model.onnx"), Ok("m/files/b".to_owned()));
    assert_eq!(end(&tree, "m/2/model.onnx"), Ok("m/files/b".to_owned()));
    assert_eq!(end(&tree, "top/a"), Ok("m/files/b".to_owned()));
    assert_eq!(end(&tree, "m/2"), Ok("m/1".to_owned()));
    assert_eq!(end(&tree, "m/1/../files/b"), Ok("m/files/b".to_owned()));
    assert_eq!(end(&tree, ""), Ok(String::new()));
    assert_eq!(tree.get(Path::new("m/2")), Some(&link("1")));
    for missing in ["n", "m/3", "m/files/b/c", "m/none/../files/b", "../m"] {
        assert_eq!(end(&tree, missing), Err("missing".to_owned()), "{missing}");
    }
}

#[test]
fn links_that_lead_nowhere_say_why() {
    let tree = tree(&[
        ("m/dangling", link("none")),
        ("m/absolute", link("/etc/passwd")),
        ("m/out", link("../../m/file")),
        ("m/self", link("self")),
        ("m/a", link("b")),
        ("m/b", link("a")),
        ("m/through", link("file/x")),
        ("m/empty", link("")),
        ("m/chain", link("dangling")),
        ("m/file", Node::File(1)),
    ]);
    let broken = |path: &str| end(&tree, path).unwrap_err();
    assert_eq!(broken("m/dangling"), "link `m/dangling` to `none`, which is not in the archive");
    assert_eq!(broken("m/dangling/x"), "link `m/dangling` to `none`, which is not in the archive");
    assert_eq!(broken("m/chain"), "link `m/dangling` to `none`, which is not in the archive");
    assert_eq!(broken("m/absolute"), "link `m/absolute` to `/etc/passwd`, which is an absolute path");
    assert_eq!(broken("m/out"), "link `m/out` to `../../m/file`, which leads out of the archive");
    assert_eq!(broken("m/self"), "link `m/self` to `self`, which leads back to the link");
    assert!(broken("m/a").ends_with("which leads back to the link"));
    assert_eq!(broken("m/through"), "link `m/through` to `file/x`, which is not in the archive");
    assert_eq!(broken("m/empty"), "link `m/empty` to ``, which is not in the archive");
}

/// As GNU tar does.
#[test]
fn entries_replace_what_is_there() {
    let file = |number| Node::File(number);
    let mut tree = tree(&[("m/a", file(1)), ("m/b", link("a")), ("m/c/d", file(2)), ("m/empty", Node::Folder)]);
    let mut add = |path: &str, node| tree.add(Path::new(path), node);
    assert_eq!(add("m/a", file(3)).unwrap().replaced, Some(file(1)));
    assert_eq!(add("m/b", file(4)).unwrap().replaced, Some(link("a")));
    assert_eq!(add("m/a", Node::Folder).unwrap().replaced, Some(file(3)));
    assert_eq!(add("m/empty", file(5)).unwrap().replaced, Some(Node::Folder));
    assert_eq!(add("m/c", Node::Folder).unwrap().replaced, None);
    let fault = |result: Result<Placed<u8>, InvalidArchive>| result.unwrap_err().to_string();
    assert_eq!(fault(add("m/c", file(6))), "entry `m/c` takes the place of a folder that has files");
    let below = "entry `m/b/x` is below a file, or below a link that is not a folder of the archive";
    assert_eq!(fault(add("m/b/x", file(7))), below);
    let children: Vec<_> = tree.children(Path::new("m")).map(|(name, _)| name.to_str().unwrap()).collect();
    assert_eq!(children, ["a", "b", "c", "empty"]);
}

#[test]
fn entries_go_through_links_that_are_there_by_then() {
    let mut tree =
        tree(&[("m/b", Node::Folder), ("m/a", link("b")), ("m/up", link("../m/b")), ("m/gone", link("none"))]);
    let mut add = |path: &str| tree.add(Path::new(path), Node::File(1)).map(|placed| placed.path);
    assert_eq!(add("m/a/x").unwrap(), Path::new("m/b/x"));
    assert!(add("m/up/x").unwrap_err().to_string().contains("below a link"));
    assert!(add("m/gone/x").unwrap_err().to_string().contains("below a link"));
}

#[test]
fn hard_links_are_files_that_came_before() {
    let mut tree = tree(&[("m/a", Node::File(1)), ("m/s", link("a")), ("m/f", link("g")), ("m/g", Node::Folder)]);
    tree.add(Path::new("m/g/x"), Node::File(2)).unwrap();
    let mut add = |path: &str, target: &str| {
        tree.add_hard_link(Path::new(path), Path::new(target)).map(|(found, _)| found.display().to_string())
    };
    assert_eq!(add("m/h", "./m/a").unwrap(), "m/a");
    assert_eq!(add("m/t", "m/s").unwrap(), "m/s");
    assert_eq!(add("m/y", "m/f/x").unwrap(), "m/g/x");
    let fault = |result: Result<String, InvalidArchive>| result.unwrap_err().to_string();
    assert_eq!(fault(add("m/n", "m/none")), "hard link `m/n` to `m/none`, which is not in the archive");
    assert_eq!(fault(add("m/n", "m/g")), "hard link `m/n` to `m/g`, which is not a file");
    assert_eq!(fault(add("m/n", "/m/a")), "hard link `m/n` to `/m/a`, which is an absolute path");
    assert_eq!(fault(add("m/n", "../m/a")), "hard link `m/n` to `../m/a`, which leads out of the archive");
    assert_eq!(tree.get(Path::new("m/h")), Some(&Node::File(1)));
    assert_eq!(tree.get(Path::new("m/t")), Some(&link("a")));
    tree.add(Path::new("m/a"), Node::File(9)).unwrap();
    assert_eq!(tree.get(Path::new("m/h")), Some(&Node::File(1)), "the other path keeps its file");
}
