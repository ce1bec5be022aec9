//! The elements of a tensor, wherever they are in its file.

use super::StoredTensor;
use crate::Result;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

impl StoredTensor {
    /// The elements in row-major order, out of the file at `path`. Of those that do not follow each other, the part of the file
    /// that they are in is read into memory.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn open(&self, path: &Path) -> Result<Elements> {
        let mut file = fs_err::File::open(path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let (Some(strides), Some(width)) = (&self.strides, self.data_type.byte_count()) else {
            return Ok(Elements::InFile(file));
        };
        let last: usize = self.shape.iter().zip(strides).map(|(&size, &stride)| size.saturating_sub(1) * stride).sum();
        let mut bytes = vec![0; (last + 1) * width as usize];
        file.read_exact(&mut bytes)?;
        Ok(Elements::Gathered(Gathered::new(bytes, &self.shape, strides, width as usize)))
    }

    /// Whether another tensor has the same shape, type and elements.
    ///
    /// # Errors
    /// I/O errors.
    pub(super) fn equals(&self, path: &Path, other: &Self, other_path: &Path) -> Result<bool> {
        if (&self.shape, self.data_type) != (&other.shape, other.data_type) {
            return Ok(false);
        }
        let (mut one, mut two) = (self.open(path)?, other.open(other_path)?);
        let mut left = self.byte_count;
        let (mut ones, mut twos) = (vec![0; PIECE], vec![0; PIECE]);
        while left > 0 {
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
            one.read_exact(&mut ones[..count])?;
            two.read_exact(&mut twos[..count])?;
            if ones[..count] != twos[..count] {
                return Ok(false);
            }
            left -= count as u64;
        }
        Ok(true)
    }
}

/// Bytes that are compared at a time.
const PIECE: usize = 1 << 20;

/// The elements of a tensor in row-major order.
pub(crate) enum Elements {
    /// They follow each other from the place of the file.
    InFile(fs_err::File),
    /// They are gathered.
    Gathered(Gathered),
}

impl Elements {
    /// Fills `buffer` with the next elements, a whole number of them.
    ///
    /// # Errors
    /// I/O errors, and fewer elements than asked for.
    pub(crate) fn read_exact(&mut self, buffer: &mut [u8]) -> std::io::Result<()> {
        match self {
            Self::InFile(file) => file.read_exact(buffer),
            Self::Gathered(gathered) => gathered.read_exact(buffer),
        }
    }
}

/// Elements that are gathered while they are read, so that repeated ones take no memory.
pub(crate) struct Gathered {
    bytes: Vec<u8>,
    shape: Vec<usize>,
    strides: Vec<usize>,
    width: usize,
    /// Index of the next element in each dimension.
    index: Vec<usize>,
    /// Elements that are left.
    left: usize,
}

impl Gathered {
    /// The elements of `width` bytes of a tensor whose first is the first of `bytes`.
    fn new(bytes: Vec<u8>, shape: &[usize], strides: &[usize], width: usize) -> Self {
        let (index, left) = (vec![0; shape.len()], shape.iter().product());
        Self { bytes, shape: shape.to_vec(), strides: strides.to_vec(), width, index, left }
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> std::io::Result<()> {
        for element in buffer.chunks_exact_mut(self.width) {
            self.left = self.left.checked_sub(1).ok_or(ErrorKind::UnexpectedEof)?;
            let place: usize = self.index.iter().zip(&self.strides).map(|(&at, &stride)| at * stride).sum();
            element.copy_from_slice(&self.bytes[place * self.width..(place + 1) * self.width]);
            self.advance();
        }
        Ok(())
    }

    fn advance(&mut self) {
        for (at, &size) in self.index.iter_mut().zip(&self.shape).rev() {
            *at += 1;
            if *at < size {
                return;
            }
            *at = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_gathered_by_their_strides() {
        let gather = |shape: &[usize], strides: &[usize]| {
            let mut read = vec![0; 2 * shape.iter().product::<usize>()];
            let mut gathered = Gathered::new((0..12).collect(), shape, strides, 2);
            gathered.read_exact(&mut read).unwrap();
            assert!(gathered.read_exact(&mut [0; 2]).is_err());
            read
        };
        assert_eq!(gather(&[3, 2], &[1, 3]), [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]);
        assert_eq!(gather(&[2, 2], &[0, 1]), [0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(gather(&[2], &[4]), [0, 1, 8, 9]);
        assert_eq!(gather(&[], &[]), [0, 1]);
    }
}
