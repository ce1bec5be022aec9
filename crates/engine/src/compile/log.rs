//! Figures of an engine from the builder's log.

use planforge_core::BuilderFigures;
use std::time::Duration;

/// Figures of TensorRT-RTX 1.7's log. Where it has a line for each profile, the largest counts.
pub fn builder_figures(log: &str) -> BuilderFigures {
    let largest = |key: &str| log.lines().filter_map(|line| bytes_after(line, key)).max();
    let seconds = log.lines().find_map(|line| {
        let (_, rest) = line.split_once("Engine generation completed in ")?;
        rest.split_whitespace().next()?.parse::<f64>().ok()
    });
    BuilderFigures {
        weight_byte_count: largest("Total Weights Memory: "),
        activation_byte_count: largest("Total Activation Memory: "),
        scratch_byte_count: largest("Max Scratch Memory: "),
        persistent_byte_count: largest("Total Device Persistent Memory: "),
        generation_duration: seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
    }
}

/// The number of a line such as `Total Weights Memory: 51120384 bytes`.
fn bytes_after(line: &str, key: &str) -> Option<u64> {
    let (_, rest) = line.split_once(key)?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a real log, shortened.
    const LOG: &str = "\
[Info] Compiler backend is used during engine build.
[Info] Total Host Persistent Memory: 80 bytes
[Info] Total Device Persistent Memory: 0 bytes
[Info] Max Scratch Memory: 157679616 bytes
[Info] Total Activation Memory: 157679616 bytes
[Info] Total Weights Memory: 51120384 bytes
[Info] Engine generation completed in 11.0675 seconds.
[Info] [MemUsageStats] Peak memory usage of TRT CPU/GPU memory allocators: CPU 48 MiB, GPU 0 MiB
";

    #[test]
    fn figures_are_read_from_the_log() {
        let figures = builder_figures(LOG);
        assert_eq!(figures.weight_byte_count, Some(51_120_384));
        assert_eq!((figures.activation_byte_count, figures.scratch_byte_count), (Some(157_679_616), Some(157_679_616)));
        assert_eq!(figures.persistent_byte_count, Some(0));
        assert_eq!(figures.generation_duration, Some(Duration::from_secs_f64(11.0675)));
        assert_eq!(builder_figures("[Error] nothing was built"), BuilderFigures::default());
    }
}
