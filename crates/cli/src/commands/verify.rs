//! `verify`: rebuilds artifacts from the lock, and compares their digests with it.

use crate::args::VerifyArguments;
use crate::commands::context::CommandContext;
use crate::commands::run::expand;
use crate::failure::CheckFailed;
use crate::settings::build_limits;
use crate::table::table;
use anyhow::Result;
use planforge_core::{Difference, Fact, ItemKind};
use planforge_pipeline::Verification;
use std::fmt::Write;

/// Verifies each pipeline; those that differ are named at the end.
pub(super) fn verify(context: &CommandContext, arguments: &VerifyArguments) -> Result<()> {
    let limits = build_limits(arguments.memory, arguments.jobs);
    let mut failed = Vec::new();
    let files = expand(&arguments.pipelines)?;
    context.check_lock_option(&files)?;
    for path in files {
        let (options, catalogue) = (&context.settings.pipeline, arguments.catalogue.as_deref());
        let runtime = context.runtime.handle().clone();
        let verification = planforge_pipeline::verify(options, &path, catalogue, limits, context.progress(), runtime)?;
        context.show(&verification, &text(&verification))?;
        failed.extend(verification.differing().map(|item| format!("\n  {}: {item}", verification.name)));
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(CheckFailed(format!("rebuild produced different bytes:{}", failed.concat())).into())
}

fn text(verification: &Verification) -> String {
    let shown = verification.items.iter().filter(|item| item.kind != ItemKind::Tool);
    let rows: Vec<_> = shown.map(row).collect();
    let mut text = table(&["what", "name", "locked", "rebuilt", "result"], &rows);
    let tools: Vec<_> =
        verification.items.iter().filter(|item| item.kind == ItemKind::Tool && item.is_drift()).collect();
    for tool in &tools {
        let _ = writeln!(text, "{tool}");
    }
    let differing = verification.differing().count();
    let lock = verification.lock.display();
    if differing > 0 && !tools.is_empty() {
        let _ = writeln!(text, "use the versions in the lock, or renew it with `planforge lock`");
    }
    let _ = match differing {
        0 => writeln!(text, "\n{}: all {} are as in {lock}", verification.name, rows.len()),
        _ => writeln!(text, "\n{}: {differing} of {} differ from {lock}", verification.name, rows.len()),
    };
    text
}

fn row(item: &Difference) -> Vec<String> {
    let digest = |fact: &Option<Fact>| match fact {
        Some(Fact::File(file)) => file.sha256.short().to_owned(),
        Some(Fact::Text(text)) => text.clone(),
        None => "absent".to_owned(),
    };
    let result = if item.is_same() { "same" } else { "DIFFERS" };
    vec![item.kind.to_string(), item.name.clone(), digest(&item.locked), digest(&item.found), result.to_owned()]
}
