//! The program as process 1 of a namespace, as in a container.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::support::{processes::children, wait_until};

const BINARY: &str = env!("CARGO_BIN_EXE_stellar-ticker");

/// A namespace whose process 1 runs a script. Its processes go with the handle.
struct Namespace {
    unshare: Child,
}

impl Namespace {
    /// Returns `None` and prints the reason if namespaces are not permitted.
    fn run(script: &str) -> Option<Self> {
        let mut probe = unshare("exit 0");
        match probe.output() {
            Ok(output) if output.status.success() => {}
            refused => {
                crate::support::not_tested(&format!(
                    "`unshare --pid` is not permitted here or not installed: {refused:?}"
                ));
                return None;
            }
        }
        let unshare = unshare(script).spawn().unwrap();
        Some(Self { unshare })
    }

    /// Process id of its process 1, as seen from outside.
    fn first(&self) -> i32 {
        let mut first = Vec::new();
        wait_until("the namespace has a process", || {
            first = children(i32::try_from(self.unshare.id()).unwrap());
            !first.is_empty()
        });
        first[0]
    }

    /// Waits for a line of standard error.
    fn wait_for_line(&mut self, text: &str) {
        let mut lines = BufReader::new(self.unshare.stderr.as_mut().unwrap()).lines();
        let mut seen = String::new();
        while let Some(Ok(line)) = lines.next() {
            if line.contains(text) {
                return;
            }
            seen.push_str(&line);
        }
        panic!("it ended without {text:?}: {seen}");
    }

    /// The exit code of process 1, which unshare passes on, and what was said to the end.
    fn wait(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.unshare.stderr.take().unwrap().read_to_string(&mut rest).unwrap();
        (self.unshare.wait().unwrap().code(), rest)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.unshare.kill(); // and with it, by --kill-child, all in there
        let _ = self.unshare.wait();
    }
}

fn unshare(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", script]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn name(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

fn simulation() -> String {
    format!("exec {BINARY} horizon-sim --bind 127.0.0.1:0 --history-hours 0 --log-format text --log info")
}

#[test]
fn as_process_1_it_passes_sigterm_on_and_ends_as_the_program_does() {
    let Some(mut namespace) = Namespace::run(&simulation()) else { return };
    namespace.wait_for_line("simulated Horizon started");
    kill(Pid::from_raw(namespace.first()), Signal::SIGTERM).unwrap();
    let (code, said) = namespace.wait();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("stopping") && said.contains("SIGTERM"), "{said}");
}

#[test]
fn as_process_1_it_passes_the_exit_code_on() {
    let Some(namespace) = Namespace::run(&format!("exec {BINARY} no-such-command")) else { return };
    let (code, said) = namespace.wait();
    assert_eq!(code, Some(64), "{said}");
}

#[test]
fn as_process_1_it_reports_a_program_that_was_killed() {
    let Some(mut namespace) = Namespace::run(&simulation()) else { return };
    namespace.wait_for_line("simulated Horizon started");
    let program = children(namespace.first());
    assert_eq!(program.len(), 1);
    kill(Pid::from_raw(program[0]), Signal::SIGKILL).unwrap();
    assert_eq!(namespace.wait().0, Some(128 + 9));
}

#[test]
fn as_process_1_it_reaps_orphans() {
    // The inner shell ends at once, so what it started in the background becomes a child of process 1.
    let script = format!("sh -c 'sleep 1000 &'; {}", simulation());
    let Some(mut namespace) = Namespace::run(&script) else { return };
    namespace.wait_for_line("simulated Horizon started");
    let first = namespace.first();
    let all = children(first);
    let orphans: Vec<i32> = all.iter().copied().filter(|pid| name(*pid) == "sleep").collect();
    assert_eq!((all.len(), orphans.len()), (2, 1), "the program and the orphan");
    kill(Pid::from_raw(orphans[0]), Signal::SIGKILL).unwrap();
    wait_until("the orphan is gone, and no zombie", || children(first).len() == 1);
    kill(Pid::from_raw(first), Signal::SIGTERM).unwrap();
    assert_eq!(namespace.wait().0, Some(0));
}
