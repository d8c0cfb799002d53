//! Events of the board, made once for all readers of the live stream.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use ticker_formats::board::{BoardChange, FollowedBoard};
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::{domain::instant::UnixSeconds, published::ListedMoment};

/// Events that are kept: two minutes of them at one a second.
const KEPT: usize = 120;
/// Least time between two events, a little less than the interval of publications.
const INTERVAL: Duration = Duration::from_millis(900);
/// Part of the time that goes into making events: 1/10 of a core.
const SHARE: u32 = 10;
/// If no event was made for this long, a new reader restarts the events from the current `/api/v1/board/figures`.
const IDLE_MAX: Duration = Duration::from_secs(15);

/// The last events of the board. Readers make them: the first one that finds an event due.
#[derive(Debug)]
pub(super) struct BoardFeed {
    made: Mutex<Made>,
    kept: Mutex<VecDeque<BoardEvent>>,
    /// Number of the newest event; 0 before the first.
    newest: watch::Sender<u64>,
    turn: Semaphore,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BoardEvent {
    /// Number in this process, from 1.
    pub(super) number: u64,
    /// Time of its figures.
    pub(super) as_of: UnixSeconds,
    id: String,
    /// The event as it is sent.
    pub(super) bytes: Bytes,
}

#[derive(Debug, Default)]
struct Made {
    followed: Option<FollowedBoard>,
    /// Publication of the last event.
    moment: Option<(i64, UnixSeconds)>,
    /// End of the making of the last event, and the earliest time of the next.
    times: Option<(Instant, Instant)>,
}

impl Default for BoardFeed {
    fn default() -> Self {
        let newest = watch::Sender::new(0);
        Self { made: Mutex::default(), kept: Mutex::default(), newest, turn: Semaphore::new(1) }
    }
}

impl Made {
    /// Notes the event of this publication, whose making began at `began`.
    fn end(&mut self, moment: (i64, UnixSeconds), began: Instant) {
        let now = Instant::now();
        let rest = now.saturating_duration_since(began).saturating_mul(SHARE).max(INTERVAL);
        self.moment = Some(moment);
        self.times = Some((now, now.checked_add(rest).unwrap_or(now)));
    }
}

impl BoardFeed {
    /// Receiver of the number of the newest event.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Turn to make the event of this publication. None if it is made, not due yet, or being made.
    pub(super) fn turn(&self, moment: (i64, UnixSeconds)) -> Option<SemaphorePermit<'_>> {
        let turn = self.turn.try_acquire().ok()?;
        // A thread that still makes an event holds `made`.
        let made = self.made.try_lock().ok()?;
        let is_due = made.times.is_none_or(|(_, due_at)| Instant::now() >= due_at);
        (is_due && made.moment != Some(moment)).then_some(turn)
    }

    /// Returns true if the events must restart from the board that `/api/v1/board/figures` serves: there are none yet,
    /// or a new reader connects after a pause of more than [`IDLE_MAX`].
    pub(super) fn needs_base(&self, is_new: bool) -> bool {
        let made = self.made();
        let is_idle = || made.times.is_none_or(|(made_at, _)| made_at.elapsed() > IDLE_MAX);
        made.followed.is_none() || (is_new && is_idle())
    }

    /// Restarts the events from this board. The next event has the board's moment as `after`. From that, readers of
    /// earlier events see that they must read all figures again, so no other event announces the restart.
    pub(super) fn begin(&self, base: &ListedMoment) {
        let mut made = self.made();
        made.followed = Some(FollowedBoard::of(base.view(), base.board()));
        self.kept().clear();
    }

    /// Adds the event of this moment, whose making began at `began`. Takes milliseconds: do not call it on a thread
    /// that readers wait for.
    pub(super) fn add(&self, moment: &ListedMoment, began: Instant) {
        let mut made = self.made();
        let Some(followed) = made.followed.as_mut() else { return };
        let view = moment.view();
        if let Some(change) = followed.advance(view, moment.board()) {
            self.keep(view.seq(), view.as_of(), &change);
        }
        made.end((view.seq(), view.as_of()), began);
    }

    fn keep(&self, seq: i64, as_of: UnixSeconds, change: &BoardChange) {
        let id = format!("{seq}.{}", as_of.0);
        let mut text = String::new();
        // Writing to a String never fails.
        let _ = match change {
            BoardChange::Rows(data) => write!(text, "id: {id}\nevent: board\ndata: {data}\n\n"),
            BoardChange::Whole => write!(text, "id: {id}\nevent: reset\ndata: {{}}\n\n"),
        };
        let number = self.newest.borrow().saturating_add(1);
        {
            let mut kept = self.kept();
            kept.push_back(BoardEvent { number, as_of, id, bytes: text.into() });
            if kept.len() > KEPT {
                kept.pop_front();
            }
        }
        self.newest.send_replace(number);
    }

    /// The next event after the one of this number.
    ///
    /// # Errors
    ///
    /// [`NotKeptError`] if that event is gone.
    pub(super) fn next(&self, after: u64) -> Result<Option<BoardEvent>, NotKeptError> {
        let kept = self.kept();
        let newest = *self.newest.borrow();
        let next = kept.iter().find(|event| event.number > after);
        match next {
            Some(event) if event.number == after.saturating_add(1) => Ok(Some(event.clone())),
            None if newest <= after => Ok(None),
            _ => Err(NotKeptError),
        }
    }

    /// Number of the event with this id, if it is kept.
    pub(super) fn number_of(&self, id: &str) -> Option<u64> {
        self.kept().iter().find(|event| event.id == id).map(|event| event.number)
    }

    /// Number after which a reader begins whose figures are of this second or a later one. One second may have two
    /// publications, so the reader also gets an event of the same second, and drops it if the figures have it.
    pub(super) fn place(&self, figures: UnixSeconds) -> u64 {
        let kept = self.kept();
        let first = kept.iter().find(|event| event.as_of >= figures);
        first.map_or_else(|| *self.newest.borrow(), |event| event.number.saturating_sub(1))
    }

    /// Number of the newest event; 0 before the first.
    pub(super) fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    /// Drops everything. The next reader begins again.
    pub(super) fn clear(&self) {
        self.made().followed = None;
        self.kept().clear();
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<BoardEvent>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next event of a reader is not kept any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the next event is no longer kept")]
pub(super) struct NotKeptError;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        domain::{directory::Directory, market_snapshot::MarketSnapshot, windows::Windows},
        published::{FileMaker, ListingSource, Publication},
    };

    fn moment(second: i64) -> Arc<ListedMoment> {
        let mut windows = Windows::default();
        windows.advance(UnixSeconds(second));
        let snapshot = MarketSnapshot::new(windows.view(), Directory::default());
        let publication = Publication::render(1, None, snapshot, None, &mut FileMaker::default()).unwrap();
        publication.listing.moment(&ListingSource::new("Test Network", []))
    }

    /// Feed with events of the seconds 1 to `newest`, of which the last ones are kept.
    fn feed(newest: u32) -> BoardFeed {
        let feed = BoardFeed::default();
        for second in 1..=newest {
            feed.keep(i64::from(second), UnixSeconds(second.into()), &BoardChange::Whole);
        }
        feed
    }

    #[test]
    fn a_reader_gets_each_event_once_and_learns_if_some_are_gone() {
        let feed = feed(130);
        let next = |after| feed.next(after).map(|event| event.map(|event| event.number));
        assert_eq!((next(129), next(130)), (Ok(Some(130)), Ok(None)));
        assert_eq!((next(10), next(9)), (Ok(Some(11)), Err(NotKeptError)));
        assert_eq!((feed.number_of("50.50"), feed.number_of("10.10")), (Some(50), None));
        feed.clear();
        assert_eq!((next(129), next(130)), (Err(NotKeptError), Ok(None)), "a reader of all of them goes on");
    }

    #[test]
    fn a_reader_begins_with_the_events_of_the_second_of_its_figures() {
        let feed = feed(130);
        assert_eq!(
            feed.place(UnixSeconds(120)),
            119,
            "the event may be of a later publication of this second"
        );
        assert_eq!(feed.place(UnixSeconds(130)), 129);
        assert_eq!(feed.place(UnixSeconds(131)), 130);
        assert_eq!(feed.place(UnixSeconds(3)), 10, "the oldest that is kept");
    }

    #[test]
    fn events_are_due_once_for_a_publication_and_have_a_distance() {
        let feed = BoardFeed::default();
        let moment = (1, UnixSeconds(1));
        assert!(feed.turn(moment).is_some() && feed.needs_base(false));
        let turn = feed.turn(moment);
        assert!(feed.turn(moment).is_none(), "somebody makes it");
        drop(turn);
        feed.made().end(moment, Instant::now());
        assert!(feed.turn((2, UnixSeconds(2))).is_none(), "too early");
        let long_ago = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        feed.made().times = Some((long_ago, long_ago));
        assert!(feed.turn((2, UnixSeconds(2))).is_some());
        assert!(feed.turn(moment).is_none(), "it is made");
    }

    #[test]
    fn the_events_begin_again_for_a_new_reader_after_a_time_without_any() {
        let feed = BoardFeed::default();
        feed.made().followed = Some(FollowedBoard::default());
        feed.made().end((1, UnixSeconds(1)), Instant::now());
        assert!(!feed.needs_base(true));
        let long_ago = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        feed.made().times = Some((long_ago, long_ago));
        assert!(feed.needs_base(true) && !feed.needs_base(false));
    }

    #[test]
    fn after_the_events_began_again_the_next_one_applies_to_no_earlier_figures() {
        let feed = BoardFeed::default();
        for (base, second) in [(100, 101), (130, 131)] {
            feed.begin(&moment(base));
            feed.add(&moment(second), Instant::now());
        }
        let event = feed.next(1).unwrap().unwrap();
        let text = String::from_utf8(event.bytes.to_vec()).unwrap();
        let after = UnixSeconds(130).to_rfc3339();
        assert!(text.contains(&format!("\"after\":\"{after}\"")), "a reader of the first event: {text}");
    }
}
