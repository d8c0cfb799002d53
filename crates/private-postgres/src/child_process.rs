//! Child processes that must not outlive the process that started them.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::LazyLock,
};

/// Whether util-linux's setpriv is there. Busybox has a program of that name that knows no death signal.
static HAS_DEATH_SIGNAL: LazyLock<bool> = LazyLock::new(|| {
    let mut probe = Command::new("setpriv");
    probe.args(["--pdeathsig", "keep", "true"]).stdin(Stdio::null()).stdout(Stdio::null());
    probe.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
});

/// A command that gets `death_signal` when the calling THREAD ends, where that exists: spawn it from one that lives as
/// long as the process. Changing the user in the command is safe: that is done before setpriv runs, and would clear
/// the signal after it.
///
/// It has a process group of its own, since Ctrl-C in a terminal goes to the whole group and such programs outlast the
/// drain; no standard input; and the root as its directory, so that it holds no other.
#[must_use]
pub fn bound_to_this_thread(program: &Path, death_signal: &str) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = if *HAS_DEATH_SIGNAL {
        let mut wrapped = Command::new("setpriv");
        wrapped.args(["--pdeathsig", death_signal, "--"]).arg(program);
        wrapped
    } else {
        Command::new(program)
    };
    command.process_group(0).current_dir("/").stdin(Stdio::null());
    command
}
