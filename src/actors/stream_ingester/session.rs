//! One connection to the stream: where it begins, what it collects, how that is committed.

use std::{
    cell::Cell,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use metrics::counter;
use tracing::{debug, info, warn};

use super::{
    Ended, StreamIngest,
    collector::{Collector, QUIET},
};
use crate::{
    actors::{
        intake::Intake,
        network_check::{self, History, LEADING_LEDGERS_MAX},
        worker::{TICK, WorkContext},
    },
    db::trades::LIVE_CURSOR,
    domain::{cursor::PagingToken, instant::UnixSeconds},
    horizon::{
        HorizonError,
        stream::{Told, TradeStream},
    },
    published::Vitals,
};

/// A stream that is further behind begins at the newest ledger, and what it left out is read as history, the newest
/// first: that costs as many requests and is fresh at once.
const REPLAYED_LEDGERS_MAX: u32 = 100;
/// How long a stream may be silent while pages hold trades that it has not told. It looks for a new ledger each 5 s, so
/// a longer silence is that of a connection whose other end is gone.
const SILENT_BESIDE_NEWS_MAX: Duration = Duration::from_secs(10);

/// One connection to the stream.
pub(super) struct Session<'a> {
    deps: &'a StreamIngest,
    context: &'a WorkContext,
    /// Horizon's last report on its own history; it outlives the connection.
    history: &'a Cell<Option<History>>,
    /// Cursor with which the present connection was opened.
    start: Cell<Option<PagingToken>>,
    /// The cursor has moved on.
    has_advanced: Cell<bool>,
}

impl<'a> Session<'a> {
    pub(super) const fn new(
        deps: &'a StreamIngest,
        context: &'a WorkContext,
        history: &'a Cell<Option<History>>,
    ) -> Self {
        Self { deps, context, history, start: Cell::new(None), has_advanced: Cell::new(false) }
    }

    /// Returns true if the session moved the cursor.
    pub(super) fn has_advanced(&self) -> bool {
        self.has_advanced.get()
    }

    /// Streams until something ends it. What was collected until then is committed.
    pub(super) async fn run(&mut self) -> Ended {
        let (mut stream, mut collector) = match self.open().await {
            Ok(opened) => opened,
            Err(ended) => return ended,
        };
        let ended = loop {
            match self.listen(&mut stream, &mut collector).await {
                Ended::Normally => {}
                ended => break ended,
            }
            match self.go_on(&mut collector).await {
                Ok(Some(next)) => stream = next,
                Ok(None) => break Ended::Normally,
                Err(ended) => break ended,
            }
        };
        // What came before the end is as good as if no end had come.
        match self.commit(&mut collector).await {
            Err(failed) => failed,
            Ok(()) => ended,
        }
    }

    /// Connects again behind what is collected, if that can be done without looking at anything else first. A large
    /// ledger is many connections: were each a transaction, these would take longer than all else. Only where the
    /// connection takes its time is what was collected committed meanwhile.
    async fn go_on(&self, collector: &mut Collector) -> Result<Option<TradeStream>, Ended> {
        let horizon = &self.deps.horizon;
        let Some(history) = self.history.get().filter(|history| history.is_usable(horizon)) else {
            return Ok(None);
        };
        if collector.is_empty() || self.context.is_draining() {
            return Ok(None);
        }
        counter!("ticker_stream_sessions_total", "end" => "end").increment(1);
        let start = collector.reached();
        if self.start.replace(Some(start)) == Some(start) {
            return Ok(None); // the last connection brought nothing new
        }
        debug!(%start, "connecting to the stream of trades again");
        let mut connecting = std::pin::pin!(horizon.stream_trades(start));
        let stream = match tokio::time::timeout(QUIET, &mut connecting).await {
            Ok(connected) => connected?,
            Err(_) => {
                let (connected, committed) = tokio::join!(connecting, self.commit(collector));
                committed?;
                connected?
            }
        };
        self.heard();
        collector.set_intake(self.intake(&history, start));
        collector.set_anchor(history.anchor(self.now()));
        Ok(Some(stream))
    }

    /// The rules for what a stream from `start` on tells.
    fn intake(&self, history: &History, start: PagingToken) -> Intake {
        Intake {
            source: "stream",
            ceiling: history.ceiling().max(start.ledger().saturating_add(LEADING_LEDGERS_MAX)),
            latest_time: history.time(),
            retention_days: self.deps.retention_days,
        }
    }

    fn now(&self) -> UnixSeconds {
        UnixSeconds::from(self.deps.writer.clock.now())
    }

    /// Checks the network, finds the place to go on from, and connects.
    async fn open(&mut self) -> Result<(TradeStream, Collector), Ended> {
        self.deps.status.set_state("connecting");
        let database = &self.deps.writer.database;
        let stored = database.cursor(LIVE_CURSOR).await?;
        let horizon = &self.deps.horizon;
        let (history, start) = match (self.history.get(), stored) {
            (Some(history), Some(token)) if history.is_usable(horizon) => (history, token),
            _ => {
                let history = self.confirm().await?;
                (history, start(stored, history.latest))
            }
        };
        self.start.set(Some(start));
        debug!(%start, "connecting to the stream of trades");
        let stream = self.deps.horizon.stream_trades(start).await?;
        self.heard();
        self.deps.status.set_state("streaming");
        let mut collector = Collector::new(stored, start, self.intake(&history, start));
        collector.set_anchor(history.anchor(self.now()));
        Ok((stream, collector))
    }

    /// Takes in what comes until the stream ends. Batches are committed on the way.
    async fn listen(&mut self, stream: &mut TradeStream, collector: &mut Collector) -> Ended {
        let connected = Instant::now();
        let (mut missing_since, mut heard_records) = (None, false);
        loop {
            let patience = if collector.is_empty() { TICK } else { QUIET };
            let told = tokio::time::timeout(patience, stream.next()).await;
            self.context.advance();
            match told {
                // Quiet: what was collected is all there is for now.
                Err(_) if self.is_silent_beside_news(collector, &mut missing_since) => {
                    return HorizonError::Silent(SILENT_BESIDE_NEWS_MAX).into();
                }
                // Asked now, it costs no trade a moment: a batch that comes later need not wait for the answer.
                Err(_) if collector.is_empty() => {
                    if let Err(ended) = self.confirm().await {
                        return ended;
                    }
                }
                Err(_) => {}
                Ok(Err(error)) => return error.into(),
                // A quiet network ends its stream without a record after 55 s; at once only a sick server does.
                Ok(Ok(Told::End)) if heard_records || connected.elapsed() >= TICK => {
                    return Ended::Normally;
                }
                Ok(Ok(Told::End)) => return Ended::Empty,
                Ok(Ok(told)) => {
                    missing_since = None;
                    heard_records |= self.take_in(told, collector);
                    if !collector.is_due() {
                        continue;
                    }
                }
            }
            if let Err(ended) = self.commit(collector).await {
                return ended;
            }
            if self.context.is_draining() {
                return Ended::NotLeading;
            }
        }
    }

    /// Whether the stream has told nothing since pages told more, for too long.
    fn is_silent_beside_news(&self, collector: &Collector, missing_since: &mut Option<Instant>) -> bool {
        let newest = self.deps.writer.published.vitals.newest_by_pages.load(Ordering::Relaxed);
        if newest <= collector.ledger() {
            return false;
        }
        missing_since.get_or_insert_with(Instant::now).elapsed() >= SILENT_BESIDE_NEWS_MAX
    }

    /// Says whether it was a record.
    fn take_in(&self, told: Told, collector: &mut Collector) -> bool {
        self.heard();
        match told {
            Told::Hello | Told::End => return false,
            Told::Trade(received) => {
                collector.trade(*received, self.now());
            }
            Told::Refused(refused) => collector.refused(refused),
        }
        true
    }

    fn heard(&self) {
        let writer = &self.deps.writer;
        Vitals::tell(&writer.published.vitals.stream, true, "connected", writer.clock.now());
    }

    /// Makes sure that what came until now is of the right network.
    async fn confirm(&self) -> Result<History, Ended> {
        let StreamIngest { horizon, writer, network_passphrase, .. } = self.deps;
        let known = self.history.get();
        let history =
            network_check::confirmed(known, horizon, network_passphrase, &writer.database, &writer.published)
                .await?;
        self.history.set(Some(history));
        Ok(history)
    }

    /// Writes what was collected and tells it to the others.
    async fn commit(&self, collector: &mut Collector) -> Result<(), Ended> {
        if collector.is_empty() {
            let leads = self.deps.writer.leadership.epoch().is_some();
            return if leads { Ok(()) } else { Err(Ended::NotLeading) };
        }
        self.confirm().await?;
        self.deps.writer.write(&collector.batch(), self.context).await?;
        counter!("ticker_trades_passed_over_total").increment(collector.passed_over());
        if collector.has_advanced() {
            self.has_advanced.set(true);
        }
        collector.committed();
        Ok(())
    }
}

/// Where to go on from: behind the stored cursor, or behind Horizon's newest ledger where there is none or it lies too
/// far back. What is left out is history.
fn start(stored: Option<PagingToken>, newest: u32) -> PagingToken {
    let begin = PagingToken::before_ledger(newest.saturating_add(1));
    match stored {
        None => begin,
        Some(token) if token.ledger() < newest.saturating_sub(REPLAYED_LEDGERS_MAX) => {
            info!(from = token.ledger(), to = newest, "far behind: what lies between is read as history");
            begin
        }
        Some(token) if token.ledger() > newest.saturating_add(LEADING_LEDGERS_MAX) => {
            warn!(
                cursor = token.ledger(),
                newest, "the cursor is ahead of all that there is: beginning anew"
            );
            begin
        }
        Some(token) => token,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_at_the_cursor_unless_that_is_far_from_the_newest_ledger() {
        let begin = PagingToken::before_ledger(9_001);
        assert_eq!(start(None, 9_000), begin);
        let cursor = |ledger: i64| PagingToken::new((ledger << 32) + 1, 3);
        for near in [8_900, 9_000, 9_500] {
            assert_eq!(start(cursor(near), 9_000), cursor(near).unwrap());
        }
        for far in [7, 8_899, 10_001] {
            assert_eq!(start(cursor(far), 9_000), begin);
        }
    }
}
