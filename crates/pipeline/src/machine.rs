//! Processor and memory of this machine, for reports.

use planforge_report::Environment;

/// Processor and memory as Linux reports them, planforge's version, and no libraries yet.
pub(crate) fn this_machine() -> Environment {
    let read = |path: &str| fs_err::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let memory = read("/proc/meminfo");
    let kibibytes = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    Environment {
        planforge_version: env!("CARGO_PKG_VERSION").to_owned(),
        libraries: Vec::new(),
        cpu_count: std::thread::available_parallelism().ok().and_then(|count| u32::try_from(count.get()).ok()),
        cpu_model: model.map(|(_, name)| name.to_owned()),
        memory_byte_count: kibibytes.and_then(|count| count.parse::<u64>().ok()).map(|count| count * 1024),
    }
}
