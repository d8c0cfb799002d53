//! Filling of windows on a thread of its own, while more trades are read.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::task::{JoinError, JoinHandle};

use crate::{
    db::DbError,
    domain::{
        trade_stats::WindowTrade,
        windows::{MarketId, Windows},
    },
};

/// Trades that are handed over together: 8 MB.
const RUN_TRADES: usize = 100_000;
/// Runs that may wait in the channel. Handing over another one blocks the reader.
const RUNS_WAITING_MAX: usize = 2;

type Run = Vec<(MarketId, WindowTrade)>;

/// The thread that fills the windows.
pub(super) struct WindowFiller(JoinHandle<Windows>);

/// Sender of trades to the filling thread, which ends when this is dropped.
pub(super) struct RunSender {
    sender: SyncSender<Run>,
    /// Trades of the next run.
    run: Run,
}

impl WindowFiller {
    pub(super) fn start() -> (Self, RunSender) {
        let (sender, receiver) = sync_channel(RUNS_WAITING_MAX);
        let runs = RunSender { sender, run: Run::with_capacity(RUN_TRADES) };
        (Self(crate::blocking::run(move || fill(&receiver))), runs)
    }

    /// Returns the windows with all pushed trades.
    pub(super) async fn finish(self, runs: RunSender) -> Result<Windows, DbError> {
        // Sending fails only if the receiver panicked. The handle below then returns the panic.
        let _ = runs.sender.send(runs.run);
        drop(runs.sender);
        outcome(self.0.await)
    }
}

impl RunSender {
    /// Adds a trade. Returns true if that completed a run, which was then handed over. If the filling thread is behind,
    /// that blocks for some milliseconds.
    pub(super) fn push(&mut self, market: MarketId, trade: WindowTrade) -> bool {
        self.run.push((market, trade));
        let is_full = self.run.len() >= RUN_TRADES;
        if is_full {
            let full = std::mem::replace(&mut self.run, Run::with_capacity(RUN_TRADES));
            let _ = self.sender.send(full);
        }
        is_full
    }
}

fn fill(runs: &Receiver<Run>) -> Windows {
    let mut windows = Windows::default();
    for run in runs {
        windows.add_run(&run);
    }
    windows
}

/// Runs long work on a thread of the blocking pool. A panic there continues here.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, DbError> {
    outcome(crate::blocking::run(work).await)
}

fn outcome<T>(ended: Result<T, JoinError>) -> Result<T, DbError> {
    ended.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        // The runtime is shutting down.
        Err(error) => DbError::Pool { text: format!("no database connection: {error}"), state: None },
    })
}
