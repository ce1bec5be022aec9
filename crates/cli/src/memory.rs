//! Memory of this machine.

use std::path::Path;

/// Where a version of control groups keeps its figures of memory.
struct ControlGroup {
    folder: &'static str,
    /// The file with the limit.
    limit: &'static str,
    /// The file with the use.
    used: &'static str,
    /// The line of `memory.stat` with the part of the use that is file cache and could be dropped.
    cached: &'static str,
}

const CONTROL_GROUPS: [ControlGroup; 2] = [
    ControlGroup { folder: "/sys/fs/cgroup", limit: "memory.max", used: "memory.current", cached: "inactive_file " },
    ControlGroup {
        folder: "/sys/fs/cgroup/memory",
        limit: "memory.limit_in_bytes",
        used: "memory.usage_in_bytes",
        cached: "total_inactive_file ",
    },
];

/// Bytes that this process could take: what Linux calls available, or less where its control group has less left.
pub(crate) fn available_byte_count() -> u64 {
    let groups = CONTROL_GROUPS.iter().filter_map(left_in);
    groups.chain(machine()).min().unwrap_or(u64::MAX)
}

fn machine() -> Option<u64> {
    let memory = read(Path::new("/proc/meminfo"))?;
    let line = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB"));
    Some(line?.parse::<u64>().ok()? * 1024)
}

/// Left in a control group; none without a limit.
fn left_in(group: &ControlGroup) -> Option<u64> {
    let folder = Path::new(group.folder);
    let number = |file: &str| read(&folder.join(file))?.trim().parse::<u64>().ok();
    let statistics = read(&folder.join("memory.stat")).unwrap_or_default();
    let cached = statistics.lines().find_map(|line| line.strip_prefix(group.cached)?.trim().parse::<u64>().ok());
    let used = number(group.used)?.saturating_sub(cached.unwrap_or(0));
    Some(number(group.limit)?.saturating_sub(used))
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
