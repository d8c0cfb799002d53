//! A core shared with two busy loops, as on a laptop that compiles or on a machine that serves other programs.

use std::process::Stdio;

use super::bound::{Running, bound};

/// Loops on the core: what runs there beside them gets a third of it.
const LOOPS: usize = 2;

/// The core, and the loops on it until this is dropped.
pub(crate) struct BusyCore {
    cpu: String,
    _loops: Vec<Running>,
}

impl BusyCore {
    /// Starts the loops; none if the system cannot bind a process to a core.
    pub(crate) fn start() -> Option<Self> {
        let cpu = last_allowed_cpu()?;
        let busy_loop = || {
            let mut command = bound("taskset");
            command.args(["-c", &cpu, "sh", "-c", "while :; do :; done"]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            Running::start(command)
        };
        let can_bind = std::process::Command::new("taskset").args(["-c", &cpu, "true"]).status();
        can_bind
            .is_ok_and(|status| status.success())
            .then(|| Self { _loops: (0..LOOPS).map(|_| busy_loop()).collect(), cpu: cpu.clone() })
    }

    /// Its number, as `taskset -c` takes it.
    pub(crate) fn cpu(&self) -> &str {
        &self.cpu
    }
}

/// The last core that this process may run on.
fn last_allowed_cpu() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim();
    list.rsplit([',', '-']).next().map(str::to_owned)
}
