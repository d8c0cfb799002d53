//! The signals of a process: those that stop it, and those that it only logs.
//!
//! | signal | effect |
//! |---|---|
//! | SIGTERM, SIGINT, SIGQUIT | the first one drains, a second one ends the process at once |
//! | SIGHUP | nginx reloads, where it runs; if the terminal was closed, the process drains; else a line in the log |
//! | SIGUSR1, SIGUSR2, SIGXFSZ | a line in the log |

use std::{io::IsTerminal, sync::Arc, time::Duration};

use nix::sys::signal::Signal as Number;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::Notify,
    time::Instant,
};
use tracing::{debug, info};

use super::Failure;

/// GNU `timeout`, shells and npm signal a process and then its group, so one request arrives twice. A second signal of
/// the same kind counts as another request only after this time.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// Signals that ask the process to stop. SIGQUIT comes from a terminal too, and is how images that derive from nginx's stop.
const STOPPING: [Number; 3] = [Number::SIGTERM, Number::SIGINT, Number::SIGQUIT];
/// Signals that would end the process by default although their senders do not want that. A file that reaches the size limit of
/// the process raises SIGXFSZ; with a handler the write fails with an error instead.
const NOTED: [Number; 3] = [Number::SIGUSR1, Number::SIGUSR2, Number::SIGXFSZ];

/// Every signal that this process handles.
pub(super) struct Signals {
    handled: Vec<(Number, Signal)>,
    /// The last request to stop.
    requested: Option<(Number, Instant)>,
    /// Notified by SIGHUP, where something can be reloaded.
    reload: Option<Arc<Notify>>,
    /// The process had a terminal when it began.
    had_terminal: bool,
}

impl Signals {
    /// Installs the handlers; the signals' default effects are gone from here on.
    pub(super) fn listen() -> Result<Self, Failure> {
        let all = STOPPING.into_iter().chain(NOTED).chain([Number::SIGHUP]);
        let handled = all.map(|number| Ok((number, listen(number)?))).collect::<Result<_, Failure>>()?;
        Ok(Self { handled, requested: None, reload: None, had_terminal: has_terminal() })
    }

    /// From here on SIGHUP notifies this.
    pub(super) fn reload_by(&mut self, reload: &Arc<Notify>) {
        self.reload = Some(Arc::clone(reload));
    }

    /// Comes back at the next request to stop, with the signal's name.
    pub(super) async fn next(&mut self) -> &'static str {
        loop {
            let number = self.received().await;
            match number {
                Number::SIGHUP if self.had_terminal && !has_terminal() => {
                    return "SIGHUP: the terminal was closed";
                }
                Number::SIGHUP => self.hang_up(),
                number if NOTED.contains(&number) => {
                    info!(signal = number.as_str(), "a signal without a meaning here was ignored");
                }
                number if self.is_repeated(number, Instant::now()) => {
                    debug!(signal = number.as_str(), "the same request to stop arrived twice");
                }
                number => return number.as_str(),
            }
        }
    }

    fn hang_up(&self) {
        match &self.reload {
            Some(reload) => reload.notify_one(),
            None => info!("SIGHUP was ignored: there is no nginx to reload; settings are read at start only"),
        }
    }

    /// Returns true if this repeats the request of a moment ago. If not, it becomes the last request.
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

/// Returns true if standard input, output or error is a terminal that is still open.
fn has_terminal() -> bool {
    std::io::stdin().is_terminal() || std::io::stdout().is_terminal() || std::io::stderr().is_terminal()
}

#[expect(clippy::as_conversions, reason = "a signal is its number")]
fn listen(number: Number) -> Result<Signal, Failure> {
    signal(SignalKind::from_raw(number as i32))
        .map_err(|error| Failure::Software(format!("cannot handle {number}: {error}")))
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
