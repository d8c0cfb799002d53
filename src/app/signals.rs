//! Signals of the process: those that stop it, and those that are only logged.
//!
//! | signal | effect |
//! |---|---|
//! | SIGTERM, SIGINT, SIGQUIT | the first one drains, a second one ends the process at once |
//! | SIGHUP | reloads nginx if it runs; drains if the terminal was closed; otherwise a line in the log |
//! | SIGUSR1, SIGUSR2, SIGXFSZ | a line in the log |

use std::{ffi::OsStr, io::IsTerminal, sync::Arc, thread, time::Duration};

use nix::sys::signal::Signal as Number;
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
    sync::{Notify, oneshot},
    time::Instant,
};
use tracing::{debug, info};

use super::CommandError;
use crate::http::server;

/// Interval within which a second signal of the same kind is the same request. GNU `timeout`, shells and npm signal a
/// process and then its group, so that one request arrives twice.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// Signals that stop the process. Terminals send SIGQUIT, and so do container images that are based on nginx's.
const STOPPING: [Number; 3] = [Number::SIGTERM, Number::SIGINT, Number::SIGQUIT];
/// Signals that are logged only. By default they would end the process, which their senders do not want. A file that
/// reaches the process's size limit raises SIGXFSZ; with a handler, the write returns an error instead.
const NOTED: [Number; 3] = [Number::SIGUSR1, Number::SIGUSR2, Number::SIGXFSZ];

/// Commands that drain on a signal and exit 0, at any time of their start.
const DAEMONS: [&str; 3] = ["serve", "demo", "horizon-sim"];
/// Fewest file descriptors for early handlers. With less room the library of the runtime panics.
const EARLY_DESCRIPTORS_MIN: u64 = 32;

/// Handlers of all signals that this process handles.
pub struct Signals {
    handled: Vec<(Number, Signal)>,
    /// Last stop request and its time, to recognise its repetition.
    requested: Option<(Number, Instant)>,
    /// Notified by SIGHUP; none if there is nothing to reload.
    reload: Option<Arc<Notify>>,
    /// True if the process had a terminal when it started.
    had_terminal: bool,
}

impl Signals {
    /// Installs all handlers before the command line is parsed, if `command` is a daemon. Any other command ends by a
    /// signal at once, or installs them later.
    ///
    /// Also returns none if the system refuses: the daemon then tries again and reports the error.
    #[must_use]
    pub fn early(command: Option<&OsStr>) -> Option<Self> {
        let is_daemon = command.is_some_and(|command| DAEMONS.iter().any(|name| command == *name));
        if !is_daemon || server::descriptors() < EARLY_DESCRIPTORS_MIN {
            return None;
        }
        // Handlers outlive the runtime that installs them. The daemon's own runtime delivers what arrives until then.
        let runtime = Builder::new_current_thread().enable_io().build().ok()?;
        let _entered = runtime.enter();
        Self::listen().ok()
    }

    /// Does `work` of the start that may block without end, such as reading a pipe. A stop request meanwhile ends the
    /// process with 0: there is nothing to drain yet.
    pub fn or_exit<T>(work: impl FnOnce() -> T) -> T {
        let (done, is_done) = oneshot::channel();
        let watch = thread::Builder::new().name("signals".into()).spawn(move || exit_at_stop(is_done));
        let result = work();
        drop(done);
        // Without a thread, the signal takes effect after the work.
        if let Ok(watch) = watch {
            // A panic is logged by the panic hook, and the work is done.
            let _ = watch.join();
        }
        result
    }

    /// Installs all handlers. From here on, no signal has its default effect.
    pub(super) fn listen() -> Result<Self, CommandError> {
        let all = STOPPING.into_iter().chain(NOTED).chain([Number::SIGHUP]);
        let handled = all.map(|number| Ok((number, listen(number)?))).collect::<Result<_, CommandError>>()?;
        Ok(Self { handled, requested: None, reload: None, had_terminal: has_terminal() })
    }

    /// Makes SIGHUP notify `reload`.
    pub(super) fn reload_by(&mut self, reload: &Arc<Notify>) {
        self.reload = Some(Arc::clone(reload));
    }

    /// Waits for the next stop request. Returns the name of the signal.
    pub(super) async fn next(&mut self) -> &'static str {
        loop {
            let number = self.received().await;
            match number {
                // A terminal that is closed sends SIGHUP too, and nobody is left to want a reload.
                Number::SIGHUP if self.had_terminal && !has_terminal() => {
                    return "SIGHUP: the terminal was closed";
                }
                Number::SIGHUP => self.hang_up(),
                number if NOTED.contains(&number) => {
                    info!(signal = number.as_str(), "signal ignored");
                }
                number if self.is_repeated(number, Instant::now()) => {
                    debug!(signal = number.as_str(), "repeated stop signal ignored");
                }
                number => return number.as_str(),
            }
        }
    }

    fn hang_up(&self) {
        match &self.reload {
            Some(reload) => reload.notify_one(),
            None => info!("SIGHUP ignored: there is no nginx to reload, and settings are read at start only"),
        }
    }

    /// Returns true if this repeats the stop request of a moment ago. Otherwise it becomes the last request.
    fn is_repeated(&mut self, number: Number, now: Instant) -> bool {
        let is_same = |(last, at): (Number, Instant)| last == number && now.duration_since(at) < SAME_REQUEST;
        let repeated = self.requested.is_some_and(is_same);
        if !repeated {
            self.requested = Some((number, now));
        }
        repeated
    }

    async fn received(&mut self) -> Number {
        let each = self.handled.iter_mut().map(|(number, stream)| {
            Box::pin(async move {
                stream.recv().await;
                *number
            })
        });
        futures_util::future::select_all(each).await.0
    }
}

/// Ends the process with 0 at the first stop request, until the sender of `is_done` is dropped.
fn exit_at_stop(is_done: oneshot::Receiver<()>) {
    let Ok(runtime) = Builder::new_current_thread().enable_io().build() else { return };
    runtime.block_on(async {
        // Own streams, so that the daemon still receives all that arrives meanwhile.
        let Ok(mut signals) = Signals::listen() else { return };
        tokio::select! {
            _ = signals.next() => std::process::exit(0),
            _ = is_done => {}
        }
    });
}

/// Returns true if standard input, output or error is a terminal that is still open.
fn has_terminal() -> bool {
    std::io::stdin().is_terminal() || std::io::stdout().is_terminal() || std::io::stderr().is_terminal()
}

#[expect(clippy::as_conversions, reason = "a signal is its number")]
fn listen(number: Number) -> Result<Signal, CommandError> {
    signal(SignalKind::from_raw(number as i32))
        .map_err(|error| CommandError::Software(format!("cannot handle {number}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_signal_within_a_second_is_one_request() {
        let mut signals = Signals { handled: Vec::new(), requested: None, reload: None, had_terminal: false };
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        for (number, millis, repeated) in [
            (Number::SIGTERM, 0, false),
            (Number::SIGTERM, 1, true),
            (Number::SIGTERM, 999, true),
            (Number::SIGTERM, 1_000, false),
            (Number::SIGINT, 1_001, false),
            (Number::SIGINT, 1_500, true),
        ] {
            assert_eq!(signals.is_repeated(number, at(millis)), repeated, "{number} at {millis} ms");
        }
    }
}
