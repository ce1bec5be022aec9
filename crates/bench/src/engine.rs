//! Latency and throughput of an engine that runs in a loop, on any runtime.

use serde::Serialize;
use std::sync::Barrier;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

/// Durations of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunTimes {
    /// From inputs in the host's memory to outputs in the host's memory, by the host's clock.
    pub host: Duration,
    /// Of that, the call that starts the kernels.
    pub enqueue: Duration,
    /// Inputs to the GPU, by the GPU's clock, as the others below.
    pub upload: Duration,
    /// The kernels.
    pub compute: Duration,
    /// Outputs from the GPU.
    pub download: Duration,
}

/// How long to warm up and to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BenchTimes {
    /// Runs before that, which do not count.
    pub warm_up: Duration,
    /// Runs that count start within this time.
    pub measured: Duration,
}

/// Milliseconds of many runs. A percentile is the smallest value that this share of the runs does not exceed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct LatencyFigures {
    /// Fastest.
    pub min_ms: f64,
    /// Mean.
    pub mean_ms: f64,
    /// Half of the runs.
    pub median_ms: f64,
    /// 90 % of the runs.
    pub p90_ms: f64,
    /// 95 % of the runs.
    pub p95_ms: f64,
    /// 99 % of the runs.
    pub p99_ms: f64,
    /// Slowest.
    pub max_ms: f64,
}

/// Latency and throughput of an engine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EngineFigures {
    /// Runs that count.
    pub runs: usize,
    /// Time from the start of the first to the end of the last, in seconds.
    pub seconds: f64,
    /// Runs in a second.
    pub runs_per_second: f64,
    /// From host to host.
    pub host: LatencyFigures,
    /// The call that starts the kernels.
    pub enqueue: LatencyFigures,
    /// Inputs to the GPU.
    pub upload: LatencyFigures,
    /// The kernels.
    pub compute: LatencyFigures,
    /// Outputs from the GPU.
    pub download: LatencyFigures,
}

impl LatencyFigures {
    /// Figures of `durations`; all zero when there are none.
    #[must_use]
    pub fn of(durations: impl IntoIterator<Item = Duration>) -> Self {
        let mut sorted: Vec<Duration> = durations.into_iter().collect();
        sorted.sort_unstable();
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
        let percentile = |per_cent: usize| {
            let rank = (sorted.len() * per_cent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied().map_or(0.0, milliseconds)
        };
        let sum: f64 = sorted.iter().copied().map(milliseconds).sum();
        Self {
            min_ms: sorted.first().copied().map_or(0.0, milliseconds),
            mean_ms: sum / sorted.len().max(1) as f64,
            median_ms: percentile(50),
            p90_ms: percentile(90),
            p95_ms: percentile(95),
            p99_ms: percentile(99),
            max_ms: sorted.last().copied().map_or(0.0, milliseconds),
        }
    }
}

impl EngineFigures {
    /// Figures of `runs` that took `elapsed` together.
    #[must_use]
    pub fn of(runs: &[RunTimes], elapsed: Duration) -> Self {
        let figures = |part: fn(&RunTimes) -> Duration| LatencyFigures::of(runs.iter().map(part));
        let seconds = elapsed.as_secs_f64();
        Self {
            runs: runs.len(),
            seconds,
            runs_per_second: if seconds > 0.0 { runs.len() as f64 / seconds } else { 0.0 },
            host: figures(|run| run.host),
            enqueue: figures(|run| run.enqueue),
            upload: figures(|run| run.upload),
            compute: figures(|run| run.compute),
            download: figures(|run| run.download),
        }
    }
}

/// Calls each of `streams` in a loop, each in its own thread, all at the same time. Each runs at least once to warm up and
/// at least once measured; `is_cancelled` ends the loop early.
///
/// # Errors
/// The error of the first failed stream, after all have ended.
pub fn measure_engine<E: Send>(
    streams: Vec<impl FnMut() -> Result<RunTimes, E> + Send>,
    times: BenchTimes,
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<EngineFigures, E> {
    let barrier = Barrier::new(streams.len());
    let results: Vec<Result<Counted, E>> = std::thread::scope(|scope| {
        let barrier = &barrier;
        let threads: Vec<ScopedJoinHandle<'_, _>> = streams
            .into_iter()
            .map(|stream| scope.spawn(move || measure_stream(stream, times, barrier, is_cancelled)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let counted = results.into_iter().collect::<Result<Vec<_>, E>>()?;
    let start = counted.iter().map(|counted| counted.start).min();
    let end = counted.iter().map(|counted| counted.end).max();
    let elapsed = start.zip(end).map_or(Duration::ZERO, |(start, end)| end - start);
    let runs: Vec<RunTimes> = counted.into_iter().flat_map(|counted| counted.runs).collect();
    Ok(EngineFigures::of(&runs, elapsed))
}

/// The runs of a stream that count.
struct Counted {
    start: Instant,
    end: Instant,
    runs: Vec<RunTimes>,
}

fn measure_stream<E>(
    mut stream: impl FnMut() -> Result<RunTimes, E>,
    times: BenchTimes,
    barrier: &Barrier,
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Counted, E> {
    let mut repeat = |duration: Duration| {
        let start = Instant::now();
        let mut runs = vec![stream()?];
        while start.elapsed() < duration && !is_cancelled() {
            runs.push(stream()?);
        }
        Ok(Counted { start, end: Instant::now(), runs })
    };
    let warm = repeat(times.warm_up);
    // A stream that failed arrives here too, so that no other waits for it.
    barrier.wait();
    warm?;
    repeat(times.measured)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn milliseconds(values: &[u64]) -> LatencyFigures {
        LatencyFigures::of(values.iter().map(|&value| Duration::from_millis(value)))
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let shuffled: Vec<u64> = (1..=100).map(|value| value * 37 % 101).collect();
        let figures = milliseconds(&shuffled);
        let found = [figures.min_ms, figures.median_ms, figures.p90_ms, figures.p95_ms, figures.p99_ms, figures.max_ms];
        assert_eq!(found, [1.0, 50.0, 90.0, 95.0, 99.0, 100.0]);
        assert!((figures.mean_ms - 50.5).abs() < 1e-9);
        let few = milliseconds(&[4, 2, 9]);
        assert_eq!([few.min_ms, few.median_ms, few.p90_ms, few.p99_ms], [2.0, 4.0, 9.0, 9.0]);
        let one = milliseconds(&[7]);
        assert_eq!([one.min_ms, one.mean_ms, one.median_ms, one.p99_ms, one.max_ms], [7.0; 5]);
        assert_eq!(milliseconds(&[]), LatencyFigures::default());
    }

    #[test]
    fn throughput_counts_all_runs_over_the_time_they_took_together() {
        let run = RunTimes { host: Duration::from_millis(4), compute: Duration::from_millis(3), ..RunTimes::default() };
        let figures = EngineFigures::of(&[run; 10], Duration::from_millis(20));
        assert_eq!((figures.runs, figures.runs_per_second.round()), (10, 500.0));
        assert_eq!((figures.host.median_ms, figures.compute.median_ms, figures.upload.max_ms), (4.0, 3.0, 0.0));
        assert_eq!(EngineFigures::of(&[], Duration::ZERO).runs_per_second, 0.0);
    }

    #[test]
    fn runs_before_the_measurement_do_not_count() {
        let calls = AtomicUsize::new(0);
        let stream = || {
            let number = calls.fetch_add(1, Ordering::Relaxed);
            Ok::<_, String>(RunTimes { host: Duration::from_millis(number as u64), ..RunTimes::default() })
        };
        let none = BenchTimes { warm_up: Duration::ZERO, measured: Duration::ZERO };
        let figures = measure_engine(vec![stream], none, &|| false).unwrap();
        assert_eq!((figures.runs, figures.host.min_ms), (1, 1.0));
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_stream_that_fails_before_or_while_it_counts_ends_the_measurement() {
        for failing in [0, 1] {
            let streams = (0..3).map(|stream| {
                let mut calls = 0;
                move || {
                    calls += 1;
                    if stream == 1 && calls > failing { Err("broken") } else { Ok(RunTimes::default()) }
                }
            });
            let none = BenchTimes { warm_up: Duration::ZERO, measured: Duration::ZERO };
            assert_eq!(measure_engine(streams.collect(), none, &|| false), Err("broken"));
        }
    }

    #[test]
    fn cancellation_ends_the_measurement_early() {
        let long = BenchTimes { warm_up: Duration::from_secs(3600), measured: Duration::from_secs(3600) };
        let figures = measure_engine(vec![|| Ok::<_, ()>(RunTimes::default())], long, &|| true).unwrap();
        assert_eq!(figures.runs, 1);
    }
}
