//! Deflate (RFC 1951) without looking for repeats: every byte has a code by how often it occurs nearby.
//!
//! This is all that weights can be compressed by, and several times as fast as any library does it that gives the same
//! bytes on every machine.

use super::huffman::Code;

/// Bytes that share a code: enough for its description not to count, few enough to follow the data.
const PIECE_BYTE_COUNT: usize = 1 << 16;
/// Most bytes in a stored block.
const STORED_BYTE_COUNT: usize = 0xffff;
/// Bytes, and the end of the block.
const SYMBOLS: usize = 257;
const END: usize = 256;
/// Longest code, so that four of them and the rest of a byte fit into 64 bits.
const LONGEST: usize = 14;
/// Longest code of a length.
const LONGEST_OF_LENGTHS: usize = 7;
/// The order in which the format lists the lengths of the codes of lengths.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Bytes beyond the bits that count, which are written and written over.
const SLACK: usize = 8;

/// Most bytes that `byte_count` bytes become.
pub(super) const fn bound(byte_count: usize) -> usize {
    // A piece is stored where its code does not pay: two headers. One more block and the slack come at the end.
    byte_count + 16 * byte_count.div_ceil(PIECE_BYTE_COUNT) + 16 + SLACK
}

/// Deflates `input` into `output` and ends on a byte, with an empty stored block. Returns the number of bytes.
///
/// # Panics
/// When `output` is shorter than [`bound`].
pub(super) fn deflate(input: &[u8], output: &mut [u8]) -> usize {
    let mut writer = BitWriter { output, byte_count: 0, bits: 0, bit_count: 0 };
    for piece in input.chunks(PIECE_BYTE_COUNT) {
        let counts = counts(piece);
        let code = Code::of(&counts, LONGEST);
        let description = Description::of(&code);
        if description.bit_count() + bit_count(&counts, &code) < 8 * piece.len() as u64 {
            description.write(&mut writer);
            write_coded(piece, &code, &mut writer);
        } else {
            piece.chunks(STORED_BYTE_COUNT).for_each(|stored| writer.store(stored));
        }
    }
    writer.store(&[]);
    writer.byte_count
}

/// How often each byte occurs, and the end once.
fn counts(piece: &[u8]) -> [u32; SYMBOLS] {
    // Equal neighbours would wait for each other in one table.
    let mut tables = [[0_u32; 256]; 4];
    let mut quads = piece.chunks_exact(4);
    for quad in &mut quads {
        for (table, &byte) in tables.iter_mut().zip(quad) {
            table[usize::from(byte)] += 1;
        }
    }
    for &byte in quads.remainder() {
        tables[0][usize::from(byte)] += 1;
    }
    let mut counts = [1; SYMBOLS];
    for (byte, count) in counts[..END].iter_mut().enumerate() {
        *count = tables.iter().map(|table| table[byte]).sum();
    }
    counts
}

fn bit_count(counts: &[u32; SYMBOLS], code: &Code<SYMBOLS>) -> u64 {
    counts.iter().zip(code.lengths).map(|(&count, length)| u64::from(count) * u64::from(length)).sum()
}

/// The head of a block with a code of its own.
struct Description {
    /// Lengths of the code, then those of two codes of distances, which some readers need, and no block uses.
    lengths: [u8; SYMBOLS + 2],
    code: Code<19>,
    told: usize,
}

impl Description {
    fn of(code: &Code<SYMBOLS>) -> Self {
        let mut lengths = [1; SYMBOLS + 2];
        lengths[..SYMBOLS].copy_from_slice(&code.lengths);
        let mut counts = [0; 19];
        for length in lengths {
            counts[usize::from(length)] += 1;
        }
        // A code needs two symbols.
        counts[0] = counts[0].max(1);
        let code = Code::of(&counts, LONGEST_OF_LENGTHS);
        let told = ORDER.iter().rposition(|&length| code.lengths[length] > 0).map_or(4, |last| last + 1);
        Self { lengths, code, told }
    }

    fn bit_count(&self) -> u64 {
        let of_lengths: u64 =
            self.lengths.iter().map(|&length| u64::from(self.code.lengths[usize::from(length)])).sum();
        17 + 3 * self.told as u64 + of_lengths
    }

    fn write(&self, writer: &mut BitWriter<'_>) {
        writer.put(0b100, 3);
        // Codes of literals beyond 257, of distances beyond 1, and of lengths beyond 4.
        writer.put(0, 5);
        writer.put(1, 5);
        writer.put(self.told as u64 - 4, 4);
        for length in &ORDER[..self.told] {
            writer.put(self.code.lengths[*length].into(), 3);
        }
        for length in self.lengths.map(usize::from) {
            writer.put(self.code.bits[length].into(), self.code.lengths[length].into());
        }
    }
}

fn write_coded(piece: &[u8], code: &Code<SYMBOLS>, writer: &mut BitWriter<'_>) {
    let mut table = [(0, 0); 256];
    for (entry, (&bits, &length)) in table.iter_mut().zip(code.bits.iter().zip(&code.lengths)) {
        *entry = (u64::from(bits), u32::from(length));
    }
    let mut quads = piece.chunks_exact(4);
    for quad in &mut quads {
        let [one, two, three, four] = [quad[0], quad[1], quad[2], quad[3]].map(|byte| table[usize::from(byte)]);
        // In pairs, which do not wait for each other.
        let (first, second) = (one.0 | two.0 << one.1, three.0 | four.0 << three.1);
        writer.put(first | second << (one.1 + two.1), one.1 + two.1 + three.1 + four.1);
    }
    for &byte in quads.remainder() {
        let (bits, length) = table[usize::from(byte)];
        writer.put(bits, length);
    }
    writer.put(code.bits[END].into(), code.lengths[END].into());
}

/// Writes bits, lowest first.
struct BitWriter<'a> {
    output: &'a mut [u8],
    byte_count: usize,
    /// Bits of the byte that is not full yet.
    bits: u64,
    bit_count: u32,
}

impl BitWriter<'_> {
    /// At most 56 bits.
    #[inline]
    fn put(&mut self, bits: u64, bit_count: u32) {
        self.bits |= bits << self.bit_count;
        self.bit_count += bit_count;
        self.output[self.byte_count..self.byte_count + 8].copy_from_slice(&self.bits.to_le_bytes());
        let full = self.bit_count / 8;
        self.byte_count += full as usize;
        self.bits >>= full * 8;
        self.bit_count %= 8;
    }

    /// A stored block.
    fn store(&mut self, bytes: &[u8]) {
        self.put(0, 3);
        self.put(0, (8 - self.bit_count) % 8);
        let length = bytes.len() as u64;
        self.put(length | (!length & 0xffff) << 16, 32);
        self.output[self.byte_count..self.byte_count + bytes.len()].copy_from_slice(bytes);
        self.byte_count += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::DeflateDecoder;
    use std::io::Read;

    /// Deflated, with a last block, and inflated again.
    #[track_caller]
    fn deflated_size(input: &[u8]) -> usize {
        let mut output = vec![0xaa; bound(input.len())];
        let size = deflate(input, &mut output);
        output.truncate(size);
        output.extend([0x03, 0x00]);
        let mut back = Vec::new();
        DeflateDecoder::new(output.as_slice()).read_to_end(&mut back).unwrap();
        assert!(back == input);
        size
    }

    fn noise(byte_count: usize, bits: u32) -> Vec<u8> {
        let mut state = 7_u32;
        let next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> (32 - bits)) as u8
        };
        std::iter::repeat_with(next).take(byte_count).collect()
    }

    #[test]
    fn what_is_deflated_inflates_again() {
        assert_eq!(deflated_size(b""), 5);
        for byte_count in [1, 2, 3, 4, 5, 1000, PIECE_BYTE_COUNT - 1, PIECE_BYTE_COUNT + 1, 3 * PIECE_BYTE_COUNT] {
            for bits in 1..=8 {
                deflated_size(&noise(byte_count, bits));
            }
            deflated_size(&vec![0; byte_count]);
            deflated_size(&vec![0xff; byte_count]);
        }
    }

    #[test]
    fn every_byte_and_very_uneven_ones_have_codes() {
        deflated_size(&(0..=255).collect::<Vec<u8>>());
        // Each byte twice as often as the one before: codes of greatest length.
        let uneven: Vec<u8> = (0..15_u8).flat_map(|byte| vec![byte; 1 << byte]).collect();
        assert!(deflated_size(&uneven) < uneven.len() / 3);
    }

    #[test]
    fn noise_is_stored_and_bytes_of_few_kinds_take_few_bits() {
        let size = 10 * PIECE_BYTE_COUNT;
        assert!((size..bound(size)).contains(&deflated_size(&noise(size, 8))));
        assert!(deflated_size(&noise(size, 4)) < size / 2 + size / 100);
    }
}
