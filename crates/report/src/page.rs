//! The page: one file that fetches nothing, follows the reader's light or dark setting, and prints.

use super::answer::answer;
use super::html::{escape, push};
use super::model::Report;
use super::sections::sections;

const STYLE: &str = include_str!("style.css");

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let name = escape(&report.pipeline);
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{name} · planforge report</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
    );
    push(&mut html, format_args!("<header>\n<h1>{name}</h1>\n<p class=\"origin\">{}</p>\n", origin(report)));
    push(&mut html, format_args!("{}</header>\n{}", answer(report), sections(report)));
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

/// Task and source in one line.
fn origin(report: &Report) -> String {
    let task = escape(&report.task.to_string());
    match &report.source {
        Some(source) => {
            let commit: String = source.commit.chars().take(12).collect();
            format!("{task} · {} · <code>{}</code>", escape(&source.repo), escape(&commit))
        }
        None => task,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Served, sample};
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
        assert!(html.contains("No chart of latency: no request was answered with success."));
        assert!(!html.contains("latency-title"));
    }
}
