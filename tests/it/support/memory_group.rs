//! A control group with a limit of memory, in either version of control groups.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Mount points of version 2, and of the memory controller of version 1.
const VERSION_2: &str = "/sys/fs/cgroup";
const VERSION_1: &str = "/sys/fs/cgroup/memory";
/// Limit of version 1 on the memory of TCP buffers, which it counts apart from all other memory. It counts them only
/// below a limit.
const TCP_LIMIT: &str = "memory.kmem.tcp.limit_in_bytes";

/// A control group with a limit of memory and without swap. Dropping it removes it: its processes must have ended.
pub(crate) struct MemoryGroup {
    path: PathBuf,
    is_version_2: bool,
}

impl MemoryGroup {
    /// Makes a group of version 2, or else of version 1. Returns why there can be none.
    pub(crate) fn make(bytes: u64) -> Result<Self, String> {
        Self::of_version_2(bytes)
            .or_else(|why| Self::of_version_1(bytes).map_err(|also| format!("{why}; {also}")))
    }

    /// Makes a group if the root group already enables the memory controller for its children. Enabling it would
    /// change other groups.
    fn of_version_2(bytes: u64) -> Result<Self, String> {
        let handed_down = fs::read_to_string(Path::new(VERSION_2).join("cgroup.subtree_control"))
            .map_err(|error| format!("no control groups of version 2 at {VERSION_2}: {error}"))?;
        if !handed_down.split_whitespace().any(|controller| controller == "memory") {
            return Err(format!("{VERSION_2} hands no memory controller down"));
        }
        let group = Self { path: new_directory(VERSION_2)?, is_version_2: true };
        group.write("memory.max", bytes)?;
        group.write("memory.swap.max", 0)?;
        Ok(group)
    }

    fn of_version_1(bytes: u64) -> Result<Self, String> {
        if !Path::new(VERSION_1).join("memory.limit_in_bytes").exists() {
            return Err(format!("no control groups of version 1 at {VERSION_1}"));
        }
        let group = Self { path: new_directory(VERSION_1)?, is_version_2: false };
        // The limit on memory and swap may not be below that on memory, so it comes last. Some kernels lack it.
        for name in [TCP_LIMIT, "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"] {
            if group.path.join(name).exists() {
                group.write(name, bytes)?;
            }
        }
        Ok(group)
    }

    fn write(&self, name: &str, value: u64) -> Result<(), String> {
        fs::write(self.path.join(name), value.to_string()).map_err(|error| format!("{name}: {error}"))
    }

    fn read(&self, name: &str) -> String {
        let path = self.path.join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn number(&self, name: &str) -> u64 {
        self.read(name).trim().parse().unwrap()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Largest memory so far, with files in the page cache. Of version 1 it is the sum of two largest values, which
    /// may be of different times.
    pub(crate) fn peak_bytes(&self) -> u64 {
        if self.is_version_2 {
            return self.number("memory.peak");
        }
        let of_tcp = if self.path.join(TCP_LIMIT).exists() {
            self.number("memory.kmem.tcp.max_usage_in_bytes")
        } else {
            0
        };
        self.number("memory.max_usage_in_bytes") + of_tcp
    }

    /// Processes that the kernel killed because of the limit. Old kernels of version 1 do not count them: 0.
    pub(crate) fn oom_kills(&self) -> u64 {
        let events = self.read(if self.is_version_2 { "memory.events" } else { "memory.oom_control" });
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.map_or(0, |kills| kills.trim().parse().unwrap())
    }

    /// Name of what [`Self::peak_bytes`] measures.
    pub(crate) const fn measured(&self) -> &'static str {
        if self.is_version_2 {
            "memory.peak of its group"
        } else {
            "memory.max_usage_in_bytes and memory.kmem.tcp.max_usage_in_bytes of its group"
        }
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.path);
    }
}

/// Makes a group of this process's own below `root`.
fn new_directory(root: &str) -> Result<PathBuf, String> {
    let path = Path::new(root).join(format!("stellar-ticker-test-{}", std::process::id()));
    fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}
