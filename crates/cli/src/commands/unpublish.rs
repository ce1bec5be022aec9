//! `unpublish`: deletes what was published.

use crate::args::UnpublishArguments;
use crate::commands::dispatch::Surroundings;
use crate::commands::run::expand;
use crate::pipeline::unpublish_pipeline;
use crate::printer::format_bytes;
use crate::table::table;
use anyhow::Result;

/// Empties the store of each pipeline's own objects.
pub(super) fn unpublish(surroundings: &Surroundings, arguments: &UnpublishArguments) -> Result<()> {
    for path in expand(&arguments.pipelines)? {
        let (settings, runtime) = (&surroundings.settings, &surroundings.runtime);
        let unpublished = unpublish_pipeline(settings, runtime, &path, arguments.dry_run)?;
        let rows = unpublished.objects.iter().map(|object| vec![format_bytes(object.byte_count), object.url.clone()]);
        let text = match unpublished.objects.len() {
            0 => format!("nothing of {} is published\n", unpublished.pipeline),
            _ => table(&[">size", "object"], &rows.collect::<Vec<_>>()),
        };
        surroundings.show(&unpublished, &text)?;
        if !arguments.dry_run {
            surroundings.terminal.say(&format!("{} objects deleted", unpublished.objects.len()));
        }
    }
    Ok(())
}
