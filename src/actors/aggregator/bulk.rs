//! Windows filled on a thread of their own, while more trades are read.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::task::JoinHandle;

use crate::{
    db::DbError,
    domain::{
        summary::WindowTrade,
        windows::{MarketId, Windows},
    },
};

/// Trades that go into the windows together: 8 MB.
pub(super) const RUN_TRADES: usize = 100_000;
/// Runs that wait for their turn; who has one more waits, too.
const RUNS_WAITING_MAX: usize = 2;

type Run = Vec<(MarketId, WindowTrade)>;

/// The thread that fills windows.
pub(super) struct Adder(JoinHandle<Windows>);

/// The way to it; it ends when this is dropped.
pub(super) struct Runs(SyncSender<Run>);

impl Adder {
    pub(super) fn start() -> (Self, Runs) {
        let (sender, receiver) = sync_channel(RUNS_WAITING_MAX);
        (Self(actix_rt::task::spawn_blocking(move || fill(&receiver))), Runs(sender))
    }

    /// The windows with everything in them that was handed over. A panic there is one here.
    pub(super) async fn finish(self) -> Result<Windows, DbError> {
        self.0.await.map_err(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => DbError::Pool(error.to_string()), // the runtime ends
        })
    }
}

impl Runs {
    /// Blocks for some milliseconds where the thread is behind.
    pub(super) fn hand_over(&self, run: Run) {
        // Nobody takes it only after a panic, which `finish` tells.
        let _ = self.0.send(run);
    }
}

fn fill(runs: &Receiver<Run>) -> Windows {
    let mut windows = Windows::default();
    for mut run in runs {
        windows.add_run(&mut run);
    }
    windows
}
