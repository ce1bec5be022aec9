//! What an archive unpacks to: folders, files and links, as GNU tar leaves them.

use crate::InvalidArchive;
use crate::broken_link::{BrokenLink, BrokenLinkReason};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::{OsStr, OsString};
use std::ops::Bound;
use std::path::{Component, Path, PathBuf};

/// Most links that a path may lead through, as in Linux.
const MOST_LINKS: usize = 40;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node<F> {
    /// A folder.
    Folder,
    /// A file, and what is known of it; a hard link is the same file.
    File(F),
    /// A symbolic link.
    Link(PathBuf),
    /// A device or a pipe.
    Other,
}

/// Where an entry was put.
#[derive(Debug, PartialEq, Eq)]
pub struct Placed<F> {
    /// Its path, the links in it followed.
    pub path: PathBuf,
    /// What was there.
    pub replaced: Option<Node<F>>,
}

/// What an archive unpacks to. Entries are added in its order.
#[derive(Debug)]
pub struct Tree<F> {
    nodes: BTreeMap<PathBuf, Node<F>>,
    path_bytes: usize,
}

/// Why there is nothing at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unresolved {
    /// No entry has it.
    Missing,
    /// A link on the way leads nowhere.
    Link(BrokenLink),
}

impl<F> Default for Tree<F> {
    fn default() -> Self {
        Self { nodes: BTreeMap::new(), path_bytes: 0 }
    }
}

impl<F: Clone> Tree<F> {
    /// Adds an entry, and the folders that contain it. A file or link replaces what is there, and so does a folder what is
    /// none.
    ///
    /// # Errors
    /// A path through a file or a link that is not followed while an archive is unpacked; a full folder in its place.
    pub fn add(&mut self, path: &Path, node: Node<F>) -> Result<Placed<F>, InvalidArchive> {
        let shown = || path.to_string_lossy().into_owned();
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(Placed { path: PathBuf::new(), replaced: None });
        };
        let own = self.make_folders(parent).ok_or_else(|| InvalidArchive::NoFolder(shown()))?.join(name);
        let is_folder = matches!(node, Node::Folder);
        match self.nodes.get(&own) {
            Some(Node::Folder) if is_folder => return Ok(Placed { path: own, replaced: None }),
            Some(Node::Folder) if self.children(&own).next().is_some() => {
                return Err(InvalidArchive::InPlaceOfFolder(shown()));
            }
            _ => {}
        }
        let replaced = self.insert(own.clone(), node);
        Ok(Placed { path: own, replaced })
    }

    /// Adds a hard link: another path of a file or link that came before.
    ///
    /// # Errors
    /// Those of [`Tree::add`], and a target that is not there.
    pub fn add_hard_link(&mut self, path: &Path, target: &Path) -> Result<(PathBuf, Placed<F>), InvalidArchive> {
        let broken = |reason| BrokenLink { link: path.to_owned(), target: target.to_owned(), reason };
        let mut parts = target.components().filter(|part| *part != Component::CurDir);
        let reason = parts.find_map(|part| match part {
            Component::Normal(_) => None,
            Component::ParentDir => Some(BrokenLinkReason::LeadsOut),
            _ => Some(BrokenLinkReason::Absolute),
        });
        if let Some(reason) = reason {
            return Err(InvalidArchive::HardLink(broken(reason)));
        }
        let found = self.walk(target, false).ok();
        let node = found.as_ref().and_then(|found| Some((found, self.nodes.get(found)?)));
        match node {
            None => Err(InvalidArchive::HardLink(broken(BrokenLinkReason::Missing))),
            Some((_, Node::Folder)) => Err(InvalidArchive::HardLink(broken(BrokenLinkReason::Folder))),
            Some((found, node)) => {
                let (found, node) = (found.clone(), node.clone());
                Ok((found, self.add(path, node)?))
            }
        }
    }

    /// Follows a path and its links, as a program would that opens it.
    ///
    /// # Errors
    /// Why there is nothing.
    pub fn resolve(&self, path: &Path) -> Result<(PathBuf, &Node<F>), Unresolved> {
        let own = self.walk(path, true)?;
        let node = if own.as_os_str().is_empty() { Some(&Node::Folder) } else { self.nodes.get(&own) };
        node.map(|node| (own, node)).ok_or(Unresolved::Missing)
    }

    /// What is at a path itself, a link as such.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<&Node<F>> {
        self.nodes.get(path)
    }

    /// Names and nodes in a folder of this path; the top is empty.
    pub fn children<'a>(&'a self, folder: &Path) -> impl Iterator<Item = (&'a OsStr, &'a Node<F>)> + use<'a, F> {
        let folder = folder.to_owned();
        self.below(&folder).filter_map(move |(path, node)| {
            (path.parent() == Some(folder.as_path())).then_some(())?;
            Some((path.file_name()?, node))
        })
    }

    /// Paths and targets of the symbolic links, sorted by path.
    pub fn links(&self) -> impl Iterator<Item = (&Path, &Path)> {
        self.nodes.iter().filter_map(|(path, node)| match node {
            Node::Link(target) => Some((path.as_path(), target.as_path())),
            _ => None,
        })
    }

    /// Paths and nodes below a folder, sorted by path.
    fn below<'a>(&'a self, folder: &Path) -> impl Iterator<Item = (&'a Path, &'a Node<F>)> + use<'a, F> {
        let inner = self.nodes.range::<Path, _>((Bound::Excluded(folder), Bound::Unbounded));
        let folder = folder.to_owned();
        inner.map(|(path, node)| (path.as_path(), node)).take_while(move |(path, _)| path.starts_with(&folder))
    }

    /// Folders, files and links.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Bytes of all paths, and of the links' targets.
    #[must_use]
    pub const fn path_bytes(&self) -> usize {
        self.path_bytes
    }

    fn insert(&mut self, path: PathBuf, node: Node<F>) -> Option<Node<F>> {
        if let Node::Link(target) = &node {
            self.path_bytes += target.as_os_str().len();
        }
        match self.nodes.entry(path) {
            Entry::Vacant(entry) => {
                self.path_bytes += entry.key().as_os_str().len();
                entry.insert(node);
                None
            }
            Entry::Occupied(mut entry) => Some(entry.insert(node)),
        }
    }

    /// Makes the folders of a path and returns it with its links followed; none where it leads through something else.
    fn make_folders(&mut self, path: &Path) -> Option<PathBuf> {
        let mut own = PathBuf::new();
        for part in path.iter() {
            own.push(part);
            match self.nodes.get(&own) {
                None => {
                    self.insert(own.clone(), Node::Folder);
                }
                Some(Node::Folder) => {}
                Some(Node::Link(target)) => {
                    // Links that lead up are made last, so nothing can be put through them before.
                    let leads_up = target.components().any(|part| !matches!(part, Component::Normal(_)));
                    let (found, node) = self.resolve(&own).ok().filter(|_| !leads_up)?;
                    matches!(node, Node::Folder).then_some(())?;
                    own = found;
                }
                Some(Node::File(_) | Node::Other) => return None,
            }
        }
        Some(own)
    }

    /// The path with its links followed, that at its end only if wanted.
    fn walk(&self, path: &Path, follows_last: bool) -> Result<PathBuf, Unresolved> {
        let mut own = PathBuf::new();
        let mut rest: Vec<OsString> = parts_from_end(path);
        // The link that is being followed.
        let (mut through, mut count) = (None, 0);
        let broken = |through: &Option<(PathBuf, PathBuf)>, reason| match through {
            Some((link, target)) => Unresolved::Link(BrokenLink { link: link.clone(), target: target.clone(), reason }),
            None => Unresolved::Missing,
        };
        while let Some(part) = rest.pop() {
            if part == ".." {
                if !own.pop() {
                    return Err(broken(&through, BrokenLinkReason::LeadsOut));
                }
                continue;
            }
            own.push(part);
            match self.nodes.get(&own) {
                Some(Node::Folder) => {}
                Some(Node::File(_) | Node::Other) if rest.is_empty() => {}
                Some(Node::Link(_)) if rest.is_empty() && !follows_last => {}
                Some(Node::Link(target)) => {
                    count += 1;
                    through = Some((own.clone(), target.clone()));
                    if target.has_root() {
                        return Err(broken(&through, BrokenLinkReason::Absolute));
                    }
                    if count > MOST_LINKS {
                        return Err(broken(&through, BrokenLinkReason::Loop));
                    }
                    if target.as_os_str().is_empty() {
                        return Err(broken(&through, BrokenLinkReason::Missing));
                    }
                    own.pop();
                    rest.extend(parts_from_end(target));
                }
                None | Some(Node::File(_) | Node::Other) => return Err(broken(&through, BrokenLinkReason::Missing)),
            }
        }
        Ok(own)
    }
}

/// Names and `..` of a path, the last first.
fn parts_from_end(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev();
    let names = parts.filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    names.map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests;
