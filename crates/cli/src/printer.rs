//! The only place that writes to standard output and standard error.

use crate::failure::hint;
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use anyhow::Result;
use planforge_core::mask_secrets;
use std::io::{self, Write};
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

/// Writes results to standard output, without colours where it has none.
///
/// # Errors
/// See [`written`].
pub(crate) fn stdout(text: &str) -> Result<()> {
    write_stdout(&visible(text))
}

/// Writes a result to standard output as a line of JSON.
///
/// # Errors
/// See [`written`].
pub(crate) fn json(value: &impl serde::Serialize) -> Result<()> {
    write_stdout(&(mask_secrets(&serde_json::to_string(value)?).into_owned() + "\n"))
}

fn write_stdout(text: &str) -> Result<()> {
    let mut stdout = anstream::stdout();
    written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// What became of writing to standard output. A closed pipe is not an error: its reader has seen enough.
///
/// # Errors
/// Output that was not written, for example to a full disk.
pub(crate) fn written(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let error = io::Error::new(error.kind(), format!("failed to write to standard output: {error}"));
            Err(planforge_core::Error::from(error).into())
        }
        _ => Ok(()),
    }
}

/// Writes a line to standard error, without colours where it has none.
pub(crate) fn stderr_line(text: &str) {
    // Without standard error there is nowhere to report that.
    drop(writeln!(anstream::stderr(), "{}", visible(text)));
}

/// Standard error for the log, where no secret is shown.
pub(crate) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(mask_secrets(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Text for a terminal: secrets are masked, and characters that control a terminal or turn the order of others around are
/// escaped, but for line ends, tabs and the styles of this module.
pub(crate) fn visible(text: &str) -> String {
    let text = mask_secrets(text);
    if !text.contains(is_control) {
        return text.into_owned();
    }
    let styles = [GOOD, BAD, NOTABLE, QUIET];
    let styles = styles.map(|style| [style.render().to_string(), style.render_reset().to_string()]).concat();
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(character) = rest.chars().next() {
        let style = styles.iter().find(|style| character == '\u{1b}' && rest.starts_with(style.as_str()));
        if let Some(style) = style {
            shown += style;
            rest = &rest[style.len()..];
            continue;
        }
        if is_control(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
        rest = &rest[character.len_utf8()..];
    }
    shown
}

/// Control characters but line ends and tabs, and those of Unicode that set the direction or separate lines (Unicode Standard
/// Annex 9, 2).
fn is_control(character: char) -> bool {
    let is_bidirectional = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    is_bidirectional || character.is_control() && !matches!(character, '\n' | '\t')
}

/// A name that others gave, on one line.
pub(crate) fn one_line(name: &str) -> String {
    name.replace('\n', "\\n").replace('\t', "\\t")
}

/// Most characters of an error or of one of its causes.
const MAX_MESSAGE_CHARS: usize = 10_000;

/// The message of an error: names in backquotes are on one line, and long texts are cut.
fn message(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let parts = text.split('`').enumerate();
    let parts: Vec<_> =
        parts.map(|(index, part)| if index % 2 == 1 { one_line(part) } else { part.to_owned() }).collect();
    let text = parts.join("`");
    match text.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((end, _)) => format!("{} … ({} more bytes)", &text[..end], text.len() - end),
        None => text,
    }
}

/// Writes an error, its causes and the next step.
pub(crate) fn error(error: &anyhow::Error) {
    let mut previous = message(error.as_ref());
    let mut text = format!("{BAD}error:{BAD:#} {previous}");
    for cause in error.chain().skip(1) {
        let cause = message(cause);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_styles_reach_the_terminal() {
        let own = format!("{BAD}error:{BAD:#} `a\tb`\n");
        assert_eq!(visible(&own), own);
        assert_eq!(visible("a\u{1b}[8mb\u{7}\r\u{9b}2J"), "a\\u{1b}[8mb\\u{7}\\r\\u{9b}2J");
        assert_eq!(visible("\u{202e}gpj.exe"), "\\u{202e}gpj.exe");
        assert_eq!(visible("\u{1b}]0;title\u{7} http://u:p@h"), "\\u{1b}]0;title\\u{7} http://***@h");
        assert_eq!(visible("größe 日本"), "größe 日本");
    }

    #[test]
    fn messages_are_bounded_and_names_in_them_are_on_one_line() {
        let error = io::Error::other("unknown name `a\nhint: b`\n  line 2");
        assert_eq!(message(&error), "unknown name `a\\nhint: b`\n  line 2");
        let long = message(&io::Error::other("ä".repeat(20_000)));
        assert!(long.ends_with("ä … (20000 more bytes)"), "{}", long.len());
    }

    #[test]
    fn only_a_closed_pipe_is_no_error() {
        assert!(written(Err(io::ErrorKind::BrokenPipe.into())).is_ok());
        let error = written(Err(io::ErrorKind::StorageFull.into())).unwrap_err();
        assert!(error.to_string().starts_with("failed to write to standard output: "), "{error}");
        assert_eq!(crate::failure::kind(&error), planforge_core::ErrorKind::Environment);
    }
}
