//! Taking entries away.

use super::{Cache, CacheEntry, RECORD};
use crate::{Progress, Result};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Which entries go. Entries that a process left half-made always do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PruneRule {
    /// Those that were not used for so long.
    pub unused_for: Option<Duration>,
    /// The least recently used ones, until the rest is no larger than this number of bytes.
    pub max_byte_count: Option<u64>,
    /// Those whose files are not what they were.
    pub corrupt: bool,
}

impl Cache {
    /// Removes what `rule` names, as of `now`, and returns it. Waits until no other process uses the cache, calling
    /// `waiting` if that takes time; who comes meanwhile waits too.
    ///
    /// # Errors
    /// I/O errors and [`crate::Error::Cancelled`].
    pub fn prune(
        &self,
        rule: PruneRule,
        now: SystemTime,
        progress: &dyn Progress,
        waiting: impl FnOnce(),
    ) -> Result<Vec<CacheEntry>> {
        let _alone = self.use_alone(progress, waiting)?;
        let mut doomed = HashSet::new();
        if rule.corrupt {
            doomed.extend(self.check(progress)?.into_iter().map(|corruption| (corruption.kind, corruption.key)));
        }
        let entries = self.entries()?;
        for entry in &entries {
            let idle = now.duration_since(entry.used).unwrap_or_default();
            if !entry.complete || rule.unused_for.is_some_and(|longest| idle > longest) {
                doomed.insert((entry.kind, entry.key.clone()));
            }
        }
        let is_doomed = |entry: &&CacheEntry| doomed.contains(&(entry.kind, entry.key.clone()));
        let mut gone: Vec<CacheEntry> = entries.iter().filter(is_doomed).cloned().collect();
        if let Some(most) = rule.max_byte_count {
            let rest = entries.iter().filter(|entry| !is_doomed(entry)).cloned().collect();
            gone.extend(beyond(rest, most));
        }
        for entry in &gone {
            remove(&self.folder_of(entry.kind, &entry.key))?;
        }
        Ok(gone)
    }
}

impl Cache {
    /// Removes the corrupt entry that the file `path` belongs to, so that it is rebuilt.
    /// `false` when no entry has `path`.
    ///
    /// # Errors
    /// I/O errors.
    pub fn discard(&self, path: &Path) -> Result<bool> {
        let inside = path.strip_prefix(&self.root).map(|rest| rest.components().take(2).collect::<PathBuf>());
        let folder = inside.map(|entry| self.root.join(entry)).ok().filter(|folder| folder.join(RECORD).is_file());
        folder.map_or(Ok(false), |folder| remove(&folder).map(|()| true))
    }
}

/// The least recently used entries, without which the others are no larger than `most` bytes.
fn beyond(mut entries: Vec<CacheEntry>, most: u64) -> Vec<CacheEntry> {
    entries.sort_by_key(|entry| entry.used);
    let mut size: u64 = entries.iter().map(|entry| entry.byte_count).sum();
    let mut goes = |entry: &CacheEntry| {
        let too_large = size > most;
        size -= if too_large { entry.byte_count } else { 0 };
        too_large
    };
    entries.into_iter().take_while(|entry| goes(entry)).collect()
}

/// The lock of a key goes with its entry.
fn remove(folder: &Path) -> Result<()> {
    fs_err::remove_dir_all(folder)?;
    let lock = folder.with_file_name(format!("{}.lock", folder.file_name().unwrap_or_default().to_string_lossy()));
    match fs_err::remove_file(lock) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CacheKey, CacheKind, NoProgress};

    /// Entries `names` of 1,000 bytes each, the first used longest ago, each an hour apart.
    fn cache(folder: &Path, names: &[&str], now: SystemTime) -> Cache {
        let cache = Cache::new(folder);
        for (age, name) in names.iter().rev().enumerate() {
            let key = CacheKey::of(name);
            let made = cache.get_or_build(CacheKind::Engine, &key, &NoProgress, |folder| {
                fs_err::write(folder.join("plan"), vec![1; 1000])?;
                Ok::<_, crate::Error>(serde_json::json!({ "precision": "fp16", "gpu": name }))
            });
            let record = std::fs::File::options().append(true).open(made.unwrap().path("record.json")).unwrap();
            record.set_modified(now - Duration::from_secs(3600 * age as u64)).unwrap();
        }
        cache
    }

    fn names(entries: &[CacheEntry]) -> Vec<&str> {
        entries.iter().map(|entry| entry.name.as_str()).collect()
    }

    #[test]
    fn entries_go_by_age_and_by_size() {
        let (folder, now) = (tempfile::tempdir().unwrap(), SystemTime::now());
        let cache = cache(folder.path(), &["a", "b", "c", "d"], now);
        assert_eq!(names(&cache.entries().unwrap()), ["fp16 a", "fp16 b", "fp16 c", "fp16 d"]);
        let prune = |rule: PruneRule| {
            cache.prune(rule, now, &NoProgress, || panic!("no other process uses the cache")).unwrap()
        };
        assert!(prune(PruneRule::default()).is_empty());
        let old = PruneRule { unused_for: Some(Duration::from_secs(9000)), ..PruneRule::default() };
        assert_eq!(names(&prune(old)), ["fp16 a"]);
        let small = PruneRule { max_byte_count: Some(2000), ..PruneRule::default() };
        assert_eq!(names(&prune(small)), ["fp16 b", "fp16 c"], "records take some bytes too");
        assert_eq!(names(&cache.entries().unwrap()), ["fp16 d"]);
    }

    #[test]
    fn damaged_and_half_made_entries_go() {
        let (folder, now) = (tempfile::tempdir().unwrap(), SystemTime::now());
        let cache = cache(folder.path(), &["a", "b"], now);
        fs_err::create_dir(folder.path().join("engines/.building-x")).unwrap();
        assert!(cache.check(&NoProgress).unwrap().is_empty());
        let broken = cache.entries().unwrap().into_iter().find(|entry| entry.name == "fp16 a").unwrap();
        fs_err::write(cache.folder_of(CacheKind::Engine, &broken.key).join("plan"), vec![2; 1000]).unwrap();
        let corruption = cache.check(&NoProgress).unwrap();
        assert_eq!((corruption.len(), &corruption[0].key), (1, &broken.key));
        assert!(corruption[0].reason.contains("its SHA-256 is"), "{}", corruption[0].reason);
        let rule = PruneRule { corrupt: true, ..PruneRule::default() };
        let gone = cache.prune(rule, now, &NoProgress, || ()).unwrap();
        assert_eq!(
            gone.iter().filter(|entry| entry.complete).map(|entry| &entry.key).collect::<Vec<_>>(),
            [&broken.key]
        );
        assert_eq!(gone.len(), 2);
        assert_eq!(names(&cache.entries().unwrap()), ["fp16 b"]);
    }

    #[test]
    fn nothing_is_pruned_while_somebody_uses_the_cache() {
        let (folder, now) = (tempfile::tempdir().unwrap(), SystemTime::now());
        let cache = cache(folder.path(), &["a"], now);
        let user = cache.use_shared(&NoProgress).unwrap();
        let rule = PruneRule { max_byte_count: Some(0), ..PruneRule::default() };
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let pruning =
                scope.spawn(|| cache.prune(rule, now, &NoProgress, || sender.send(()).unwrap()).unwrap().len());
            receiver.recv().unwrap();
            assert_eq!(cache.entries().unwrap().len(), 1, "it waits");
            drop(user);
            assert_eq!(pruning.join().unwrap(), 1);
        });
    }
}
