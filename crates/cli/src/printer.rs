//! The only place that writes to standard output and standard error.

use crate::failure::hint;
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// A good state.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// A bad state, and an error.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// A warning, and the next step after an error.
pub(crate) const NOTABLE: Style = AnsiColor::Yellow.on_default();
/// A state that needs no attention.
pub(crate) const QUIET: Style = Style::new().dimmed();

/// Sets whether output has colours; with `Auto` it has them on a terminal, unless `NO_COLOR` is set.
pub(crate) fn set_colors(choice: clap::ColorChoice) {
    match choice {
        clap::ColorChoice::Auto => ColorChoice::Auto,
        clap::ColorChoice::Always => ColorChoice::Always,
        clap::ColorChoice::Never => ColorChoice::Never,
    }
    .write_global();
}

/// Whether standard error has colours.
pub(crate) fn stderr_has_colors() -> bool {
    AutoStream::choice(&std::io::stderr()) != ColorChoice::Never
}

/// Writes results to standard output, without colours where it has none. A closed pipe is not an error.
pub(crate) fn stdout(text: &str) {
    drop(anstream::stdout().write_all(text.as_bytes()));
}

/// Writes a line to standard error, without colours where it has none.
pub(crate) fn stderr_line(text: &str) {
    drop(writeln!(anstream::stderr(), "{text}"));
}

/// Writes an error, its causes and the next step.
pub(crate) fn error(error: &anyhow::Error) {
    let mut text = format!("{BAD}error:{BAD:#} {error}");
    let mut previous = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !previous.contains(&cause) {
            text = format!("{text}\n  because: {cause}");
        }
        previous = cause;
    }
    if let Some(hint) = hint(error) {
        text = format!("{text}\n  {NOTABLE}hint:{NOTABLE:#} {hint}");
    }
    stderr_line(&text);
}

/// `21.7 MiB`.
pub(crate) fn format_bytes(count: u64) -> String {
    bytesize::ByteSize(count).display().iec().to_string()
}

/// `1.24 s`, `13 ms`, `2 min 05 s`.
pub(crate) fn duration(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    if seconds >= 120.0 {
        format!("{} min {:02} s", elapsed.as_secs() / 60, elapsed.as_secs() % 60)
    } else if seconds >= 1.0 {
        format!("{seconds:.2} s")
    } else {
        format!("{:.0} ms", seconds * 1000.0)
    }
}

/// A path as short as it goes: relative to the current folder, or to the home folder as `~`.
pub(crate) fn short_path(path: &Path) -> String {
    let below = |folder: Option<&Path>| folder.and_then(|folder| path.strip_prefix(folder).ok());
    let home = std::env::home_dir().filter(|home| home.parent().is_some());
    match (below(std::env::current_dir().ok().as_deref()), below(home.as_deref())) {
        (Some(relative), _) if !relative.as_os_str().is_empty() => relative.display().to_string(),
        (None, Some(relative)) => Path::new("~").join(relative).display().to_string(),
        _ => path.display().to_string(),
    }
}
