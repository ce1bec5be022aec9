//! Tables and their cells.

use maud::{Markup, Render, html};

/// A cell of a table: its text and how to set it.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    /// Words.
    Text(String),
    /// Right-aligned figures.
    Number(String),
    /// Names and digests, in a fixed-width face.
    Code(String),
    /// The outcome of a check, coloured good or bad.
    Verdict {
        /// Word of the outcome.
        text: String,
        /// Whether the check held.
        is_good: bool,
    },
}

impl Cell {
    /// An optional figure; a dash where it is missing.
    pub(super) fn optional_number(text: Option<String>) -> Self {
        Self::Number(text.unwrap_or_else(|| "–".to_owned()))
    }
}

impl Render for Cell {
    fn render(&self) -> Markup {
        match self {
            Self::Text(text) => html! { td { (text) } },
            Self::Number(text) => html! { td.number { (text) } },
            Self::Code(text) => html! { td { code { (text) } } },
            Self::Verdict { text, is_good } => {
                html! { td { span class=(if *is_good { "good" } else { "bad" }) { (text) } } }
            }
        }
    }
}

/// A table with one title for each column; columns of numbers, as in the first row, are right-aligned.
pub(super) fn table(titles: &[&str], rows: &[Vec<Cell>]) -> Markup {
    let is_number = |column: usize| rows.first().is_some_and(|row| matches!(row.get(column), Some(Cell::Number(_))));
    html! {
        div.scroll {
            table {
                thead {
                    tr {
                        @for (column, title) in titles.iter().enumerate() {
                            th scope="col" class=[is_number(column).then_some("number")] { (title) }
                        }
                    }
                }
                tbody {
                    @for row in rows {
                        tr { @for cell in row { (cell) } }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_cell_becomes_text() {
        let html = table(&["<b>"], &[vec![Cell::Code("</td>\"&".to_owned())]]).into_string();
        assert!(html.contains(">&lt;b&gt;</th>") && html.contains("<code>&lt;/td&gt;&quot;&amp;</code>"), "{html}");
    }
}
