//! SIGTERM and SIGINT: the first drains, the second ends the process at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Failure;

/// The signals that ask the process to go.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on; the signals' own effect is gone.
    pub(super) fn listen() -> Result<Self, Failure> {
        let told =
            |error: std::io::Error| Failure::Software(format!("signals cannot be listened to: {error}"));
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(told)?,
            interrupt: signal(SignalKind::interrupt()).map_err(told)?,
        })
    }

    /// Comes back with the next one's name.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
