//! How a block of an archive is deflated (RFC 1951): by the frequency of its bytes alone, or with repeats where a sample
//! of it shows that there are some.

mod huffman;
mod literals;

use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, TDEFLStatus, compress, create_comp_flags_from_zip_params,
};

const LEVEL: i32 = 1;
/// Raw deflate, no zlib header.
const WINDOW_BITS: i32 = -15;
/// The sample of a block: the number of pieces, which are evenly spread, and the bytes of each.
const SAMPLES: usize = 4;
const SAMPLE_BYTE_COUNT: usize = 4 << 10;
/// Repeats pay when they make the sample smaller by more than one part in this number.
const WORTHWHILE: usize = 200;

/// A compressor, with the memory that it uses again for every block.
pub(crate) struct Compressor {
    repeats: CompressorOxide,
    sample: Vec<u8>,
    scratch: Vec<u8>,
}

impl Compressor {
    pub(crate) fn new() -> Self {
        let repeats = CompressorOxide::new(create_comp_flags_from_zip_params(LEVEL, WINDOW_BITS, 0));
        Self { repeats, sample: Vec::new(), scratch: Vec::new() }
    }

    /// Deflates `input` into `output`, whose content is lost, and ends on a byte; the next block may follow. None when
    /// the compressor refuses, which it has no reason to.
    pub(crate) fn deflate(&mut self, input: &[u8], output: &mut Vec<u8>) -> Option<()> {
        if self.has_repeats(input)? {
            return with_repeats(&mut self.repeats, input, output);
        }
        grow(output, literals::bound(input.len()));
        let size = literals::deflate(input, output);
        output.truncate(size);
        Some(())
    }

    /// Whether looking for repeats makes a sample of `input` smaller.
    fn has_repeats(&mut self, input: &[u8]) -> Option<bool> {
        self.sample.clear();
        if input.len() <= SAMPLES * SAMPLE_BYTE_COUNT {
            self.sample.extend_from_slice(input);
        } else {
            for part in input.chunks(input.len().div_ceil(SAMPLES)) {
                self.sample.extend_from_slice(&part[..part.len().min(SAMPLE_BYTE_COUNT)]);
            }
        }
        grow(&mut self.scratch, literals::bound(self.sample.len()));
        let plain = literals::deflate(&self.sample, &mut self.scratch);
        with_repeats(&mut self.repeats, &self.sample, &mut self.scratch)?;
        Some(self.scratch.len() + plain / WORTHWHILE < plain)
    }
}

/// Makes `buffer` at least so long; what is in it counts for nothing, and is not cleared.
fn grow(buffer: &mut Vec<u8>, byte_count: usize) {
    if buffer.len() < byte_count {
        buffer.resize(byte_count, 0);
    }
}

/// Deflates `input` and flushes, so that the next block starts on a byte with an empty window.
fn with_repeats(compressor: &mut CompressorOxide, input: &[u8], output: &mut Vec<u8>) -> Option<()> {
    compressor.reset();
    grow(output, input.len() + 4096);
    let (mut read, mut written) = (0, 0);
    loop {
        let (status, taken, made) = compress(compressor, &input[read..], &mut output[written..], TDEFLFlush::Full);
        (read, written) = (read + taken, written + made);
        if status != TDEFLStatus::Okay {
            return None;
        }
        if read == input.len() && written < output.len() {
            output.truncate(written);
            return Some(());
        }
        output.resize(output.len() + output.len() / 2, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::DeflateDecoder;
    use std::io::Read;

    const BLOCK: usize = 1 << 20;

    /// Values as weights have them: of four bytes three are noise, and the last is one of a few.
    fn weights(byte_count: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let noise = (state >> 33).to_le_bytes();
            [noise[0], noise[1], noise[2], 0x3c | (noise[3] & 3)]
        };
        std::iter::repeat_with(next).flatten().take(byte_count).collect()
    }

    fn text(byte_count: usize) -> Vec<u8> {
        (0..).flat_map(|number: u32| format!("layer.{number}.weight ").into_bytes()).take(byte_count).collect()
    }

    #[test]
    fn repeats_are_looked_for_where_a_sample_has_some() {
        let mut compressor = Compressor::new();
        let with_text_at_the_end = [weights(3 * BLOCK / 4), text(BLOCK / 4)].concat();
        for (input, repeats) in [(weights(BLOCK), false), (text(BLOCK), true), (with_text_at_the_end, true)] {
            assert_eq!(compressor.has_repeats(&input), Some(repeats));
        }
        assert_eq!(compressor.has_repeats(b""), Some(false));
        assert_eq!(compressor.has_repeats(&text(1000)), Some(true), "what is shorter than a sample is all looked at");
    }

    #[test]
    fn blocks_of_all_kinds_inflate_again_one_after_another() {
        let (mut compressor, mut output) = (Compressor::new(), Vec::new());
        let (mut deflated, mut expected) = (Vec::new(), Vec::new());
        let inputs = [weights(BLOCK), text(BLOCK), weights(5), text(70_000), Vec::new(), weights(BLOCK - 1)];
        for (input, largest) in inputs.iter().zip([94, 25, 300, 25, 0, 94]) {
            compressor.deflate(input, &mut output).unwrap();
            assert!(output.len() <= input.len() * largest / 100 + 5, "{} of {}", output.len(), input.len());
            deflated.extend_from_slice(&output);
            expected.extend_from_slice(input);
        }
        deflated.extend([0x03, 0x00]);
        let mut inflated = Vec::new();
        DeflateDecoder::new(deflated.as_slice()).read_to_end(&mut inflated).unwrap();
        assert!(inflated == expected);
    }
}
