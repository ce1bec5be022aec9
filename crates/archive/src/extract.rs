//! Extracts an archive of unknown origin into a folder.

use crate::reader::{self, ArchiveEntry, EntryKind, UnpackLimits, read_entries};
use crate::tree::{Node, Placed, Tree, Unresolved};
use crate::{BrokenLink, BrokenLinkReason, Error, InvalidArchive, Result};
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Extracts the files of `archive` into the folder `target` and returns their bytes. Of files with the same path the last
/// counts; links lead to files of the archive. After an error the folder holds a part of them.
///
/// # Errors
/// [`Error::Invalid`] with the reason, or an I/O error of the target.
pub fn extract(archive: impl Read, target: &Path, limits: &UnpackLimits) -> Result<u64> {
    let mut target = Target { folder: target, tree: Tree::default(), limits: *limits, copied: Copied::default() };
    let byte_count = read_entries(archive, *limits, |mut entry| target.add(&mut entry))?;
    target.make_links()?;
    Ok(byte_count)
}

/// The folder that an archive is extracted to.
struct Target<'a> {
    folder: &'a Path,
    /// What is in it; symbolic links are made when everything else is there.
    tree: Tree<()>,
    limits: UnpackLimits,
    copied: Copied,
}

/// What was copied because the file system has no links. It counts towards the limits, which copies of copies would exceed.
#[derive(Default)]
struct Copied {
    byte_count: u64,
    entry_count: u64,
}

impl Target<'_> {
    fn add(&mut self, entry: &mut ArchiveEntry<'_>) -> Result<()> {
        if entry.path.as_os_str().is_empty() {
            return Ok(());
        }
        match &entry.kind {
            EntryKind::Folder => {
                let own = self.place(&entry.path, Node::Folder)?;
                fs_err::create_dir_all(self.folder.join(own.path))?;
            }
            EntryKind::File(_) => {
                let own = self.place(&entry.path, Node::File(()))?;
                copy(&mut entry.content, fs_err::File::create_new(self.folder.join(own.path))?)?;
            }
            EntryKind::Link(to) => {
                self.place(&entry.path, Node::Link(to.clone()))?;
            }
            EntryKind::HardLink(to) => {
                let (found, own) = self.tree.add_hard_link(&entry.path, to)?;
                // A link is the same link at both paths.
                let is_file = matches!(self.tree.get(&found), Some(Node::File(())));
                if found != own.path {
                    self.make_room(&own)?;
                    if is_file {
                        self.link(&found, &own.path)?;
                    }
                }
            }
            EntryKind::Other => {
                return Err(InvalidArchive::EntryType(entry.path.to_string_lossy().into_owned()).into());
            }
        }
        Ok(())
    }

    fn place(&mut self, path: &Path, node: Node<()>) -> Result<Placed<()>> {
        let placed = self.tree.add(path, node)?;
        self.make_room(&placed)?;
        Ok(placed)
    }

    /// Makes the folders that contain an entry, and removes what it replaces.
    fn make_room(&self, placed: &Placed<()>) -> Result<()> {
        if self.tree.len() as u64 > self.limits.entry_count {
            return Err(InvalidArchive::TooManyEntries(self.limits.entry_count).into());
        }
        let own = self.folder.join(&placed.path);
        match placed.replaced {
            Some(Node::File(())) => fs_err::remove_file(own)?,
            Some(Node::Folder) => fs_err::remove_dir(own)?,
            Some(Node::Link(_) | Node::Other) => {}
            None => fs_err::create_dir_all(own.parent().unwrap_or(self.folder))?,
        }
        Ok(())
    }

    fn make_links(&mut self) -> Result<()> {
        let mut copies = Vec::new();
        for (path, to) in self.tree.links() {
            match self.tree.resolve(path) {
                Ok((found, _)) if symlink(to, self.folder.join(path)).is_err() => {
                    copies.push((found, path.to_owned(), to.to_owned()));
                }
                Ok(_) | Err(Unresolved::Missing) => {}
                Err(Unresolved::Link(broken)) => return Err(InvalidArchive::SymbolicLink(broken).into()),
            }
        }
        for (found, path, to) in copies {
            // A folder in itself is a link that cannot be copied.
            if path.starts_with(&found) {
                let reason = BrokenLinkReason::Loop;
                return Err(InvalidArchive::SymbolicLink(BrokenLink { link: path, target: to, reason }).into());
            }
            self.copy_tree(found, &path)?;
        }
        Ok(())
    }

    /// Makes `path` a copy of what is at `found`, which is not a link, the links in it followed.
    fn copy_tree(&mut self, found: PathBuf, path: &Path) -> Result<()> {
        let mut waiting = vec![(found, path.to_owned())];
        while let Some((found, path)) = waiting.pop() {
            self.copied.entry_count += 1;
            if self.tree.len() as u64 + self.copied.entry_count > self.limits.entry_count {
                return Err(InvalidArchive::TooManyEntries(self.limits.entry_count).into());
            }
            if matches!(self.tree.get(&found), Some(Node::File(()))) {
                self.link(&found, &path)?;
                continue;
            }
            fs_err::create_dir_all(self.folder.join(&path))?;
            for (name, _) in self.tree.children(&found) {
                match self.tree.resolve(&found.join(name)) {
                    Ok((inner, _)) => waiting.push((inner, path.join(name))),
                    Err(Unresolved::Link(broken)) => return Err(InvalidArchive::SymbolicLink(broken).into()),
                    Err(Unresolved::Missing) => {}
                }
            }
        }
        Ok(())
    }

    /// Makes `path` another name of the file `found`, or a copy where the file system has no hard links.
    fn link(&mut self, found: &Path, path: &Path) -> Result<()> {
        let (from, to) = (self.folder.join(found), self.folder.join(path));
        if std::fs::hard_link(&from, &to).is_ok() {
            return Ok(());
        }
        self.copied.byte_count = self.copied.byte_count.saturating_add(fs_err::metadata(&from)?.len());
        if self.copied.byte_count > self.limits.byte_count {
            return Err(InvalidArchive::TooLarge(self.limits.byte_count).into());
        }
        let mut content = fs_err::File::open(&from)?;
        copy(&mut content, fs_err::File::create_new(to)?)
    }
}

/// Copies like `io::copy`, but keeps apart which side failed.
fn copy(content: &mut dyn Read, mut output: fs_err::File) -> Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = content.read(&mut buffer).map_err(reader::fault)?;
        if count == 0 {
            return Ok(());
        }
        output.write_all(&buffer[..count]).map_err(Error::Io)?;
    }
}

#[cfg(test)]
mod tests;
