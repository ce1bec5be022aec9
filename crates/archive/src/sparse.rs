//! Sparse files in the forms that GNU tar writes into pax headers (GNU tar manual, "Storing Sparse Files": formats 0.0, 0.1
//! and 1.0). Its older form, with an entry type of its own, is read by the `tar` crate.

use crate::InvalidArchive;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use tar::{Entry, EntryType};

/// Most pieces of data between holes; their list takes 16 MiB.
const MOST_PIECES: usize = 1 << 20;
/// A list of pieces that comes before the data is padded to this.
const BLOCK_BYTES: u64 = 512;
/// Most digits of a number.
const MOST_DIGITS: usize = 20;

/// The pax records of a sparse file, before its content is looked at.
#[derive(Debug, Default)]
pub(crate) struct SparseRecords {
    /// Its name, where that in the header is made up.
    pub(crate) name: Option<PathBuf>,
    /// Its size with holes.
    pub(crate) byte_count: u64,
    form: Form,
}

#[derive(Debug)]
enum Form {
    /// The pieces are in the records: formats 0.0 and 0.1.
    Records(Vec<u64>),
    /// They are at the beginning of the content: format 1.0.
    Content,
}

impl Default for Form {
    fn default() -> Self {
        Self::Records(Vec::new())
    }
}

impl SparseRecords {
    /// The records of an entry, if it is a sparse file in one of these forms.
    pub(crate) fn of(entry: &mut Entry<'_, impl Read>) -> Result<Option<Self>, InvalidArchive> {
        let is_file = matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Continuous);
        let Some(extensions) = entry.pax_extensions()?.filter(|_| is_file) else { return Ok(None) };
        let (mut records, mut is_sparse) = (Self::default(), false);
        for extension in extensions {
            let extension = extension?;
            let Some(key) = extension.key_bytes().strip_prefix(b"GNU.sparse.") else { continue };
            is_sparse = true;
            records.read(key, extension.value_bytes()).ok_or(InvalidArchive::SparseFile)?;
        }
        Ok(is_sparse.then_some(records))
    }

    fn read(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match (key, &mut self.form) {
            (b"name", _) => self.name = Some(OsString::from_vec(value.to_vec()).into()),
            (b"size" | b"realsize", _) => self.byte_count = number(value)?,
            (b"major", _) => match value {
                b"0" => {}
                b"1" => self.form = Form::Content,
                _ => return None,
            },
            (b"minor", _) if value != b"0" && value != b"1" => return None,
            (b"offset" | b"numbytes", Form::Records(numbers)) => {
                // Each place comes before its length.
                let is_place = key == b"offset";
                (numbers.len().is_multiple_of(2) == is_place)
                    .then(|| number(value))
                    .flatten()
                    .map(|n| numbers.push(n))?;
            }
            (b"map", Form::Records(numbers)) => {
                let items = value.split(|byte| *byte == b',');
                *numbers = items.map(number).collect::<Option<_>>()?;
            }
            _ => {}
        }
        Some(())
    }

    /// The file with its holes filled. `stored` is the number of bytes of `content`.
    pub(crate) fn open<R: Read>(self, mut content: R, stored: u64) -> Result<SparseFile<R>, InvalidArchive> {
        let (numbers, list_bytes) = match self.form {
            Form::Records(numbers) => (numbers, 0),
            Form::Content => read_list(&mut content)?,
        };
        let pieces = pieces(&numbers, self.byte_count).ok_or(InvalidArchive::SparseFile)?;
        let data: u64 = pieces.iter().map(|piece| piece.byte_count).sum();
        if stored.checked_sub(list_bytes) != Some(data) {
            return Err(InvalidArchive::SparseFile);
        }
        Ok(SparseFile { content, pieces: pieces.into_iter(), place: 0, hole: 0, data: 0, byte_count: self.byte_count }
            .with_next())
    }
}

/// Data between two holes.
#[derive(Debug)]
struct Piece {
    place: u64,
    byte_count: u64,
}

/// Places and lengths as pieces that follow each other within the file; none where they do not.
fn pieces(numbers: &[u64], byte_count: u64) -> Option<Vec<Piece>> {
    let mut end = 0;
    let mut pieces = Vec::new();
    for pair in numbers.chunks(2) {
        let [place, length] = *pair else { return None };
        let next = place.checked_add(length).filter(|next| place >= end && *next <= byte_count)?;
        end = next;
        pieces.push(Piece { place, byte_count: length });
    }
    (pieces.len() <= MOST_PIECES).then_some(pieces)
}

/// The numbers at the beginning of the content, a line each: how many pieces, then place and length of each. Also the bytes
/// that they take with their padding.
fn read_list(content: &mut impl Read) -> Result<(Vec<u64>, u64), InvalidArchive> {
    let mut list = Blocks { content, block: Vec::new(), next: 0, byte_count: 0 };
    let count = usize::try_from(list.number()?).ok().filter(|count| *count <= MOST_PIECES);
    let count = count.ok_or(InvalidArchive::SparseFile)?;
    let numbers = (0..2 * count).map(|_| list.number()).collect::<Result<_, _>>()?;
    Ok((numbers, list.byte_count))
}

/// Content that is read in whole blocks.
struct Blocks<'a, R> {
    content: &'a mut R,
    block: Vec<u8>,
    next: usize,
    byte_count: u64,
}

impl<R: Read> Blocks<'_, R> {
    fn number(&mut self) -> Result<u64, InvalidArchive> {
        let mut digits = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return number(&digits).ok_or(InvalidArchive::SparseFile),
                digit if digits.len() < MOST_DIGITS => digits.push(digit),
                _ => return Err(InvalidArchive::SparseFile),
            }
        }
    }

    fn byte(&mut self) -> Result<u8, InvalidArchive> {
        if self.next == self.block.len() {
            self.block.clear();
            self.next = 0;
            self.content.by_ref().take(BLOCK_BYTES).read_to_end(&mut self.block)?;
            if self.block.len() as u64 != BLOCK_BYTES {
                return Err(InvalidArchive::SparseFile);
            }
            self.byte_count += BLOCK_BYTES;
        }
        self.next += 1;
        Ok(self.block[self.next - 1])
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let is_plain = digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_plain)?.parse().ok()
}

/// A sparse file, its holes filled with zeros.
#[derive(Debug)]
pub(crate) struct SparseFile<R> {
    content: R,
    pieces: std::vec::IntoIter<Piece>,
    /// Where the next byte is.
    place: u64,
    /// Zeros that come next.
    hole: u64,
    /// Data that comes after them.
    data: u64,
    byte_count: u64,
}

impl<R> SparseFile<R> {
    /// With the next piece, or the hole at the end.
    fn with_next(mut self) -> Self {
        self.go_on();
        self
    }

    fn go_on(&mut self) {
        while self.hole == 0 && self.data == 0 && self.place < self.byte_count {
            match self.pieces.next() {
                Some(piece) => {
                    (self.hole, self.data) = (piece.place - self.place, piece.byte_count);
                    self.place = piece.place + piece.byte_count;
                }
                None => {
                    self.hole = self.byte_count - self.place;
                    self.place = self.byte_count;
                }
            }
        }
    }
}

impl<R: Read> Read for SparseFile<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = if self.hole > 0 {
            let count = most(self.hole);
            buffer[..count].fill(0);
            self.hole -= count as u64;
            count
        } else {
            let count = most(self.data);
            let count = self.content.read(&mut buffer[..count])?;
            if count == 0 && self.data > 0 && !buffer.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.data -= count as u64;
            count
        };
        self.go_on();
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
