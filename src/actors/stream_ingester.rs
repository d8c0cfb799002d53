//! The stream ingester: reads Horizon's live trades, writes them to the database and notifies the aggregator. It works
//! while this replica leads.

mod collector;
mod lake_session;
mod pace;
mod session;
mod silence;

use std::{
    cell::Cell,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{info, warn};

use super::{
    lake_reader::{AheadOfClockError, LakeReader},
    network_check::{NetworkCheck, NetworkError},
    newest_page::NewestPage,
    outage,
    services::Services,
    supervision::status::ChildStatus,
    trade_writer::{Listeners, TradeWriter, WriteError},
    wiring::{DaemonActor, Wiring},
    worker::{TICK, Work, WorkContext, Worker},
};
use crate::{
    db::DbError,
    horizon::{HorizonClient, HorizonError},
    lake::LakeError,
    outbound::retry::Retry,
    shutdown,
};

use lake_session::{Following, LakeSession};
use pace::Pace;
use session::Session;

/// Longest wait before the next stream that a server may ask for. The budget applies the waits of a rate limit by
/// itself, however long they are.
const ASKED_WAIT_MAX: Duration = Duration::from_secs(60);

/// Dependencies of the stream ingester.
#[derive(Clone)]
pub struct StreamIngest {
    /// Source of trades.
    pub horizon: HorizonClient,
    /// The lake, if new trades come from it.
    pub lake: Option<LakeReader>,
    /// Writer that commits them.
    pub writer: TradeWriter,
    /// Newest ledger of the tail that the backfiller read.
    pub newest_page: NewestPage,
    /// Check of Horizon's network.
    pub network_check: NetworkCheck,
    /// Age in days beyond which trades are skipped.
    pub retention_days: i64,
    /// Status in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub type StreamIngester = Worker<StreamIngest>;

impl DaemonActor for StreamIngester {
    const NAME: &'static str = "stream_ingester";
    const DRAIN_PHASE: usize = shutdown::SOURCES;

    fn make(wiring: &Wiring, status: Arc<ChildStatus>) -> Self {
        let listeners = Listeners::of(&wiring.receivers, Self::NAME);
        Worker::new(StreamIngest::new(&wiring.services, Some(listeners), status))
    }
}

impl StreamIngest {
    /// Creates the work. A command that runs alone has no listeners.
    #[must_use]
    pub fn new(services: &Services, listeners: Option<Listeners>, status: Arc<ChildStatus>) -> Self {
        Self {
            horizon: services.horizon(&status),
            lake: services.live_lake(&status),
            writer: services.writer(listeners),
            newest_page: services.newest_page.clone(),
            network_check: services.network_check(),
            retention_days: services.retention_days(),
            status,
        }
    }
}

impl Work for StreamIngest {
    /// A collected batch is committed during the drain.
    const FINISHES_ON_DRAIN: bool = true;

    async fn run(self, context: WorkContext) {
        ingest(self, context).await;
    }

    fn status(&self) -> &Arc<ChildStatus> {
        &self.status
    }
}

/// Reason for the end of a session, an ordinary one too.
#[derive(Debug)]
enum SessionEnd {
    /// Horizon ended the stream, as it does from time to time. Reconnect at once.
    Normally,
    /// Horizon ended the stream at once, before any new record.
    Empty,
    Horizon(HorizonError),
    Lake(LakeError),
    /// The clock does not allow the next ledger of the lake.
    Ahead(AheadOfClockError),
    Database(DbError),
    /// Horizon serves another network, or the network was reset.
    WrongNetwork(NetworkError),
    /// This replica does not lead any more.
    NotLeading,
    /// This replica shuts down.
    Draining,
}

impl SessionEnd {
    /// Turns a normal end into an empty one if the session was short and brought nothing new. Reconnecting at once
    /// would then be a tight loop.
    fn or_empty(self, has_advanced: bool, lasted: Duration) -> Self {
        match self {
            Self::Normally if !has_advanced && lasted < TICK => Self::Empty,
            other => other,
        }
    }
}

/// Runs session after session. The wait between two depends on how the first one ended.
async fn ingest(deps: StreamIngest, context: WorkContext) {
    let mut retry = Retry::default();
    let history = Cell::new(None);
    let mut following = Following::default();
    let pace = Pace::new(deps.horizon.limiter().requests_per_hour() > 0);
    while !context.is_draining() {
        context.advance();
        let Some(_) = deps.writer.leadership.epoch_within(TICK).await else {
            deps.status.set_state("following");
            // Another replica reads the lake now.
            following = Following::default();
            if let Some(reader) = &deps.lake {
                reader.reports.forget();
            }
            continue;
        };
        let begun = Instant::now();
        let (ended, has_advanced) = match &deps.lake {
            Some(reader) => {
                let mut session = LakeSession::new(&deps, reader, &context, &mut following);
                (session.run().await, session.has_advanced())
            }
            None => {
                let mut session = Session::new(&deps, &context, &history, &pace);
                (session.run().await, session.has_advanced())
            }
        };
        if has_advanced {
            retry.reset();
        }
        let ended = ended.or_empty(has_advanced, begun.elapsed());
        // After any failure Horizon may be another server: check the network again.
        if !matches!(ended, SessionEnd::Normally) {
            history.set(None);
        }
        let paced = pace.next_wait(Instant::now());
        context.pause(record_end_and_wait(&deps, &ended, &mut retry, paced)).await;
    }
}

impl From<HorizonError> for SessionEnd {
    fn from(error: HorizonError) -> Self {
        Self::Horizon(error)
    }
}

impl From<LakeError> for SessionEnd {
    fn from(error: LakeError) -> Self {
        Self::Lake(error)
    }
}

impl From<AheadOfClockError> for SessionEnd {
    fn from(error: AheadOfClockError) -> Self {
        Self::Ahead(error)
    }
}

impl From<DbError> for SessionEnd {
    fn from(error: DbError) -> Self {
        Self::Database(error)
    }
}

impl From<NetworkError> for SessionEnd {
    fn from(error: NetworkError) -> Self {
        match error {
            NetworkError::Horizon(error) => Self::Horizon(error),
            NetworkError::Database(error) => Self::Database(error),
            other => Self::WrongNetwork(other),
        }
    }
}

impl From<WriteError> for SessionEnd {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NotLeading => Self::NotLeading,
            WriteError::Database(error) => Self::Database(error),
        }
    }
}

/// Records how a session ended. Returns the wait before the next one: at least `paced` if it was with Horizon.
fn record_end_and_wait(
    deps: &StreamIngest,
    ended: &SessionEnd,
    retry: &mut Retry,
    paced: Duration,
) -> Duration {
    let reason = match ended {
        SessionEnd::Normally => "end",
        SessionEnd::Empty => "empty",
        SessionEnd::Horizon(error) => error.kind(),
        SessionEnd::Lake(_) => "lake",
        SessionEnd::Ahead(_) => "clock",
        SessionEnd::Database(_) => "database",
        SessionEnd::WrongNetwork(_) => "wrong_network",
        SessionEnd::NotLeading => "not_leading",
        SessionEnd::Draining => "drain",
    };
    metrics::counter!("ticker_stream_sessions_total", "end" => reason).increment(1);
    if !matches!(ended, SessionEnd::NotLeading | SessionEnd::Draining) {
        metrics::counter!("ticker_stream_reconnects_total").increment(1);
    }
    let (now, vitals) = (deps.writer.clock.now(), &deps.writer.published.vitals);
    match ended {
        SessionEnd::Draining => Duration::ZERO,
        SessionEnd::Normally => paced,
        SessionEnd::Empty => retry.next_wait(None).max(paced),
        SessionEnd::NotLeading => {
            info!("stream stopped, this replica does not lead any more");
            Duration::ZERO
        }
        // Another writer was here. The next session reads the cursor that it left.
        SessionEnd::Database(error @ (DbError::CursorMoved { .. } | DbError::LeaseLost)) => {
            let wait = retry.next_wait(None);
            warn!(%error, wait_ms = wait.as_millis(), "batch refused, reading the cursor again");
            wait
        }
        SessionEnd::Database(error) => {
            outage::database_failed(&deps.writer.database, error, "storing trades of the stream");
            retry.next_wait(None)
        }
        SessionEnd::Horizon(error) => {
            let wait = retry.next_wait(asked_wait(error)).max(paced);
            outage::horizon_failed(&deps.horizon, error, "reading the stream of trades", wait);
            vitals.stream.fails(reason, now);
            wait
        }
        SessionEnd::Lake(error) => {
            let wait = retry.next_wait(error.retry_after());
            warn!(%error, wait_ms = wait.as_millis(), "lake could not be read, retrying");
            vitals.stream.fails(error.to_string(), now);
            wait
        }
        SessionEnd::Ahead(ahead) => {
            let wait = retry.next_wait(None);
            warn!(error = %ahead, wait_ms = wait.as_millis(), "ledger is ahead of this machine's clock, nothing stored, retrying");
            vitals.stream.fails(ahead.to_string(), now);
            wait
        }
        SessionEnd::WrongNetwork(error) => {
            if deps.horizon.limiter().allow_line(Instant::now()).is_some() {
                tracing::error!(%error, "trades from Horizon refused, nothing is stored");
            }
            vitals.stream.fails(error.detail(), now);
            retry.next_wait(None)
        }
    }
}

/// Wait before the next stream that the server asks for, within the limit for live trades.
fn asked_wait(error: &HorizonError) -> Option<Duration> {
    error.retry_after().map(|asked| asked.min(ASKED_WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_asks_for_an_hour_stops_live_trades_for_a_minute_at_most() {
        let status =
            |seconds| HorizonError::Status { status: 503, retry_after: Some(Duration::from_secs(seconds)) };
        let mut retry = Retry::default();
        assert_eq!(retry.next_wait(asked_wait(&status(17))), Duration::from_secs(17));
        assert_eq!(asked_wait(&status(3_600)), Some(ASKED_WAIT_MAX));
        assert_eq!(asked_wait(&HorizonError::RateLimited { retry_after: None }), None);
    }

    #[test]
    fn only_a_session_that_advanced_or_lasted_is_followed_by_the_next_at_once() {
        let is_empty = |has_advanced, lasted| {
            matches!(SessionEnd::Normally.or_empty(has_advanced, lasted), SessionEnd::Empty)
        };
        assert!(is_empty(false, Duration::ZERO), "it brought only known records");
        assert!(!is_empty(true, Duration::ZERO), "a large ledger takes many connections");
        assert!(!is_empty(false, TICK), "a quiet network ends its stream now and then");
        assert!(matches!(SessionEnd::NotLeading.or_empty(false, Duration::ZERO), SessionEnd::NotLeading));
    }
}
