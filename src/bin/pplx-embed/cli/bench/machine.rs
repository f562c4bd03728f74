//! What is known of the machine and of this process.

use serde_json::{Value, json};
use sysinfo::{CpuRefreshKind, RefreshKind, System};

/// The processor's name and how many cores there are.
pub(super) fn name() -> String {
    let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
    // Not every platform tells.
    let brand = system.ok().and_then(|system| Some(system.cpus().first()?.brand().trim().to_owned()));
    let brand = brand.filter(|brand| !brand.is_empty()).unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    format!("{brand}, {} cores", cores())
}

/// The same and more, as JSON.
pub(super) fn describe() -> Value {
    json!({ "name": name(), "cores": cores(), "os": std::env::consts::OS, "arch": std::env::consts::ARCH })
}

/// How many cores this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The most memory that this process has had, in bytes, where the platform tells it.
pub(super) fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
