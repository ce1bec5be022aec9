//! `unpublish`: deletes what was published.

use crate::args::UnpublishArguments;
use crate::commands::context::CommandContext;
use crate::commands::run::expand;
use crate::printer::format_bytes;
use crate::table::table;
use anyhow::Result;
use planforge_pipeline::unpublish_pipeline;

/// Empties the store of each pipeline's own objects.
pub(super) fn unpublish(context: &CommandContext, arguments: &UnpublishArguments) -> Result<()> {
    for path in expand(&arguments.pipelines)? {
        let options = &context.settings.pipeline;
        let unpublished = unpublish_pipeline(options, &path, arguments.dry_run, context.runtime.handle())?;
        let rows = unpublished.objects.iter().map(|object| vec![format_bytes(object.byte_count), object.url.clone()]);
        let text = match unpublished.objects.len() {
            0 => format!("nothing of {} is published\n", unpublished.pipeline),
            _ => table(&[">size", "object"], &rows.collect::<Vec<_>>()),
        };
        context.show(&unpublished, &text)?;
        if !arguments.dry_run {
            context.terminal.say(&format!("{} objects deleted", unpublished.objects.len()));
        }
    }
    Ok(())
}
