//! What the first process of a container owes the others: it reaps the orphans that the kernel hands to it, and passes
//! signals on.
//!
//! As process 1 the program starts itself once more and does nothing else but this, so no part of the program has to
//! know where it runs. Process 1 is also the only one whom signals without a handler do not end.

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

/// What is passed on.
const FORWARDED: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];
/// Added to a signal's number, as shells do, where a signal ended the program.
const ENDED_BY_SIGNAL: i32 = 128;
/// The program could not be started once more.
const EXIT_SOFTWARE: u8 = 70;

/// Does nothing and gives none unless this is process 1. Else runs the program as a child until it ends, and gives its
/// exit code. Call it first of all: before there is any thread, and any child.
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
        // Listened to before there is a child: nothing that comes in between is lost.
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
                    // It may have ended just now; then that is the next thing to be seen.
                    let _ = kill(child, signal);
                }
            }
        }
    })
}

/// The program itself, with the same arguments. In a group of its own: what a terminal sends comes once, from here, and
/// a second signal would end the program at once.
fn start() -> io::Result<Pid> {
    let mut command = Command::new(std::env::current_exe()?);
    let child = command.args(std::env::args_os().skip(1)).process_group(0).spawn()?;
    i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)
}

/// The next signal of any kind.
async fn next(forwarded: &mut [(Signal, unix::Signal)]) -> Signal {
    let all = forwarded.iter_mut().map(|(signal, stream)| {
        Box::pin(async move {
            stream.recv().await;
            *signal
        })
    });
    futures_util::future::select_all(all).await.0
}

/// Takes away all that has ended; the exit code if the program was among it.
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
