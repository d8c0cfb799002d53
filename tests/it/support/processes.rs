//! Processes of the system.

use std::fs;

use nix::sys::signal::Signal;

/// The children of a process, zombies too.
pub(crate) fn children(parent: i32) -> Vec<i32> {
    let is_child = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        after_name.split(' ').nth(1) == Some(parent.to_string().as_str())
    };
    let entries = fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).filter(is_child).collect()
}

/// True if the process has a handler for the signal.
pub(crate) fn handles(pid: i32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    caught & (1 << (signal as i32 - 1)) != 0
}

/// A line of `/proc/PID/status` in KiB, such as `VmRSS` or, for the most that it ever was, `VmHWM`.
pub(crate) fn memory_kib(pid: i32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Resets `VmHWM` to the memory in use, and returns that in KiB. Where the kernel forbids it, returns `VmHWM` as it is.
pub(crate) fn forget_peak(pid: i32) -> u64 {
    let is_forgotten = fs::write(format!("/proc/{pid}/clear_refs"), "5").is_ok();
    memory_kib(pid, if is_forgotten { "VmRSS" } else { "VmHWM" })
}
