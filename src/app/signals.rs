//! SIGTERM and SIGINT: the first drains, the second ends the process at once. SIGHUP: nginx is reloaded.

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
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Comes back with the next one's name.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// SIGHUP. Where nothing can be reloaded it keeps its own effect: a program in a terminal ends with that.
pub(super) struct Hangups(Option<Signal>);

impl Hangups {
    /// Listens from now on, if they are wanted.
    pub(super) fn listen_if(wanted: bool) -> Result<Self, Failure> {
        wanted.then(|| listen(SignalKind::hangup())).transpose().map(Self)
    }

    /// Comes back at the next one.
    pub(super) async fn next(&mut self) {
        match &mut self.0 {
            Some(hangup) => {
                hangup.recv().await;
            }
            None => std::future::pending().await,
        }
    }
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::Software(format!("signals cannot be listened to: {error}")))
}
