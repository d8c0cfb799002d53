//! Trades and markets that readers missed while no replica kept them: after a restart, at another
//! replica, or after more than two minutes.
//!
//! The trades come from the database, and the markets from the newest publication. After a restart thousands of readers
//! come back at once. One of them reads for all: a backlog serves everyone who saw its first batch or a later one.
//! A reader holds its backlog until it has received it, so only a few may be held at a time.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use metrics::counter;
use ticker_formats::listings::live::{Line, Lines};
use tokio::sync::Mutex;
use tracing::debug;

use super::event_id::{EventId, ResumeError};
use crate::{
    blocking,
    db::{
        Database,
        marks::Mark,
        missed::{CLOCKS_S, Missed, MissedTrade, MissedTrades},
    },
    domain::{
        changes::Changes,
        instant::{HOUR, UnixSeconds},
        market_snapshot::MarketSnapshot,
        windows::MarketId,
    },
    published::{Published, recent::Change},
};

/// Longest absence in seconds.
const AWAY_S_MAX: i64 = HOUR;
/// Longest time that a reader waits, its turn included.
const DEADLINE: Duration = Duration::from_secs(4);
/// Backlogs that are held at a time. Each has a line for every stored market: some 25 MB with 30,000 of them.
const HELD_MAX: usize = 3;
/// Time for which a backlog is shared. The changes after it are kept for longer.
const SHARED_FOR: Duration = Duration::from_secs(10);

/// Reader of backlogs. One read at a time, so that no other answer waits for it.
#[derive(Clone)]
pub struct BacklogReader {
    database: Database,
    shared: Arc<Mutex<Shared>>,
}

/// Results of the last reads.
#[derive(Default)]
struct Shared {
    /// The newest one, kept for the next reader.
    newest: Option<Arc<Backlog>>,
    /// All that some reader still holds, and the newest one.
    held: Vec<Weak<Backlog>>,
    /// Batch after which too many trades were written, and the time of that read.
    too_many_after: Option<(i64, Instant)>,
}

/// Missed trades, and all markets.
#[derive(Debug)]
pub(super) struct Backlog {
    /// Number of the change that it leads up to. The later ones follow.
    pub(super) place: u64,
    /// Publication of that change.
    pub(super) id: EventId,
    /// Trades, each with the batch that wrote it or a later one.
    pub(super) trades: Vec<(i64, Line)>,
    /// All markets with a trade in 7 days, as they are.
    pub(super) markets: Vec<Line>,
    /// Stored markets without one: some had a trade in 7 days when a reader left. They go only to readers that name
    /// markets or assets. Everyone else sees which markets are missing.
    pub(super) idle: Vec<Line>,
    /// Batches that readers may have seen, without holes.
    batches: Vec<Mark>,
    read_at: Instant,
}

impl BacklogReader {
    /// Reader of this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database, shared: Arc::default() }
    }

    /// The backlog of a reader that has seen `seen`.
    pub(super) async fn read(
        &self,
        seen: EventId,
        published: &Published,
    ) -> Result<Arc<Backlog>, ResumeError> {
        let now = published.recent.last().ok_or(ResumeError::Unreadable)?.as_of;
        if seen.as_of < now.minus(AWAY_S_MAX) {
            return Err(ResumeError::TooOld);
        }
        tokio::time::timeout(DEADLINE, self.read_in_turn(seen, published))
            .await
            .unwrap_or(Err(ResumeError::Unreadable))
    }

    async fn read_in_turn(&self, seen: EventId, published: &Published) -> Result<Arc<Backlog>, ResumeError> {
        let mut shared = self.shared.lock().await;
        let fresh =
            shared.find(|backlog| backlog.read_at.elapsed() < SHARED_FOR && backlog.serves(seen, published));
        if let Some(backlog) = fresh {
            backlog.check(seen)?;
            return Ok(backlog);
        }
        let is_known = |(seq, at): (i64, Instant)| seen.seq <= seq && at.elapsed() < SHARED_FOR;
        if shared.too_many_after.is_some_and(is_known) {
            return Err(ResumeError::TooMany);
        }
        if !shared.has_room() {
            // An older one, followed by more changes, costs nothing.
            let older =
                shared.find(|backlog| backlog.serves(seen, published)).ok_or(ResumeError::Unreadable)?;
            older.check(seen)?;
            return Ok(older);
        }
        counter!("ticker_live_backlogs_read_total").increment(1);
        let read = self.make(seen, published).await;
        if read.as_ref().is_err_and(|error| *error == ResumeError::TooMany) {
            shared.too_many_after = Some((seen.seq, Instant::now()));
        }
        let backlog = read?;
        // Kept even if this reader's own id is refused: the next one may be right.
        shared.keep(&backlog);
        backlog.check(seen)?;
        Ok(backlog)
    }

    async fn make(&self, seen: EventId, published: &Published) -> Result<Arc<Backlog>, ResumeError> {
        // First the change, then the publication: it may be later, and then the next change repeats some markets.
        let last = published.recent.last().ok_or(ResumeError::Unreadable)?;
        let newest = published.newest().ok_or(ResumeError::Unreadable)?;
        let missed = self.database.missed_trades(seen.seq, last.seq).await.map_err(|error| {
            debug!(%error, "missed trades could not be read");
            ResumeError::Unreadable
        })?;
        let missed = match missed {
            Missed::Known(missed) => missed,
            Missed::TooMany => return Err(ResumeError::TooMany),
            Missed::NoSuchBatch { is_later: true } => return Err(ResumeError::Future),
            Missed::NoSuchBatch { is_later: false } => return Err(ResumeError::Gone),
        };
        let snapshot = Arc::clone(&newest.snapshot);
        let made = blocking::run(move || Arc::new(Backlog::of(missed, &last, &snapshot)));
        made.await.map_err(|_| ResumeError::Unreadable)
    }
}

impl Shared {
    /// The newest backlog that fits.
    fn find(&self, fits: impl Fn(&Backlog) -> bool) -> Option<Arc<Backlog>> {
        self.held.iter().rev().filter_map(Weak::upgrade).find(|backlog| fits(backlog))
    }

    /// Returns true if another backlog may be made. Gives up the newest one for it, unless a reader holds that.
    fn has_room(&mut self) -> bool {
        let has_room = |held: &mut Vec<Weak<Backlog>>| {
            held.retain(|backlog| backlog.strong_count() > 0);
            held.len() < HELD_MAX
        };
        if !has_room(&mut self.held) {
            self.newest = None;
        }
        has_room(&mut self.held)
    }

    fn keep(&mut self, backlog: &Arc<Backlog>) {
        self.held.push(Arc::downgrade(backlog));
        self.newest = Some(Arc::clone(backlog));
    }
}

impl Backlog {
    pub(super) fn of(missed: MissedTrades, last: &Change, snapshot: &MarketSnapshot) -> Self {
        let MissedTrades { batches, trades } = missed;
        let line = |MissedTrade { seq, market, trade }: MissedTrade| {
            let changes = Changes { trades: vec![(market, trade)], ..Changes::default() };
            Lines::of(&changes, snapshot).trades.pop().map(|line| (seq, line))
        };
        let of = |markets| Lines::of(&Changes { markets, ..Changes::default() }, snapshot).markets;
        let directory = snapshot.directory();
        let is_idle = |market: &MarketId| snapshot.windows().figures_of(*market).is_none();
        Self {
            place: last.number,
            id: EventId { seq: last.seq, as_of: last.as_of },
            trades: trades.into_iter().filter_map(line).collect(),
            markets: of(snapshot.windows().figures().map(|(market, _)| market).collect()),
            idle: of(directory.markets().filter(is_idle).collect()),
            batches,
            read_at: Instant::now(),
        }
    }

    /// True if it has all events after `seen`, and `published` still has the changes after its own end.
    fn serves(&self, seen: EventId, published: &Published) -> bool {
        let is_continued = || published.recent.resume_after(self.id.seq, self.id.as_of) == Some(self.place);
        self.mark(seen.seq).is_some() && is_continued()
    }

    /// Checks that the batch is the one that the reader saw. A standby that takes over may lack the last batches, and
    /// assigns their numbers again: such a batch was committed after the reader saw its number.
    fn check(&self, seen: EventId) -> Result<(), ResumeError> {
        let mark = self.mark(seen.seq).ok_or(ResumeError::Gone)?;
        let is_seen = UnixSeconds::from(mark.committed_at) <= seen.as_of.plus(CLOCKS_S);
        if is_seen { Ok(()) } else { Err(ResumeError::Gone) }
    }

    fn mark(&self, seq: i64) -> Option<&Mark> {
        let first = self.batches.first()?;
        self.batches.get(usize::try_from(seq.checked_sub(first.seq)?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog() -> Arc<Backlog> {
        Arc::new(Backlog {
            place: 0,
            id: EventId { seq: 7, as_of: UnixSeconds(90) },
            trades: Vec::new(),
            markets: Vec::new(),
            idle: Vec::new(),
            batches: Vec::new(),
            read_at: Instant::now(),
        })
    }

    #[test]
    fn readers_that_each_need_another_backlog_hold_only_a_few() {
        let (mut shared, mut readers) = (Shared::default(), Vec::new());
        for _ in 0..50 {
            if shared.has_room() {
                let backlog = backlog();
                shared.keep(&backlog);
                readers.push(backlog);
            }
        }
        assert_eq!(readers.len(), HELD_MAX);
        let newest = readers.pop();
        assert_eq!(shared.find(|_| true).map(|found| Arc::as_ptr(&found)), newest.as_ref().map(Arc::as_ptr));
        drop(newest);
        assert!(shared.has_room(), "a reader has received its backlog");
        shared.keep(&backlog());
        assert!(shared.has_room() && shared.newest.is_none(), "nobody holds the newest one");
    }
}
