//! A core shared with two busy loops, as on a laptop that compiles or on a machine that serves other programs.

use std::process::{Child, Command, Stdio};

/// Loops on the core: what runs there beside them gets a third of it.
const LOOPS: usize = 2;

/// The core, and the loops on it until this is dropped.
pub(crate) struct BusyCore {
    cpu: String,
    loops: Vec<Child>,
}

impl BusyCore {
    /// Starts the loops; none if the system cannot bind a process to a core.
    pub(crate) fn start() -> Option<Self> {
        let cpu = last_allowed_cpu()?;
        let busy_loop = || {
            let mut command = Command::new("taskset");
            command.args(["-c", &cpu, "sh", "-c", "while :; do :; done"]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()
        };
        let loops: Vec<Child> = (0..LOOPS).map_while(|_| busy_loop()).collect();
        let core = Self { loops, cpu };
        (core.loops.len() == LOOPS).then_some(core)
    }

    /// Its number, as `taskset -c` takes it.
    pub(crate) fn cpu(&self) -> &str {
        &self.cpu
    }
}

impl Drop for BusyCore {
    fn drop(&mut self) {
        for busy in &mut self.loops {
            let _ = busy.kill();
            let _ = busy.wait();
        }
    }
}

/// The last core that this process may run on.
fn last_allowed_cpu() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim();
    list.rsplit([',', '-']).next().map(str::to_owned)
}
