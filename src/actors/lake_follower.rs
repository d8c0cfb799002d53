//! Follower of a lake: gives its new ledgers in order, as they appear. The stream ingester takes new trades from it,
//! and the backfiller the newest ledgers.
//!
//! ```text
//! chain        ledgers of which each names the hash of the one before
//! confirmed    a chain of which Horizon has a hash, and its ledgers
//! unconfirmed  a stored ledger from which no chain leads to a hash of Horizon
//! in doubt     an unconfirmed ledger below one that Horizon has or contradicts: it is read again
//! ```

mod chain;
mod hash_request;
mod looks;
mod step;

use std::time::Duration;

use tracing::warn;

use super::lake_reader::{LakeReader, RefusedFor, RefusedLedgers};
use crate::{
    domain::coverage,
    lake::{Content, LakeError, RefusedLedger, VerifiedLedger},
    published::LakeUse,
};

use chain::Chain;
pub use step::LakeStep;
use step::Refusal;

/// Attempts to read an object that is refused, before it is passed over. It may still be being written.
const ATTEMPTS_MAX: u32 = 3;
/// Looks at an object that does not appear, before it is a hole if a later one exists.
const LOOKS_MAX: u32 = 3;
/// Longest time for an object, all attempts together.
const READ_MAX: Duration = Duration::from_secs(120);
/// Most ledgers that are read one after the other to catch up. With more, the newest comes first and the history is
/// filled from there.
pub const CATCH_UP_MAX: u32 = 64;

/// Follower of a lake: its position, and the chain of the ledgers that it took.
#[derive(Debug)]
pub struct LakeFollower {
    /// Next ledger to read.
    next: u32,
    /// Chain of the ledgers that were taken. Going on at another ledger than the next one ends it.
    chain: Chain,
    /// Failed attempts at the next ledger: its object was refused, or is missing although a later one exists.
    attempts: u32,
    /// Looks for a later object since a ledger was last taken or passed over. They choose the distance of the next one.
    looks: u32,
    /// Newest ledger that RPC said it has. None for a lake, and once RPC lacked a ledger below.
    announced: Option<u32>,
}

impl LakeFollower {
    /// Begins at a ledger.
    #[must_use]
    pub fn at(next: u32) -> Self {
        Self { next, chain: Chain::default(), attempts: 0, looks: 0, announced: None }
    }

    /// Next ledger to read.
    #[must_use]
    pub const fn next(&self) -> u32 {
        self.next
    }

    /// True if RPC said that it has the next ledger, so that there is nothing to wait for.
    #[must_use]
    pub fn is_next_announced(&self) -> bool {
        self.announced.is_some_and(|newest| newest >= self.next)
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
        self.chain.is_confirmed()
    }

    /// Notes that the ledgers in doubt were taken out of the coverage.
    pub const fn note_uncovered(&mut self) {
        self.chain.note_uncovered();
    }

    /// Looks for the ledger to continue at, after the lake has given nothing for a while. `held` is the newest stored
    /// ledger.
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

    /// Looks at the next object. Reports whether the lake gives recent ledgers, and where their chain begins.
    ///
    /// # Errors
    ///
    /// [`LakeError`] if the lake cannot be reached.
    pub async fn step(&mut self, reader: &LakeReader) -> Result<LakeStep, LakeError> {
        let step = self.look(reader).await;
        // Before the caller notes any of them as unconfirmed.
        reader.reports.note_chain(self.chain.first());
        match &step {
            Err(error) | Ok(LakeStep::Unread(error)) => reader.reports.note_failure(LakeUse::Recent, error),
            // It ends no outage: an object that cannot be read is refused too, after some attempts.
            Ok(LakeStep::Refused(_)) => {}
            Ok(_) => reader.reports.note_answer(LakeUse::Recent),
        }
        step
    }

    /// Compares what is pending, and reads the next object.
    async fn look(&mut self, reader: &LakeReader) -> Result<LakeStep, LakeError> {
        if reader.checks_chain() {
            self.chain.compare_pending(self.next, &reader.hashes);
        }
        if let Some(in_doubt) = self.chain.in_doubt() {
            return Ok(LakeStep::InDoubt(in_doubt));
        }
        // RPC often limits requests: one for a ledger that it does not have yet tells no more than this one.
        if !self.is_next_announced() {
            self.announced = reader.lake.announced_newest().await?;
            if self.announced.is_some() && !self.is_next_announced() {
                return Ok(LakeStep::NotYet);
            }
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
            Content::Unreadable(_) if self.look_above(reader, batch.last).await?.is_none() => {
                LakeStep::NotYet
            }
            Content::Unreadable(reason) => self.refuse_object_after_attempts(batch.last, reason),
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
    ) -> LakeStep {
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
        taken.retain(|ledger| self.chain.stands(ledger.sequence));
        let from = coverage::last_run(taken.iter().map(|ledger| ledger.sequence));
        taken.retain(|ledger| from.is_none_or(|from| ledger.sequence >= from));
        match refused {
            // Those before it are stored first. The next look finds it again.
            Some(_) | None if !taken.is_empty() => {
                (self.attempts, self.looks) = (0, 0);
                LakeStep::Ledgers(taken)
            }
            Some(Refusal::Ahead(ahead)) => LakeStep::Ahead(ahead),
            Some(Refusal::Wrong(refused))
                if self.chain.may_await_hash(refused.from, reader.timeouts.late) =>
            {
                LakeStep::NotYet
            }
            Some(Refusal::Wrong(refused)) => self.refuse_after_attempts(refused),
            None => {
                self.next = last.saturating_add(1);
                LakeStep::NotYet
            }
        }
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
                return Err(Refusal::Wrong(RefusedLedgers::one(sequence, reason, RefusedFor::Content)));
            }
            Ok(ledger) if ledger.sequence < self.next => return Ok(None),
            Ok(ledger) => ledger,
        };
        if reader.checks_chain() {
            let refused = |reason: String| RefusedLedgers::one(ledger.sequence, reason, RefusedFor::Chain);
            let checked = self.chain.check(&ledger, &reader.hashes).await;
            checked.map_err(|reason| Refusal::Wrong(refused(reason)))?;
        }
        reader.check_clock(&ledger).map_err(Refusal::Ahead)?;
        self.chain.add(&ledger);
        self.next = ledger.sequence.saturating_add(1);
        Ok(Some(ledger))
    }

    /// Passes over the rest of an object that ends with `last`, but only after some attempts to read it.
    fn refuse_object_after_attempts(&mut self, last: u32, reason: String) -> LakeStep {
        let cause = RefusedFor::Content;
        self.refuse_after_attempts(RefusedLedgers { from: self.next, to: last, reason, cause })
    }

    /// Passes over refused ledgers, but only after some attempts to read them.
    fn refuse_after_attempts(&mut self, refused: RefusedLedgers) -> LakeStep {
        self.attempts = self.attempts.saturating_add(1);
        if self.attempts < ATTEMPTS_MAX {
            return LakeStep::NotYet;
        }
        self.pass_over(refused.to);
        LakeStep::Refused(refused)
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
    async fn pass_over_unread(
        &mut self,
        reader: &LakeReader,
        error: LakeError,
    ) -> Result<LakeStep, LakeError> {
        let (_, last) = reader.lake.manifest().await?.batch_of(self.next);
        match self.look_above(reader, last).await {
            Ok(Some(_)) => match self.refuse_object_after_attempts(last, error.to_string()) {
                LakeStep::NotYet => Ok(LakeStep::Unread(error)),
                refused => Ok(refused),
            },
            // The newest one may be nearer than this look.
            Ok(None) if self.attempts > 0 => Ok(LakeStep::Unread(error)),
            // Then the whole lake may be at fault.
            Ok(None) | Err(_) => Err(error),
        }
    }

    /// Passes over a missing object if a later one exists. Objects are written in order, so the missing one is then a
    /// hole.
    async fn pass_over_hole(&mut self, reader: &LakeReader, last: u32) -> Result<LakeStep, LakeError> {
        let size = last.saturating_sub(self.next).saturating_add(1);
        let ahead = match self.announced.take() {
            Some(newest) => Some(newest).filter(|newest| *newest > last),
            None => self.look_above(reader, last).await?,
        };
        let Some(ahead) = ahead else { return Ok(LakeStep::NotYet) };
        self.attempts = self.attempts.saturating_add(1);
        if self.attempts < LOOKS_MAX {
            return Ok(LakeStep::NotYet);
        }
        // Begin with the newest one if there are many. The rest is filled as history.
        let newest = reader.lake.newest(Some(ahead)).await?;
        let is_far = newest.saturating_sub(last) > CATCH_UP_MAX;
        let from = self.next;
        self.pass_over(if is_far { newest.saturating_sub(size) } else { last });
        // Only the first one was asked for.
        Ok(LakeStep::Hole { from, to: last })
    }

    /// Continues above ledger `to`, with another chain.
    fn pass_over(&mut self, to: u32) {
        // Horizon may have answered since the step began. A contradiction puts what was taken below in doubt.
        self.chain.take_answer(self.next);
        self.next = to.saturating_add(1);
        self.chain.cut();
        (self.attempts, self.looks) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_place_keeps_what_may_get_into_doubt_and_the_same_place_keeps_the_chain() {
        let mut follower = LakeFollower { chain: chain::tests::taken(), ..LakeFollower::at(21) };
        follower.go_to(21);
        assert!(follower.is_confirmed());
        follower.go_to(19);
        assert_eq!((follower.next(), follower.is_confirmed()), (19, false));
        assert_eq!(chain::tests::contradicted_at(&mut follower.chain, 20), Some(13));
        follower.go_to(30);
        assert!(follower.chain.in_doubt().is_some(), "it is still in the coverage");
    }

    #[actix_rt::test]
    async fn a_contradiction_that_arrives_before_a_hole_is_passed_over_is_not_lost() {
        let chain = chain::tests::answered_with_another_hash().await;
        let mut follower = LakeFollower { chain, ..LakeFollower::at(21) };
        follower.pass_over(25);
        let in_doubt = follower.chain.in_doubt().unwrap();
        assert_eq!((in_doubt.below, in_doubt.taken.map(|taken| taken.from)), (21, Some(13)));
        assert_eq!((in_doubt.confirmed_to, follower.next()), (None, 26));
    }

    #[test]
    fn several_places_that_are_passed_over_hide_no_unconfirmed_ledger() {
        let mut follower = LakeFollower { chain: chain::tests::taken(), ..LakeFollower::at(21) };
        follower.pass_over(25);
        follower.pass_over(30);
        assert_eq!(follower.next(), 31);
        assert_eq!(chain::tests::contradicted_at(&mut follower.chain, 31), Some(13));
    }
}
