//! Sections, and sentences with literals in backticks.

use maud::{Markup, html};

/// A section with its title.
pub(super) fn section(title: &str, body: &Markup) -> Markup {
    html! { section { h2 { (title) } (body) } }
}

/// A section that lists sentences; nothing without any.
pub(super) fn sentences(title: &str, sentences: &[String]) -> Markup {
    let list = html! { ul { @for sentence in sentences { li { (prose(sentence)) } } } };
    html! { @if !sentences.is_empty() { (section(title, &list)) } }
}

/// A sentence in which literals stand in backticks; plain text where backticks do not pair.
fn prose(text: &str) -> Markup {
    let parts: Vec<_> = text.split('`').collect();
    let is_paired = !parts.len().is_multiple_of(2);
    html! {
        @if is_paired {
            @for (index, part) in parts.iter().enumerate() {
                @if index % 2 == 0 { (part) } @else { code { (part) } }
            }
        } @else { (text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backticks_in_pairs_mark_literals() {
        assert_eq!(prose("GPU `<t4>` is").into_string(), "GPU <code>&lt;t4&gt;</code> is");
        assert_eq!(prose("a ` b").into_string(), "a ` b");
    }
}
