//! Chain of the ledgers that a follower took, and the part of it that Horizon's hashes confirm.

use std::time::{Duration, Instant};

use super::hash_request::HashRequest;
use crate::{
    actors::lake_reader::{HashChecker, LedgersInDoubt},
    domain::{
        coverage::{ClosedLedger, LedgerRange},
        instant::UnixSeconds,
    },
    lake::{Link, VerifiedLedger},
    published::HashCheck,
};

/// Time after which a hash is compared with Horizon's again. The chain leads from one comparison to the next. A
/// restart forgets which ledgers came since the last one, so these should be few. A comparison costs one request.
const HASH_CHECK_INTERVAL: Duration = Duration::from_secs(300);
/// Time between two requests for a hash that Horizon does not have yet.
const PENDING_RETRY: Duration = Duration::from_secs(2);
/// Longest wait for the hash of the first ledger of a chain before that ledger is taken. A Horizon that answers keeps
/// the ledgers of a wrong lake out. A slow one does not hold up new trades for the 10 seconds of a request.
const FIRST_ANSWER_WAIT: Duration = Duration::from_secs(2);

/// Chain of the ledgers that a follower took: each names the hash of the one before it.
///
/// A missing or refused ledger ends the chain, and the next one begins another. A hash of Horizon confirms the chain of
/// its ledger, and nothing below that chain.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// Newest ledger of the chain; none if the next ledger begins one.
    link: Option<Link>,
    /// First ledger of the chain; none like `link`.
    first: Option<ClosedLedger>,
    /// Newest ledger of the chain whose hash Horizon has.
    confirmed: Option<ClosedLedger>,
    /// Time of the last hash that agreed, of any chain.
    confirmed_at: Option<Instant>,
    /// Ledgers of earlier chains that Horizon has not confirmed.
    left_unconfirmed: Option<LedgerRange>,
    /// Ledger of the chain whose hash Horizon did not have, or did not give.
    pending: Option<Pending>,
    /// Request for the hash of the pending ledger that is not answered yet.
    request: Option<HashRequest>,
    /// True if the last comparison found another hash at Horizon. Then no ledger is taken before Horizon has its hash.
    is_distrusted: bool,
    /// Ledger that is not taken before Horizon has its hash, and the time of the first refusal for that reason.
    awaited: Option<(u32, Instant)>,
    /// Stored ledgers in doubt that the follower's owner has not taken out of the coverage yet.
    in_doubt: Option<LedgersInDoubt>,
}

/// Ledger whose hash is requested until Horizon answers. A lake that is always ahead of Horizon would otherwise never
/// be compared.
#[derive(Debug)]
struct Pending {
    ledger: u32,
    closed_at: UnixSeconds,
    /// Hash in the lake, in hexadecimal.
    hash: String,
    /// Time of the last request.
    asked_at: Instant,
}

impl Pending {
    /// Begins to request the hash.
    fn request(&self, hashes: &HashChecker) -> HashRequest {
        let (hashes, ledger, hash) = (hashes.clone(), self.ledger, self.hash.clone());
        HashRequest::begin(async move { hashes.check_new(ledger, &hash, false).await })
    }
}

impl Chain {
    /// True if Horizon has a hash of the chain.
    pub(super) const fn is_confirmed(&self) -> bool {
        self.confirmed.is_some()
    }

    /// First ledger of the chain; none before one is taken.
    pub(super) const fn first(&self) -> Option<ClosedLedger> {
        self.first
    }

    /// Stored ledgers in doubt, until [`Self::note_uncovered`].
    pub(super) const fn in_doubt(&self) -> Option<LedgersInDoubt> {
        self.in_doubt
    }

    /// Notes that the ledgers in doubt were taken out of the coverage.
    pub(super) const fn note_uncovered(&mut self) {
        self.in_doubt = None;
    }

    /// False for a ledger in doubt.
    pub(super) fn stands(&self, sequence: u32) -> bool {
        self.in_doubt.is_none_or(|in_doubt| {
            in_doubt.taken.is_none_or(|taken| !(taken.from..=taken.to).contains(&sequence))
        })
    }

    /// True if a ledger waits for Horizon's hash, and has waited for less than `timeout`. A lake is often some seconds
    /// ahead of Horizon.
    pub(super) fn may_await_hash(&self, sequence: u32, timeout: Duration) -> bool {
        self.awaited.is_some_and(|(awaited, since)| awaited == sequence && since.elapsed() < timeout)
    }

    /// Checks a ledger against the newest one of the chain. If a comparison is due, or the chain breaks, compares its
    /// hash with Horizon's.
    ///
    /// # Errors
    ///
    /// Reason why the ledger is refused.
    pub(super) async fn check(
        &mut self,
        ledger: &VerifiedLedger,
        hashes: &HashChecker,
    ) -> Result<(), String> {
        let broken = self.link.and_then(|link| link.check_above(ledger).err());
        let is_due = self.confirmed_at.is_none_or(|at| at.elapsed() >= HASH_CHECK_INTERVAL);
        let is_wanted = self.pending.is_none() && (self.confirmed.is_none() || is_due);
        if broken.is_none() && !is_wanted {
            return Ok(());
        }
        let (hash, here) = (ledger.hash.to_string(), (ledger.sequence, ledger.closed_at));
        // Such a ledger is not taken without an answer.
        let is_urgent = broken.is_some() || self.is_distrusted;
        let check = if is_urgent {
            hashes.check_new(ledger.sequence, &hash, true).await
        } else {
            self.ask(here, hash, hashes).await
        };
        match (check, broken) {
            (HashCheck::Differs { .. }, broken) => {
                // The ledgers before it lead to a wrong one.
                if broken.is_none() {
                    self.contradict(here);
                }
                self.is_distrusted = true;
                return Err("its hash is not the one that Horizon has".to_owned());
            }
            (HashCheck::Agrees { .. }, Some(_)) => {
                // Then the ledger before it was a wrong one, and maybe others before.
                self.contradict(here);
                self.confirm(here);
            }
            (HashCheck::Agrees { .. }, None) => self.confirm_chain(here),
            (HashCheck::Unchecked, Some(broken)) => return Err(broken.to_string()),
            (HashCheck::Unchecked, None) if self.is_distrusted => {
                let awaited = self.awaited.filter(|(awaited, _)| *awaited == ledger.sequence);
                self.awaited = awaited.or_else(|| Some((ledger.sequence, Instant::now())));
                let reason = "Horizon does not have its hash yet, and the lake had a wrong one before";
                return Err(reason.to_owned());
            }
            (HashCheck::Unchecked, None) => {} // it stays pending
        }
        Ok(())
    }

    /// Takes a ledger as the newest one of the chain.
    pub(super) fn add(&mut self, ledger: &VerifiedLedger) {
        self.link = Some(Link::of(ledger));
        self.first.get_or_insert((ledger.sequence, ledger.closed_at));
    }

    /// Requests the hash of a ledger, which is then pending. Only the first ledger of a chain waits for the answer.
    async fn ask(
        &mut self,
        (ledger, closed_at): ClosedLedger,
        hash: String,
        hashes: &HashChecker,
    ) -> HashCheck {
        let pending = Pending { ledger, closed_at, hash, asked_at: Instant::now() };
        self.request = Some(pending.request(hashes));
        self.pending = Some(pending);
        if self.confirmed.is_some() {
            return HashCheck::Unchecked;
        }
        let answer = HashRequest::answer_within(&mut self.request, FIRST_ANSWER_WAIT).await;
        answer.unwrap_or(HashCheck::Unchecked)
    }

    /// Compares the hash of the pending ledger, from which the chain leads to its newest one. The request runs beside
    /// the reading of new ledgers, because it may last 10 seconds. `next` is the ledger that the follower reads next.
    pub(super) fn compare_pending(&mut self, next: u32, hashes: &HashChecker) {
        self.take_answer(next);
        if self.request.is_none()
            && let Some(pending) = &mut self.pending
            && pending.asked_at.elapsed() >= PENDING_RETRY
        {
            pending.asked_at = Instant::now();
            self.request = Some(pending.request(hashes));
        }
    }

    /// Takes the answer about the pending ledger, if there is one. The end of a chain drops a request, so this comes
    /// before it. `next` is the ledger that the follower reads next.
    pub(super) fn take_answer(&mut self, next: u32) {
        let answer = HashRequest::answer(&mut self.request);
        let (Some(answer), Some(pending)) = (answer, &self.pending) else { return };
        let (ledger, closed_at) = (pending.ledger, pending.closed_at);
        match answer {
            HashCheck::Unchecked => {}
            HashCheck::Agrees { .. } => self.confirm_chain((ledger, closed_at)),
            HashCheck::Differs { .. } => {
                let newest_at = self.link.map_or(closed_at, |link| link.closed_at());
                self.contradict((next, newest_at));
                self.is_distrusted = true;
            }
        }
    }

    /// Notes that Horizon has the hash of a ledger.
    fn confirm(&mut self, here: ClosedLedger) {
        (self.confirmed_at, self.confirmed) = (Some(Instant::now()), Some(here));
        (self.pending, self.request) = (None, None);
        (self.is_distrusted, self.left_unconfirmed) = (false, None);
    }

    /// Notes that Horizon has the hash of a ledger of this chain. It says nothing about earlier chains, so the
    /// unconfirmed ledgers that were taken of them are in doubt.
    fn confirm_chain(&mut self, here: ClosedLedger) {
        let taken = self.left_unconfirmed.take();
        let newest = self.link.map_or(here, |link| (link.sequence(), link.closed_at()).max(here));
        self.note_in_doubt(self.first.unwrap_or(here), taken, Some(newest));
        self.confirm(here);
    }

    /// Puts all unconfirmed ledgers in doubt that were taken below a ledger, and ends the chain.
    fn contradict(&mut self, below: ClosedLedger) {
        self.cut();
        let taken = self.left_unconfirmed.take();
        self.note_in_doubt(below, taken, None);
    }

    fn note_in_doubt(
        &mut self,
        (below, below_time): ClosedLedger,
        taken: Option<LedgerRange>,
        confirmed_to: Option<ClosedLedger>,
    ) {
        let taken = taken.filter(|taken| taken.from < below).map(|taken| {
            let to = taken.to.min(below.saturating_sub(1));
            LedgerRange { to, to_time: taken.to_time.min(below_time).max(taken.from_time), ..taken }
        });
        self.in_doubt = Some(LedgersInDoubt { below, below_time, taken, confirmed_to });
    }

    /// Ends the chain: the next ledger begins another one.
    pub(super) fn cut(&mut self) {
        // If Horizon contradicts the next chain, this one may be wrong too. Later ledgers came from elsewhere.
        self.left_unconfirmed = match (self.left_unconfirmed, self.unconfirmed()) {
            // A lake that lost its end is followed from a lower ledger on.
            (Some(earlier), Some(here)) => Some(spanning(earlier, here)),
            (earlier, here) => earlier.or(here),
        };
        (self.link, self.first, self.confirmed) = (None, None, None);
        (self.pending, self.request) = (None, None);
    }

    /// Ledgers of the chain above the last one that Horizon confirmed.
    fn unconfirmed(&self) -> Option<LedgerRange> {
        let newest = self.link?;
        let confirmed = self.confirmed.map(|(ledger, at)| (ledger.saturating_add(1), at));
        let (from, from_time) = confirmed.or(self.first)?;
        let (to, to_time) = (newest.sequence(), newest.closed_at());
        (from <= to).then_some(LedgerRange { from, to, from_time, to_time })
    }
}

/// Range from the lower first ledger to the higher last one.
fn spanning(one: LedgerRange, other: LedgerRange) -> LedgerRange {
    LedgerRange {
        from: one.from.min(other.from),
        to: one.to.max(other.to),
        from_time: one.from_time.min(other.from_time),
        to_time: one.to_time.max(other.to_time),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Chain of the ledgers 10 to 20. Horizon had the hash of 12.
    pub(in crate::actors::lake_follower) fn taken() -> Chain {
        let link = Some(Link::of(&ledger(20)));
        let mut chain = Chain { first: Some((10, UnixSeconds(100))), link, ..Chain::default() };
        chain.confirm((12, UnixSeconds(120)));
        chain
    }

    /// The same chain. Horizon has answered that it has another hash of its newest ledger.
    pub(in crate::actors::lake_follower) async fn answered_with_another_hash() -> Chain {
        let differs = HashCheck::Differs { ledger: 20, at: chrono::DateTime::UNIX_EPOCH };
        let pending = Pending {
            ledger: 20,
            closed_at: UnixSeconds(200),
            hash: String::new(),
            asked_at: Instant::now(),
        };
        let request = HashRequest::begin(std::future::ready(differs));
        tokio::task::yield_now().await;
        Chain { pending: Some(pending), request: Some(request), ..taken() }
    }

    /// Contradicts the chain at a ledger. Returns the lowest one that is then in doubt.
    pub(in crate::actors::lake_follower) fn contradicted_at(chain: &mut Chain, ledger: u32) -> Option<u32> {
        chain.contradict((ledger, UnixSeconds(i64::from(ledger) * 10)));
        lowest_in_doubt(chain)
    }

    fn lowest_in_doubt(chain: &Chain) -> Option<u32> {
        in_doubt(chain).map(|(lowest, _)| lowest)
    }

    fn in_doubt(chain: &Chain) -> Option<(u32, u32)> {
        chain.in_doubt.and_then(|in_doubt| in_doubt.taken).map(|taken| (taken.from, taken.to))
    }

    #[test]
    fn the_end_of_a_chain_does_not_hide_its_unconfirmed_ledgers_from_the_next_contradiction() {
        let mut chain = taken();
        chain.cut();
        chain.cut();
        assert_eq!(contradicted_at(&mut chain, 31), Some(13));
        chain.note_uncovered();
        assert_eq!(contradicted_at(&mut chain, 32), None, "in doubt before");
    }

    #[test]
    fn of_an_object_with_a_contradiction_only_what_is_not_in_doubt_stands() {
        let mut chain = taken();
        assert!((10..=20).all(|ledger| chain.stands(ledger)));
        contradicted_at(&mut chain, 18);
        let standing: Vec<u32> = (10..=20).filter(|ledger| chain.stands(*ledger)).collect();
        assert_eq!(standing, [10, 11, 12, 18, 19, 20]);
        chain.note_uncovered();
        assert!((10..=20).all(|ledger| chain.stands(ledger)));
        let mut chain = taken();
        chain.confirm_chain((20, UnixSeconds(200)));
        assert!((10..=20).all(|ledger| chain.stands(ledger)), "the chain is right");
    }

    #[test]
    fn a_hash_behind_a_hole_that_agrees_says_nothing_of_what_is_below_the_hole() {
        let mut chain = taken();
        chain.cut();
        chain.confirm_chain((26, UnixSeconds(260)));
        assert_eq!(in_doubt(&chain), Some((13, 20)));
        chain.add(&ledger(26));
        chain.add(&ledger(27));
        assert_eq!(contradicted_at(&mut chain, 40), Some(27));
    }

    #[test]
    fn ledgers_that_others_read_between_two_chains_are_not_in_doubt() {
        let mut chain = taken();
        chain.cut();
        chain.confirm_chain((2_001, UnixSeconds(20_010)));
        assert_eq!(in_doubt(&chain), Some((13, 20)), "not those that pages read meanwhile");
        let mut chain = Chain { confirmed: Some((20, UnixSeconds(200))), ..taken() };
        chain.cut();
        chain.confirm_chain((2_001, UnixSeconds(20_010)));
        assert_eq!(in_doubt(&chain), None, "Horizon had the hash of the last one");
    }

    #[test]
    fn two_chains_that_end_unconfirmed_are_both_in_doubt() {
        let mut chain = taken();
        chain.cut();
        chain.add(&ledger(30));
        chain.add(&ledger(31));
        chain.cut();
        chain.confirm_chain((40, UnixSeconds(400)));
        assert_eq!(in_doubt(&chain), Some((13, 31)));
    }

    #[test]
    fn a_chain_that_begins_lower_hides_no_unconfirmed_ledger_of_an_earlier_one() {
        let mut chain = taken();
        chain.cut();
        chain.add(&ledger(15));
        chain.add(&ledger(16));
        chain.cut();
        chain.confirm_chain((40, UnixSeconds(400)));
        assert_eq!(in_doubt(&chain), Some((13, 20)));
    }

    #[test]
    fn a_ledger_waits_for_its_hash_until_the_time_is_over() {
        let chain = Chain { awaited: Some((21, Instant::now())), ..Chain::default() };
        assert!(chain.may_await_hash(21, Duration::from_secs(60)));
        assert!(!chain.may_await_hash(22, Duration::from_secs(60)), "another ledger");
        assert!(!chain.may_await_hash(21, Duration::ZERO));
    }

    fn ledger(sequence: u32) -> VerifiedLedger {
        VerifiedLedger::without_trades(sequence, 1, 1, i64::from(sequence) * 10)
    }

    #[actix_rt::test]
    async fn no_new_ledger_waits_for_a_horizon_that_does_not_answer() {
        tokio::time::pause(); // the first wait is over at once
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let hashes = HashChecker::of_horizon(&format!("http://{}", silent.local_addr().unwrap()));
        let due_again = Chain { confirmed_at: None, ..taken() };
        for mut chain in [Chain::default(), due_again] {
            chain.check(&ledger(21), &hashes).await.unwrap();
            assert!(chain.request.is_some(), "the request has not ended");
            assert_eq!(chain.pending.map(|pending| pending.ledger), Some(21));
        }
    }
}
