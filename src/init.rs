//! Duties of process 1 in a container: reap the orphans that the kernel hands to it, and forward signals.
//!
//! As process 1, the program starts itself as a child and does nothing but these duties. No other part of the program
//! has to know where it runs. Signals without a handler do not end process 1, so it needs handlers for all of them.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use tokio::signal::unix::{self, SignalKind};

/// Signals that are forwarded to the child.
const FORWARDED: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];
/// Offset of the exit code when a signal ended the child, as in shells.
const ENDED_BY_SIGNAL: i32 = 128;
/// Exit code if the child could not be started, or its exit status is unknown.
const EXIT_SOFTWARE: u8 = 70;

/// If this is process 1, runs the program as a child until it ends and returns its exit code. Otherwise returns none.
///
/// Call it first in `main`: before any thread or child process exists.
#[must_use]
pub fn run_as_first_process() -> Option<ExitCode> {
    if std::process::id() != 1 {
        return None;
    }
    Some(run().unwrap_or_else(|error| {
        let _ = io::Write::write_all(&mut io::stderr(), format!("error: as process 1: {error}\n").as_bytes());
        ExitCode::from(EXIT_SOFTWARE)
    }))
}

fn run() -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        // Handlers are installed before the child starts, so that no signal in between is lost.
        let mut ended = unix::signal(SignalKind::child())?;
        let mut forwarded = FORWARDED
            .into_iter()
            .map(|signal| Ok((signal, unix::signal(SignalKind::from_raw(number(signal)))?)))
            .collect::<io::Result<Vec<_>>>()?;
        let child = start()?;
        loop {
            tokio::select! {
                _ = ended.recv() => if let Some(code) = reap(child) { return Ok(code) },
                signal = next(&mut forwarded) => {
                    // The child may have ended a moment ago. The next SIGCHLD then reports it.
                    let _ = kill(child, signal);
                }
            }
        }
    })
}

/// Starts the program as a child with the same arguments, in a process group of its own.
///
/// A terminal signals the whole foreground group. Without an own group, Ctrl-C would reach the child twice: from the
/// terminal and from here. A second signal ends the program at once.
fn start() -> io::Result<Pid> {
    let mut command = Command::new(std::env::current_exe()?);
    let child = command.args(std::env::args_os().skip(1)).process_group(0).spawn()?;
    i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)
}

/// Waits for the next signal of any kind.
async fn next(forwarded: &mut [(Signal, unix::Signal)]) -> Signal {
    let all = forwarded.iter_mut().map(|(signal, stream)| {
        Box::pin(async move {
            stream.recv().await;
            *signal
        })
    });
    futures_util::future::select_all(all).await.0
}

/// Reaps all children that have ended. Returns the exit code if the program itself is among them.
fn reap(child: Pid) -> Option<ExitCode> {
    let mut code = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) if pid == child => code = Some(status),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                code = Some(ENDED_BY_SIGNAL.saturating_add(number(signal)));
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => break,
            Err(error) if error != Errno::EINTR => break,
            _ => {} // an orphan, or nothing that ended
        }
    }
    code.map(|code| ExitCode::from(u8::try_from(code).unwrap_or(EXIT_SOFTWARE)))
}

#[expect(clippy::as_conversions, reason = "a signal is its number")]
const fn number(signal: Signal) -> i32 {
    signal as i32
}
