//! One connection to the stream: where it begins, what it collects, how that is committed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::counter;
use tracing::{debug, info, warn};

use super::{
    Ended, State, StreamIngesterDeps, TICK,
    collector::{Collector, LIVE_CURSOR, QUIET},
};
use crate::{
    actors::{
        envelope::TraceContext,
        messages::{AssetsSeen, TradesCommitted},
    },
    db::trades::CommittedBatch,
    domain::cursor::PagingToken,
    horizon::{
        retry::Retry,
        stream::{Told, TradeStream},
        wire::Root,
    },
    published::Vitals,
};

/// How long a batch may wait for the aggregator. If it is over, the aggregator reads the database instead.
const AGGREGATOR_TIMEOUT: Duration = Duration::from_secs(5);
/// How long Horizon's word on its network and its history is believed.
const ROOT_GOOD_FOR: Duration = Duration::from_secs(600);
/// Ledgers that may close while the root's word is believed, by far: of the real network they take two months.
const LEDGERS_AHEAD_MAX: u32 = 1_000_000;
/// How long the asset poller may take to say that it heard.
const ASSET_POLLER_TIMEOUT: Duration = Duration::from_millis(500);

/// One connection to the stream.
pub(super) struct Session<'a> {
    deps: &'a StreamIngesterDeps,
    state: &'a State,
    heard_records: bool,
}

impl<'a> Session<'a> {
    pub(super) const fn new(deps: &'a StreamIngesterDeps, state: &'a State) -> Self {
        Self { deps, state, heard_records: false }
    }

    /// Whether any record came.
    pub(super) const fn heard_records(&self) -> bool {
        self.heard_records
    }

    /// Streams until something ends it. What was collected until then is committed.
    pub(super) async fn run(&mut self) -> Ended {
        match self.open().await {
            Err(ended) => ended,
            Ok((mut stream, mut collector)) => {
                let ended = self.listen(&mut stream, &mut collector).await;
                // What came before the end is as good as if no end had come.
                match self.commit(&mut collector).await {
                    Err(failed) => failed,
                    Ok(()) => ended,
                }
            }
        }
    }

    /// Checks the network, finds the place to go on from, and connects.
    async fn open(&self) -> Result<(TradeStream, Collector), Ended> {
        self.deps.status.set_state("connecting");
        let stored = self.deps.database.cursor(LIVE_CURSOR).await?;
        let start = match stored {
            Some(token) if self.root_is_known() => token,
            _ => {
                let root = self.deps.horizon.root().await?;
                self.check_network(&root)?;
                start(stored, &root)
            }
        };
        debug!(%start, "connecting to the stream of trades");
        let stream = self.deps.horizon.stream_trades(start).await?;
        self.heard();
        self.deps.status.set_state("streaming");
        let ceiling = self.state.newest_ledger.get().max(start.ledger()).saturating_add(LEDGERS_AHEAD_MAX);
        Ok((stream, Collector::new(stored, start, ceiling)))
    }

    fn root_is_known(&self) -> bool {
        self.state.root_good_until.get().is_some_and(|until| Instant::now() < until)
    }

    fn check_network(&self, root: &Root) -> Result<(), Ended> {
        let wrong = root.network_passphrase != self.deps.network_passphrase;
        self.deps.published.vitals.wrong_network.store(wrong, std::sync::atomic::Ordering::Relaxed);
        if wrong {
            return Err(Ended::WrongNetwork(root.network_passphrase.clone()));
        }
        self.state.newest_ledger.set(root.history_latest_ledger);
        self.state.root_good_until.set(Instant::now().checked_add(ROOT_GOOD_FOR));
        Ok(())
    }

    /// Takes in what comes until the stream ends. Batches are committed on the way.
    async fn listen(&mut self, stream: &mut TradeStream, collector: &mut Collector) -> Ended {
        let connected = Instant::now();
        loop {
            let patience = if collector.is_empty() { TICK } else { QUIET };
            let told = tokio::time::timeout(patience, stream.next()).await;
            self.state.advance();
            match told {
                Err(_) => {} // quiet: what was collected is all there is for now
                Ok(Err(error)) => return error.into(),
                // A quiet network ends its stream without a record after 55 s; at once only a sick server does.
                Ok(Ok(Told::End)) if self.heard_records || connected.elapsed() >= TICK => {
                    return Ended::Normally;
                }
                Ok(Ok(Told::End)) => return Ended::Empty,
                Ok(Ok(told)) => {
                    self.take_in(told, collector);
                    if !collector.is_due() {
                        continue;
                    }
                }
            }
            if let Err(ended) = self.commit(collector).await {
                return ended;
            }
            if self.state.draining.get() {
                return Ended::NotLeading;
            }
        }
    }

    fn take_in(&mut self, told: Told, collector: &mut Collector) {
        self.heard();
        match told {
            Told::Hello | Told::End => return,
            Told::Trade(received) => {
                collector.trade(*received, self.deps.clock.now(), self.deps.retention_days);
            }
            Told::Refused(refused) => {
                warn!(token = ?refused.token, reason = %refused.reason.escape_debug(), "a record goes to quarantine");
                collector.refused(refused);
            }
        }
        self.heard_records = true;
    }

    fn heard(&self) {
        Vitals::tell(&self.deps.published.vitals.stream, true, "connected", self.deps.clock.now());
    }

    /// Writes what was collected, as often as it takes while this replica leads, and tells it to the others.
    async fn commit(&self, collector: &mut Collector) -> Result<(), Ended> {
        if collector.is_empty() {
            return if self.deps.leadership.epoch().is_some() { Ok(()) } else { Err(Ended::NotLeading) };
        }
        let trace = TraceContext::root();
        let batch = collector.batch();
        let mut retry = Retry::default();
        let committed = loop {
            self.state.advance();
            let epoch = self.deps.leadership.epoch().ok_or(Ended::NotLeading)?;
            match self.deps.database.write_trades(epoch, &batch).await {
                Ok(committed) => break committed,
                Err(error) if error.is_transient() && !self.state.draining.get() => {
                    warn!(%error, "a batch of trades could not be stored, trying again");
                    let now = self.deps.clock.now();
                    Vitals::tell(&self.deps.published.vitals.database, false, "does not take trades", now);
                    super::pause(self.state, retry.next_wait(None)).await;
                }
                Err(error) => return Err(error.into()),
            }
        };
        count(&committed, collector.passed_over(), batch.quarantine.len());
        collector.committed();
        self.tell(&trace, committed).await;
        Ok(())
    }

    /// A listener that does not answer is not waited for: the database tells it the same.
    async fn tell(&self, trace: &TraceContext, committed: CommittedBatch) {
        let new_assets = committed.new_assets.len();
        let seq = committed.seq;
        let message = TradesCommitted { batch: Arc::new(committed) };
        if let Err(error) = self.deps.aggregator.call(&trace.child(), message, AGGREGATOR_TIMEOUT).await {
            warn!(%error, seq, "a batch was not heard");
        }
        if new_assets > 0 {
            info!(new_assets, "trades of assets that were not seen before");
            if let Err(error) =
                self.deps.asset_poller.call(&trace.child(), AssetsSeen, ASSET_POLLER_TIMEOUT).await
            {
                debug!(%error, "new assets were not heard");
            }
        }
    }
}

/// Where to go on from: behind the stored cursor; behind Horizon's newest ledger where there is none; at its oldest
/// one where the stored cursor lies before all that it still has (what lies between is a gap in the coverage).
fn start(stored: Option<PagingToken>, root: &Root) -> PagingToken {
    match stored {
        None => PagingToken::before_ledger(root.history_latest_ledger.saturating_add(1)),
        Some(token) if token.ledger() < root.history_elder_ledger => {
            warn!(
                from = token.ledger(),
                to = root.history_elder_ledger,
                "horizon has lost history that is missing here"
            );
            PagingToken::before_ledger(root.history_elder_ledger)
        }
        Some(token) => token,
    }
}

fn count(committed: &CommittedBatch, passed_over: u64, quarantined: usize) {
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    counter!("ticker_trades_ingested_total").increment(number(committed.trades.len()));
    counter!("ticker_trades_repeated_total").increment(committed.repeats);
    counter!("ticker_trades_passed_over_total").increment(passed_over);
    counter!("ticker_quarantined_total").increment(number(quarantined).saturating_add(committed.conflicts));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_behind_the_newest_ledger_then_at_the_cursor_and_at_the_elder_ledger_if_that_is_later() {
        let root =
            Root { network_passphrase: String::new(), history_latest_ledger: 900, history_elder_ledger: 500 };
        assert_eq!(start(None, &root), PagingToken::before_ledger(901));
        let cursor = PagingToken::new((700 << 32) + 1, 3);
        assert_eq!(start(cursor, &root), cursor.unwrap());
        assert_eq!(start(PagingToken::new(7 << 32, 0), &root), PagingToken::before_ledger(500));
    }
}
