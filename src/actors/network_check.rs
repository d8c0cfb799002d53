//! Check of the network that Horizon serves. Trades of two networks must never mix.
//!
//! Nothing is stored unless Horizon's root was read recently, and after the connection was opened that delivered the
//! data. Behind a proxy, another server may answer even on a connection that stays open.

mod history;

use crate::{
    db::{Database, DbError},
    domain::{coverage::ClosedLedger, instant::UnixSeconds},
    horizon::{HorizonClient, HorizonError},
};

use history::RootRequest;
pub use history::{History, LEADING_LEDGERS_MAX, watched_every};

/// Number of the newest held trades that are compared with Horizon's newest ledger, so that a few wrong ones do not
/// count.
const NEWEST_COMPARED: i64 = 200;
/// Seconds by which a held ledger must be older than Horizon's newest one, at a higher number, to prove a reset.
const OLDER_S: i64 = 60;

/// Reason for which nothing from Horizon may be stored now.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Horizon serves another network.
    #[error("Horizon serves another network: \"{}\"", .0.escape_debug())]
    WrongNetwork(String),
    /// Horizon's newest ledger closed later than held ledgers with higher numbers: the network was reset.
    #[error(
        "the network was reset: Horizon's newest ledger is {latest}, but the database holds ledger {held}, which \
         closed earlier or cannot exist yet; nothing is stored. Stop all daemons of this database, run \
         `stellar-ticker start-over --yes`, and start them again"
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

impl NetworkError {
    /// Returns the text for `/readyz`. It contains nothing that Horizon sent.
    #[must_use]
    pub const fn detail(&self) -> &'static str {
        match self {
            Self::HistoryReset { .. } => {
                "the network was reset, nothing is stored: stop all daemons and run `stellar-ticker start-over --yes`"
            }
            _ => "Horizon serves another network",
        }
    }
}

/// Check of Horizon's network, as an actor makes it with its own client.
#[derive(Clone)]
pub struct NetworkCheck {
    /// Passphrase that Horizon must report.
    passphrase: String,
    /// Database whose trades Horizon's ledgers are compared with.
    database: Database,
}

impl NetworkCheck {
    /// Creates the check of the network with this passphrase.
    #[must_use]
    pub fn new(passphrase: &str, database: &Database) -> Self {
        Self { passphrase: passphrase.to_owned(), database: database.clone() }
    }

    /// Returns the known report if trades may be stored on its strength, otherwise a new one from Horizon.
    ///
    /// # Errors
    ///
    /// [`NetworkError`]
    pub async fn confirmed(
        &self,
        known: Option<History>,
        horizon: &HorizonClient,
    ) -> Result<History, NetworkError> {
        if let Some(history) = known.filter(|history| history.allows_storing(horizon)) {
            return Ok(history);
        }
        self.renewed(known, horizon).await
    }

    /// Returns a new report, or the known one if the root fails and requests may still be made on its strength.
    async fn renewed(
        &self,
        known: Option<History>,
        horizon: &HorizonClient,
    ) -> Result<History, NetworkError> {
        match self.ask(horizon).await {
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
        &self,
        mut known: History,
        ledger: u32,
        horizon: &HorizonClient,
    ) -> Result<History, NetworkError> {
        if ledger <= known.ceiling() || known.was_refused_just_now() {
            return Ok(known);
        }
        let newest = self.database.newest_held(NEWEST_COMPARED).await?;
        known.raise(newest.iter().map(|(ledger, _)| *ledger));
        if ledger <= known.ceiling() {
            return Ok(known);
        }
        let mut history = self.renewed(Some(known), horizon).await?;
        history.note_asked_for(ledger);
        Ok(history)
    }

    /// Asks Horizon which network and ledgers it serves. All clients of its limiter learn whether the network is the
    /// right one.
    ///
    /// # Errors
    ///
    /// [`NetworkError`]
    pub async fn ask(&self, horizon: &HorizonClient) -> Result<History, NetworkError> {
        // Read the counters first: a connection that is opened or broken meanwhile then invalidates this check.
        let doubts = horizon.limiter().network_doubts();
        let request = RootRequest::begin(horizon);
        let root = horizon.root().await?;
        let newest = self.database.newest_held(NEWEST_COMPARED).await?;
        let latest = root.history_latest_ledger;
        let history = History::new(&root, &newest, request);
        let problem = if root.network_passphrase != self.passphrase {
            Some(NetworkError::WrongNetwork(root.shown_passphrase().into_owned()))
        } else if was_reset(&newest, latest, root.history_latest_ledger_closed_at) {
            let held = newest.first().map_or(0, |(ledger, _)| *ledger);
            Some(NetworkError::HistoryReset { latest, held })
        } else {
            None
        };
        horizon.limiter().record_network_check(doubts, problem.is_some());
        problem.map_or(Ok(history), Err)
    }

    /// Returns the database, for reports of its failures.
    pub(super) const fn database(&self) -> &Database {
        &self.database
    }
}

/// Returns true if the network was reset. Testnet is reset each quarter: the passphrase stays, and ledgers start from
/// 1.
///
/// Ledgers close in order. So if most of the newest held trades are older than Horizon's newest ledger and have higher
/// numbers, they belong to an earlier history. Without a close time of the newest ledger, only numbers are compared.
fn was_reset(newest_held: &[ClosedLedger], latest: u32, latest_at: Option<UnixSeconds>) -> bool {
    let is_older = |(ledger, at): &&ClosedLedger| match latest_at {
        Some(latest_at) => *ledger > latest && at.plus(OLDER_S) < latest_at,
        None => *ledger > latest.saturating_add(LEADING_LEDGERS_MAX),
    };
    let older = newest_held.iter().filter(is_older).count();
    older > newest_held.len().saturating_sub(older)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(ledger: u32, at: i64) -> Vec<ClosedLedger> {
        (0..9).map(|step| (ledger - step, UnixSeconds(at - i64::from(step)))).collect()
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
