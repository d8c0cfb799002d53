//! A session: one or more connections to the stream, from the stored cursor, with commits on the way.

use std::{cell::Cell, time::Instant};

use metrics::counter;
use tracing::{debug, info, warn};

use super::{
    SessionEnd, StreamIngest,
    collector::{Collector, QUIET},
    pace::Pace,
    silence::{SILENT_BEHIND_PAGES_MAX, Silence},
};
use crate::{
    actors::{
        intake::Intake,
        network_check::History,
        subjects,
        trace::subject::Subject,
        worker::{TICK, WorkContext},
    },
    db::trades::LIVE_CURSOR,
    domain::{cursor::PagingToken, instant::UnixSeconds},
    horizon::{
        HorizonClient, HorizonError,
        stream::{StreamItem, TradeStream},
    },
    steps,
};

/// Ledgers that a stream may be behind. If it is more, the stream begins at the newest ledger, and history fills the
/// gap from its newest end. That costs as many requests and is fresh at once.
const REPLAYED_LEDGERS_MAX: u32 = 100;

/// A session of one or more connections to the stream.
pub(super) struct Session<'a> {
    deps: &'a StreamIngest,
    context: &'a WorkContext,
    /// Last check of the network; it outlives the session.
    history: &'a Cell<Option<History>>,
    /// Pace of the connections; it outlives the session as well.
    pace: &'a Pace,
    /// Cursor with which the current connection was opened.
    start: Cell<Option<PagingToken>>,
    /// True if a commit of this session moved the cursor.
    has_advanced: Cell<bool>,
}

impl<'a> Session<'a> {
    pub(super) const fn new(
        deps: &'a StreamIngest,
        context: &'a WorkContext,
        history: &'a Cell<Option<History>>,
        pace: &'a Pace,
    ) -> Self {
        Self { deps, context, history, pace, start: Cell::new(None), has_advanced: Cell::new(false) }
    }

    /// Returns true if the session moved the cursor.
    pub(super) fn has_advanced(&self) -> bool {
        self.has_advanced.get()
    }

    /// Streams until something ends it, then commits what was collected.
    pub(super) async fn run(&mut self) -> SessionEnd {
        let (mut stream, mut collector) = match self.open().await {
            Ok(opened) => opened,
            Err(ended) => return ended,
        };
        let ended = loop {
            match self.receive(&mut stream, &mut collector).await {
                SessionEnd::Normally => {}
                ended => break ended,
            }
            match self.reconnect(&mut collector).await {
                Ok(Some(next)) => stream = next,
                Ok(None) => break SessionEnd::Normally,
                Err(ended) => break ended,
            }
        };
        // Whatever ended the session, the records before it are valid.
        match self.commit(&mut collector).await {
            Err(failed) => failed,
            Ok(()) => ended,
        }
    }

    /// Reconnects behind what is collected, without a commit in between. Returns none if a new session is needed.
    ///
    /// A large ledger takes many connections. If each were a transaction, these would take most of the time. Only if
    /// connecting takes long is the batch committed meanwhile.
    async fn reconnect(&self, collector: &mut Collector) -> Result<Option<TradeStream>, SessionEnd> {
        let horizon = &self.deps.horizon;
        let Some(history) = self.history.get().filter(|history| history.allows_requests(horizon)) else {
            return Ok(None);
        };
        if collector.is_empty() || self.context.is_draining() || !self.pace.allows_next(Instant::now()) {
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
        self.pace.note_opened(Instant::now());
        self.note_received();
        collector.set_start(start);
        collector.set_intake(self.intake(&history));
        collector.set_anchor(history.anchor(self.now()));
        Ok(Some(stream))
    }

    /// Returns the rules for records that are received now.
    fn intake(&self, history: &History) -> Intake {
        Intake {
            source: "stream",
            ceiling: history.ceiling(),
            latest_time: history.time(),
            newest_at: history.newest_at(),
            retention_days: self.deps.retention_days,
        }
    }

    fn now(&self) -> UnixSeconds {
        UnixSeconds::from(self.deps.writer.clock.now())
    }

    /// Checks the network, determines the start and connects.
    async fn open(&mut self) -> Result<(TradeStream, Collector), SessionEnd> {
        self.deps.status.set_state("connecting");
        let database = &self.deps.writer.database;
        let stored = database.cursor(LIVE_CURSOR).await?;
        let horizon = &self.deps.horizon;
        let (history, start) = match (self.history.get(), stored) {
            (Some(history), Some(token)) if history.allows_requests(horizon) => (history, token),
            _ => {
                let history = self.confirm(horizon).await?;
                (history, start(stored, history.known(), history.ceiling()))
            }
        };
        self.start.set(Some(start));
        debug!(%start, "connecting to the stream of trades");
        let stream = self.deps.horizon.stream_trades(start).await?;
        self.pace.note_opened(Instant::now());
        self.note_received();
        self.deps.status.set_state("streaming");
        let mut collector = Collector::new(stored, start, self.intake(&history));
        collector.set_anchor(history.anchor(self.now()));
        Ok((stream, collector))
    }

    /// Collects records until the stream ends. Commits batches on the way.
    async fn receive(&mut self, stream: &mut TradeStream, collector: &mut Collector) -> SessionEnd {
        let connected = Instant::now();
        let (mut silence, mut received_records, mut was_idle_at) = (Silence::default(), false, connected);
        loop {
            let patience = if collector.is_empty() { TICK } else { QUIET };
            let next = tokio::time::timeout(patience, stream.next()).await;
            self.context.advance();
            match next {
                // No record for a while: what was collected is all there is for now.
                Err(_) => {}
                Ok(Err(error)) => return error.into(),
                // A quiet network ends its stream after 55 s without a record. Only a sick server ends it at once.
                Ok(Ok(StreamItem::End)) if received_records || connected.elapsed() >= TICK => {
                    return SessionEnd::Normally;
                }
                Ok(Ok(StreamItem::End)) => return SessionEnd::Empty,
                Ok(Ok(event)) => {
                    if let Err(ended) = self.look_again(&event, collector).await {
                        return ended;
                    }
                    received_records |= self.collect(event, collector);
                    // Greetings without end must not keep this loop from what it does when nothing is received.
                    let is_idle = collector.is_empty() && was_idle_at.elapsed() >= TICK;
                    if !collector.is_due() && !is_idle {
                        continue;
                    }
                }
            }
            if silence.is_too_long(self.deps.newest_page.ledger(), collector.reached(), Instant::now()) {
                return HorizonError::Silent(SILENT_BEHIND_PAGES_MAX).into();
            }
            if collector.is_empty() {
                was_idle_at = Instant::now();
                if let Err(ended) = self.idle(collector).await {
                    return ended;
                }
            }
            if let Err(ended) = self.commit(collector).await {
                return ended;
            }
            if self.context.is_draining() {
                return SessionEnd::Draining;
            }
        }
    }

    /// Renews the check of the network while nothing waits, so that the next batch need not wait for it.
    ///
    /// Ends the session if it began above all ledgers that can exist: then an earlier root named one that does not.
    /// Such a stream would be silent until the network has closed that ledger.
    async fn idle(&self, collector: &Collector) -> Result<(), SessionEnd> {
        let history = self.confirm(&self.deps.horizon).await?;
        let (reached, newest) = (collector.reached().ledger(), history.known());
        // A stream that records carried so far is ahead of a root that lags.
        let has_begun_there = self.start.get() == Some(collector.reached());
        if !has_begun_there || reached <= history.ceiling() {
            return Ok(());
        }
        warn!(reached, newest, "stream began above the newest ledger, starting again");
        Err(SessionEnd::Empty)
    }

    /// Renews the rules for records if one is of a later ledger than they allow, since that ledger may have closed.
    async fn look_again(&self, event: &StreamItem, collector: &mut Collector) -> Result<(), SessionEnd> {
        let token = match event {
            StreamItem::Trade(received) => Some(received.trade.token),
            StreamItem::Invalid(refused) => refused.token,
            StreamItem::Open | StreamItem::End => None,
        };
        let ledger = token.map_or(0, PagingToken::ledger);
        let Some(known) = self.history.get().filter(|_| ledger > collector.ceiling()) else { return Ok(()) };
        let StreamIngest { horizon, network_check, .. } = self.deps;
        let history = network_check.reaching(known, ledger, horizon).await?;
        self.history.set(Some(history));
        collector.set_intake(self.intake(&history));
        Ok(())
    }

    /// Collects an event. Returns true if it was a record.
    fn collect(&self, event: StreamItem, collector: &mut Collector) -> bool {
        self.note_received();
        if matches!(event, StreamItem::Trade(_) | StreamItem::Invalid(_)) {
            self.pace.note_record();
        }
        match event {
            StreamItem::Open | StreamItem::End => return false,
            StreamItem::Trade(received) => {
                collector.trade(*received, self.now());
            }
            StreamItem::Invalid(refused) => collector.refused(refused),
        }
        true
    }

    /// Publishes that the stream is alive.
    fn note_received(&self) {
        let writer = &self.deps.writer;
        writer.published.vitals.stream.succeeds("connected", writer.clock.now());
    }

    /// Makes sure that everything received so far is of the right network. Asks with this client.
    async fn confirm(&self, horizon: &HorizonClient) -> Result<History, SessionEnd> {
        let history = self.deps.network_check.confirmed(self.history.get(), horizon).await?;
        self.history.set(Some(history));
        Ok(history)
    }

    /// Writes the collected batch and notifies the other actors. Without a batch, only checks the lease.
    async fn commit(&self, collector: &mut Collector) -> Result<(), SessionEnd> {
        if collector.is_empty() {
            let leads = self.deps.writer.leadership.epoch().is_some();
            return if leads { Ok(()) } else { Err(SessionEnd::NotLeading) };
        }
        let batches = collector.batches();
        let mut collected = self.context.step(steps::COLLECT, None).began_at(collector.opened());
        collected.set_subject(batches.last().map_or_else(Subject::none, subjects::incoming));
        let cause = collected.done();
        self.confirm(&self.deps.horizon.caused_by(&cause)).await?;
        for batch in &batches {
            self.deps.writer.write(batch, &cause, self.context).await?;
        }
        counter!("ticker_trades_passed_over_total").increment(collector.skipped());
        if collector.has_advanced() {
            self.has_advanced.set(true);
        }
        collector.committed();
        Ok(())
    }
}

/// Returns the position to start from: the stored cursor, or the end of the newest known ledger if there is no cursor,
/// it is too far behind, or it is above the highest ledger that can exist. Ledgers that are left out are filled as
/// history.
fn start(stored: Option<PagingToken>, newest: u32, ceiling: u32) -> PagingToken {
    let begin = PagingToken::before_ledger(newest.saturating_add(1));
    match stored {
        None => begin,
        Some(token) if token.ledger() < newest.saturating_sub(REPLAYED_LEDGERS_MAX) => {
            info!(from = token.ledger(), to = newest, "stream is far behind, the gap is filled as history");
            begin
        }
        Some(token) if token.ledger() > ceiling => {
            warn!(
                cursor = token.ledger(),
                newest, "cursor is ahead of the newest known ledger, starting at the newest"
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
        assert_eq!(start(None, 9_000, 9_020), begin);
        let cursor = |ledger: i64| PagingToken::new((ledger << 32) + 1, 3);
        for near in [8_900, 9_000, 9_020] {
            assert_eq!(start(cursor(near), 9_000, 9_020), cursor(near).unwrap());
        }
        for far in [7, 8_899, 9_021] {
            assert_eq!(start(cursor(far), 9_000, 9_020), begin);
        }
    }
}
