//! The frame of the page: head, title, summary, sections in order.

use super::engines::{engines, plan};
use super::environment::environment;
use super::files::{artifacts, packages};
use super::measurements::{capacity, load};
use super::model::model;
use super::summary::summary;
use super::text::sentences;
use crate::record::Report;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// The whole page as HTML.
pub(crate) fn page(report: &Report) -> String {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (report.pipeline) " · planforge report" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    header {
                        h1 { (report.pipeline) }
                        p.origin { (origin(report)) }
                        (summary(report))
                    }
                    (sections(report))
                }
            }
        }
    };
    without_control_characters(&markup.into_string())
}

fn sections(report: &Report) -> Markup {
    html! {
        (capacity(report.capacity.as_ref()))
        (load(report.load.as_ref()))
        (model(report))
        (engines(&report.engines))
        (plan(&report.plan))
        (packages(&report.archives))
        (sentences("Skipped", &report.skipped))
        (artifacts(&report.artifacts))
        (environment(report))
        (sentences("Notes", &report.notes))
    }
}

/// Task and source in one line.
fn origin(report: &Report) -> Markup {
    html! {
        (report.task)
        @if let Some(source) = &report.source {
            " · " (source.repo) " · "
            code { (source.commit.chars().take(12).collect::<String>()) }
        }
    }
}

/// Control characters, which HTML does not allow, become the replacement character.
fn without_control_characters(html: &str) -> String {
    let is_allowed = |character: char| !character.is_control() || matches!(character, '\n' | '\t');
    html.chars().map(|character| if is_allowed(character) { character } else { char::REPLACEMENT_CHARACTER }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Served;
    use crate::sample;
    use planforge_core::Task;

    /// Elements that have no end tag.
    const VOID: [&str; 2] = ["meta", "!DOCTYPE"];

    /// Every start tag, in order; fails when tags do not nest.
    fn start_tags(html: &str) -> Vec<&str> {
        let (mut open, mut tags, mut rest) = (Vec::new(), Vec::new(), html);
        while let Some(start) = rest.find('<') {
            let tag = &rest[start + 1..start + rest[start..].find('>').unwrap()];
            rest = &rest[start + tag.len() + 2..];
            let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap();
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name), "before {:?}", rest.get(..80));
            } else {
                tags.push(tag);
                if !tag.ends_with('/') && !VOID.contains(&name) {
                    open.push(name);
                }
            }
        }
        assert!(open.is_empty(), "{open:?} left open");
        tags
    }

    #[test]
    fn tags_nest_and_nothing_is_fetched() {
        let html = page(&sample::full());
        let tags = start_tags(&html);
        assert_eq!(tags.iter().filter(|tag| tag.starts_with("svg")).count(), 3);
        assert_eq!(tags.iter().filter(|tag| tag.starts_with("desc ")).count(), 3);
        for tag in tags {
            let name = tag.split(' ').next().unwrap();
            assert!(!["script", "link", "img", "iframe", "object", "base", "image", "use"].contains(&name), "<{tag}>");
            let is_foreign =
                |attribute: &str| ["src=", "href=", "style=", "on"].iter().any(|start| attribute.starts_with(start));
            assert!(!tag.split(' ').any(|attribute| attribute.contains('=') && is_foreign(attribute)), "<{tag}>");
        }
        assert!(!html.contains("url(") && !html.contains("@import") && !html.contains("://"));
    }

    #[test]
    fn hostile_names_stay_text() {
        let hostile = "<script>alert('x')</script>\" onload=\"y";
        let mut report = sample::full();
        report.pipeline = hostile.to_owned();
        report.skipped = vec![hostile.to_owned()];
        report.notes = vec![hostile.to_owned()];
        report.served = Some(Served { variant: hostile.to_owned(), by: hostile.to_owned() });
        report.source.as_mut().unwrap().repo = hostile.to_owned();
        report.source.as_mut().unwrap().card.as_mut().unwrap().license = Some(hostile.to_owned());
        report.models[0].architecture = hostile.to_owned();
        report.checks[0].subject = hostile.to_owned();
        report.engines[0].gpus = vec![hostile.to_owned()];
        report.artifacts[0].path = hostile.to_owned();
        report.environment.cpu_model = Some(hostile.to_owned());
        report.capacity.as_mut().unwrap().steps[0].target_model = hostile.to_owned();
        report.load.as_mut().unwrap().failures[0].0 = hostile.to_owned();
        let html = page(&report);
        assert!(start_tags(&html).iter().all(|tag| !tag.starts_with("script") && !tag.contains("onload")));
        assert!(html.matches("&lt;script&gt;").count() >= 12);
    }

    #[test]
    fn control_characters_are_replaced() {
        assert!(page(&Report::new("a\u{1}b", Task::FeatureExtraction)).contains("<h1>a\u{fffd}b</h1>"));
    }

    #[test]
    fn an_empty_report_says_what_is_missing() {
        let html = page(&Report::new("m", Task::FeatureExtraction));
        let tags = start_tags(&html);
        assert!(!tags.iter().any(|tag| tag.starts_with("svg")));
        assert!(html.contains("no memory probe ran") && html.contains("no load test ran"));
    }

    #[test]
    fn without_successes_there_is_no_latency_chart() {
        let mut report = sample::full();
        for point in &mut report.load.as_mut().unwrap().seconds {
            point.latency = None;
        }
        let html = page(&report);
        assert!(html.contains("No chart of latency: no request succeeded."));
        assert!(!html.contains("latency-title"));
    }
}
