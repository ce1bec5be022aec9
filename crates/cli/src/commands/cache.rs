//! `cache`: what it holds, whether it is whole, and less of it.

use crate::args::{CacheCommand, PruneArguments};
use crate::commands::context::CommandContext;
use crate::failure::CheckFailed;
use crate::printer::{BAD, duration, format_bytes, short_path};
use crate::table::table;
use anyhow::Result;
use planforge_core::{Cache, CacheEntry, CacheKind, MemorySize, PruneRule};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// Runs one of the sub-commands.
pub(super) fn cache(context: &CommandContext, command: &CacheCommand) -> Result<()> {
    let cache = Cache::new(&context.settings.pipeline.cache);
    match command {
        CacheCommand::List => {
            let entries = cache.entries()?;
            context.show(&entries, &list(&entries))
        }
        CacheCommand::Size => {
            let sizes = sizes(&cache.entries()?);
            context.show(&sizes, &size_table(&sizes))
        }
        CacheCommand::Check => check(context, &cache),
        CacheCommand::Prune(arguments) => prune(context, &cache, arguments),
    }
}

/// Characters of a key that are shown.
const KEY_CHARS: usize = 12;

/// Size of all entries of one kind.
#[derive(Debug, Default, Serialize)]
struct Size {
    entries: usize,
    byte_count: u64,
}

fn sizes(entries: &[CacheEntry]) -> BTreeMap<CacheKind, Size> {
    let mut sizes: BTreeMap<CacheKind, Size> = BTreeMap::new();
    for entry in entries {
        let size = sizes.entry(entry.kind).or_default();
        size.entries += 1;
        size.byte_count += entry.byte_count;
    }
    sizes
}

fn size_table(sizes: &BTreeMap<CacheKind, Size>) -> String {
    let row = |name: &str, entries: usize, byte_count: u64| {
        vec![name.to_owned(), entries.to_string(), format_bytes(byte_count)]
    };
    let mut rows: Vec<_> = sizes.iter().map(|(kind, size)| row(kind.name(), size.entries, size.byte_count)).collect();
    let sum = |pick: fn(&Size) -> u64| sizes.values().map(pick).sum::<u64>();
    let entries: usize = sizes.values().map(|size| size.entries).sum();
    rows.push(row("all", entries, sum(|size| size.byte_count)));
    table(&["kind", ">entries", ">size"], &rows)
}

fn list(entries: &[CacheEntry]) -> String {
    let now = SystemTime::now();
    let row = |entry: &CacheEntry| {
        vec![
            entry.kind.name().to_owned(),
            entry.key.chars().take(KEY_CHARS).collect(),
            format_bytes(entry.byte_count),
            age(now.duration_since(entry.used).unwrap_or_default()),
            entry.name.clone(),
        ]
    };
    table(&["kind", "key", ">size", ">used", "name"], &entries.iter().map(row).collect::<Vec<_>>())
}

/// `3 d ago`.
fn age(idle: Duration) -> String {
    let hours = idle.as_secs() / 3600;
    match (hours / 24, hours) {
        (0, 0) => format!("{} ago", duration(Duration::from_secs(idle.as_secs().max(1)))),
        (0, hours) => format!("{hours} h ago"),
        (days, _) => format!("{days} d ago"),
    }
}

fn check(context: &CommandContext, cache: &Cache) -> Result<()> {
    let corruption = cache.check(&*context.terminal)?;
    let line = |it: &planforge_core::Corruption| {
        format!("{BAD}{}{BAD:#} {}: {}\n", it.kind.name(), short_path(&it.path), it.reason)
    };
    let text = if corruption.is_empty() {
        format!("{} entries, all whole\n", cache.entries()?.len())
    } else {
        corruption.iter().map(line).collect()
    };
    context.show(&corruption, &text)?;
    match corruption.first() {
        None => Ok(()),
        Some(first) => Err(CheckFailed(format!(
            "{} of the cache's files are damaged, first `{}`: {}; `planforge cache prune --damaged` takes them away",
            corruption.len(),
            first.path.display(),
            first.reason
        ))
        .into()),
    }
}

fn prune(context: &CommandContext, cache: &Cache, arguments: &PruneArguments) -> Result<()> {
    let rule = PruneRule {
        unused_for: arguments.unused_for,
        max_byte_count: arguments.max_size.map(MemorySize::byte_count),
        corrupt: arguments.damaged,
    };
    let terminal = &context.terminal;
    let waiting = || terminal.say("waiting for another planforge that uses the cache");
    let gone = cache.prune(rule, SystemTime::now(), &**terminal, waiting)?;
    let text = if gone.is_empty() { "nothing to remove\n".to_owned() } else { list(&gone) };
    let freed: u64 = gone.iter().map(|entry| entry.byte_count).sum();
    terminal.say(&format!("{} entries removed, {}", gone.len(), format_bytes(freed)));
    context.show(&gone, &text)
}
