//! Arguments of `bench-engine`.

use clap::{Args, ValueEnum};
use planforge_runtime::KernelSpecialization;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

/// `bench-engine`.
#[derive(Debug, Args)]
pub(crate) struct BenchEngineArguments {
    /// The engine file.
    #[arg(value_name = "ENGINE")]
    pub(crate) engine: PathBuf,
    /// Batch of all inputs whose first dimension is dynamic [default: the one that the engine was optimised for].
    #[arg(long, value_name = "N")]
    pub(crate) batch: Option<NonZeroU32>,
    /// Whole shape of an input, such as input_ids=8x128; may be given for several.
    #[arg(long = "shape", value_name = "NAME=SIZES", value_parser = parse_shape)]
    pub(crate) shapes: Vec<(String, Vec<i64>)>,
    /// Number of the GPU, in the CUDA driver's order.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) gpu: usize,
    /// Time that is measured, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = parse_seconds)]
    pub(crate) seconds: Duration,
    /// Runs before that, in seconds.
    #[arg(long, value_name = "SECONDS", alias = "warmup", default_value = "0.5", value_parser = parse_seconds)]
    pub(crate) warm_up: Duration,
    /// Runs at the same time, each with memory of its own; they share the weights.
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) streams: NonZeroUsize,
    /// Record the kernels as a CUDA graph.
    #[arg(long)]
    pub(crate) cuda_graph: bool,
    /// When kernels are compiled for the very shapes.
    #[arg(long, value_enum, default_value = "eager")]
    pub(crate) specialization: Specialization,
}

/// When kernels are compiled for the very shapes that an engine is run with.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Specialization {
    /// Beside the first runs, as a server does.
    Lazy,
    /// Before the first run.
    Eager,
    /// Never.
    None,
}

impl From<Specialization> for KernelSpecialization {
    fn from(specialization: Specialization) -> Self {
        match specialization {
            Specialization::Lazy => Self::Lazy,
            Specialization::Eager => Self::Eager,
            Specialization::None => Self::None,
        }
    }
}

/// `input_ids=8x128`.
fn parse_shape(text: &str) -> Result<(String, Vec<i64>), String> {
    let wrong = || format!("`{text}` is no shape: use one such as input_ids=8x128");
    let (name, sizes) = text.rsplit_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
    let sizes = sizes.split('x').map(|size| size.parse().ok().filter(|&size: &i64| size > 0));
    Ok((name.to_owned(), sizes.collect::<Option<_>>().ok_or_else(wrong)?))
}

/// Seconds, whole or with a fraction, up to a day.
fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.parse().ok().filter(|seconds| (0.0..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| format!("`{text}` is no number of seconds from 0 to 86400"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_and_seconds_are_read() {
        assert_eq!(parse_shape("input_ids=8x128"), Ok(("input_ids".to_owned(), vec![8, 128])));
        assert_eq!(parse_shape("a=b=3"), Ok(("a=b".to_owned(), vec![3])));
        for wrong in ["x", "=3", "x=", "x=0x3", "x=-1", "x=3x"] {
            assert!(parse_shape(wrong).unwrap_err().contains("use one such as"), "{wrong}");
        }
        assert_eq!(parse_seconds("0.25"), Ok(Duration::from_millis(250)));
        for wrong in ["", "-1", "NaN", "inf", "1e9"] {
            assert!(parse_seconds(wrong).is_err(), "{wrong}");
        }
    }
}
