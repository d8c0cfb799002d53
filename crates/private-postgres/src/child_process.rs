//! Child processes that must not outlive the process that started them.

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::LazyLock,
};

/// True if util-linux's `setpriv` is installed. Busybox has a `setpriv` too, but without the death signal.
static HAS_DEATH_SIGNAL: LazyLock<bool> = LazyLock::new(|| {
    let mut probe = Command::new("setpriv");
    probe.args(["--pdeathsig", "keep", "true"]).stdin(Stdio::null()).stdout(Stdio::null());
    probe.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
});

/// Builds a command whose process gets `death_signal` when the calling thread ends. Needs util-linux's `setpriv`;
/// without it the command runs unbound.
///
/// Call it from a thread that lives as long as the process. The command may change the user: that happens before
/// `setpriv` runs, and a change after it would clear the death signal.
///
/// The process has its own group: Ctrl-C in a terminal goes to the whole group, but these programs must outlive the
/// drain. It has no standard input. Its directory is the root, so that it keeps no other directory busy.
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
