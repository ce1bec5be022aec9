//! The sections on packages and on all files of the run.

use super::table::{Cell, table};
use super::text::section;
use crate::record::{ArchiveFacts, ArtifactRow};
use crate::units;
use maud::{Markup, html};

/// Section of the packages; nothing without any.
pub(super) fn packages(archives: &[ArchiveFacts]) -> Markup {
    let titles = ["Package", "Archive", "Unpacked", "Max batch", "Copies published", "SHA-256"];
    let row = |archive: &ArchiveFacts| {
        vec![
            Cell::Code(archive.variant.id()),
            Cell::Number(units::bytes(archive.byte_count)),
            Cell::Number(units::bytes(archive.unpacked_byte_count)),
            Cell::Number(archive.max_batch_size.to_string()),
            Cell::optional_number(archive.copies.map(|copies| copies.to_string())),
            Cell::Code(archive.sha256.short().to_owned()),
        ]
    };
    let rows: Vec<_> = archives.iter().map(row).collect();
    html! { @if !rows.is_empty() { (section("Packages", &table(&titles, &rows))) } }
}

/// Section of all files; nothing without any.
pub(super) fn artifacts(artifacts: &[ArtifactRow]) -> Markup {
    let titles = ["Step", "Subject", "File", "Size", "SHA-256", "Time", "Origin"];
    let row = |row: &ArtifactRow| {
        vec![
            Cell::Text(row.step.name().to_owned()),
            Cell::Code(row.subject.clone()),
            Cell::Code(row.path.clone()),
            Cell::Number(units::bytes(row.byte_count)),
            Cell::Code(row.sha256.short().to_owned()),
            Cell::Number(units::duration(row.elapsed)),
            Cell::Text(units::origin(row.outcome).to_owned()),
        ]
    };
    let rows: Vec<_> = artifacts.iter().map(row).collect();
    html! { @if !rows.is_empty() { (section("Files", &table(&titles, &rows))) } }
}
