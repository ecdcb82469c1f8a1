//! The memory there is for this process: what a plan without a budget is held against.

use std::{fs, path::Path};

/// Bytes that this process may still take before the system swaps, a container's limit ends it, or its address space is full:
/// the least of what Linux calls available, what its control groups leave, and what `RLIMIT_AS` leaves. `None` where the system
/// does not tell.
///
/// What is held against it counts memory and not address space: views of mapped files and stacks that are reserved take space as
/// well, so under `RLIMIT_AS` a plan that is granted may still meet the limit, which is then an error of the mapping that failed.
pub(crate) fn available() -> Option<u64> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let machine = field(&read("/proc/meminfo"), "MemAvailable:").map(|kib| kib.saturating_mul(1024));
    let groups = read("/proc/self/cgroup");
    let group = groups.lines().filter_map(left_in_group).min();
    let space = address_space(&read("/proc/self/limits"), &read("/proc/self/status"));
    [machine, group, space].into_iter().flatten().min()
}

/// The first number behind `name` at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What `RLIMIT_AS` leaves above the address space in use; `None` without a limit.
fn address_space(limits: &str, status: &str) -> Option<u64> {
    let most = field(limits, "Max address space")?;
    let used = field(status, "VmSize:").unwrap_or(0).saturating_mul(1024);
    Some(most.saturating_sub(used))
}

/// What the control group in a line of /proc/self/cgroup leaves, and those that it is in. Its file pages do not count: they are
/// dropped before the group is out of memory.
fn left_in_group(line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let (root, most, used, lists) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max", "memory.current", ["inactive_file", "active_file"]),
        c if c.split(',').any(|c| c == "memory") => (
            "/sys/fs/cgroup/memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            ["total_inactive_file", "total_active_file"],
        ),
        _ => return None,
    };
    let inside = Path::new(path.trim_start_matches('/'));
    let left = |group: &Path| {
        let read = |name: &str| fs::read_to_string(Path::new(root).join(group).join(name)).ok();
        let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
        let (most, used) = (number(most)?, number(used)?);
        let stat = read("memory.stat").unwrap_or_default();
        let files: u64 = lists.iter().filter_map(|list| field(&stat, &format!("{list} "))).sum();
        Some(most.saturating_sub(used.saturating_sub(files)))
    };
    inside.ancestors().filter_map(left).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_on_address_space_leaves_what_is_not_in_use() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max address space         734003200            unlimited            bytes     \n";
        assert_eq!(
            address_space(limits, "Name:\tx\nVmSize:\t  102400 kB\n"),
            Some((700 << 20) - (100 << 20))
        );
        let unlimited = limits.replace("734003200", "unlimited");
        assert_eq!(address_space(&unlimited, "VmSize:\t  102400 kB\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_machine_has_some_memory() {
        if field(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemAvailable:").is_none() {
            return;
        }
        let bytes = available().expect("Linux tells");
        assert!(bytes > 1 << 20 && bytes < 1 << 60, "{bytes}");
        assert_eq!(left_in_group("7:blkio:/"), None);
    }
}
