//! Follower of a lake: gives its new ledgers in order, as they appear. The stream ingester takes new trades from it, and
//! the backfiller the newest ledgers.

mod hash_request;
mod looks;
mod step;

use std::time::{Duration, Instant};

use tracing::warn;

use super::lake_reader::{LakeReader, LedgersInDoubt};
use crate::{
    domain::{coverage, instant::UnixSeconds},
    lake::{Content, LakeError, Link, RefusedLedger, VerifiedLedger},
    published::{HashCheck, LakeUse},
};

use hash_request::HashRequest;
use step::Refusal;
pub use step::Step;

/// Time after which a hash is compared with Horizon's again. The chain leads from one comparison to the next.
const HASH_CHECK_INTERVAL: Duration = Duration::from_secs(3_600);
/// Time between two requests for a hash that Horizon does not have yet.
const PENDING_RETRY: Duration = Duration::from_secs(2);
/// Attempts to read an object that is refused, before it is passed over. It may still be being written.
const ATTEMPTS_MAX: u32 = 3;
/// Looks at an object that does not appear, before it is a hole if a later one exists.
const LOOKS_MAX: u32 = 3;
/// Longest time for an object, all attempts together.
const READ_MAX: Duration = Duration::from_secs(120);
/// Most ledgers that are read one after the other to catch up. With more, the newest comes first and the history is
/// filled from there.
pub const CATCH_UP_MAX: u32 = 64;

/// Follower of a lake: its position, and what is known of the chain of ledgers that it took.
#[derive(Debug)]
pub struct LakeFollower {
    next: u32,
    /// Ledger before `next`, if it was believed.
    link: Option<Link>,
    confirmed_at: Option<Instant>,
    /// First ledger of the chain that leads to `link`, and its close time.
    chain_from: Option<(u32, UnixSeconds)>,
    /// Last ledger of that chain whose hash Horizon had, and its close time.
    confirmed: Option<(u32, UnixSeconds)>,
    /// Lowest ledger of earlier chains that Horizon has not confirmed, and its close time.
    left_unconfirmed: Option<(u32, UnixSeconds)>,
    /// Ledger of that chain whose hash Horizon did not have, or did not give, when it was asked.
    pending: Option<Pending>,
    /// Request for its hash that Horizon has not answered yet.
    request: Option<HashRequest>,
    /// True if the last comparison found another hash at Horizon. Then no ledger is stored before Horizon has its hash.
    is_distrusted: bool,
    /// Stored ledgers in doubt that were not taken out of the coverage yet.
    in_doubt: Option<LedgersInDoubt>,
    /// Ledger that is not stored before Horizon has its hash, and the time since when Horizon is asked for it.
    awaited: Option<(u32, Instant)>,
    attempts: u32,
    looks: u32,
}

/// Ledger that Horizon is asked for until it answers. A lake that is always ahead would else never be compared.
#[derive(Debug)]
struct Pending {
    ledger: u32,
    closed_at: UnixSeconds,
    hash: String,
    asked_at: Instant,
}

impl LakeFollower {
    /// Begins at a ledger.
    #[must_use]
    pub const fn at(next: u32) -> Self {
        Self {
            next,
            link: None,
            confirmed_at: None,
            chain_from: None,
            confirmed: None,
            left_unconfirmed: None,
            pending: None,
            request: None,
            is_distrusted: false,
            in_doubt: None,
            awaited: None,
            attempts: 0,
            looks: 0,
        }
    }

    /// Next ledger to read.
    #[must_use]
    pub const fn next(&self) -> u32 {
        self.next
    }

    /// Goes on at a ledger. If it is not the next one, another chain begins there. Ledgers in doubt stay so.
    pub fn go_to(&mut self, next: u32) {
        if next != self.next {
            self.pass_over(next.saturating_sub(1));
        }
    }

    /// True if Horizon has a hash of the chain that the taken ledgers are of.
    #[must_use]
    pub const fn is_confirmed(&self) -> bool {
        self.confirmed.is_some()
    }

    /// Notes that the ledgers in doubt were taken out of the coverage.
    pub const fn note_uncovered(&mut self) {
        self.in_doubt = None;
    }

    /// Looks for the place to go on at, after the lake has given nothing for a while. `held`
    /// is the newest stored ledger.
    ///
    /// # Errors
    ///
    /// [`LakeError`] if the lake cannot be reached.
    pub async fn seek(&mut self, reader: &LakeReader, held: u32) -> Result<(), LakeError> {
        // The object before the next one was read, and the next one may be at fault.
        let newest = reader.lake.newest(Some(self.next.saturating_sub(1))).await?;
        if newest.max(held).saturating_add(1) < self.next {
            // The lake named a wrong newest one before, or lost some.
            warn!(next = self.next, newest, "the lake ends below the next ledger, going back to its end");
            self.pass_over(newest.max(held));
        } else if reader.lake.has_ledger(self.next).await.unwrap_or(true) {
            // It came meanwhile, or it exists and cannot be read: then it is passed over after some attempts.
        } else if held >= self.next && reader.lake.has_ledger(held.saturating_add(1)).await? {
            // The missing ledgers came from Horizon's pages. If the lake is only late, `next` stays where it is.
            self.pass_over(held);
        } else if newest > self.next {
            warn!(
                next = self.next,
                newest, "the next ledgers are missing in the lake, continuing at its newest one"
            );
            self.pass_over(newest.saturating_sub(1));
        }
        Ok(())
    }

    /// Looks at the next object, and reports whether the lake gives recent ledgers.
    ///
    /// # Errors
    ///
    /// [`LakeError`] if the lake cannot be reached.
    pub async fn step(&mut self, reader: &LakeReader) -> Result<Step, LakeError> {
        let step = self.look(reader).await;
        match &step {
            Err(error) | Ok(Step::Unread(error)) => reader.note_failure(LakeUse::Recent, error),
            // It ends no outage: an object that cannot be read is refused too, after some attempts.
            Ok(Step::Refused { .. }) => {}
            Ok(_) => reader.note_answer(LakeUse::Recent),
        }
        step
    }

    async fn look(&mut self, reader: &LakeReader) -> Result<Step, LakeError> {
        if reader.checks_chain() {
            self.compare_pending(reader).await;
        }
        if let Some(in_doubt) = self.in_doubt {
            return Ok(Step::InDoubt(in_doubt));
        }
        // Only this read may be abandoned: what follows changes the position.
        let read = tokio::time::timeout(READ_MAX, reader.lake.read(self.next)).await;
        let batch = match read.unwrap_or(Err(LakeError::Slow(READ_MAX))) {
            Ok(batch) => batch,
            Err(error) if error.may_be_of_object() => return self.pass_over_unread(reader, error).await,
            Err(error) => return Err(error),
        };
        let step = match batch.content {
            Content::Missing => return self.pass_over_hole(reader, batch.last).await,
            // A server may answer anything for an object that does not exist yet.
            Content::Unreadable(_) if self.look_above(reader, batch.last).await?.is_none() => Step::NotYet,
            Content::Unreadable(reason) => self.refuse_after_attempts(self.next, batch.last, reason, false),
            Content::Ledgers(ledgers) => self.take(ledgers, batch.last, reader).await,
        };
        Ok(step)
    }

    /// Takes the ledgers of an object that ends with `last`, until one is refused.
    async fn take(
        &mut self,
        ledgers: Vec<Result<VerifiedLedger, RefusedLedger>>,
        last: u32,
        reader: &LakeReader,
    ) -> Step {
        let mut taken = Vec::new();
        let mut refused = None;
        for ledger in ledgers {
            match self.judged(ledger, reader).await {
                Ok(Some(ledger)) => taken.push(ledger),
                Ok(None) => {} // it was read before
                Err(refusal) => {
                    refused = Some(refusal);
                    break;
                }
            }
        }
        // Those in doubt must not be published. They are read again, as history, and so are those below them: what is
        // stored at once has no gap.
        taken.retain(|ledger| self.stands(ledger.sequence));
        let from = coverage::last_run(taken.iter().map(|ledger| ledger.sequence));
        taken.retain(|ledger| from.is_none_or(|from| ledger.sequence >= from));
        match refused {
            // Those before it are stored first. The next look finds it again.
            Some(_) | None if !taken.is_empty() => {
                (self.attempts, self.looks) = (0, 0);
                Step::Ledgers(taken)
            }
            Some(Refusal::Ahead(ahead)) => Step::Ahead(ahead),
            Some(Refusal::Wrong { sequence, .. }) if self.may_await_hash(sequence, reader.timeouts.late) => {
                Step::NotYet
            }
            Some(Refusal::Wrong { sequence, reason, is_chain_break }) => {
                self.refuse_after_attempts(sequence, sequence, reason, is_chain_break)
            }
            None => {
                self.next = last.saturating_add(1);
                Step::NotYet
            }
        }
    }

    /// False for a ledger that is in doubt.
    fn stands(&self, sequence: u32) -> bool {
        self.in_doubt.is_none_or(|in_doubt| {
            sequence >= in_doubt.below || in_doubt.taken.is_none_or(|(lowest, _)| sequence < lowest)
        })
    }

    /// Judges a ledger, and takes it as the newest one. `None` for one that was read before.
    async fn judged(
        &mut self,
        ledger: Result<VerifiedLedger, RefusedLedger>,
        reader: &LakeReader,
    ) -> Result<Option<VerifiedLedger>, Refusal> {
        let ledger = match ledger {
            Err(refused) if refused.sequence < self.next => return Ok(None),
            Err(RefusedLedger { sequence, reason }) => {
                return Err(Refusal::Wrong { sequence, reason, is_chain_break: false });
            }
            Ok(ledger) if ledger.sequence < self.next => return Ok(None),
            Ok(ledger) => ledger,
        };
        if reader.checks_chain() {
            self.check_chain(&ledger, reader).await?;
        }
        reader.check_clock(&ledger).map_err(Refusal::Ahead)?;
        self.link = Some(Link::of(&ledger));
        self.chain_from.get_or_insert((ledger.sequence, ledger.closed_at));
        self.next = ledger.sequence.saturating_add(1);
        Ok(Some(ledger))
    }

    /// Compares a ledger with the one before it, and with Horizon's hash if that is due.
    async fn check_chain(&mut self, ledger: &VerifiedLedger, reader: &LakeReader) -> Result<(), Refusal> {
        let refused =
            |reason: String| Err(Refusal::Wrong { sequence: ledger.sequence, reason, is_chain_break: true });
        let broken = self.link.and_then(|link| link.check_above(ledger).err());
        let is_due = self.confirmed_at.is_none_or(|at| at.elapsed() >= HASH_CHECK_INTERVAL);
        let is_wanted = self.pending.is_none() && (self.confirmed.is_none() || is_due);
        if broken.is_none() && !is_wanted {
            return Ok(());
        }
        let (hash, here) = (ledger.hash.to_string(), (ledger.sequence, ledger.closed_at));
        let is_urgent = broken.is_some() || self.is_distrusted;
        match (reader.check_new_hash(ledger.sequence, &hash, is_urgent).await, broken) {
            (HashCheck::Differs { .. }, broken) => {
                // The ledgers before it lead to a wrong one.
                if broken.is_none() {
                    self.contradict(here);
                }
                self.is_distrusted = true;
                return refused("its hash is not the one that Horizon has".to_owned());
            }
            (HashCheck::Agrees { .. }, Some(_)) => {
                // Then the ledger before it was a wrong one, and maybe others before.
                self.contradict(here);
                self.confirm(here);
            }
            (HashCheck::Agrees { .. }, None) => self.confirm_chain(here),
            (HashCheck::Unchecked, Some(broken)) => {
                return refused(broken.to_string());
            }
            (HashCheck::Unchecked, None) if self.is_distrusted => {
                let awaited = self.awaited.filter(|(awaited, _)| *awaited == ledger.sequence);
                self.awaited = awaited.or_else(|| Some((ledger.sequence, Instant::now())));
                let reason = "Horizon does not have its hash yet, and the lake had a wrong one before";
                return refused(reason.to_owned());
            }
            (HashCheck::Unchecked, None) => {
                let (ledger, closed_at) = here;
                self.pending = Some(Pending { ledger, closed_at, hash, asked_at: Instant::now() });
            }
        }
        Ok(())
    }

    /// Compares the hash that Horizon did not have before. The chain leads from that ledger to the newest one. New
    /// ledgers are taken while Horizon is asked, which may last 10 seconds.
    async fn compare_pending(&mut self, reader: &LakeReader) {
        let answer = HashRequest::answer(&mut self.request).await;
        let Some(pending) = &mut self.pending else { return };
        if self.request.is_none() && answer.is_none() && pending.asked_at.elapsed() >= PENDING_RETRY {
            pending.asked_at = Instant::now();
            let (reader, ledger, hash) = (reader.clone(), pending.ledger, pending.hash.clone());
            self.request =
                Some(HashRequest::begin(async move { reader.check_new_hash(ledger, &hash, false).await }));
        }
        let (ledger, closed_at) = (pending.ledger, pending.closed_at);
        match answer.unwrap_or(HashCheck::Unchecked) {
            HashCheck::Unchecked => {}
            HashCheck::Agrees { .. } => self.confirm_chain((ledger, closed_at)),
            HashCheck::Differs { .. } => {
                let newest_at = self.link.map_or(closed_at, |link| link.closed_at());
                self.contradict((self.next, newest_at));
                self.is_distrusted = true;
            }
        }
    }

    /// Notes that Horizon has the hash of a ledger.
    fn confirm(&mut self, here: (u32, UnixSeconds)) {
        (self.confirmed_at, self.confirmed) = (Some(Instant::now()), Some(here));
        (self.pending, self.request) = (None, None);
        (self.is_distrusted, self.left_unconfirmed) = (false, None);
    }

    /// Notes that Horizon has the hash of a ledger of the chain. Nothing leads to it from earlier chains: they are read
    /// again, as history.
    fn confirm_chain(&mut self, here: (u32, UnixSeconds)) {
        let taken = self.left_unconfirmed.take();
        self.note_in_doubt(self.chain_from.unwrap_or(here), taken, false);
        self.confirm(here);
    }

    /// Puts in doubt the ledgers of the chain below a ledger that Horizon has not confirmed, and chains that ended below
    /// it. The next ledger begins another chain.
    fn contradict(&mut self, below: (u32, UnixSeconds)) {
        self.cut();
        let taken = self.left_unconfirmed.take();
        self.note_in_doubt(below, taken, true);
    }

    /// First ledger of the chain above the last one that Horizon confirmed.
    fn unconfirmed(&self) -> Option<(u32, UnixSeconds)> {
        self.confirmed.map(|(ledger, at)| (ledger.saturating_add(1), at)).or(self.chain_from)
    }

    const fn note_in_doubt(
        &mut self,
        (below, below_time): (u32, UnixSeconds),
        taken: Option<(u32, UnixSeconds)>,
        is_contradicted: bool,
    ) {
        self.in_doubt = Some(LedgersInDoubt { below, below_time, taken, is_contradicted });
    }

    /// Ends the chain: the next ledger begins another one.
    fn cut(&mut self) {
        // If Horizon contradicts the next chain, this one may be wrong too.
        self.left_unconfirmed = self.left_unconfirmed.or(self.unconfirmed());
        (self.link, self.chain_from, self.confirmed) = (None, None, None);
        (self.pending, self.request) = (None, None);
    }

    /// True if a ledger waits for its hash, and may do so for longer. A lake is often ahead of Horizon by some seconds.
    fn may_await_hash(&self, sequence: u32, timeout: Duration) -> bool {
        self.awaited.is_some_and(|(awaited, since)| awaited == sequence && since.elapsed() < timeout)
    }

    fn refuse_after_attempts(&mut self, from: u32, to: u32, reason: String, is_chain_break: bool) -> Step {
        self.attempts = self.attempts.saturating_add(1);
        if self.attempts < ATTEMPTS_MAX {
            return Step::NotYet;
        }
        self.pass_over(to);
        Step::Refused { from, to, reason, is_chain_break }
    }

    /// Looks for an object above the one that ends with `last`, each time at another distance. Returns the ledger that
    /// was looked for.
    async fn look_above(&mut self, reader: &LakeReader, last: u32) -> Result<Option<u32>, LakeError> {
        let size = last.saturating_sub(self.next).saturating_add(1);
        let ahead = last.saturating_add(size.saturating_mul(looks::distance_of(self.looks)));
        self.looks = self.looks.saturating_add(1);
        Ok(reader.lake.has_ledger(ahead).await?.then_some(ahead))
    }

    /// Passes over an object that exists and cannot be read, if a later one exists.
    async fn pass_over_unread(&mut self, reader: &LakeReader, error: LakeError) -> Result<Step, LakeError> {
        let (_, last) = reader.lake.manifest().await?.batch_of(self.next);
        match self.look_above(reader, last).await {
            Ok(Some(_)) => match self.refuse_after_attempts(self.next, last, error.to_string(), false) {
                Step::NotYet => Ok(Step::Unread(error)),
                refused => Ok(refused),
            },
            // The newest one may be nearer than this look.
            Ok(None) if self.attempts > 0 => Ok(Step::Unread(error)),
            // Then the whole lake may be at fault.
            Ok(None) | Err(_) => Err(error),
        }
    }

    /// Passes over a missing object if a later one exists. Objects are written in order, so
    /// the missing one is then a hole.
    async fn pass_over_hole(&mut self, reader: &LakeReader, last: u32) -> Result<Step, LakeError> {
        let size = last.saturating_sub(self.next).saturating_add(1);
        let Some(ahead) = self.look_above(reader, last).await? else { return Ok(Step::NotYet) };
        self.attempts = self.attempts.saturating_add(1);
        if self.attempts < LOOKS_MAX {
            return Ok(Step::NotYet);
        }
        // Begin with the newest one if there are many. The rest is filled as history.
        let newest = reader.lake.newest(Some(ahead)).await?;
        let is_far = newest.saturating_sub(last) > CATCH_UP_MAX;
        let from = self.next;
        self.pass_over(if is_far { newest.saturating_sub(size) } else { last });
        // Only the first one was asked for.
        Ok(Step::Hole { from, to: last })
    }

    fn pass_over(&mut self, to: u32) {
        self.next = to.saturating_add(1);
        self.cut();
        (self.attempts, self.looks) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follower that took ledgers 10 to 20. Horizon had the hash of 12.
    fn taken() -> LakeFollower {
        let mut follower = LakeFollower::at(21);
        follower.chain_from = Some((10, UnixSeconds(100)));
        follower.confirm((12, UnixSeconds(120)));
        follower
    }

    fn lowest_in_doubt(follower: &LakeFollower) -> Option<u32> {
        follower.in_doubt.and_then(|in_doubt| in_doubt.taken).map(|(ledger, _)| ledger)
    }

    #[test]
    fn a_hole_does_not_hide_unconfirmed_ledgers_from_the_next_contradiction() {
        let mut follower = taken();
        follower.pass_over(25);
        follower.pass_over(30);
        follower.contradict((31, UnixSeconds(310)));
        assert_eq!(lowest_in_doubt(&follower), Some(13));
        follower.note_uncovered();
        follower.contradict((32, UnixSeconds(320)));
        assert_eq!(lowest_in_doubt(&follower), None, "in doubt before");
    }

    #[test]
    fn of_an_object_with_a_contradiction_only_what_is_not_in_doubt_stands() {
        let mut follower = taken();
        assert!((10..=20).all(|ledger| follower.stands(ledger)));
        follower.contradict((18, UnixSeconds(180)));
        let standing: Vec<u32> = (10..=20).filter(|ledger| follower.stands(*ledger)).collect();
        assert_eq!(standing, [10, 11, 12, 18, 19, 20]);
        follower.note_uncovered();
        assert!((10..=20).all(|ledger| follower.stands(ledger)));
        let mut follower = taken();
        follower.confirm_chain((20, UnixSeconds(200)));
        assert!((10..=20).all(|ledger| follower.stands(ledger)), "the chain is right");
    }

    #[test]
    fn another_place_keeps_what_may_get_into_doubt_and_the_same_place_keeps_the_chain() {
        let mut follower = taken();
        follower.go_to(21);
        assert!(follower.is_confirmed());
        follower.go_to(19);
        assert_eq!((follower.next(), follower.is_confirmed()), (19, false));
        follower.contradict((20, UnixSeconds(200)));
        assert_eq!(lowest_in_doubt(&follower), Some(13));
        follower.go_to(30);
        assert!(follower.in_doubt.is_some(), "it is still in the coverage");
    }

    #[test]
    fn a_hash_behind_a_hole_that_agrees_says_nothing_of_what_is_below_the_hole() {
        let mut follower = taken();
        follower.pass_over(25);
        follower.confirm_chain((26, UnixSeconds(260)));
        assert_eq!(lowest_in_doubt(&follower), Some(13));
        follower.contradict((40, UnixSeconds(400)));
        assert_eq!(lowest_in_doubt(&follower), Some(27));
    }
}
