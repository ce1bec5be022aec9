//! Gzip (RFC 1952) on all processors, with bytes that depend on the input alone.
//!
//! The input is cut into blocks of a fixed size. Each is deflated (RFC 1951) on its own and flushed to a
//! byte boundary, and the pieces are written in order as ONE gzip member, as `pigz` does: any reader
//! takes it, and neither the number of threads nor their timing shows in the output.
//!
//! The compressor is `miniz_oxide` at level 1, called directly. zlib-ng, ISA-L and libdeflate choose
//! code paths by processor and may give other bytes on other machines, and `flate2` would follow
//! whatever back end some other crate of the build switches on. Measured on the 91 MB fp32 weights of
//! all-MiniLM-L6-v2 (2 cores of an AMD EPYC, blocks of 1 MiB, optimised build):
//!
//! | setting          | 1 thread | 2 threads | size, fp32 | size, fp16 |
//! |------------------|----------|-----------|------------|------------|
//! | 0 (stored)       | 291 MB/s | 559 MB/s  | 100.0 %    | 100.0 %    |
//! | **1**            | 202 MB/s | 404 MB/s  | 91.7 %     | 92.2 %     |
//! | Huffman only     | 105 MB/s | 207 MB/s  | 91.6 %     | 92.1 %     |
//! | 3                | 34 MB/s  | 66 MB/s   | 91.6 %     | 92.3 %     |
//! | 6                | 28 MB/s  | 57 MB/s   | 91.5 %     | 92.3 %     |
//!
//! Weights have hardly any repeats; what can be saved is the skewed distribution of the exponent bits,
//! which level 1 finds as well as any.

use flate2::Crc;
use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, TDEFLStatus, compress, create_comp_flags_from_zip_params,
};
use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Everything about the compressor that shows in its output; part of cache keys.
pub(crate) const SETTINGS: &str = "gzip: miniz_oxide 0.9, level 1, blocks of 1 MiB";

const LEVEL: i32 = 1;
const BLOCK_BYTE_COUNT: usize = 1 << 20;
/// Raw deflate, no zlib header.
const WINDOW_BITS: i32 = -15;
/// Magic, deflate, no flags, no time, "fastest", unknown operating system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// A final deflate block without content.
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];

/// A block on its way to a compressor, with the place its result goes to.
type Job = (Vec<u8>, SyncSender<Block>);

/// A compressed block.
struct Block {
    deflated: Vec<u8>,
    crc: Crc,
}

/// Compresses what `fill` writes and writes it to `output`, on `threads` threads. At most a few blocks
/// for each thread are in memory.
///
/// # Errors
/// Of `output` and of `fill`.
pub(crate) fn gzip<W, E>(output: W, threads: usize, fill: impl FnOnce(&mut dyn Write) -> Result<(), E>) -> Result<W, E>
where
    W: Write + Send,
    E: From<io::Error>,
{
    let threads = threads.max(1);
    let (jobs, job_queue) = sync_channel::<Job>(threads);
    let (order, ordered) = sync_channel::<Receiver<Block>>(2 * threads);
    let job_queue = Mutex::new(job_queue);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| compress_blocks(&job_queue));
        }
        let writer = scope.spawn(move || write_member(output, ordered));
        let mut blocks = BlockWriter { block: Vec::with_capacity(BLOCK_BYTE_COUNT), jobs, order };
        let filled = fill(&mut blocks).and_then(|()| blocks.flush().map_err(E::from));
        drop(blocks);
        let written = writer.join().unwrap_or_else(|_| Err(io::Error::other("the gzip writer stopped")));
        // When the output fails, so does `fill`, with nothing to say about the cause.
        match (written, filled) {
            (Err(error), _) => Err(error.into()),
            (Ok(_), Err(error)) => Err(error),
            (Ok(output), Ok(())) => Ok(output),
        }
    })
}

/// Cuts the input into blocks and hands them out.
struct BlockWriter {
    block: Vec<u8>,
    jobs: SyncSender<Job>,
    order: SyncSender<Receiver<Block>>,
}

impl Write for BlockWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(BLOCK_BYTE_COUNT - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        if self.block.len() == BLOCK_BYTE_COUNT {
            self.flush()?;
        }
        Ok(count)
    }

    /// Hands out the block as it is; called at the end, so that only the last block can be short.
    fn flush(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_BYTE_COUNT));
        let (result, place) = sync_channel(1);
        let stopped = || io::Error::other("the compressor stopped");
        self.order.send(place).map_err(|_| stopped())?;
        self.jobs.send((block, result)).map_err(|_| stopped())
    }
}

fn compress_blocks(jobs: &Mutex<Receiver<Job>>) {
    let mut compressor = CompressorOxide::new(create_comp_flags_from_zip_params(LEVEL, WINDOW_BITS, 0));
    loop {
        let Ok(receiver) = jobs.lock() else { return };
        let Ok((input, result)) = receiver.recv() else { return };
        drop(receiver);
        let mut crc = Crc::new();
        crc.update(&input);
        compressor.reset();
        if let Some(deflated) = deflate(&mut compressor, &input) {
            // The writer has given up when nobody takes the result.
            let _ = result.send(Block { deflated, crc });
        }
    }
}

/// Deflates `input` and flushes, so that the next block starts on a byte with an empty window.
fn deflate(compressor: &mut CompressorOxide, input: &[u8]) -> Option<Vec<u8>> {
    let mut output = vec![0; input.len() + 4096];
    let (mut read, mut written) = (0, 0);
    loop {
        let (status, taken, made) = compress(compressor, &input[read..], &mut output[written..], TDEFLFlush::Full);
        (read, written) = (read + taken, written + made);
        if status != TDEFLStatus::Okay {
            return None;
        }
        if read == input.len() && written < output.len() {
            output.truncate(written);
            return Some(output);
        }
        output.resize(output.len() + output.len() / 2, 0);
    }
}

fn write_member<W: Write>(mut output: W, ordered: Receiver<Receiver<Block>>) -> io::Result<W> {
    output.write_all(&HEADER)?;
    let mut crc = Crc::new();
    for place in ordered {
        let block = place.recv().map_err(|_| io::Error::other("a compressor stopped"))?;
        output.write_all(&block.deflated)?;
        crc.combine(&block.crc);
    }
    output.write_all(&LAST_BLOCK)?;
    output.write_all(&crc.sum().to_le_bytes())?;
    output.write_all(&crc.amount().to_le_bytes())?;
    output.flush()?;
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use planforge_core::digest_bytes;
    use std::io::Read;

    /// Half noise, half repeats, from a fixed linear congruential generator.
    fn sample(byte_count: usize) -> Vec<u8> {
        let mut state = 1_u32;
        (0..byte_count)
            .map(|index| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if index % 2 == 0 { state.to_be_bytes()[0] } else { 0x3f }
            })
            .collect()
    }

    fn compressed(input: &[u8], threads: usize, piece: usize) -> Vec<u8> {
        gzip::<_, io::Error>(Vec::new(), threads, |writer| {
            input.chunks(piece).try_for_each(|bytes| writer.write_all(bytes))
        })
        .unwrap()
    }

    #[test]
    fn bytes_do_not_depend_on_threads_or_on_how_the_input_comes() {
        for byte_count in [0, 1, BLOCK_BYTE_COUNT, 3 * BLOCK_BYTE_COUNT + 17] {
            let input = sample(byte_count);
            let reference = compressed(&input, 1, 1 << 16);
            assert!(compressed(&input, 4, 100_003) == reference, "{byte_count} bytes");
            let mut output = Vec::new();
            GzDecoder::new(reference.as_slice()).read_to_end(&mut output).unwrap();
            assert!(output == input, "{byte_count} bytes");
        }
    }

    /// Published archives are pinned by digest, so another compressor version must not slip in: when this
    /// fails, the settings text has to change with it.
    #[test]
    fn the_compressor_is_the_same_as_ever() {
        let digest = digest_bytes(&compressed(&sample(BLOCK_BYTE_COUNT + 5), 2, 1 << 16));
        assert_eq!(digest.as_str(), "6a2a6d21dee64895a4fef4261cabd599aa769c1b7acd721693de3f0fcf08de59");
    }

    #[test]
    fn errors_of_both_ends_come_back() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::other("no space"))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let input = sample(20 * BLOCK_BYTE_COUNT);
        let output = gzip::<_, io::Error>(Full, 2, |writer| writer.write_all(&input));
        assert_eq!(output.err().unwrap().to_string(), "no space");
        let fill = gzip::<_, io::Error>(Vec::new(), 2, |_| Err(io::Error::other("no input")));
        assert_eq!(fill.unwrap_err().to_string(), "no input");
    }
}
