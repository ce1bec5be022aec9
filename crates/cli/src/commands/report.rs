//! `report`: writes the page and the tables again.

use crate::args::ReportArguments;
use crate::commands::context::CommandContext;
use crate::failure::BadUsage;
use anyhow::Result;
use planforge_core::{MAX_DOCUMENT_BYTE_COUNT, read_text};
use planforge_report::{Report, write_report};
use std::path::Path;

/// Reads report.json and writes everything that is derived from it into its folder.
pub(super) fn report(context: &CommandContext, arguments: &ReportArguments) -> Result<()> {
    let path = &arguments.report;
    let text = read_text(path, MAX_DOCUMENT_BYTE_COUNT)?;
    let report: Report = serde_json::from_str(&text)
        .map_err(|error| BadUsage(format!("`{}` is not a report of this version: {error}", path.display())))?;
    let files = write_report(&report, path.parent().unwrap_or(Path::new("")))?;
    let lines: String = files.iter().map(|file| format!("{}\n", file.display())).collect();
    context.show(&files, &lines)
}
