//! The stream ingester: Horizon's live trades, into the database, told to the aggregator. Only while this replica
//! leads.

mod collector;
mod session;

use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{info, warn};

use super::{
    network_check::Unusable,
    outage,
    supervision::status::ChildStatus,
    trade_writer::{NotWritten, TradeWriter},
    worker::{TICK, Work, WorkContext, Worker},
};
use crate::{
    db::DbError,
    horizon::{HorizonClient, HorizonError, retry::Retry},
    published::Vitals,
};

use session::Session;

/// What the stream ingester works with.
#[derive(Clone)]
pub struct StreamIngest {
    /// Where trades come from.
    pub horizon: HorizonClient,
    /// Where they go.
    pub writer: TradeWriter,
    /// Which network's trades these must be.
    pub network_passphrase: String,
    /// Trades older than this are passed over.
    pub retention_days: i64,
    /// Its own line in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub type StreamIngester = Worker<StreamIngest>;

impl Work for StreamIngest {
    /// A batch that is collected is worth a moment of the drain.
    const FINISHES: bool = true;

    async fn run(self, context: WorkContext) {
        ingest(self, context).await;
    }

    fn status(&self) -> &Arc<ChildStatus> {
        &self.status
    }
}

/// Why a session with Horizon ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    /// As it should: reconnect at once.
    #[error("the stream came to its end")]
    Normally,
    /// The stream came to its end at once, without a record that was new.
    #[error("the stream ended before anything new came")]
    Empty,
    #[error(transparent)]
    Horizon(#[from] HorizonError),
    #[error(transparent)]
    Database(#[from] DbError),
    /// Horizon serves another network, or the same one from a new beginning.
    #[error("{0}")]
    WrongNetwork(Unusable),
    /// This replica leads no more.
    #[error("this replica does not lead any more")]
    NotLeading,
}

impl Ended {
    /// A session that ended at once and brought nothing new was empty: to connect again at once would be a tight loop.
    fn or_empty(self, has_advanced: bool, lasted: Duration) -> Self {
        match self {
            Self::Normally if !has_advanced && lasted < TICK => Self::Empty,
            other => other,
        }
    }
}

/// Session after session, with waits between them that fit how each ended.
async fn ingest(deps: StreamIngest, context: WorkContext) {
    let mut retry = Retry::default();
    let history = Cell::new(None);
    while !context.is_draining() {
        context.advance();
        let Some(_) = deps.writer.leadership.epoch_within(TICK).await else {
            deps.status.set_state("following");
            continue;
        };
        let begun = Instant::now();
        let mut session = Session::new(&deps, &context, &history);
        let ended = session.run().await;
        if session.has_advanced() {
            retry.succeeded();
        }
        let ended = ended.or_empty(session.has_advanced(), begun.elapsed());
        if !matches!(ended, Ended::Normally) {
            history.set(None);
        }
        if let Some(wait) = after(&deps, &ended, &mut retry) {
            context.pause(wait).await;
        }
    }
}

impl From<Unusable> for Ended {
    fn from(error: Unusable) -> Self {
        match error {
            Unusable::Horizon(error) => Self::Horizon(error),
            Unusable::Database(error) => Self::Database(error),
            other => Self::WrongNetwork(other),
        }
    }
}

impl From<NotWritten> for Ended {
    fn from(error: NotWritten) -> Self {
        match error {
            NotWritten::NotLeading => Self::NotLeading,
            NotWritten::Database(error) => Self::Database(error),
        }
    }
}

/// Text for `/readyz`. It contains nothing that Horizon sent.
const fn detail(unusable: &Unusable) -> &'static str {
    match unusable {
        Unusable::HistoryReset { .. } => {
            "the network was reset, nothing is stored: stop all daemons and run `stellar-ticker start-over --yes`"
        }
        _ => "horizon serves another network",
    }
}

/// Tells how a session ended, and how long to wait before the next.
fn after(deps: &StreamIngest, ended: &Ended, retry: &mut Retry) -> Option<Duration> {
    let reason = match ended {
        Ended::Normally => "end",
        Ended::Empty => "empty",
        Ended::Horizon(error) => error.kind(),
        Ended::Database(_) => "database",
        Ended::WrongNetwork(_) => "wrong_network",
        Ended::NotLeading => "not_leading",
    };
    metrics::counter!("ticker_stream_sessions_total", "end" => reason).increment(1);
    let (now, vitals) = (deps.writer.clock.now(), &deps.writer.published.vitals);
    match ended {
        Ended::Normally => None,
        Ended::Empty => Some(retry.next_wait(None)),
        Ended::NotLeading => {
            info!("this replica stops ingesting");
            None
        }
        Ended::Database(DbError::CursorMoved { .. } | DbError::LeaseLost) => {
            let wait = retry.next_wait(None);
            warn!(%ended, wait_ms = wait.as_millis(), "reading the cursor again");
            Some(wait)
        }
        Ended::Database(error) => {
            outage::database_failed(&deps.writer.database, error, "storing trades of the stream");
            Vitals::tell(&vitals.database, false, "does not take trades", now);
            Some(retry.next_wait(None))
        }
        Ended::Horizon(error) => {
            let wait = retry.next_wait(error.retry_after());
            outage::horizon_failed(&deps.horizon, error, "reading the stream of trades", wait);
            Vitals::tell(&vitals.stream, false, reason, now);
            Some(wait)
        }
        Ended::WrongNetwork(unusable) => {
            if deps.horizon.limiter().allow_line(Instant::now()).is_some() {
                tracing::error!(%unusable, "nothing is stored");
            }
            Vitals::tell(&vitals.stream, false, detail(unusable), now);
            Some(retry.next_wait(None))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_session_that_got_on_or_took_its_time_is_followed_by_the_next_at_once() {
        let is_empty =
            |has_advanced, lasted| matches!(Ended::Normally.or_empty(has_advanced, lasted), Ended::Empty);
        assert!(is_empty(false, Duration::ZERO), "it brought what was known");
        assert!(!is_empty(true, Duration::ZERO), "a large ledger is many connections");
        assert!(!is_empty(false, TICK), "a quiet network ends its stream now and then");
        assert!(matches!(Ended::NotLeading.or_empty(false, Duration::ZERO), Ended::NotLeading));
    }
}
