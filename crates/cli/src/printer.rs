//! The only place that writes to standard output and standard error.

use crate::failure::Failure;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use std::io::Write;
use std::time::Duration;

/// Writes results to standard output. A reader that has gone away is no error.
pub(crate) fn stdout(text: &str) {
    drop(std::io::stdout().write_all(text.as_bytes()));
}

/// Writes a line to standard error.
pub(crate) fn stderr_line(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// Writes an error, its causes and the next step.
pub(crate) fn error(error: &anyhow::Error) {
    let mut text = format!("error: {error}");
    let mut said = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !said.contains(&cause) {
            text = format!("{text}\n  because: {cause}");
        }
        said = cause;
    }
    if let Some(hint) = Failure::of(error).hint(error) {
        text = format!("{text}\n  hint: {hint}");
    }
    stderr_line(&text);
}

/// A table without lines; columns whose heading starts with `>` are right-aligned.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().map(|heading| heading.trim_start_matches('>').to_owned()));
    for row in rows {
        table.add_row(row.iter().zip(headings).map(|(text, heading)| {
            let alignment = if heading.starts_with('>') { CellAlignment::Right } else { CellAlignment::Left };
            Cell::new(text).set_alignment(alignment)
        }));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
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
