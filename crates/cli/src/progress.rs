//! Progress on the terminal: bars where there is one, plain lines otherwise.

use crate::printer::{duration, format_bytes};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use planforge_core::{Event, EventKind, Outcome, Progress, Step};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Plain lines tell of unfinished work this often.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Where events go.
pub(crate) struct Terminal {
    bars: Option<MultiProgress>,
    quiet: bool,
    cancelled: AtomicBool,
    active: Mutex<HashMap<StepKey, Active>>,
}

/// The work that an event reports on.
#[derive(PartialEq, Eq, Hash)]
struct StepKey {
    step: Step,
    subject: String,
}

struct Active {
    bar: Option<ProgressBar>,
    total: Option<u64>,
    unit: &'static str,
    printed: Instant,
    /// When the first report came, and of how much: an earlier run may have done that.
    first: Option<(Instant, u64)>,
}

impl Terminal {
    /// Bars on a terminal, lines elsewhere, nothing when `quiet`.
    pub(crate) fn new(quiet: bool) -> Arc<Self> {
        let on_terminal = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let bars = (on_terminal && !quiet).then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Arc::new(Self { bars, quiet, cancelled: AtomicBool::new(false), active: Mutex::default() })
    }

    /// From now on [`Progress::is_cancelled`] returns true.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// A line for people.
    pub(crate) fn say(&self, line: &str) {
        if self.quiet {
            return;
        }
        let line = &crate::printer::visible(line);
        match &self.bars {
            // Drawing errors mean that the terminal is gone.
            Some(bars) if crate::printer::stderr_has_colors() => drop(bars.println(line)),
            Some(bars) => drop(bars.println(anstream::adapter::strip_str(line).to_string())),
            None => crate::printer::stderr_line(line),
        }
    }

    /// Takes all bars away.
    pub(crate) fn clear(&self) {
        if let Some(bars) = &self.bars {
            drop(bars.clear());
        }
    }

    fn start(&self, key: StepKey, total: Option<u64>, unit: &'static str) {
        let Ok(mut active) = self.active.lock() else { return };
        let bar = self.bars.as_ref().map(|bars| {
            let bar =
                active.get(&key).and_then(|old| old.bar.clone()).unwrap_or_else(|| bars.add(ProgressBar::no_length()));
            bar.set_style(style(total, unit));
            bar.set_prefix(format!("{:<8} {}", key.step.name(), key.subject));
            bar.enable_steady_tick(Duration::from_millis(120));
            if let Some(total) = total {
                bar.set_length(total);
            }
            bar
        });
        active.insert(key, Active { bar, total, unit, printed: Instant::now(), first: None });
    }

    fn advance(&self, key: &StepKey, done: u64) {
        let Ok(mut active) = self.active.lock() else { return };
        let Some(entry) = active.get_mut(key) else { return };
        let &mut (began, before) = entry.first.get_or_insert_with(|| (Instant::now(), done));
        if let Some(bar) = &entry.bar {
            bar.set_position(done);
        } else if entry.printed.elapsed() > PLAIN_INTERVAL {
            entry.printed = Instant::now();
            let amount = |count: u64| if entry.unit == "bytes" { format_bytes(count) } else { count.to_string() };
            let total = entry.total.map_or_else(String::new, |total| format!(" of {}", amount(total)));
            let unit = if entry.unit == "bytes" { "" } else { entry.unit };
            let pace = match entry.total {
                Some(total) if entry.unit == "bytes" => {
                    pace(done.saturating_sub(before), total.saturating_sub(done), began.elapsed())
                }
                _ => String::new(),
            };
            let line = format!("  {:<8} {}: {}{total} {unit}", key.step.name(), key.subject, amount(done));
            let line = format!("{}{pace}", line.trim_end());
            drop(active);
            self.say(&line);
        }
    }

    fn finish(&self, key: &StepKey, outcome: Outcome, elapsed: Duration) {
        let entry = self.active.lock().ok().and_then(|mut active| active.remove(key));
        if let Some(bar) = entry.and_then(|entry| entry.bar) {
            bar.finish_and_clear();
        }
        let outcome = match outcome {
            Outcome::Built => "done",
            Outcome::Cached => "cached",
        };
        let blanks = " ".repeat(7_usize.saturating_sub(outcome.len()));
        let outcome = crate::table::painted(outcome);
        self.say(&format!("  {:<8} {:<28} {outcome}{blanks} {}", key.step.name(), key.subject, duration(elapsed)));
    }
}

/// What `-v` prints of each step.
fn log(event: &Event) {
    let (step, subject) = (event.step.name(), event.subject.as_str());
    match &event.kind {
        EventKind::Started { total, unit } => tracing::info!(step, subject, total, unit, "started"),
        EventKind::Finished { outcome, elapsed } => tracing::info!(step, subject, ?outcome, ?elapsed, "finished"),
        EventKind::Advanced { .. } | EventKind::Note(_) => {}
    }
}

/// Speed and time left, from the bytes done, the bytes left and the time it took.
fn pace(byte_count: u64, left: u64, elapsed: Duration) -> String {
    let speed = byte_count as f64 / elapsed.as_secs_f64().max(1e-3);
    if speed < 1.0 {
        return String::new();
    }
    let seconds = (left as f64 / speed).ceil() as u64;
    let left = if seconds < 120 { format!("{seconds} s") } else { duration(Duration::from_secs(seconds)) };
    format!(" ({}/s, {left} left)", format_bytes(speed as u64))
}

fn style(total: Option<u64>, unit: &str) -> ProgressStyle {
    let template = match (total, unit) {
        (Some(_), "bytes") => "  {prefix:<38} {bar:24} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        (Some(_), _) => "  {prefix:<38} {bar:24} {pos}/{len}",
        (None, "bytes") => "  {prefix:<38} {spinner} {bytes} {elapsed}",
        (None, _) => "  {prefix:<38} {spinner} {elapsed}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Terminal {
    fn send(&self, event: Event) {
        log(&event);
        let key = StepKey { step: event.step, subject: event.subject };
        match event.kind {
            EventKind::Started { total, unit } => self.start(key, total, unit),
            EventKind::Advanced { done } => self.advance(&key, done),
            EventKind::Finished { outcome, elapsed } => self.finish(&key, outcome, elapsed),
            EventKind::Note(text) if key.subject.is_empty() => self.say(&format!("  {:<8} {text}", key.step.name())),
            EventKind::Note(text) => self.say(&format!("  {:<8} {}: {text}", key.step.name(), key.subject)),
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_and_time_left_are_of_this_run() {
        assert_eq!(pace(20 << 20, 100 << 20, Duration::from_secs(10)), " (2.0 MiB/s, 50 s left)");
        assert_eq!(pace(0, 100, Duration::from_secs(10)), "");
    }
}
