//! The lake as actors read it: with hashes compared with Horizon's, and with every result reported.

use std::{
    cell::Cell,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use metrics::counter;
use tracing::{debug, info, warn};

use super::{
    intake::{Intake, IntakeDecision},
    lake_timeouts::LakeTimeouts,
    trade_writer::{TradeWriter, WriteError},
};
use crate::{
    clock::SharedClock,
    config::LakeVerify,
    db::trades::{IncomingTrade, QuarantineEntry},
    domain::{
        coverage::LedgerRange,
        instant::{DAY, UnixSeconds},
    },
    horizon::{
        HorizonClient,
        budget::Class,
        wire::{ReceivedTrade, RecordError},
    },
    lake::{Lake, LakeError, VerifiedLedger},
    published::{HashCheck, LakeState, LakeUse, Published},
    trouble::SharedLimit,
};

/// Name of the source in quarantine.
const SOURCE: &str = "lake";
/// Log lines per minute about refused ledgers.
const REFUSED_A_MINUTE: u32 = 10;
/// Time for which Horizon is not asked again for a hash after it did not answer.
const UNANSWERED_PAUSE: Duration = Duration::from_secs(60);
/// First wait before Horizon is asked again for a ledger that it does not have yet.
const LACKED_RETRY: Duration = Duration::from_secs(2);
/// Longest wait for a ledger that is not stored without an answer.
const URGENT_RETRY_MAX: Duration = Duration::from_secs(5);
/// Longest such wait.
const LACKED_RETRY_MAX: Duration = Duration::from_secs(30);
/// Further requests for a ledger of the past that Horizon does not have.
const FURTHER_REQUESTS_MAX: u32 = 3;
/// Longest wait for a hash. Ledgers that prove themselves are stored without it.
pub const HASH_TIMEOUT: Duration = Duration::from_secs(10);

/// Reader of the lake, for one actor. Clones share what they know of Horizon.
#[derive(Clone)]
pub struct LakeReader {
    /// The lake.
    pub lake: Lake,
    /// Horizon, which knows the hashes of ledgers.
    horizon: HorizonClient,
    verify: LakeVerify,
    /// Times to wait for it.
    pub timeouts: LakeTimeouts,
    published: Arc<Published>,
    clock: SharedClock,
    /// Time of the last comparison that Horizon did not answer. A restart keeps it, because Horizon needs the pause
    /// all the same.
    unanswered_at: Rc<Cell<Option<Instant>>>,
    /// New ledger that Horizon did not have when it was last asked. A restart keeps it, because each attempt costs
    /// a request of the budget.
    lacked: Rc<Cell<Option<Lacked>>>,
    /// Limit on log lines about refused ledgers. Every object of a damaged lake may be refused.
    refusal_lines: Rc<SharedLimit>,
}

/// Ledger that Horizon does not have yet.
#[derive(Clone, Copy, Debug)]
struct Lacked {
    ledger: u32,
    asked_at: Instant,
    /// Wait before the next request.
    wait: Duration,
}

/// Stored ledgers below one that Horizon has, or that it contradicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgersInDoubt {
    /// First ledger beyond doubt, or the one that is contradicted.
    pub below: u32,
    /// Its close time.
    pub below_time: UnixSeconds,
    /// Lowest of the ledgers that were taken and lead to no hash of Horizon, apart from those that the database names.
    pub taken: Option<(u32, UnixSeconds)>,
    /// True if Horizon has another hash, false if nothing leads from these ledgers to one that it has.
    pub is_contradicted: bool,
}

/// Ledger that closed more than a day ahead of this machine's clock. Its trades would be refused as those of a future,
/// so it is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clock of this machine is more than a day slow, or ledger {ledger} of the lake is wrong: it closed at {}. It is \
     read again later", .closed_at.to_rfc3339()
)]
pub struct AheadOfClock {
    ledger: u32,
    closed_at: UnixSeconds,
}

impl AheadOfClock {
    fn check(ledger: u32, closed_at: UnixSeconds, now: UnixSeconds) -> Result<(), Self> {
        if closed_at > now.plus(DAY) { Err(Self { ledger, closed_at }) } else { Ok(()) }
    }
}

/// Trades of consecutive ledgers for one batch.
#[derive(Debug, Default)]
pub struct Collected {
    /// Trades to store.
    pub trades: Vec<IncomingTrade>,
    /// Trades that cannot be stored, and refused ranges.
    pub quarantine: Vec<QuarantineEntry>,
    /// Number of trades that are older than the retention.
    pub skipped: u64,
}

impl LakeReader {
    /// Creates a reader.
    #[must_use]
    pub fn new(
        lake: Lake,
        horizon: HorizonClient,
        (verify, timeouts): (LakeVerify, LakeTimeouts),
        published: Arc<Published>,
        clock: SharedClock,
    ) -> Self {
        let url = lake.shown().to_owned();
        published.vitals.lake.update(|state| state.url = url);
        Self {
            lake,
            horizon,
            verify,
            timeouts,
            published,
            clock,
            unanswered_at: Rc::default(),
            lacked: Rc::default(),
            refusal_lines: Rc::new(SharedLimit::new(REFUSED_A_MINUTE, Duration::from_secs(60))),
        }
    }

    /// True if consecutive ledgers must name each other.
    #[must_use]
    pub fn checks_chain(&self) -> bool {
        self.verify != LakeVerify::Off
    }

    /// True if hashes are compared with Horizon's.
    #[must_use]
    pub fn checks_hashes(&self) -> bool {
        self.verify == LakeVerify::Anchor
    }

    /// Newest ledger of the lake. Begins to look at `held`, or without it at Horizon's newest ledger.
    pub async fn newest(&self, held: Option<u32>) -> Result<u32, LakeError> {
        let hint = match held {
            Some(held) => Some(held),
            None => {
                let root = tokio::time::timeout(HASH_TIMEOUT, self.horizon.root()).await;
                root.ok().and_then(Result::ok).map(|root| root.history_latest_ledger)
            }
        };
        self.lake.newest(hint).await
    }

    /// Compares the hash of a new ledger with Horizon's. A ledger that Horizon lacks is asked for again, and later ones
    /// with it, after growing waits: each attempt costs a request of the budget. If it is urgent, because the ledger
    /// is not stored without an answer, the waits stay short, also after a request that Horizon did not answer.
    pub async fn check_new_hash(&self, sequence: u32, lake_hash: &str, is_urgent: bool) -> HashCheck {
        if !self.checks_hashes() || self.is_horizon_silent() && !is_urgent {
            return HashCheck::Unchecked;
        }
        let lacked = self.lacked.get().filter(|lacked| sequence >= lacked.ledger);
        let waits = |lacked: Lacked| if is_urgent { lacked.wait.min(URGENT_RETRY_MAX) } else { lacked.wait };
        if lacked.is_some_and(|lacked| lacked.asked_at.elapsed() < waits(lacked)) {
            return HashCheck::Unchecked;
        }
        let check = self.ask(sequence, lake_hash, Class::Live).await;
        let wait = lacked.map_or(LACKED_RETRY, |lacked| (lacked.wait * 2).min(LACKED_RETRY_MAX));
        let is_lacked = check == HashCheck::Unchecked;
        let lacked = Lacked { ledger: sequence, asked_at: Instant::now(), wait };
        self.lacked.set(is_lacked.then_some(lacked));
        // A wrong ledger of the past says nothing about new ones.
        self.update(|state| match check {
            HashCheck::Differs { ledger, .. } => state.contradicted = Some(ledger),
            HashCheck::Agrees { .. } => state.contradicted = None,
            HashCheck::Unchecked => {}
        });
        check
    }

    /// Compares the hash of a ledger that Horizon lacked a moment ago, a few times: at a start it may lack the newest.
    pub async fn check_hash_again(&self, sequence: u32, lake_hash: &str) -> HashCheck {
        for _ in 0..FURTHER_REQUESTS_MAX {
            if !self.checks_hashes() || self.is_horizon_silent() {
                break;
            }
            actix_rt::time::sleep(LACKED_RETRY).await;
            let check = self.check_hash(sequence, lake_hash, Class::Live).await;
            if check != HashCheck::Unchecked {
                return check;
            }
        }
        HashCheck::Unchecked
    }

    /// Compares the hash of a ledger with Horizon's, if that is wanted. A Horizon that does not answer, or does
    /// not have the ledger, leaves it unchecked.
    pub async fn check_hash(&self, sequence: u32, lake_hash: &str, class: Class) -> HashCheck {
        if !self.checks_hashes() || self.is_horizon_silent() {
            return HashCheck::Unchecked;
        }
        self.ask(sequence, lake_hash, class).await
    }

    async fn ask(&self, sequence: u32, lake_hash: &str, class: Class) -> HashCheck {
        let horizon = self.horizon.of_class(class);
        let asked = tokio::time::timeout(HASH_TIMEOUT, horizon.ledger_hash(sequence)).await;
        let at = self.clock.now();
        let check = match asked {
            Ok(Ok(Some(hash))) if hash == lake_hash => HashCheck::Agrees { ledger: sequence, at },
            Ok(Ok(Some(hash))) => {
                warn!(ledger = sequence, lake = lake_hash, horizon = hash, "hash differs from Horizon's");
                HashCheck::Differs { ledger: sequence, at }
            }
            Ok(Ok(None)) => {
                debug!(ledger = sequence, "Horizon does not have the ledger, its hash is not compared");
                HashCheck::Unchecked
            }
            Ok(Err(_)) | Err(_) => {
                self.unanswered_at.set(Some(Instant::now()));
                debug!(ledger = sequence, "Horizon does not answer, the hash is not compared");
                HashCheck::Unchecked
            }
        };
        // A ledger that is not compared is no news.
        if check != HashCheck::Unchecked {
            self.update(|state| state.hash_check = check);
        }
        check
    }

    /// True if Horizon did not answer a moment ago.
    pub fn is_horizon_silent(&self) -> bool {
        self.unanswered_at.get().is_some_and(|at| at.elapsed() < UNANSWERED_PAUSE)
    }

    /// True if the last new ledger of the lake has another hash than at Horizon.
    pub fn is_contradicted(&self) -> bool {
        self.published.vitals.lake.load().is_some_and(|lake| lake.contradicted.is_some())
    }

    /// Checks the close time of a ledger.
    ///
    /// # Errors
    ///
    /// [`AheadOfClock`] if it cannot be stored now.
    pub fn check_clock(&self, ledger: &VerifiedLedger) -> Result<(), AheadOfClock> {
        AheadOfClock::check(ledger.sequence, ledger.closed_at, self.clock.now().into())
    }

    /// Adds what a ledger holds to a batch, except trades older than the retention.
    pub fn collect(
        &self,
        ledger: VerifiedLedger,
        retention_days: i64,
        now: UnixSeconds,
        into: &mut Collected,
    ) {
        let newest = self.published.vitals.lake.load().and_then(|lake| lake.newest);
        // The ledgers prove themselves, and their numbers are those of their objects.
        let intake = Intake {
            source: SOURCE,
            ceiling: u32::MAX,
            latest_time: None,
            newest_at: newest.map(|(_, at)| at).max(Some(ledger.closed_at)),
            retention_days,
        };
        for trade in ledger.trades {
            let received = ReceivedTrade { trade: trade.trade, raw: trade.raw };
            match intake.decide(received, now) {
                IntakeDecision::Store(trade) => into.trades.push(*trade),
                IntakeDecision::Quarantine(entry) => into.quarantine.push(entry),
                IntakeDecision::Skip => into.skipped = into.skipped.saturating_add(1),
            }
        }
        for refused in ledger.refused {
            let refused =
                RecordError { token: Some(refused.token), reason: refused.reason, raw: refused.raw };
            into.quarantine.push(intake.refuse(refused));
        }
    }

    /// Reports that these ledgers are stored.
    pub fn note_stored(&self, range: LedgerRange, ledgers: u64) {
        counter!("ticker_lake_ledgers_total").increment(ledgers);
        self.update(|state| {
            state.newest = state.newest.max(Some((range.to, range.to_time)));
            state.ledgers = state.ledgers.saturating_add(ledgers);
        });
    }

    /// Reports that ledgers are refused, and returns their entry in quarantine.
    pub fn refuse(&self, from: u32, to: u32, reason: &str, is_chain_break: bool) -> QuarantineEntry {
        let ledgers = u64::from(to.saturating_sub(from)).saturating_add(1);
        let kind = if is_chain_break { "chain" } else { "content" };
        counter!("ticker_lake_refused_ledgers_total", "reason" => kind).increment(ledgers);
        if let Some(suppressed) = self.refusal_lines.allow(self.clock.monotonic()) {
            warn!(from, to, reason, suppressed, "ledgers of the lake refused");
        }
        self.update(|state| {
            state.refused = state.refused.saturating_add(ledgers);
            state.chain_breaks = state.chain_breaks.saturating_add(u64::from(is_chain_break));
            state.last_refused = Some((from, reason.to_owned()));
        });
        let raw = serde_json::json!({"from": from, "to": to, "lake": self.lake.shown()}).to_string();
        let reason = format!("ledgers {from} to {to} are refused: {reason}");
        QuarantineEntry { source: SOURCE, token: None, reason, raw: Bytes::from(raw) }
    }

    /// Runs `store`, which stores ledgers. Ledgers that Horizon has not confirmed are first noted in the database, so
    /// that a kill in between loses nothing. They are noted again afterwards, because the row may have been deleted
    /// meanwhile.
    pub async fn store<T, E: From<WriteError>>(
        &self,
        writer: &TradeWriter,
        unconfirmed: Option<LedgerRange>,
        store: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        if let Some(range) = unconfirmed {
            self.note_unconfirmed(writer, range).await?;
        }
        let stored = store.await?;
        if let Some(range) = unconfirmed {
            self.note_unconfirmed(writer, range).await?;
        }
        Ok(stored)
    }

    async fn note_unconfirmed(&self, writer: &TradeWriter, range: LedgerRange) -> Result<(), WriteError> {
        if self.checks_hashes() {
            let epoch = writer.leadership.epoch().ok_or(WriteError::NotLeading)?;
            writer.database.add_unconfirmed(epoch, (range.from, range.from_time)).await?;
        }
        Ok(())
    }

    /// Takes ledgers out of the coverage that are in doubt, so that they are read again. Does nothing if none is.
    pub async fn uncover(&self, writer: &TradeWriter, in_doubt: LedgersInDoubt) -> Result<(), WriteError> {
        let epoch = writer.leadership.epoch().ok_or(WriteError::NotLeading)?;
        let unconfirmed = writer.database.unconfirmed_ledgers().await?;
        let lowest = unconfirmed.into_iter().chain(in_doubt.taken).min();
        let Some((from, from_time)) = lowest else { return Ok(()) };
        let (to, to_time) = (in_doubt.below.saturating_sub(1), in_doubt.below_time.max(from_time));
        let uncovered = (from <= to).then_some(LedgerRange { from, to, from_time, to_time });
        writer.database.clear_unconfirmed(epoch, from, uncovered).await?;
        match uncovered {
            Some(LedgerRange { from, to, .. }) if in_doubt.is_contradicted => {
                warn!(
                    from,
                    to, "ledgers of the lake are not ancestors of Horizon's ledger, reading them again"
                );
                self.update(|state| state.chain_breaks = state.chain_breaks.saturating_add(1));
            }
            Some(LedgerRange { from, to, .. }) => {
                info!(
                    from,
                    to, "Horizon has confirmed none of these ledgers of the lake, reading them again"
                );
            }
            None => {}
        }
        Ok(())
    }

    /// Reports that the lake answered.
    pub fn note_answer(&self, reader: LakeUse) {
        self.update(|state| state.outages.end(reader));
    }

    /// Reports whether the newest ledger is too old for a lake that gives new trades.
    pub fn note_behind(&self, is_behind: bool) {
        let now = self.clock.now();
        self.update(|state| state.behind = is_behind.then(|| state.behind.unwrap_or(now)));
    }

    /// Reports that the lake could not be read.
    pub fn note_failure(&self, reader: LakeUse, error: &LakeError) {
        let (now, text) = (self.clock.now(), error.to_string());
        self.update(|state| state.outages.note(reader, now, self.lake.shown(), text));
    }

    fn update(&self, change: impl FnOnce(&mut LakeState)) {
        self.published.vitals.lake.update(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_may_be_a_day_ahead_of_the_clock() {
        let now = UnixSeconds(1_800_000_000);
        assert_eq!(AheadOfClock::check(7, now.plus(DAY), now), Ok(()));
        let ahead = AheadOfClock::check(7, now.plus(DAY + 1), now).unwrap_err();
        assert!(ahead.to_string().contains("more than a day slow, or ledger 7 of the lake"), "{ahead}");
    }
}
