//! Text in HTML: escaping, paragraphs and tables.

use std::fmt::Write as _;

/// Text that may stand in elements and quoted attributes. Characters that HTML does not allow become
/// the replacement character.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(character),
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A cell of a table: its text and how to set it.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    /// Words.
    Text(String),
    /// Right-aligned figures.
    Number(String),
    /// Names and digests, in a fixed-width face.
    Code(String),
    /// A word of status, marked good or bad.
    Mark(String, bool),
}

/// A table; `head` gives the column titles, which are numbers' where the first row has a number.
pub(super) fn table(head: &[&str], rows: &[Vec<Cell>]) -> String {
    let mut html = String::from("<div class=\"scroll\"><table>\n<thead><tr>");
    for (index, title) in head.iter().enumerate() {
        let is_number = rows.first().is_some_and(|row| matches!(row.get(index), Some(Cell::Number(_))));
        let class = if is_number { " class=\"number\"" } else { "" };
        push(&mut html, format_args!("<th scope=\"col\"{class}>{}</th>", escape(title)));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        html.push_str("<tr>");
        for cell in row {
            html.push_str(&cell_html(cell));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n");
    html
}

fn cell_html(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => format!("<td>{}</td>", escape(text)),
        Cell::Number(text) => format!("<td class=\"number\">{}</td>", escape(text)),
        Cell::Code(text) => format!("<td><code>{}</code></td>", escape(text)),
        Cell::Mark(text, is_good) => {
            let class = if *is_good { "good" } else { "bad" };
            format!("<td><span class=\"{class}\">{}</span></td>", escape(text))
        }
    }
}

/// A section with its title.
pub(super) fn section(title: &str, body: &str) -> String {
    format!("<section>\n<h2>{}</h2>\n{body}</section>\n", escape(title))
}

/// A list of sentences.
pub(super) fn list(items: &[String]) -> String {
    let items: String = items.iter().map(|item| format!("<li>{}</li>\n", prose(item))).collect();
    format!("<ul>\n{items}</ul>\n")
}

/// A sentence in which literals stand in backticks.
fn prose(text: &str) -> String {
    let parts: Vec<_> = text.split('`').map(escape).collect();
    if parts.len().is_multiple_of(2) {
        return escape(text);
    }
    let part = |(index, part): (usize, &String)| match index % 2 {
        0 => part.clone(),
        _ => format!("<code>{part}</code>"),
    };
    parts.iter().enumerate().map(part).collect()
}

/// A paragraph of plain text.
pub(super) fn paragraph(class: &str, text: &str) -> String {
    format!("<p class=\"{class}\">{}</p>\n", escape(text))
}

/// Details that open on demand.
pub(super) fn details(summary: &str, body: &str) -> String {
    format!("<details>\n<summary>{}</summary>\n{body}</details>\n", escape(summary))
}

/// Appends formatted text.
pub(super) fn push(html: &mut String, text: std::fmt::Arguments<'_>) {
    html.write_fmt(text).expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backticks_in_pairs_mark_literals() {
        assert_eq!(prose("GPU `<t4>` is"), "GPU <code>&lt;t4&gt;</code> is");
        assert_eq!(prose("a ` b"), "a ` b");
    }

    #[test]
    fn markup_becomes_text() {
        assert_eq!(escape("<a href='x'>\"&\u{1}"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;\u{fffd}");
        assert!(table(&["<b>"], &[vec![Cell::Code("</td>".to_owned())]]).contains("<code>&lt;/td&gt;</code>"));
    }
}
