//! `report`: writes the page and the tables again.

use crate::args::ReportArguments;
use crate::commands::context::CommandContext;
use crate::failure::BadUsage;
use crate::printer;
use anyhow::Result;
use planforge_report::{Report, write_report};
use std::path::Path;

/// Reads report.json and writes everything that is derived from it into its folder.
pub(super) fn report(context: &CommandContext, arguments: &ReportArguments) -> Result<()> {
    let path = &arguments.report;
    let text = fs_err::read_to_string(path)?;
    let report: Report = serde_json::from_str(&text)
        .map_err(|error| BadUsage(format!("`{}` is not a report of this version: {error}", path.display())))?;
    let files = write_report(&report, path.parent().unwrap_or(Path::new("")))?;
    if context.settings.json {
        printer::stdout(&format!("{}\n", serde_json::to_string(&files)?));
    } else {
        files.iter().for_each(|file| printer::stdout(&format!("{}\n", file.display())));
    }
    Ok(())
}
