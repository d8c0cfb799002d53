//! Whose network Horizon serves. Trades of two networks must never mix, so nothing is stored before the root was asked
//! after the connection that it came by was opened, and not long ago: behind a proxy another server may answer on a
//! connection that holds.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crate::{
    db::{Database, DbError},
    domain::{close_times::SLACK_S, instant::UnixSeconds},
    horizon::{HorizonClient, HorizonError, wire::Root},
    published::Published,
};

/// Longest time that an earlier check stays usable while Horizon's root fails and no connection was opened or broken.
const USABLE_FOR: Duration = Duration::from_secs(600);
/// The part of the request budget that one actor may spend on asking again: a twentieth, so every 20 s on the public one.
const SECONDS_BETWEEN_BY_BUDGET: u32 = 20 * 3_600;
/// Shortest interval between two checks, used if requests cost nothing.
const BETWEEN_MIN: Duration = Duration::from_secs(1);

/// One server of a Horizon may be so many ledgers ahead of another.
pub const LEADING_LEDGERS_MAX: u32 = 1_000;
/// More ledgers do not close in a second, on whatever network; the real one needs 6 seconds for one.
const LEDGERS_A_SECOND_MAX: u32 = 100;

/// The newest held trades that are compared with Horizon's newest ledger. A few wrong ones among them do not count.
const NEWEST_COMPARED: i64 = 200;
/// A held ledger must be older by this than Horizon's newest one of a smaller number before it is of another beginning.
const OLDER_S: i64 = 60;

/// What Horizon last told of itself.
#[derive(Clone, Copy, Debug)]
pub struct History {
    /// Its oldest ledger.
    pub elder: u32,
    /// Its newest ledger, when it was asked.
    pub latest: u32,
    /// Close time of that ledger; none if Horizon does not state it.
    pub latest_at: Option<UnixSeconds>,
    asked_at: Instant,
    /// Connections of any client that had broken by then.
    disruptions: u64,
    /// Connections that the asking client had opened by then.
    opened: u64,
}

/// Why Horizon cannot be used now.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It serves another network: nothing may be stored.
    #[error("horizon serves another network: {0:?}")]
    WrongNetwork(String),
    /// Its newest ledger closed later than held ledgers with higher numbers: the same network was reset.
    #[error(
        "the network was reset: horizon's newest ledger is {latest}, ledger {held} is held and is older; nothing is \
         stored. Stop all daemons of this database, run `stellar-ticker start-over --yes`, and start them again"
    )]
    HistoryReset {
        /// Horizon's newest ledger.
        latest: u32,
        /// The newest ledger of which trades are held.
        held: u32,
    },
    /// The held ledgers cannot be read from the database.
    #[error(transparent)]
    Database(#[from] DbError),
    /// It does not answer.
    #[error(transparent)]
    Horizon(#[from] HorizonError),
}

impl History {
    /// No ledger beyond this one can be there by now: a trade of one is a lie, and would carry a cursor past everything
    /// that is yet to come.
    #[must_use]
    pub fn ceiling(&self) -> u32 {
        let seconds = u32::try_from(self.asked_at.elapsed().as_secs()).unwrap_or(u32::MAX);
        self.latest
            .saturating_add(LEADING_LEDGERS_MAX)
            .saturating_add(seconds.saturating_mul(LEDGERS_A_SECOND_MAX))
    }

    /// About what time it is for Horizon: a ledger that closed later than this is not there yet. None if it does not
    /// say. A Horizon that catches up is behind by this; the clock here then bounds times.
    #[must_use]
    pub fn time(&self) -> Option<UnixSeconds> {
        let seconds = i64::try_from(self.asked_at.elapsed().as_secs()).unwrap_or(i64::MAX);
        self.latest_at.map(|at| at.plus(seconds))
    }

    /// Its newest ledger and when that closed, unless the clock here contradicts it.
    #[must_use]
    pub fn anchor(&self, now: UnixSeconds) -> Option<(u32, UnixSeconds)> {
        self.latest_at.filter(|at| *at <= now.plus(SLACK_S)).map(|at| (self.latest, at))
    }

    /// Returns true if trades received now may be stored on the strength of this check.
    #[must_use]
    pub fn is_good(&self, horizon: &HorizonClient) -> bool {
        self.is_usable(horizon) && self.asked_at.elapsed() < between(horizon.limiter().requests_per_hour())
    }

    /// Returns true if requests may be made on the strength of this check. Their results wait until the check is renewed.
    #[must_use]
    pub fn is_usable(&self, horizon: &HorizonClient) -> bool {
        self.asked_at.elapsed() < USABLE_FOR
            && self.disruptions == horizon.limiter().disruptions()
            && self.opened == horizon.connections_opened()
    }
}

/// Interval between two checks, by the request budget.
fn between(requests_per_hour: u32) -> Duration {
    let seconds = SECONDS_BETWEEN_BY_BUDGET.checked_div(requests_per_hour).unwrap_or(0);
    Duration::from_secs(seconds.into()).clamp(BETWEEN_MIN, USABLE_FOR)
}

/// The word that was had, if trades may be stored on it, or what Horizon says now.
///
/// # Errors
///
/// [`Unusable`]
pub async fn confirmed(
    known: Option<History>,
    horizon: &HorizonClient,
    passphrase: &str,
    database: &Database,
    published: &Published,
) -> Result<History, Unusable> {
    if let Some(history) = known.filter(|history| history.is_good(horizon)) {
        return Ok(history);
    }
    match ask(horizon, passphrase, database, published).await {
        // A root that fails while all else works stops nothing for ten minutes.
        Err(Unusable::Horizon(error)) => {
            known.filter(|history| history.is_usable(horizon)).ok_or(Unusable::Horizon(error))
        }
        asked => asked,
    }
}

/// Asks Horizon what it serves, and tells everybody whether that is the right network.
///
/// # Errors
///
/// [`Unusable`]
async fn ask(
    horizon: &HorizonClient,
    passphrase: &str,
    database: &Database,
    published: &Published,
) -> Result<History, Unusable> {
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
    let unusable = if network_passphrase != passphrase {
        Some(Unusable::WrongNetwork(network_passphrase))
    } else if has_begun_anew(&newest, latest, latest_at) {
        Some(Unusable::HistoryReset { latest, held })
    } else {
        None
    };
    published.vitals.wrong_network.store(unusable.is_some(), Ordering::Relaxed);
    horizon.limiter().set_wrong_network(unusable.is_some());
    if let Some(unusable) = unusable {
        return Err(unusable);
    }
    Ok(History { elder, latest, latest_at, asked_at, disruptions, opened })
}

/// Returns true if the network was reset, as testnet is each quarter: its passphrase stays, and its ledgers count from 1
/// again. Ledgers close in order, so most of the newest held trades cannot be older and have higher numbers. If Horizon
/// does not state the close time of its newest ledger, only the numbers are compared.
fn has_begun_anew(newest_held: &[(u32, UnixSeconds)], latest: u32, latest_at: Option<UnixSeconds>) -> bool {
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
    fn asking_costs_a_twentieth_of_the_budget_and_never_less_than_once_in_ten_minutes() {
        let seconds = |per_hour| between(per_hour).as_secs();
        assert_eq!((seconds(3_600), seconds(1_800), seconds(60)), (20, 40, 600));
        assert_eq!((seconds(0), seconds(1_000_000)), (1, 1), "where requests cost nothing");
    }

    #[test]
    fn a_network_that_counts_from_one_again_is_told_from_a_server_that_is_behind() {
        let held = held(5_000, 100_000);
        let anew = |latest, latest_at| has_begun_anew(&held, latest, Some(UnixSeconds(latest_at)));
        assert!(anew(2, 100_100), "reset");
        assert!(anew(4_000, 900_000), "and grown since");
        assert!(!anew(2, 100_000 - 30_000), "a server that reads history in from its beginning");
        assert!(!anew(4_990, 99_990), "a server some ledgers behind another");
        assert!(!anew(5_000, 900_000) && !anew(9_000, 900_000), "a network that stood still");
        assert!(!has_begun_anew(&[], 2, Some(UnixSeconds(1))));
    }

    #[test]
    fn trades_of_ledgers_that_cannot_be_are_outvoted() {
        let mut mixed = held(5_000, 100_000);
        mixed.extend([(9_000, UnixSeconds(90_000)), (9_001, UnixSeconds(90_000))]);
        assert!(!has_begun_anew(&mixed, 5_100, Some(UnixSeconds(100_500))));
    }

    #[test]
    fn without_a_close_time_the_numbers_must_be_far_apart() {
        let held = held(5_000, 100_000);
        assert!(has_begun_anew(&held, 3_900, None) && !has_begun_anew(&held, 4_000, None));
    }
}
