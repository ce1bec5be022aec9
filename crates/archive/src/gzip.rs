//! Gzip (RFC 1952) on all processors, with bytes that depend on the input alone.
//!
//! The input is cut into blocks of a fixed size. Each is deflated (RFC 1951) on its own and flushed to a
//! byte boundary, and the pieces are written in order as ONE gzip member, as `pigz` does: any reader
//! takes it, and neither the number of threads nor their timing shows in the output.
//!
//! Weights have hardly any repeats; what can be saved is the skewed distribution of the exponent bits. So blocks are
//! deflated by the frequency of their bytes alone, unless a sample shows that repeats pay, as they do in graphs and in
//! programs; those go to `miniz_oxide` at level 1, called directly. zlib-ng, ISA-L and libdeflate choose code paths by
//! processor and may give other bytes on other machines, and `flate2` would follow the back end that some other crate of
//! the build enables. Measured on one core of an AMD EPYC, in blocks of 1 MiB, on the fp32 weights of
//! all-MiniLM-L6-v2, on weights in fp16, and on a library of programs for GPUs:
//!
//! | compressor              | MB/s, fp32 | size   | MB/s, fp16 | size   | MB/s, programs | size   |
//! |-------------------------|------------|--------|------------|--------|----------------|--------|
//! | **this**                | 740        | 91.5 % | 740        | 92.0 % | 150            | 46.8 % |
//! | `miniz_oxide` level 1   | 205        | 91.5 % | 205        | 92.0 % | 150            | 46.8 % |
//! | `miniz_oxide` Huffman   | 105        | 91.5 % | 105        | 92.0 % | 95             | 71.8 % |
//! | `zlib-rs` Huffman       | 173        | 91.5 % | 187        | 92.0 % | 167            | 71.8 % |
//! | `zlib-rs` level 2       | 59         | 91.2 % | 53         | 92.0 % | 97             | 42.3 % |
//! | libdeflate level 1      | 135        | 91.2 % | 132        | 92.0 % | 193            | 41.6 % |

use crate::deflate::Compressor;
use flate2::Crc;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

/// Everything about the compressor that shows in its output; part of cache keys.
pub const SETTINGS: &str = "gzip: blocks of 1 MiB, by frequency in pieces of 64 KiB, or miniz_oxide 0.9, level 1";

const BLOCK_BYTE_COUNT: usize = 1 << 20;
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
    let (job_queue, spare) = (Mutex::new(job_queue), Spare::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| compress_blocks(&job_queue, &spare));
        }
        let writer = scope.spawn(|| write_member(output, ordered, &spare));
        let mut blocks = BlockWriter { block: spare.inputs.take(), jobs, order, spare: &spare };
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

/// Memory of blocks that are done, for the next ones: new memory costs the kernel about as much as a block costs here.
#[derive(Default)]
struct Spare {
    inputs: Pool,
    outputs: Pool,
}

#[derive(Default)]
struct Pool(Mutex<Vec<Vec<u8>>>);

impl Pool {
    /// A buffer, with its old content.
    fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give_back(&self, buffer: Vec<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }
}

/// Cuts the input into blocks and hands them out.
struct BlockWriter<'a> {
    block: Vec<u8>,
    jobs: SyncSender<Job>,
    order: SyncSender<Receiver<Block>>,
    spare: &'a Spare,
}

impl Write for BlockWriter<'_> {
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
        let mut empty = self.spare.inputs.take();
        empty.clear();
        let block = std::mem::replace(&mut self.block, empty);
        let (result, place) = sync_channel(1);
        let stopped = || io::Error::other("the compressor stopped");
        self.order.send(place).map_err(|_| stopped())?;
        self.jobs.send((block, result)).map_err(|_| stopped())
    }
}

fn compress_blocks(jobs: &Mutex<Receiver<Job>>, spare: &Spare) {
    let mut compressor = Compressor::new();
    loop {
        let Ok(receiver) = jobs.lock() else { return };
        let Ok((input, result)) = receiver.recv() else { return };
        drop(receiver);
        let mut crc = Crc::new();
        crc.update(&input);
        let mut deflated = spare.outputs.take();
        if compressor.deflate(&input, &mut deflated).is_some() {
            // The writer has stopped when its end of the channel is closed.
            let _ = result.send(Block { deflated, crc });
        }
        spare.inputs.give_back(input);
    }
}

fn write_member<W: Write>(mut output: W, ordered: Receiver<Receiver<Block>>, spare: &Spare) -> io::Result<W> {
    output.write_all(&HEADER)?;
    let mut crc = Crc::new();
    for place in ordered {
        let block = place.recv().map_err(|_| io::Error::other("a compressor stopped"))?;
        output.write_all(&block.deflated)?;
        crc.combine(&block.crc);
        spare.outputs.give_back(block.deflated);
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
        assert_eq!(digest.as_str(), "042aab0f2a38ca2349abdae4dec1c2fc79a38694279e04885caf9f87a910b999");
        // The sample has no repeats that pay; names of weights have, so that `miniz_oxide` is asked.
        let names = (0..).flat_map(|number: u32| format!("layer.{number}.weight ").into_bytes());
        let names: Vec<u8> = names.take(BLOCK_BYTE_COUNT + 5).collect();
        let with_repeats = compressed(&names, 2, 1 << 16);
        assert!(with_repeats.len() < names.len() / 4, "{} bytes", with_repeats.len());
        assert_eq!(
            digest_bytes(&with_repeats).as_str(),
            "9eae9ed2d3c6defac4fa87e3ce046e45fc742381f9dc58d8f18e2f1bf3e86d13"
        );
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
