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
    active: Mutex<HashMap<(Step, String), Active>>,
}

struct Active {
    bar: Option<ProgressBar>,
    total: Option<u64>,
    unit: &'static str,
    told: Instant,
}

impl Terminal {
    /// Bars on a terminal, lines elsewhere, nothing when `quiet`.
    pub(crate) fn new(quiet: bool) -> Arc<Self> {
        let on_terminal = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let bars = (on_terminal && !quiet).then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Arc::new(Self { bars, quiet, cancelled: AtomicBool::new(false), active: Mutex::default() })
    }

    /// From now on [`Progress::is_cancelled`] says yes.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// A line for people.
    pub(crate) fn say(&self, line: &str) {
        if self.quiet {
            return;
        }
        match &self.bars {
            // Drawing errors mean that nobody looks at the terminal any more.
            Some(bars) => drop(bars.println(line)),
            None => crate::printer::stderr_line(line),
        }
    }

    /// Takes all bars away.
    pub(crate) fn clear(&self) {
        if let Some(bars) = &self.bars {
            drop(bars.clear());
        }
    }

    fn start(&self, key: (Step, String), total: Option<u64>, unit: &'static str) {
        let Ok(mut active) = self.active.lock() else { return };
        let bar = self.bars.as_ref().map(|bars| {
            let bar =
                active.get(&key).and_then(|old| old.bar.clone()).unwrap_or_else(|| bars.add(ProgressBar::no_length()));
            bar.set_style(style(total, unit));
            bar.set_prefix(format!("{:<8} {}", key.0.name(), key.1));
            bar.enable_steady_tick(Duration::from_millis(120));
            if let Some(total) = total {
                bar.set_length(total);
            }
            bar
        });
        active.insert(key, Active { bar, total, unit, told: Instant::now() });
    }

    fn advance(&self, key: &(Step, String), done: u64) {
        let Ok(mut active) = self.active.lock() else { return };
        let Some(entry) = active.get_mut(key) else { return };
        if let Some(bar) = &entry.bar {
            bar.set_position(done);
        } else if entry.told.elapsed() > PLAIN_INTERVAL {
            entry.told = Instant::now();
            let amount = |count: u64| if entry.unit == "bytes" { format_bytes(count) } else { count.to_string() };
            let total = entry.total.map_or_else(String::new, |total| format!(" of {}", amount(total)));
            let unit = if entry.unit == "bytes" { "" } else { entry.unit };
            let line = format!("  {:<8} {}: {}{total} {unit}", key.0.name(), key.1, amount(done));
            drop(active);
            self.say(line.trim_end());
        }
    }

    fn finish(&self, key: &(Step, String), outcome: Outcome, elapsed: Duration) {
        let entry = self.active.lock().ok().and_then(|mut active| active.remove(key));
        if let Some(bar) = entry.and_then(|entry| entry.bar) {
            bar.finish_and_clear();
        }
        let outcome = match outcome {
            Outcome::Built => "done",
            Outcome::Cached => "cached",
        };
        self.say(&format!("  {:<8} {:<28} {outcome:<7} {}", key.0.name(), key.1, duration(elapsed)));
    }
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
        let key = (event.step, event.subject);
        match event.kind {
            EventKind::Started { total, unit } => self.start(key, total, unit),
            EventKind::Advanced { done } => self.advance(&key, done),
            EventKind::Finished { outcome, elapsed } => self.finish(&key, outcome, elapsed),
            EventKind::Note(text) => self.say(&format!("  {:<8} {}: {text}", key.0.name(), key.1)),
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}
