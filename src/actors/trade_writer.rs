//! Writing batches of trades and telling those who wait for them: the way of the stream, of history and of repairs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::counter;
use tracing::{debug, info, warn};

use super::{
    envelope::TraceContext,
    leadership::Leadership,
    messages::{AssetsSeen, TradesCommitted},
    outage,
    port::Port,
    worker::WorkContext,
};
use crate::{
    clock::SharedClock,
    db::{
        Database, DbError,
        trades::{CommittedBatch, TradeBatch},
    },
    horizon::retry::Retry,
    published::{Published, Vitals},
    trouble::SharedLimit,
};

/// How long the database may take for a batch; its own timeouts are shorter.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a batch may wait for the aggregator. If it is over, the aggregator reads the database instead.
const AGGREGATOR_TIMEOUT: Duration = Duration::from_secs(5);
/// Lines in a minute about records that went to quarantine, and about new assets: a line has up to 700 bytes.
const QUARANTINED_A_MINUTE: u32 = 10;
const NEW_ASSETS_A_MINUTE: u32 = 6;
const MINUTE: Duration = Duration::from_secs(60);
/// How long the asset poller may take to say that it heard.
const ASSET_POLLER_TIMEOUT: Duration = Duration::from_millis(500);

/// Who hears of what was written; nobody in a command that runs alone.
#[derive(Clone, Debug)]
pub struct Listeners {
    /// Who learns of every batch.
    pub aggregator: Port<TradesCommitted>,
    /// Who learns of assets that were never seen before.
    pub asset_poller: Port<AssetsSeen>,
}

/// Writes batches of trades while this replica leads.
#[derive(Clone)]
pub struct TradeWriter {
    /// Where trades go.
    pub database: Database,
    /// Whether this replica may write.
    pub leadership: Leadership,
    /// Who hears of it.
    pub listeners: Option<Listeners>,
    /// What time it is.
    pub clock: SharedClock,
    /// Where readers see how the database is.
    pub published: Arc<Published>,
    /// Limit of the log lines about received records.
    pub lines: IntakeLines,
}

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    /// This replica leads no more, or the drain began.
    #[error("this replica does not lead any more")]
    NotLeading,
    /// The database refuses it for good, or another writer was here.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl TradeWriter {
    /// Writes a batch, as often as it takes while this replica leads, and tells it to the others.
    ///
    /// # Errors
    ///
    /// [`NotWritten`]; nothing of the batch is stored then.
    pub async fn write(
        &self,
        batch: &TradeBatch,
        context: &WorkContext,
    ) -> Result<CommittedSummary, NotWritten> {
        let mut retry = Retry::default();
        let committed = loop {
            context.advance();
            let epoch = self.leadership.epoch().ok_or(NotWritten::NotLeading)?;
            match self.database.within(WRITE_TIMEOUT, self.database.write_trades(epoch, batch)).await {
                Ok(committed) => break committed,
                Err(error) if error.is_transient() && !context.is_draining() => {
                    outage::database_failed(&self.database, &error, "storing a batch of trades");
                    let now = self.clock.now();
                    Vitals::tell(&self.published.vitals.database, false, "does not take trades", now);
                    context.pause(retry.next_wait(None)).await;
                }
                Err(error) => return Err(error.into()),
            }
        };
        self.tell_quarantined(&committed);
        let stats = count(batch, &committed);
        if let Some(listeners) = &self.listeners {
            listeners.tell(committed, &self.lines).await;
        }
        Ok(stats)
    }
}

impl TradeWriter {
    /// Names each record once, although each look at the tail comes upon it again; of many within a minute only some.
    fn tell_quarantined(&self, committed: &CommittedBatch) {
        let now = self.clock.monotonic();
        for new in &committed.quarantined {
            if let Some(unnamed) = self.lines.records.allow(now) {
                let token = new.token.as_deref();
                warn!(token, reason = %new.reason.escape_debug(), unnamed, "a record goes to quarantine");
            }
        }
        if committed.quarantine_left_out > 0 && self.lines.left_out.allow(now).is_some() {
            let left_out = self.database.quarantine_left_out();
            warn!(
                left_out,
                "more records were refused within the hour than quarantine keeps; the rest is only counted"
            );
        }
    }
}

/// Bounds of the lines that a Horizon can cause by what it sends.
#[derive(Clone, Debug)]
pub struct IntakeLines {
    /// Records that went to quarantine.
    records: Arc<SharedLimit>,
    /// Limit of the log lines about records that quarantine left out.
    left_out: Arc<SharedLimit>,
    /// Assets that were not seen before.
    new_assets: Arc<SharedLimit>,
}

impl Default for IntakeLines {
    fn default() -> Self {
        let limit = |lines, within| Arc::new(SharedLimit::new(lines, within));
        Self {
            records: limit(QUARANTINED_A_MINUTE, MINUTE),
            left_out: limit(1, MINUTE * 10),
            new_assets: limit(NEW_ASSETS_A_MINUTE, MINUTE),
        }
    }
}

/// What came of a batch, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommittedSummary {
    /// Trades that were not there before.
    pub new: u64,
    /// Trades that were there already.
    pub repeats: u64,
}

impl Listeners {
    /// A listener that does not answer is not waited for: the database tells it the same.
    async fn tell(&self, committed: CommittedBatch, lines: &IntakeLines) {
        let trace = TraceContext::root();
        let (new_assets, seq) = (committed.new_assets.len(), committed.seq);
        debug!(%trace, seq, trades = committed.trades.len(), "a batch is stored");
        let message = TradesCommitted { batch: Arc::new(committed) };
        if let Err(error) = self.aggregator.call(&trace.child(), message, AGGREGATOR_TIMEOUT).await {
            warn!(%error, seq, "a batch was not heard");
        }
        if new_assets > 0 {
            if let Some(unnamed) = lines.new_assets.allow(Instant::now()) {
                info!(new_assets, unnamed, "trades of assets that were not seen before");
            }
            let told = self.asset_poller.call(&trace.child(), AssetsSeen, ASSET_POLLER_TIMEOUT).await;
            if let Err(error) = told {
                debug!(%error, "new assets were not heard");
            }
        }
    }
}

fn count(batch: &TradeBatch, committed: &CommittedBatch) -> CommittedSummary {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let new = number(committed.trades.len());
    let kind = batch.kind.name();
    counter!("ticker_trades_ingested_total", "kind" => kind).increment(new);
    counter!("ticker_trades_repeated_total", "kind" => kind).increment(committed.repeats);
    counter!("ticker_quarantined_total").increment(number(committed.quarantined.len()));
    counter!("ticker_quarantine_left_out_total").increment(committed.quarantine_left_out);
    CommittedSummary { new, repeats: committed.repeats }
}
