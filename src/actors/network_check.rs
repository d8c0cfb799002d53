//! Whose network Horizon serves: asked at start, now and then, and after every broken connection, for behind the next
//! one may be another server. Trades of two networks must never mix.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crate::{
    domain::{close_times::SLACK_S, instant::Second},
    horizon::{HorizonClient, HorizonError, wire::Root},
    published::Published,
};

/// How long Horizon's word is believed while no connection breaks.
const GOOD_FOR: Duration = Duration::from_secs(600);

/// One server of a Horizon may be so many ledgers ahead of another.
pub const LEADING_LEDGERS_MAX: u32 = 1_000;
/// More ledgers do not close in a second, on whatever network; the real one needs 6 seconds for one.
const LEDGERS_A_SECOND_MAX: u32 = 100;

/// What Horizon last told of itself.
#[derive(Clone, Copy, Debug)]
pub struct History {
    /// Its oldest ledger.
    pub elder: u32,
    /// Its newest ledger, when it was asked.
    pub latest: u32,
    /// When that ledger closed; none where it does not say.
    pub latest_at: Option<Second>,
    asked_at: Instant,
    /// Connections that had broken by then.
    disruptions: u64,
}

/// Why Horizon cannot be used now.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It serves another network: nothing may be stored.
    #[error("horizon serves another network: {0:?}")]
    WrongNetwork(String),
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

    /// About what time it is for Horizon: a ledger that closed later than this is not there yet. None where it does not
    /// say. A Horizon that catches up is behind by this; the clock here then bounds times.
    #[must_use]
    pub fn time(&self) -> Option<Second> {
        let seconds = i64::try_from(self.asked_at.elapsed().as_secs()).unwrap_or(i64::MAX);
        self.latest_at.map(|at| at.plus(seconds))
    }

    /// Its newest ledger and when that closed, unless the clock here contradicts it.
    #[must_use]
    pub fn anchor(&self, now: Second) -> Option<(u32, Second)> {
        self.latest_at.filter(|at| *at <= now.plus(SLACK_S)).map(|at| (self.latest, at))
    }

    /// Whether that word is still good.
    #[must_use]
    pub fn is_good(&self, horizon: &HorizonClient) -> bool {
        self.asked_at.elapsed() < GOOD_FOR && self.disruptions == horizon.governor().disruptions()
    }
}

/// Asks Horizon what it serves, and tells everybody whether that is the right network.
///
/// # Errors
///
/// [`Unusable`]
pub async fn ask(
    horizon: &HorizonClient,
    passphrase: &str,
    published: &Published,
) -> Result<History, Unusable> {
    let disruptions = horizon.governor().disruptions();
    let Root {
        network_passphrase,
        history_latest_ledger: latest,
        history_elder_ledger: elder,
        history_latest_ledger_closed_at: latest_at,
        ..
    } = horizon.root().await?;
    let wrong = network_passphrase != passphrase;
    published.vitals.wrong_network.store(wrong, Ordering::Relaxed);
    horizon.governor().set_wrong_network(wrong);
    if wrong {
        return Err(Unusable::WrongNetwork(network_passphrase));
    }
    Ok(History { elder, latest, latest_at, asked_at: Instant::now(), disruptions })
}
