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
    /// Batch size of all inputs whose first dimension is dynamic [default: the one that the engine was optimized for].
    #[arg(long, value_name = "N")]
    pub(crate) batch: Option<NonZeroU32>,
    /// Full shape of an input, such as input_ids=8x128; may be given several times.
    #[arg(long = "shape", value_name = "NAME=SIZES", value_parser = parse_shape)]
    pub(crate) shapes: Vec<(String, Vec<i64>)>,
    /// Index of the GPU, in the CUDA driver's order.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) gpu: usize,
    /// Duration of the measurement, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = parse_seconds)]
    pub(crate) seconds: Duration,
    /// Duration of the warm-up before it, in seconds.
    #[arg(long, value_name = "SECONDS", alias = "warmup", default_value = "0.5", value_parser = parse_seconds)]
    pub(crate) warm_up: Duration,
    /// Number of concurrent runs. Each has its own memory; they share the weights.
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) streams: NonZeroUsize,
    /// Record the kernels as a CUDA graph and replay it.
    #[arg(long)]
    pub(crate) cuda_graph: bool,
    /// When kernels are compiled for the exact shapes.
    #[arg(long, value_enum, default_value = "eager")]
    pub(crate) specialization: Specialization,
}

/// When kernels are compiled for the exact shapes that an engine runs with.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Specialization {
    /// During the first runs, as a server does.
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
    let wrong = || format!("invalid shape `{text}`; expected e.g. input_ids=8x128");
    let (name, sizes) = text.rsplit_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
    let sizes = sizes.split('x').map(|size| size.parse().ok().filter(|&size: &i64| size > 0));
    Ok((name.to_owned(), sizes.collect::<Option<_>>().ok_or_else(wrong)?))
}

/// Seconds, whole or with a fraction, up to a day.
fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.parse().ok().filter(|seconds| (0.0..=86_400.0).contains(seconds));
    seconds
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("invalid number of seconds `{text}`; expected 0 to 86400"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_and_seconds_are_read() {
        assert_eq!(parse_shape("input_ids=8x128"), Ok(("input_ids".to_owned(), vec![8, 128])));
        assert_eq!(parse_shape("a=b=3"), Ok(("a=b".to_owned(), vec![3])));
        for wrong in ["x", "=3", "x=", "x=0x3", "x=-1", "x=3x"] {
            assert!(parse_shape(wrong).unwrap_err().contains("expected e.g."), "{wrong}");
        }
        assert_eq!(parse_seconds("0.25"), Ok(Duration::from_millis(250)));
        for wrong in ["", "-1", "NaN", "inf", "1e9"] {
            assert!(parse_seconds(wrong).is_err(), "{wrong}");
        }
    }
}
