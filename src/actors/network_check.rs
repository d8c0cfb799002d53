//! Check of the network that Horizon serves. Trades of two networks must never mix.
//!
//! Nothing is stored unless Horizon's root was read recently, and after the connection was opened that delivered the
//! data. Behind a proxy, another server may answer even on a connection that stays open.

use std::time::{Duration, Instant};

use crate::{
    db::{Database, DbError},
    domain::{close_times::SLACK_S, conversions::SaturatingFrom, instant::UnixSeconds},
    horizon::{HorizonClient, HorizonError, wire::Root},
};

/// Longest time that a check permits requests while Horizon's root fails and no connection was opened or broken.
const USABLE_FOR: Duration = Duration::from_secs(600);
/// Budget share of one actor's repeated checks: 1/20 of the requests, which is every 20 s with the public budget.
const SECONDS_BETWEEN_BY_BUDGET: u32 = 20 * 3_600;
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

/// Number of the newest held trades that are compared with Horizon's newest ledger, so that a few wrong ones do not
/// count.
const NEWEST_COMPARED: i64 = 200;
/// Seconds by which a held ledger must be older than Horizon's newest one, at a higher number, to prove a reset.
const OLDER_S: i64 = 60;

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
    /// Roots in a row that named an older ledger than `known`.
    contradicted: u32,
    /// Time when the root was last asked because of a trade above the ceiling and did not raise it; none if never.
    refused_at: Option<Instant>,
    /// Newest ledger with held trades; 0 if there is none.
    held: u32,
    /// Latest close time of the newest held trades.
    held_at: Option<UnixSeconds>,
    /// Time of the report (monotonic).
    asked_at: Instant,
    /// Broken connections of all clients at that time.
    disruptions: u64,
    /// Connections that this client had opened at that time.
    opened: u64,
}

/// Reason for which nothing from Horizon may be stored now.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Horizon serves another network.
    #[error("Horizon serves another network: \"{}\"", .0.escape_debug())]
    WrongNetwork(String),
    /// Horizon's newest ledger closed later than held ledgers with higher numbers: the network was reset.
    #[error(
        "the network was reset: horizon's newest ledger is {latest}, ledger {held} is held and is older; nothing is \
         stored. Stop all daemons of this database, run `stellar-ticker start-over --yes`, and start them again"
    )]
    HistoryReset {
        /// Horizon's newest ledger.
        latest: u32,
        /// Newest ledger with held trades.
        held: u32,
    },
    /// The held ledgers could not be read.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The request for the root failed.
    #[error(transparent)]
    Horizon(#[from] HorizonError),
}

impl History {
    /// Returns the newest ledger that surely exists.
    #[must_use]
    pub const fn known(&self) -> u32 {
        self.known
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
    /// It is given up if several roots in a row contradict it, and it is far above them or was named long ago. Then the
    /// root that named it was wrong. What held trades prove is known again with each root.
    fn keep_known(&mut self, before: &Self) {
        let ahead = before.known.saturating_sub(self.known);
        if ahead == 0 {
            return;
        }
        let contradicted = before.contradicted.saturating_add(1);
        // A trade that is held far above the root shows that the root lags.
        let is_alone = self.held <= self.known.saturating_add(AHEAD_LEDGERS_MAX);
        let is_far = ahead > LEADING_LEDGERS_MAX && is_alone;
        let is_doubtful = is_far || before.known_at.elapsed() >= USABLE_FOR;
        if contradicted < CONTRADICTED_MAX || !is_doubtful {
            (self.known, self.known_at, self.contradicted) = (before.known, before.known_at, contradicted);
        }
    }

    /// Returns Horizon's current time, estimated from its newest ledger; none if Horizon does not report that. While
    /// Horizon catches up, the estimate lags; [`Intake`](super::intake::Intake) then uses our own clock.
    #[must_use]
    pub fn time(&self) -> Option<UnixSeconds> {
        let seconds = i64::saturating_from(self.asked_at.elapsed().as_secs());
        self.latest_at.map(|at| at.plus(seconds))
    }

    /// Returns the time since the report.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.asked_at.elapsed()
    }

    /// Returns the close time of the newest ledger that Horizon reports or that is held. A Horizon that is far
    /// behind, or says so, makes no trade young.
    #[must_use]
    pub fn newest_at(&self) -> Option<UnixSeconds> {
        self.time().max(self.held_at)
    }

    /// Returns Horizon's newest ledger and its close time, unless our clock contradicts it.
    #[must_use]
    pub fn anchor(&self, now: UnixSeconds) -> Option<(u32, UnixSeconds)> {
        self.latest_at.filter(|at| *at <= now.plus(SLACK_S)).map(|at| (self.latest, at))
    }

    /// Returns true if trades received now may be stored on the strength of this check.
    fn allows_storing(&self, horizon: &HorizonClient) -> bool {
        self.allows_requests(horizon)
            && self.asked_at.elapsed() < between(horizon.limiter().requests_per_hour())
    }

    /// Returns true if requests may be made on the strength of this check. Their results are stored only after it was
    /// renewed.
    #[must_use]
    pub fn allows_requests(&self, horizon: &HorizonClient) -> bool {
        self.asked_at.elapsed() < USABLE_FOR
            && self.disruptions == horizon.limiter().disruptions()
            && self.opened == horizon.connections_opened()
    }
}

/// Returns the interval between two checks for a request budget.
fn between(requests_per_hour: u32) -> Duration {
    let seconds = SECONDS_BETWEEN_BY_BUDGET.checked_div(requests_per_hour).unwrap_or(0);
    Duration::from_secs(seconds.into()).clamp(BETWEEN_MIN, USABLE_FOR)
}

/// Returns the known report if trades may be stored on its strength, otherwise a new one from Horizon.
///
/// # Errors
///
/// [`NetworkError`]
pub async fn confirmed(
    known: Option<History>,
    horizon: &HorizonClient,
    passphrase: &str,
    database: &Database,
) -> Result<History, NetworkError> {
    if let Some(history) = known.filter(|history| history.allows_storing(horizon)) {
        return Ok(history);
    }
    renewed(known, horizon, passphrase, database).await
}

/// Returns a new report, or the known one if the root fails and requests may still be made on its strength.
async fn renewed(
    known: Option<History>,
    horizon: &HorizonClient,
    passphrase: &str,
    database: &Database,
) -> Result<History, NetworkError> {
    match ask(horizon, passphrase, database).await {
        // A root that fails while everything else works must not stop ingestion for ten minutes.
        Err(NetworkError::Horizon(error)) => {
            known.filter(|history| history.allows_requests(horizon)).ok_or(NetworkError::Horizon(error))
        }
        asked => asked.map(|mut history| {
            if let Some(known) = known {
                history.keep_known(&known);
            }
            history
        }),
    }
}

/// Looks again which ledgers exist, because a trade of `ledger` was received. Returns the report unchanged if its
/// ceiling is high enough, else one that knows the newest held trades, and otherwise a new one of Horizon.
///
/// # Errors
///
/// [`NetworkError`]
pub async fn reaching(
    mut known: History,
    ledger: u32,
    horizon: &HorizonClient,
    passphrase: &str,
    database: &Database,
) -> Result<History, NetworkError> {
    if ledger <= known.ceiling() || known.refused_at.is_some_and(|at| at.elapsed() < REFUSED_FOR) {
        return Ok(known);
    }
    let newest = database.newest_held(NEWEST_COMPARED).await?;
    known.raise(newest.iter().map(|(ledger, _)| *ledger));
    if ledger <= known.ceiling() {
        return Ok(known);
    }
    let mut history = renewed(Some(known), horizon, passphrase, database).await?;
    history.refused_at = (ledger > history.ceiling()).then(Instant::now);
    Ok(history)
}

/// Asks Horizon which network and ledgers it serves. Publishes in the vitals whether the network is the right one.
///
/// # Errors
///
/// [`NetworkError`]
async fn ask(
    horizon: &HorizonClient,
    passphrase: &str,
    database: &Database,
) -> Result<History, NetworkError> {
    // Read the counters first: a connection that is opened or broken meanwhile then invalidates this check.
    let (disruptions, opened) = (horizon.limiter().disruptions(), horizon.connections_opened());
    let asked_at = Instant::now();
    let Root {
        network_passphrase,
        history_latest_ledger: latest,
        history_elder_ledger: elder,
        history_latest_ledger_closed_at: latest_at,
        ..
    } = horizon.root().await?;
    let newest = database.newest_held(NEWEST_COMPARED).await?;
    let held = newest.first().map_or(0, |(ledger, _)| *ledger);
    let problem = if network_passphrase != passphrase {
        Some(NetworkError::WrongNetwork(network_passphrase))
    } else if was_reset(&newest, latest, latest_at) {
        Some(NetworkError::HistoryReset { latest, held })
    } else {
        None
    };
    horizon.limiter().set_wrong_network(problem.is_some());
    if let Some(problem) = problem {
        return Err(problem);
    }
    let held_at = newest.iter().map(|(_, at)| *at).max();
    let (known, known_at, contradicted, refused_at) = (latest, asked_at, 0, None);
    let mut history = History {
        elder,
        latest,
        latest_at,
        known,
        known_at,
        contradicted,
        refused_at,
        held,
        held_at,
        asked_at,
        disruptions,
        opened,
    };
    history.raise(newest.iter().map(|(ledger, _)| *ledger));
    Ok(history)
}

/// Returns the ledger that more than half of the trades reach, so that a few false ones do not count. `newest_first`
/// has their ledgers. A single trade proves nothing.
fn reached_by_most(newest_first: impl ExactSizeIterator<Item = u32>) -> u32 {
    let mut newest_first = newest_first;
    let middle = (newest_first.len() / 2).max(1);
    newest_first.nth(middle).unwrap_or(0)
}

/// Returns true if the network was reset. Testnet is reset each quarter: the passphrase stays, and ledgers start from
/// 1.
///
/// Ledgers close in order. So if most of the newest held trades are older than Horizon's newest ledger and have higher
/// numbers, they belong to an earlier history. Without a close time of the newest ledger, only numbers are compared.
fn was_reset(newest_held: &[(u32, UnixSeconds)], latest: u32, latest_at: Option<UnixSeconds>) -> bool {
    let is_older = |(ledger, at): &&(u32, UnixSeconds)| match latest_at {
        Some(latest_at) => *ledger > latest && at.plus(OLDER_S) < latest_at,
        None => *ledger > latest.saturating_add(LEADING_LEDGERS_MAX),
    };
    let older = newest_held.iter().filter(is_older).count();
    older > newest_held.len().saturating_sub(older)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(ledger: u32, at: i64) -> Vec<(u32, UnixSeconds)> {
        (0..9).map(|step| (ledger - step, UnixSeconds(at - i64::from(step)))).collect()
    }

    #[test]
    fn checks_cost_a_twentieth_of_the_budget_and_come_at_least_every_ten_minutes() {
        let seconds = |per_hour| between(per_hour).as_secs();
        assert_eq!((seconds(3_600), seconds(1_800), seconds(60)), (20, 40, 600));
        assert_eq!((seconds(0), seconds(1_000_000)), (1, 1), "requests are not limited");
    }

    fn history(latest: u32) -> History {
        let now = Instant::now();
        History {
            elder: 1,
            latest,
            latest_at: None,
            known: latest,
            known_at: now,
            contradicted: 0,
            refused_at: None,
            held: 0,
            held_at: None,
            asked_at: now,
            disruptions: 0,
            opened: 0,
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

    #[test]
    fn a_network_that_was_reset_is_distinguished_from_a_server_that_is_behind() {
        let held = held(5_000, 100_000);
        let reset = |latest, latest_at| was_reset(&held, latest, Some(UnixSeconds(latest_at)));
        assert!(reset(2, 100_100), "just reset");
        assert!(reset(4_000, 900_000), "reset, and grown since");
        assert!(!reset(2, 100_000 - 30_000), "a server that ingests its history from the beginning");
        assert!(!reset(4_990, 99_990), "a server some ledgers behind another");
        assert!(!reset(5_000, 900_000) && !reset(9_000, 900_000), "a network that stood still");
        assert!(!was_reset(&[], 2, Some(UnixSeconds(1))), "nothing is held");
    }

    #[test]
    fn a_few_held_trades_of_impossible_ledgers_are_outvoted() {
        let mut mixed = held(5_000, 100_000);
        mixed.extend([(9_000, UnixSeconds(90_000)), (9_001, UnixSeconds(90_000))]);
        assert!(!was_reset(&mixed, 5_100, Some(UnixSeconds(100_500))));
    }

    #[test]
    fn without_a_close_time_the_ledger_numbers_must_be_far_apart() {
        let held = held(5_000, 100_000);
        assert!(was_reset(&held, 3_900, None) && !was_reset(&held, 4_000, None));
    }
}
