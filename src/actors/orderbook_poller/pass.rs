//! State of the passes over all books. Pure: callers pass the time.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::queue::queue;
use crate::domain::{instant::UnixSeconds, ranking::RankedMarket, windows::MarketId};

/// Most attempts per pass for a book that cannot be read while others can.
const TRIES_MAX: u32 = 3;
/// Earliest time. With it as the start of a pass, only books that were never read are due.
const NEVER: UnixSeconds = UnixSeconds(i64::MIN);
/// Time for which a survey of all markets is used. It takes the aggregator and the database a look at each of them,
/// and rounds may follow each other several times a second.
const SURVEY_FOR: Duration = Duration::from_secs(5);

/// Ranking of all markets, and the times at which their books were read.
#[derive(Debug)]
struct Survey {
    made_at: Instant,
    ranked: Arc<Vec<RankedMarket>>,
    /// Kept up to date with the books that this poller reads itself.
    read_at: HashMap<MarketId, UnixSeconds>,
}

/// The pass under way, and the books that it cannot read.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// Start of the pass; none between passes.
    began: Option<UnixSeconds>,
    /// True if a new pass is due.
    is_due: bool,
    /// Failed attempts since a book was last read, or given up in an earlier pass.
    tries: HashMap<MarketId, u32>,
    /// True if a book was read since the last pass began.
    has_read: bool,
    /// Last survey; none before the first.
    survey: Option<Survey>,
}

impl Pass {
    /// Creates a pass that begins at this time.
    pub(super) fn since(began: UnixSeconds) -> Self {
        Self { began: Some(began), ..Self::default() }
    }

    /// Marks a new pass as due. It begins with [`Self::begin`].
    pub(super) fn set_due(&mut self) {
        self.is_due = true;
    }

    /// Returns true if a new pass is due.
    pub(super) const fn is_due(&self) -> bool {
        self.is_due
    }

    /// Returns true during a pass. Between passes, only markets whose book was never read are due.
    pub(super) const fn is_under_way(&self) -> bool {
        self.began.is_some()
    }

    /// Returns true if the last survey is too old. A pass that begins needs a new one.
    pub(super) fn needs_survey(&self, now: Instant) -> bool {
        let is_fresh = |survey: &Survey| now.saturating_duration_since(survey.made_at) < SURVEY_FOR;
        self.is_due || !self.survey.as_ref().is_some_and(is_fresh)
    }

    /// Takes over a survey that was made at `now`.
    pub(super) fn set_survey(
        &mut self,
        ranked: Arc<Vec<RankedMarket>>,
        read_at: HashMap<MarketId, UnixSeconds>,
        now: Instant,
    ) {
        self.survey = Some(Survey { made_at: now, ranked, read_at });
    }

    /// Returns the ranked markets of the last survey.
    pub(super) fn ranked(&self) -> &[RankedMarket] {
        self.survey.as_ref().map_or(&[], |survey| &survey.ranked)
    }

    /// Returns the next books to read by the last survey, at most `limit`.
    pub(super) fn next(&self, now: UnixSeconds, limit: usize) -> Vec<MarketId> {
        let Some(Survey { ranked, read_at, .. }) = &self.survey else { return Vec::new() };
        queue(ranked, read_at, self.start(), now, |market| self.has_given_up(market), limit)
    }

    /// Returns the time since which a book must have been read.
    fn start(&self) -> UnixSeconds {
        self.began.unwrap_or(NEVER)
    }

    /// Returns true if no more attempts are made at a book in this pass.
    pub(super) fn has_given_up(&self, market: MarketId) -> bool {
        self.tries.get(&market).is_some_and(|tries| *tries >= TRIES_MAX)
    }

    /// Counts a failed attempt.
    pub(super) fn note_failure(&mut self, market: MarketId) {
        *self.tries.entry(market).or_default() += 1;
    }

    /// Records that a book was read and stored.
    pub(super) fn note_success(&mut self, market: MarketId, read_at: UnixSeconds) {
        self.has_read = true;
        self.tries.remove(&market);
        if let Some(survey) = &mut self.survey {
            survey.read_at.insert(market, read_at);
        }
    }

    /// Returns true if a book was read since the last pass began.
    pub(super) const fn has_read(&self) -> bool {
        self.has_read
    }

    /// Ends the pass under way.
    pub(super) fn end(&mut self) {
        self.began = None;
        self.tries.clear();
    }

    /// Begins a pass, also if one is under way. Books that were given up get new attempts: with many markets and few
    /// requests no pass ever ends. Other counts stay, so that a pass can end although it begins again all the time.
    pub(super) fn begin(&mut self, now: UnixSeconds) {
        self.began = Some(now);
        (self.is_due, self.has_read) = (false, false);
        self.tries.retain(|_, tries| *tries < TRIES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_that_was_given_up_gets_new_attempts_in_the_next_pass_although_this_one_never_ends() {
        let mut pass = Pass::default();
        pass.begin(UnixSeconds(1));
        (0..3).for_each(|_| pass.note_failure(7));
        assert!(pass.has_given_up(7));
        pass.begin(UnixSeconds(2));
        assert!(!pass.has_given_up(7));
        (0..2).for_each(|_| pass.note_failure(7));
        pass.begin(UnixSeconds(3));
        pass.note_failure(7);
        assert!(pass.has_given_up(7), "attempts count although passes begin again");
    }

    #[test]
    fn a_book_that_is_read_has_all_its_attempts_again() {
        let mut pass = Pass::since(UnixSeconds(1));
        (0..2).for_each(|_| pass.note_failure(7));
        pass.note_success(7, UnixSeconds(1));
        (0..2).for_each(|_| pass.note_failure(7));
        assert!(!pass.has_given_up(7));
    }

    #[test]
    fn one_survey_serves_the_rounds_of_some_seconds_and_a_pass_begins_with_a_new_one() {
        let market = |market| RankedMarket {
            market,
            base: 1,
            counter: 2,
            day_trades: 1,
            week_trades: 1,
            is_valid: true,
        };
        let ranked = Arc::new((0..100).map(market).collect::<Vec<_>>());
        let mut pass = Pass::since(UnixSeconds(10));
        let (begun, mut surveys, mut read) = (Instant::now(), 0, Vec::new());
        // Rounds of ten books, four in a second.
        for round in 0..10 {
            let now = begun + Duration::from_millis(250 * round);
            if pass.needs_survey(now) {
                surveys += 1;
                pass.set_survey(Arc::clone(&ranked), HashMap::new(), now);
            }
            for market in pass.next(UnixSeconds(20), 10) {
                pass.note_success(market, UnixSeconds(15));
                read.push(market);
            }
        }
        read.sort_unstable();
        assert_eq!((surveys, read), (1, (0..100).collect()));
        assert_eq!(pass.next(UnixSeconds(20), 10), [0; 0]);
        let later = begun + SURVEY_FOR;
        assert!(pass.needs_survey(later) && !pass.needs_survey(begun));
        pass.set_due();
        assert!(pass.needs_survey(begun));
    }
}
