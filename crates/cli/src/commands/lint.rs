//! `lint`: checks archives against what a server loads.

use crate::args::LintArguments;
use crate::commands::context::CommandContext;
use crate::commands::run::expand;
use crate::failure::{BadUsage, CheckFailed};
use crate::printer::{BAD, NOTABLE};
use anyhow::Result;
use planforge_triton_config::{Finding, Severity};
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;

/// The findings of one archive.
#[derive(Debug, Serialize)]
struct Linted {
    archive: PathBuf,
    findings: Vec<Finding>,
}

/// Prints the findings of each archive; one that does not load makes it fail.
pub(super) fn lint(context: &CommandContext, arguments: &LintArguments) -> Result<()> {
    let archives = expand(&arguments.archives)?;
    if let Some(path) = archives.iter().find(|path| !path.is_file()) {
        let shown = path.display();
        let why = if path.is_dir() {
            format!("`{shown}` is a folder: name the archives in it, such as '{shown}/*.tar.gz'")
        } else if path.exists() {
            format!("`{shown}` is a pipe, socket or device; expected a file")
        } else {
            format!("archive `{shown}` does not exist")
        };
        return Err(BadUsage(why).into());
    }
    let mut linted = Vec::new();
    for archive in archives {
        let findings = planforge_triton_config::lint(&archive)?;
        linted.push(Linted { archive, findings });
    }
    context.show(&linted, &linted.iter().map(text).collect::<String>())?;
    let is_bad = |linted: &&Linted| linted.findings.iter().any(|finding| finding.severity == Severity::Error);
    match linted.iter().filter(is_bad).count() {
        0 => Ok(()),
        bad => Err(CheckFailed(format!("{bad} of {} archives would not be served", linted.len())).into()),
    }
}

fn text(linted: &Linted) -> String {
    let mut text = format!("{}: {}\n", linted.archive.display(), count(linted.findings.len()));
    for finding in &linted.findings {
        let (word, style) = match finding.severity {
            Severity::Error => ("error", BAD),
            Severity::Warning => ("warning", NOTABLE),
        };
        let _ = writeln!(text, "  {style}{word}:{style:#} {}: {}", finding.place, finding.message);
        if let Some(answer) = &finding.answer {
            let _ = writeln!(text, "    Triton's message: {answer}");
        }
    }
    text
}

fn count(findings: usize) -> String {
    match findings {
        0 => "nothing found".to_owned(),
        1 => "1 finding".to_owned(),
        several => format!("{several} findings"),
    }
}
