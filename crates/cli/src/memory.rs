//! Memory of this machine.

use std::path::Path;

/// A kind of control group: its folder, and the files with its limit and its use, and the line of `memory.stat` with the
/// part of it that is file cache and could be dropped.
const CONTROL_GROUPS: [(&str, &str, &str, &str); 2] = [
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "),
];

/// Bytes that this process could take: what Linux calls available, or less where its control group has less left.
pub(crate) fn available_byte_count() -> u64 {
    let groups = CONTROL_GROUPS.iter().filter_map(|&group| left_in(group));
    groups.chain(machine()).min().unwrap_or(u64::MAX)
}

fn machine() -> Option<u64> {
    let memory = read(Path::new("/proc/meminfo"))?;
    let line = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB"));
    Some(line?.parse::<u64>().ok()? * 1024)
}

/// Left in a control group; none without a limit.
fn left_in((folder, limit, used, cached): (&str, &str, &str, &str)) -> Option<u64> {
    let folder = Path::new(folder);
    let number = |file: &str| read(&folder.join(file))?.trim().parse::<u64>().ok();
    let statistics = read(&folder.join("memory.stat")).unwrap_or_default();
    let cached = statistics.lines().find_map(|line| line.strip_prefix(cached)?.trim().parse::<u64>().ok());
    let used = number(used)?.saturating_sub(cached.unwrap_or(0));
    Some(number(limit)?.saturating_sub(used))
}

fn read(path: &Path) -> Option<String> {
    fs_err::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn some_memory_is_available_and_no_more_than_there_is() {
        let total = super::read(std::path::Path::new("/proc/meminfo")).unwrap();
        let total: u64 = total.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!((1 << 20..=total * 1024).contains(&super::available_byte_count()));
    }
}
