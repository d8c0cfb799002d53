//! Writing of trade batches, and notification of the actors that need them. Used by stream, history and repairs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use metrics::counter;
use tracing::{debug, info, warn};

use super::{
    leadership::Leadership,
    messages::{AssetsSeen, TradesCommitted},
    outage,
    port::Port,
    receivers::Receivers,
    subjects,
    trace::context::TraceContext,
    worker::WorkContext,
};
use crate::{
    clock::SharedClock,
    db::{
        Database, DbError,
        trades::{BatchKind, CommittedBatch, TradeBatch},
    },
    domain::conversions::SaturatingFrom,
    outbound::retry::Retry,
    published::{Published, Vitals},
    steps,
    trouble::SharedLimit,
};

/// Name of the writes in the log.
const STORING: &str = "storing a batch of trades";
/// Test hook that keeps a committed batch with trades from the aggregator, which then finds it in the database.
const LOSE_BATCH: &str = "LoseBatch";
/// Time limit for a batch. The database's own timeouts are shorter.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Time limit for the aggregator. After it, the aggregator reads the batch from the database instead.
const AGGREGATOR_TIMEOUT: Duration = Duration::from_secs(5);
/// Log lines per minute about quarantined records. One line may have 700 bytes.
const QUARANTINED_A_MINUTE: u32 = 10;
/// Log lines per minute about new assets.
const NEW_ASSETS_A_MINUTE: u32 = 6;
const MINUTE: Duration = Duration::from_secs(60);
/// Time limit for the asset poller to acknowledge a message.
const ASSET_POLLER_TIMEOUT: Duration = Duration::from_millis(500);

/// Actors that are notified of a batch. A command that runs alone has none.
#[derive(Clone, Debug)]
pub struct Listeners {
    /// Receives every batch.
    pub aggregator: Port<TradesCommitted>,
    /// Notified if a batch has assets that were not known before, and of the first batch with trades.
    pub asset_poller: Port<AssetsSeen>,
    /// True once a batch with trades was reported. The first publication waits until the asset poller has looked at
    /// such a batch, also if a sweep has stored its assets before.
    has_reported_trades: Arc<AtomicBool>,
}

impl Listeners {
    /// Creates the ports of the actor of the name `from`.
    #[must_use]
    pub fn of(receivers: &Receivers, from: &'static str) -> Self {
        Self {
            aggregator: receivers.trades_committed.port(from),
            asset_poller: receivers.assets_seen.port(from),
            has_reported_trades: Arc::default(),
        }
    }
}

/// Writer of trade batches. It writes while this replica leads.
#[derive(Clone)]
pub struct TradeWriter {
    /// Database that stores the trades.
    pub database: Database,
    /// The lease under which it writes.
    pub leadership: Leadership,
    /// Actors to notify; none in a command.
    pub listeners: Option<Listeners>,
    /// Clock for the times in vitals and limits.
    pub clock: SharedClock,
    /// Vitals that record failures of the database.
    pub published: Arc<Published>,
    /// Limits on log lines about received records.
    pub lines: IntakeLogLimits,
}

/// Error of writing a batch. Nothing of the batch is stored then.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// This replica does not lead, or lost the lease.
    #[error("this replica does not hold the lease any more")]
    NotLeading,
    /// The database refused the batch for good, failed during a drain, or another writer moved the cursor.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl TradeWriter {
    /// Writes a batch and notifies the listeners. Retries transient failures while this replica leads. `cause` is the
    /// step that collected the batch.
    ///
    /// # Errors
    ///
    /// [`WriteError`]; nothing of the batch is stored then.
    pub async fn write(
        &self,
        batch: &TradeBatch,
        cause: &TraceContext,
        context: &WorkContext,
    ) -> Result<CommittedSummary, WriteError> {
        let mut retry = Retry::default();
        let (committed, trace) = loop {
            context.advance();
            let Some(epoch) = self.leadership.epoch() else {
                self.published.vitals.database.forget_writes(); // it is unknown whether the next leader can write
                return Err(WriteError::NotLeading);
            };
            let mut step = context.step(steps::TRANSACTION, Some(cause));
            let written = self.database.within(WRITE_TIMEOUT, self.database.write_trades(epoch, batch)).await;
            let trace = match &written {
                Ok(committed) => {
                    step.set_subject(subjects::committed(committed));
                    step.done()
                }
                Err(_) => step.failed(),
            };
            match written {
                Ok(committed) => break (committed, trace),
                // The lost answer may have been a success. Writing again is safe: repeated trades change nothing.
                Err(error) if error.is_transient() && !context.is_draining() => {
                    outage::database_failed(&self.database, &error, STORING);
                    note_failure(&self.published.vitals, batch.kind, self.clock.now());
                    context.pause(retry.next_wait(None)).await;
                }
                // Another writer was here, which says nothing about the next write.
                Err(error @ (DbError::CursorMoved { .. } | DbError::LeaseLost)) => return Err(error.into()),
                Err(error) => {
                    if !context.is_draining() {
                        note_failure(&self.published.vitals, batch.kind, self.clock.now());
                    }
                    return Err(error.into());
                }
            }
        };
        note_success(&self.published.vitals, batch.kind);
        if self.database.record_success(STORING) {
            info!("trades are stored again");
        }
        self.log_quarantined(&committed);
        let summary = count(batch, &committed);
        if !committed.trades.is_empty() {
            self.published.vitals.committed_at.store(Some(Arc::new(self.clock.now())));
        }
        if let Some(listeners) = &self.listeners
            && (committed.trades.is_empty() || !context.takes_hook(LOSE_BATCH))
        {
            listeners.notify(committed, &trace, &self.lines).await;
        }
        Ok(summary)
    }
}

impl TradeWriter {
    /// Logs the new entries of quarantine, within limits. An entry is new only once, although every read of the tail
    /// finds the record again.
    fn log_quarantined(&self, committed: &CommittedBatch) {
        let now = self.clock.monotonic();
        for new in &committed.quarantined {
            if let Some(suppressed) = self.lines.records.allow(now) {
                let token = new.token.as_deref();
                warn!(token, reason = %new.reason.escape_debug(), suppressed, "record quarantined");
            }
        }
        if committed.quarantine_left_out > 0 && self.lines.left_out.allow(now).is_some() {
            let left_out = self.database.quarantine_left_out();
            warn!(left_out, "quarantine is full for this hour, further refused records are only counted");
        }
    }
}

fn note_failure(vitals: &Vitals, kind: BatchKind, now: DateTime<Utc>) {
    let cell = match kind {
        BatchKind::Live => &vitals.database.unwritable_stream,
        BatchKind::Backfill | BatchKind::Repair => &vitals.database.unwritable_history,
    };
    cell.fails(format!("writes of trades fail ({})", kind.name()), now);
}

/// Clears the reported failures. Only a stored batch of the stream clears a failure of the stream: batches of other
/// kinds may succeed while the stream still retries.
fn note_success(vitals: &Vitals, kind: BatchKind) {
    vitals.database.unwritable_history.clear();
    if kind == BatchKind::Live {
        vitals.database.unwritable_stream.clear();
    }
}

/// Limits on log lines that Horizon can cause by what it sends. Shared by all writers.
#[derive(Clone, Debug)]
pub struct IntakeLogLimits {
    /// Limit for quarantined records.
    records: Arc<SharedLimit>,
    /// Limit for records that quarantine had no room for.
    left_out: Arc<SharedLimit>,
    /// Limit for new assets.
    new_assets: Arc<SharedLimit>,
}

impl Default for IntakeLogLimits {
    fn default() -> Self {
        let limit = |lines, within| Arc::new(SharedLimit::new(lines, within));
        Self {
            records: limit(QUARANTINED_A_MINUTE, MINUTE),
            left_out: limit(1, MINUTE * 10),
            new_assets: limit(NEW_ASSETS_A_MINUTE, MINUTE),
        }
    }
}

/// Numbers of a committed batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommittedSummary {
    /// Trades that were not stored before.
    pub new: u64,
    /// Trades that were stored already.
    pub repeats: u64,
}

impl Listeners {
    /// Notifies the listeners. Failures are logged only: the listeners find the same in the database.
    async fn notify(&self, committed: CommittedBatch, trace: &TraceContext, lines: &IntakeLogLimits) {
        let (new_assets, seq) = (committed.new_assets.len(), committed.seq);
        let has_trades = !committed.trades.is_empty();
        debug!(%trace, seq, trades = committed.trades.len(), "batch committed");
        let message = TradesCommitted { batch: Arc::new(committed) };
        // Waiting for the answer slows the source down to the pace of the windows.
        if let Err(error) = self.aggregator.call(Some(trace), message, AGGREGATOR_TIMEOUT).await {
            warn!(%error, seq, "aggregator did not confirm a batch, it will read the database");
        }
        let is_first = has_trades && !self.has_reported_trades.swap(true, Ordering::Relaxed);
        if new_assets > 0
            && let Some(suppressed) = lines.new_assets.allow(Instant::now())
        {
            info!(new_assets, suppressed, "new assets in trades");
        }
        if new_assets > 0 || is_first {
            let sent = self.asset_poller.call(Some(trace), AssetsSeen, ASSET_POLLER_TIMEOUT).await;
            if let Err(error) = sent {
                debug!(%error, "asset poller did not confirm new assets, it will find them itself");
            }
        }
    }
}

fn count(batch: &TradeBatch, committed: &CommittedBatch) -> CommittedSummary {
    let new = u64::saturating_from(committed.trades.len());
    let kind = batch.kind.name();
    counter!("ticker_trades_ingested_total", "kind" => kind).increment(new);
    counter!("ticker_trades_repeated_total", "kind" => kind).increment(committed.repeats);
    counter!("ticker_quarantined_total").increment(u64::saturating_from(committed.quarantined.len()));
    counter!("ticker_quarantine_left_out_total").increment(committed.quarantine_left_out);
    CommittedSummary { new, repeats: committed.repeats }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instant::UnixSeconds;

    #[test]
    fn a_stored_batch_of_history_hides_no_failure_of_the_stream() {
        let vitals = Vitals::default();
        let fail = |kind| note_failure(&vitals, kind, UnixSeconds(1).to_utc());
        let failing = || {
            [&vitals.database.unwritable_stream, &vitals.database.unwritable_history]
                .map(|cell| cell.load().is_some())
        };
        fail(BatchKind::Live);
        fail(BatchKind::Backfill);
        assert_eq!(failing(), [true, true]);
        note_success(&vitals, BatchKind::Backfill);
        assert_eq!(failing(), [true, false], "the stream still fails");
        fail(BatchKind::Repair);
        note_success(&vitals, BatchKind::Live);
        assert_eq!(failing(), [false, false]);
    }
}
