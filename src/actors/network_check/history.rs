//! Horizon's report on its history: the ledgers that exist, and the time for which the report may be relied on.

use std::time::{Duration, Instant};

use crate::{
    domain::{
        close_times::SLACK_S, conversions::SaturatingFrom, coverage::ClosedLedger, instant::UnixSeconds,
    },
    horizon::{HorizonClient, wire::Root},
};

/// Longest time that a check permits requests while Horizon's root fails and no connection was opened or broken.
const USABLE_FOR: Duration = Duration::from_secs(600);
/// Budget share of one actor's repeated checks: 1/20 of the requests, which is every 20 s with the public budget.
const SECONDS_BETWEEN_BY_BUDGET: u32 = 20 * 3_600;
/// Interval of the checks while nothing is stored that Horizon sent, as a multiple: 2 minutes with the public budget.
const WATCHED_FACTOR: u32 = 6;
/// Shortest interval between two checks, used if requests are not limited.
const BETWEEN_MIN: Duration = Duration::from_secs(1);

/// Ledgers by which one server of a Horizon may be behind another and still count as one that ingests.
pub const LEADING_LEDGERS_MAX: u32 = 1_000;
/// Ledgers by which a trade may be above the newest ledger that is known. Servers behind one address are some seconds
/// apart. If a false trade were believed, the real ones up to its ledger would be taken for held.
const AHEAD_LEDGERS_MAX: u32 = 20;
/// Ledgers per second that are assumed to close after a check. The public network closes one every 6 seconds. On a
/// faster one, the check is renewed as soon as it is exceeded.
const LEDGERS_A_SECOND_MAX: u64 = 1;
/// Ledgers that may count as complete beyond the newest one that is known, if the stream has reached them.
const COMPLETE_AHEAD_MAX: u32 = 2;
/// Seconds per ledger that may count as complete after a check.
const SECONDS_PER_COMPLETE_LEDGER: u64 = 2;
/// Roots in a row that must name an older ledger before one that an earlier root named is given up.
const CONTRADICTED_MAX: u32 = 3;
/// Time for which a trade above the ceiling causes no further request of the root, after one that did not raise it.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// Horizon's last report on its history.
#[derive(Clone, Copy, Debug)]
pub struct History {
    /// Horizon's oldest ledger.
    pub elder: u32,
    /// Horizon's newest ledger at the time of the report.
    pub latest: u32,
    /// Close time of that ledger; none if Horizon does not report it.
    pub latest_at: Option<UnixSeconds>,
    /// Newest ledger that surely exists: Horizon's newest one, or one that most of the newest trades reach. Behind one
    /// address, the root may come from a server that is far behind.
    known: u32,
    /// Time when `known` was determined (monotonic).
    known_at: Instant,
    /// True if two roots named ledgers near `known`.
    is_confirmed: bool,
    /// Roots in a row that named an older ledger than `known`.
    contradicted: u32,
    /// Time when the root was last asked because of a trade above the ceiling and did not raise it; none if never.
    refused_at: Option<Instant>,
    /// Newest ledger with held trades; 0 if there is none.
    held: u32,
    /// Latest close time of the newest held trades.
    held_at: Option<UnixSeconds>,
    /// Request that the report answers.
    request: RootRequest,
}

/// A request of Horizon's root: its time, and the connections before it. One that is opened or broken meanwhile
/// invalidates the report.
#[derive(Clone, Copy, Debug)]
pub(super) struct RootRequest {
    /// Start of the request (monotonic).
    at: Instant,
    /// Connections of all clients that were broken until then.
    disruptions: u64,
    /// Connections that this client had opened until then.
    opened: u64,
}

impl RootRequest {
    /// Begins a request of this client now.
    pub(super) fn begin(horizon: &HorizonClient) -> Self {
        let (disruptions, opened) = (horizon.limiter().disruptions(), horizon.connections_opened());
        Self { at: Instant::now(), disruptions, opened }
    }
}

impl History {
    /// Returns the report of a root. `newest_held` has ledger and close time of the newest held trades, the newest
    /// first.
    pub(super) fn new(root: &Root, newest_held: &[ClosedLedger], request: RootRequest) -> Self {
        let mut history = Self {
            elder: root.history_elder_ledger,
            latest: root.history_latest_ledger,
            latest_at: root.history_latest_ledger_closed_at,
            known: root.history_latest_ledger,
            known_at: request.at,
            is_confirmed: false,
            contradicted: 0,
            refused_at: None,
            held: newest_held.first().map_or(0, |(ledger, _)| *ledger),
            held_at: newest_held.iter().map(|(_, at)| *at).max(),
            request,
        };
        history.raise(newest_held.iter().map(|(ledger, _)| *ledger));
        history
    }

    /// Returns the newest ledger that surely exists.
    #[must_use]
    pub const fn known(&self) -> u32 {
        self.known
    }

    /// Returns true if the root came from a server that is behind what is known.
    #[must_use]
    pub const fn is_behind(&self) -> bool {
        self.latest.saturating_add(AHEAD_LEDGERS_MAX) < self.known
    }

    /// Returns the highest ledger that can exist by now. A trade of a higher ledger is false, and would move a cursor
    /// past real trades to come.
    #[must_use]
    pub fn ceiling(&self) -> u32 {
        let closed =
            u32::saturating_from(self.known_at.elapsed().as_secs().saturating_mul(LEDGERS_A_SECOND_MAX));
        self.known.saturating_add(AHEAD_LEDGERS_MAX).saturating_add(closed)
    }

    /// Returns the newest ledger that may count as complete if the stream has reached `live`. The limit is closer than
    /// the ceiling: one false trade below the ceiling moves the stream and is on the newest page as well.
    #[must_use]
    pub fn complete_up_to(&self, live: u32) -> u32 {
        let closed = self.known_at.elapsed().as_secs() / SECONDS_PER_COMPLETE_LEDGER;
        let end = self.known.saturating_add(COMPLETE_AHEAD_MAX).saturating_add(u32::saturating_from(closed));
        if live <= end { self.known.max(live) } else { self.known }
    }

    /// Raises the newest known ledger to one that most of these trades reach. `newest_first` has the ledgers of trades,
    /// which are held or on one page, in descending order.
    pub fn raise(&mut self, newest_first: impl ExactSizeIterator<Item = u32>) {
        let reached = reached_by_most(newest_first);
        if reached > self.known {
            (self.known, self.known_at) = (reached, Instant::now());
        }
    }

    /// Keeps the newest ledger that was known before this root, if it is a later one: another server behind the same
    /// address may be behind, and what one of them had still exists.
    ///
    /// It is given up if several roots in a row contradict it. If it is far above them and only one root named it,
    /// that root was wrong. A ledger that two roots confirm is given up only if it was named long ago: the others may
    /// be answers of one server far behind. What held trades prove is known again with each root.
    pub(super) fn keep_known(&mut self, before: &Self) {
        let is_near = before.known.abs_diff(self.known) <= LEADING_LEDGERS_MAX;
        let ahead = before.known.saturating_sub(self.known);
        if ahead == 0 {
            self.is_confirmed = is_near;
            return;
        }
        let contradicted = before.contradicted.saturating_add(1);
        // A trade that is held far above the root shows that the root lags.
        let is_alone = !before.is_confirmed && self.held <= self.known.saturating_add(AHEAD_LEDGERS_MAX);
        let is_doubtful = (!is_near && is_alone) || before.known_at.elapsed() >= USABLE_FOR;
        if contradicted < CONTRADICTED_MAX || !is_doubtful {
            (self.known, self.known_at, self.contradicted) = (before.known, before.known_at, contradicted);
            self.is_confirmed = before.is_confirmed || is_near;
        }
    }

    /// Notes whether this report, asked for because of a trade of `ledger`, raised the ceiling far enough.
    pub(super) fn note_asked_for(&mut self, ledger: u32) {
        self.refused_at = (ledger > self.ceiling()).then(Instant::now);
    }

    /// Returns true if the root was asked because of a trade above the ceiling just now, and did not raise it.
    pub(super) fn was_refused_just_now(&self) -> bool {
        self.refused_at.is_some_and(|at| at.elapsed() < REFUSED_FOR)
    }

    /// Returns Horizon's current time, estimated from its newest ledger; none if Horizon does not report that. While
    /// Horizon catches up, the estimate lags; [`Intake`](crate::actors::intake::Intake) then uses our own clock.
    #[must_use]
    pub fn time(&self) -> Option<UnixSeconds> {
        let seconds = i64::saturating_from(self.request.at.elapsed().as_secs());
        self.latest_at.map(|at| at.plus(seconds))
    }

    /// Returns the time since the report.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.request.at.elapsed()
    }

    /// Returns the close time of the newest ledger that Horizon reports or that is held. A Horizon that is far
    /// behind, or says so, makes no trade young.
    #[must_use]
    pub fn newest_at(&self) -> Option<UnixSeconds> {
        self.time().max(self.held_at)
    }

    /// Returns Horizon's newest ledger and its close time, unless our clock contradicts it.
    #[must_use]
    pub fn anchor(&self, now: UnixSeconds) -> Option<ClosedLedger> {
        self.latest_at.filter(|at| *at <= now.plus(SLACK_S)).map(|at| (self.latest, at))
    }

    /// Returns true if trades received now may be stored on the strength of this check.
    pub(super) fn allows_storing(&self, horizon: &HorizonClient) -> bool {
        self.allows_requests(horizon)
            && self.request.at.elapsed() < between(horizon.limiter().requests_per_hour())
    }

    /// Returns true if requests may be made on the strength of this check. Their results are stored only after it was
    /// renewed.
    #[must_use]
    pub fn allows_requests(&self, horizon: &HorizonClient) -> bool {
        self.request.at.elapsed() < USABLE_FOR
            && self.request.disruptions == horizon.limiter().disruptions()
            && self.request.opened == horizon.connections_opened()
    }
}

/// Returns the interval between two checks for a request budget.
fn between(requests_per_hour: u32) -> Duration {
    let seconds = SECONDS_BETWEEN_BY_BUDGET.checked_div(requests_per_hour).unwrap_or(0);
    Duration::from_secs(seconds.into()).clamp(BETWEEN_MIN, USABLE_FOR)
}

/// Returns the interval at which a replica reads the root if nobody else does.
#[must_use]
pub fn watched_every(requests_per_hour: u32) -> Duration {
    between(requests_per_hour).saturating_mul(WATCHED_FACTOR).min(USABLE_FOR)
}

/// Returns the ledger that more than half of the trades reach, so that a few false ones do not count. `newest_first`
/// has their ledgers. A single trade proves nothing.
fn reached_by_most(newest_first: impl ExactSizeIterator<Item = u32>) -> u32 {
    let mut newest_first = newest_first;
    let middle = (newest_first.len() / 2).max(1);
    newest_first.nth(middle).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_cost_a_twentieth_of_the_budget_and_come_at_least_every_ten_minutes() {
        let seconds = |per_hour| between(per_hour).as_secs();
        assert_eq!((seconds(3_600), seconds(1_800), seconds(60)), (20, 40, 600));
        assert_eq!((seconds(0), seconds(1_000_000)), (1, 1), "requests are not limited");
        let watched = |per_hour| watched_every(per_hour).as_secs();
        assert_eq!((watched(3_600), watched(60), watched(0)), (120, 600, 6));
    }

    fn history(latest: u32) -> History {
        let now = Instant::now();
        History {
            elder: 1,
            latest,
            latest_at: None,
            known: latest,
            known_at: now,
            is_confirmed: false,
            contradicted: 0,
            refused_at: None,
            held: 0,
            held_at: None,
            request: RootRequest { at: now, disruptions: 0, opened: 0 },
        }
    }

    #[test]
    fn a_ledger_is_known_by_the_root_or_by_most_of_the_newest_trades() {
        let known = |latest, ledgers: &[u32]| {
            let mut history = history(latest);
            history.raise(ledgers.iter().copied());
            history.known()
        };
        assert_eq!(known(100, &[]), 100);
        assert_eq!(known(100, &[900]), 100, "one trade may be false");
        assert_eq!(known(100, &[900, 103]), 103);
        assert_eq!(known(100, &[900, 899, 103, 102]), 103);
        assert_eq!(known(100, &[900, 899, 899, 103]), 899);
        assert_eq!(known(100, &[90, 90, 90]), 100, "the root is newer");
    }

    #[test]
    fn a_root_is_behind_if_other_roots_or_held_trades_are_far_above_it() {
        let is_behind = |held: &[u32]| {
            let mut history = history(500);
            history.raise(held.iter().copied());
            history.is_behind()
        };
        assert!(!is_behind(&[]) && !is_behind(&[520, 520]));
        assert!(is_behind(&[700, 700]));
    }

    /// Newest known ledger after roots that name these newest ledgers, one after the other.
    fn known_after(first: History, roots: &[u32]) -> u32 {
        let next = |before: History, latest: &u32| {
            let mut renewed = history(*latest);
            renewed.keep_known(&before);
            renewed
        };
        roots.iter().fold(first, next).known()
    }

    #[test]
    fn a_ledger_that_one_root_named_wrongly_is_given_up_after_some_others() {
        let after = |roots: &[u32]| known_after(history(100_000), roots);
        assert_eq!(after(&[500, 501]), 100_000, "these servers may be behind");
        assert_eq!(after(&[500, 501, 502]), 502);
        assert_eq!(after(&[500, 501, 502, 400]), 502, "from now on as before");
        assert_eq!(after(&[500, 501, 100_001, 502, 503]), 100_001, "another root agrees with the first");
        let held = |renewed: History| History { held: 99_000, ..renewed };
        let next = |before: History, latest: &u32| {
            let mut renewed = held(history(*latest));
            renewed.keep_known(&before);
            renewed
        };
        let known = [500, 501, 502, 503].iter().fold(held(history(100_000)), next).known();
        assert_eq!(known, 100_000, "these roots lag: trades far above them are held");
    }

    #[test]
    fn a_ledger_that_two_roots_confirm_outlives_many_answers_of_a_server_far_behind() {
        let behind = [500; 9];
        let after = |first: History, roots: &[u32]| known_after(first, &[roots, &behind].concat());
        assert_eq!(after(history(100_000), &[]), 500, "one root alone may be wrong");
        for confirming in [99_500_u32, 100_000, 100_003] {
            let known = confirming.max(100_000);
            assert_eq!(after(history(100_000), &[confirming]), known, "{confirming}");
            assert_eq!(after(history(100_000), &[500, 501, confirming]), known, "{confirming}");
        }
        assert_eq!(after(history(100_000), &[100_003, 900_000]), 500, "nobody confirms the last one");
        let known_at = Instant::now().checked_sub(USABLE_FOR).unwrap();
        let old = History { known_at, is_confirmed: true, ..history(100_000) };
        assert_eq!(after(old, &[]), 500, "none has named it for ten minutes");
    }

    #[test]
    fn a_ledger_is_given_up_later_if_it_is_not_far_ahead_of_the_others() {
        let near = [99_000, 99_000, 99_001, 99_002];
        assert_eq!(known_after(history(100_000), &near), 100_000, "a server that is behind");
        let known_at = Instant::now().checked_sub(USABLE_FOR).unwrap();
        let old = History { known_at, ..history(100_000) };
        assert_eq!(known_after(old, &near), 99_002, "none has named it for ten minutes");
        assert_eq!(known_after(old, &[99_000, 100_000, 99_000, 99_000, 99_000]), 100_000);
    }

    #[test]
    fn ledgers_far_above_the_known_ones_cannot_exist_and_time_lets_more_exist() {
        let mut history = history(100);
        assert_eq!((history.ceiling(), history.complete_up_to(102)), (120, 102));
        assert_eq!(
            (history.complete_up_to(103), history.complete_up_to(7)),
            (100, 100),
            "moved by a false trade?"
        );
        history.known_at = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        assert_eq!((history.ceiling(), history.complete_up_to(132)), (180, 132));
        history.raise([1_600, 1_600, 1_600].into_iter());
        assert_eq!((history.ceiling(), history.complete_up_to(1_601)), (1_620, 1_601), "its root was behind");
    }
}
