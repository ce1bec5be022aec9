//! Tables for the terminal: columns without lines that fit 80 columns, and states in colour.
//!
//! Only the last column is wrapped, between words: a path, URL or digest stays in one piece, so that it can be copied.

use crate::printer::{BAD, GOOD, QUIET, one_line};
use anstyle::Style;

/// Width that tables fit.
const WIDTH: usize = 80;
/// Least width of the last column.
const LEAST_LAST: usize = 16;
/// Blanks between columns.
const GAP: usize = 2;

/// A table; columns whose heading starts with `>` are right-aligned. Words such as `ok` and `DIFFERS` have a colour in the
/// columns `state` and `result`.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let one_line = |row: &Vec<String>| row.iter().map(|cell| one_line(cell)).collect::<Vec<_>>();
    let rows: &[Vec<String>] = &rows.iter().map(one_line).collect::<Vec<_>>();
    let titles: Vec<String> = headings.iter().map(|heading| heading.trim_start_matches('>').to_owned()).collect();
    let widths: Vec<usize> = (0..titles.len())
        .map(|column| rows.iter().chain([&titles]).map(|row| width(&row[column])).max().unwrap_or(0))
        .collect();
    let columns: Vec<Column> = headings
        .iter()
        .zip(widths)
        .map(|(heading, width)| Column {
            width,
            is_right_aligned: heading.starts_with('>'),
            has_states: matches!(*heading, "state" | "result"),
        })
        .collect();
    [&titles].into_iter().chain(rows).map(|row| lines(row, &columns)).collect()
}

/// How a column is set.
struct Column {
    width: usize,
    is_right_aligned: bool,
    has_states: bool,
}

/// One row, of several lines where its last cell is wrapped.
fn lines(row: &[String], columns: &[Column]) -> String {
    let Some((last_column, columns)) = columns.split_last() else { return String::new() };
    let (cells, last) = row.split_at(columns.len());
    let mut line = String::from(" ");
    for (cell, column) in cells.iter().zip(columns) {
        line += &padded(cell, column);
        line += &" ".repeat(GAP);
    }
    let indent = 1 + columns.iter().map(|column| column.width + GAP).sum::<usize>();
    let wrapped = wrapped(&last[0], WIDTH.saturating_sub(indent).max(LEAST_LAST));
    let mut text = String::new();
    for (index, part) in wrapped.iter().enumerate() {
        let start = if index == 0 { line.clone() } else { " ".repeat(indent) };
        let cell = if wrapped.len() == 1 { padded(part, last_column) } else { part.clone() };
        text = text + (start + &cell).trim_end() + "\n";
    }
    text
}

/// A cell with blanks up to the column's width.
fn padded(cell: &str, column: &Column) -> String {
    let blanks = " ".repeat(column.width.saturating_sub(width(cell)));
    let cell = if column.has_states { painted(cell) } else { cell.to_owned() };
    if column.is_right_aligned { blanks + &cell } else { cell + &blanks }
}

/// The text on lines of at most `room` characters, but for single words that are longer.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is a first line");
        if line.is_empty() {
            *line = word.to_owned();
        } else if width(line) + 1 + width(word) <= room {
            *line += " ";
            *line += word;
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// A state in its colour; other text as it is.
pub(crate) fn painted(state: &str) -> String {
    let style = match state {
        "ok" | "built" | "done" | "same" => GOOD,
        "cached" | "none" => QUIET,
        "MISSING" | "DIFFERS" => BAD,
        _ => Style::new(),
    };
    format!("{style}{state}{style:#}")
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn the_last_column_is_wrapped_between_words_only() {
        let path = "/a/folder/with/a/long/name/".repeat(4);
        let detail = format!("version 1.7.1.116 of the library in {path}");
        let text = plain(&table(&["state", ">size", "detail"], &[vec!["ok".into(), "1 MiB".into(), detail]]));
        let expected = format!(
            " state   size  detail\n ok     1 MiB  version 1.7.1.116 of the library in\n{}{path}\n",
            " ".repeat(15)
        );
        assert_eq!(text, expected);
        assert!(text.lines().filter(|line| !line.contains(&path)).all(|line| line.len() <= WIDTH));
    }

    #[test]
    fn states_have_a_colour() {
        let text = table(&["result", "name"], &[vec!["DIFFERS".into(), "same".into()]]);
        assert_eq!(text.matches("\u{1b}[31m").count(), 1, "{text:?}");
        assert_eq!(plain(&text), " result   name\n DIFFERS  same\n");
    }
}
