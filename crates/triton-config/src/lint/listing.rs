//! What an archive holds, without its being unpacked.

use crate::files::MAX_CONFIG_BYTES;
use planforge_archive::{
    ArchiveEntry, BrokenLink, Content, Entries, EntryKind, InvalidArchive, Node, Tree, UnpackLimits, Unresolved,
    read_entries, read_text,
};
use planforge_core::PlacedWeights;
use std::collections::BTreeSet;
use std::io::{BufReader, Read, copy, sink};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// An archive whose files are more than any server takes is not read to its end.
const LIMITS: UnpackLimits = UnpackLimits { byte_count: 256 << 30, entry_count: 100_000 };
/// Most bytes of a list of weights.
const MOST_LIST_BYTES: u64 = 16 << 20;
/// Most bytes of a Python model that is looked into; nothing is known of a larger one.
const MOST_SCRIPT_BYTES: u64 = 256 << 10;
/// Most bytes of memory for paths and texts.
const MOST_KEPT_BYTES: usize = 64 << 20;
/// What a path takes besides its letters.
const PATH_BYTES: usize = 64;
/// The folder of files for warm-ups.
const WARMUP: &str = "warmup";

/// What is known of a file.
#[derive(Debug, Default)]
pub(super) struct File {
    path: PathBuf,
    pub(super) byte_count: u64,
    /// All of it, where that may count.
    text: Option<String>,
    /// For a file of a warm-up, how many strings it is, each after its length.
    pub(super) string_count: Option<u64>,
}

/// What is at a path, its links followed.
pub(super) enum Found<'a> {
    File(&'a File),
    Folder,
    Nothing,
    /// A link on the way leads nowhere.
    Broken(BrokenLink),
}

/// What an archive holds, by path.
#[derive(Debug, Default)]
pub(super) struct Listing {
    tree: Tree<Rc<File>>,
    text_bytes: usize,
    link_count: usize,
    first_link: Option<(PathBuf, PathBuf)>,
}

impl Listing {
    /// Reads a tar.gz file, and keeps paths and the text of each configuration and list of weights that may count, and of
    /// those that are `wanted`.
    pub(super) fn read(file: impl Read, wanted: &BTreeSet<PathBuf>) -> Result<Self, InvalidArchive> {
        let mut listing = Self::default();
        read_entries(file, LIMITS, |entry| listing.add(entry, wanted))?;
        Ok(listing)
    }

    /// The files of an archive to be, and the texts that are looked at.
    pub(super) fn of(entries: &Entries) -> Self {
        let mut listing = Self::default();
        for (path, content) in entries {
            let mut file = File { byte_count: content.byte_count(), path: path.into(), ..File::default() };
            if let Content::Bytes(bytes) = content {
                file.text = most_text(path).map(|_| String::from_utf8_lossy(bytes).into_owned());
                file.string_count = count_strings(bytes.as_slice()).ok().flatten();
            }
            // What planforge packs has neither links nor a file in the place of a folder.
            let _ = listing.tree.add(Path::new(path), Node::File(Rc::new(file)));
        }
        listing
    }

    fn add(&mut self, entry: ArchiveEntry<'_>, wanted: &BTreeSet<PathBuf>) -> Result<(), InvalidArchive> {
        let path = PathBuf::from(entry.path.to_string_lossy().into_owned());
        if let EntryKind::Link(target) | EntryKind::HardLink(target) = &entry.kind {
            self.link_count += 1;
            self.first_link.get_or_insert_with(|| (path.clone(), target.clone()));
        }
        match entry.kind {
            EntryKind::Folder => {
                self.tree.add(&path, Node::Folder)?;
            }
            EntryKind::File(byte_count) => {
                let file = self.file_of(&path, byte_count, entry.content, wanted)?;
                self.tree.add(&path, Node::File(Rc::new(file)))?;
            }
            EntryKind::Link(target) => {
                self.tree.add(&path, Node::Link(target))?;
            }
            EntryKind::HardLink(target) => {
                self.tree.add_hard_link(&path, &target)?;
            }
            EntryKind::Other => {
                self.tree.add(&path, Node::Other)?;
            }
        }
        let kept = self.text_bytes + self.tree.path_bytes() + self.tree.len() * PATH_BYTES;
        if kept > MOST_KEPT_BYTES { Err(InvalidArchive::TooMuchText(MOST_KEPT_BYTES)) } else { Ok(()) }
    }

    fn file_of(
        &mut self,
        path: &Path,
        byte_count: u64,
        content: &mut dyn Read,
        wanted: &BTreeSet<PathBuf>,
    ) -> Result<File, InvalidArchive> {
        let shown = path.to_string_lossy();
        let most = if wanted.contains(path) { Some(MAX_CONFIG_BYTES) } else { most_text(&shown) };
        let is_short_script = path.extension().is_some_and(|extension| extension == "py")
            && path.iter().count() <= 3
            && byte_count <= MOST_SCRIPT_BYTES;
        let mut file = File { path: path.to_owned(), byte_count, ..File::default() };
        if let Some(most) = most.or(is_short_script.then_some(MOST_SCRIPT_BYTES)) {
            let text = String::from_utf8_lossy(&read_text(content, &shown, most)?).into_owned();
            self.text_bytes += text.len();
            file.text = Some(text);
        } else if path.iter().any(|folder| folder == WARMUP) {
            file.string_count = count_strings(content)?;
        }
        Ok(file)
    }

    /// Files that are a configuration by a link alone, and whose texts were not kept.
    pub(super) fn linked_texts(&self) -> BTreeSet<PathBuf> {
        let top = Path::new("");
        let folders = self.tree.children(top).map(|(name, _)| Path::new(name).join("config.pbtxt"));
        let configs = folders.chain([PathBuf::from("config.pbtxt")]);
        let files = configs.filter_map(|path| match self.tree.resolve(&path) {
            Ok((_, Node::File(file))) if file.text.is_none() => Some(file.path.clone()),
            _ => None,
        });
        files.collect()
    }

    /// What is at a path.
    pub(super) fn find(&self, path: &str) -> Found<'_> {
        match self.tree.resolve(Path::new(path)) {
            Ok((_, Node::File(file))) => Found::File(file),
            Ok((_, Node::Folder)) => Found::Folder,
            Ok((_, Node::Link(_) | Node::Other)) | Err(Unresolved::Missing) => Found::Nothing,
            Err(Unresolved::Link(broken)) => Found::Broken(broken),
        }
    }

    /// Whether there is a file or a folder of this path.
    pub(super) fn has(&self, path: &str) -> bool {
        matches!(self.find(path), Found::File(_) | Found::Folder)
    }

    pub(super) fn has_folder(&self, path: &str) -> bool {
        matches!(self.find(path), Found::Folder)
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        match self.find(path) {
            Found::File(file) => file.text.as_deref(),
            _ => None,
        }
    }

    /// Paths and texts of the lists of weights in a folder.
    pub(super) fn weight_lists(&self, folder: &str) -> Vec<(String, &str)> {
        let names = self.names_in(folder, |node| matches!(node, Node::File(_)));
        let lists = names.into_iter().filter(|name| PlacedWeights::is_file_name(name));
        lists.filter_map(|name| Some((format!("{folder}/{name}"), self.text(&format!("{folder}/{name}"))?))).collect()
    }

    /// Names of the folders in a folder, and of links to some; the top is empty.
    pub(super) fn folders_in(&self, folder: &str) -> Vec<&str> {
        let mut names = self.names_in(folder, |node| matches!(node, Node::Folder | Node::Link(_)));
        names.retain(|name| self.has_folder(&format!("{folder}/{name}")));
        names
    }

    /// Names of the folders at the top; the server does not follow links there.
    pub(super) fn folders_at_top(&self) -> Vec<&str> {
        self.names_in("", |node| matches!(node, Node::Folder))
    }

    /// A link at the top.
    pub(super) fn link_at_top(&self) -> Option<&str> {
        self.names_in("", |node| matches!(node, Node::Link(_))).first().copied()
    }

    fn names_in(&self, folder: &str, is_wanted: impl Fn(&Node<Rc<File>>) -> bool) -> Vec<&str> {
        let Ok((folder, Node::Folder)) = self.tree.resolve(Path::new(folder)) else { return Vec::new() };
        let inner = self.tree.children(&folder).filter(|(_, node)| is_wanted(node));
        inner.filter_map(|(name, _)| name.to_str()).collect()
    }

    /// The path of a folder, its links followed.
    pub(super) fn real_path(&self, folder: &str) -> Option<PathBuf> {
        self.tree.resolve(Path::new(folder)).ok().map(|(path, _)| path)
    }

    /// How many links there are, and the first of them with its target.
    pub(super) fn links(&self) -> (usize, Option<&(PathBuf, PathBuf)>) {
        (self.link_count, self.first_link.as_ref())
    }

    /// The symbolic links that lead nowhere.
    pub(super) fn broken_links(&self) -> Vec<BrokenLink> {
        let broken = self.tree.links().filter_map(|(path, target)| match self.tree.resolve(path) {
            Err(Unresolved::Link(found)) => {
                Some(BrokenLink { link: path.to_owned(), target: target.to_owned(), reason: found.reason })
            }
            _ => None,
        });
        broken.collect()
    }
}

/// Most bytes of a file that is looked into: a configuration in the folder of a model, or a list of weights in that of
/// a version.
fn most_text(path: &str) -> Option<u64> {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let depth = if folders.is_empty() { 0 } else { 1 + folders.matches('/').count() };
    match name {
        "config.pbtxt" if depth <= 1 => Some(MAX_CONFIG_BYTES),
        name if depth <= 2 && PlacedWeights::is_file_name(name) => Some(MOST_LIST_BYTES),
        _ => None,
    }
}

/// How many strings a file is, each after its length in four bytes; none where it is none.
fn count_strings(content: impl Read) -> Result<Option<u64>, InvalidArchive> {
    let mut content = BufReader::new(content);
    let mut count = 0;
    loop {
        let mut length = Vec::new();
        content.by_ref().take(4).read_to_end(&mut length)?;
        let Ok(length) = <[u8; 4]>::try_from(length.as_slice()) else {
            return Ok(length.is_empty().then_some(count));
        };
        let length = u64::from(u32::from_le_bytes(length));
        if copy(&mut content.by_ref().take(length), &mut sink())? != length {
            return Ok(None);
        }
        count += 1;
    }
}
