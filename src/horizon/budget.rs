//! Request budget of one IP address at a Horizon, shared by all clients. Pure: the caller passes the time.
//!
//! A token bucket fills at the allowed rate. The live stream takes tokens first. The rest is split into three shares by
//! weight, and what exceeds the capacity of one share goes to the others in their order.

mod class;

use std::time::{Duration, Instant};

pub use class::{Allowance, BudgetReport, Class, RequestLimit};

/// Weights of history, assets and books once the last 24 hours are complete.
const WEIGHTS: [f64; 3] = [0.5, 0.3, 0.2];
/// Weights of history, assets and books until then.
const WEIGHTS_FILLING: [f64; 3] = [0.9, 0.05, 0.05];
/// History's share of the tokens that the stream leaves: until the last 24 hours are complete, and afterwards.
pub const HISTORY_SHARES: [f64; 2] = [WEIGHTS_FILLING[0], WEIGHTS[0]];
/// Horizon's own burst, in requests.
const BURST_MAX: f64 = 100.0;
/// Part of the burst that is reserved for the live stream.
const LIVE_PART: f64 = 0.1;
/// Part of the burst that a new process starts with. A process that restarts often must not use a whole burst each
/// time.
const FIRST_PART: f64 = 0.1;
/// Part of Horizon's first reported allowance that a new process uses.
const TRUSTED_PART: f64 = 0.8;
/// Part of the rate at which Horizon's own limiter expires requests that is always used. The stream of live trades
/// needs less than half of the public one's, and the rest is for others at this address.
const EXPIRY_PART: f64 = 0.5;
/// First wait after a refusal without `Retry-After`. It doubles with each further refusal.
const BLOCKED_FIRST: Duration = Duration::from_secs(5);
/// Longest wait after a refusal without `Retry-After`.
const BLOCKED_LONGEST: Duration = Duration::from_secs(60);
/// Longest accepted `Retry-After`. A longer one is ignored.
const BLOCKED_ASKED_MAX: Duration = Duration::from_secs(3_600);
/// Longest wait before a caller asks again, because the rate may have changed.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Shortest wait before a caller asks again.
const WAIT_MIN: Duration = Duration::from_millis(5);
/// Part of the rate that rereading may use, and the same for the books that readers ask for.
const MINOR_PART: f64 = 0.1;
/// Requests that rereading may save up. One check of a few ledgers costs this many if a page must be requested again.
const AUDIT_MAX: f64 = 5.0;
/// Requests that books for readers may save up. Readers come in bursts, and fall back to stored books.
const ASKED_MAX: f64 = 10.0;
/// Interval at which the live stream may send a request that Horizon's reported allowance does not permit. If the
/// report is right, the answer is a refusal, which says how long to wait. If it was wrong, the answer corrects it.
const PROBED_EVERY: Duration = Duration::from_secs(60);
const SECONDS_PER_HOUR: f64 = 3_600.0;

/// Token buckets of the request classes, and the state of Horizon's own limit.
#[derive(Debug)]
pub struct Budget {
    /// Requests per hour that the operator allows. 0 means no limit.
    per_hour: u32,
    /// Capacity of all buckets together, in tokens.
    burst: f64,
    /// Tokens of the live stream. Negative after it spent requests that were not granted, see [`Self::owe`].
    live: f64,
    /// Tokens of history, assets and books.
    shares: [f64; 3],
    /// Requests that rereading may take from history's tokens.
    audit: f64,
    /// Requests for readers that may be taken from the tokens of books.
    asked: f64,
    /// Time of the last refill.
    refilled_at: Instant,
    /// Rate that Horizon's last reply allows, in requests per second, and the end of its validity.
    pace: Option<(f64, Instant)>,
    /// Requests left according to Horizon's last reply.
    reported_remaining: Option<u32>,
    /// Time of the last request of the live stream that was granted, or of the start.
    live_at: Instant,
    /// End of the current pause after a refusal.
    blocked_until: Option<Instant>,
    /// Refusals in a row.
    refusals: u32,
    /// Look-ups of first assets that are waiting.
    first_waiting: u32,
    /// Requests whose response head has not arrived.
    in_flight: u32,
    /// True once the last 24 hours are complete, so that history needs less.
    is_day_complete: bool,
    /// Requests so far, in the order of [`Class::ALL`].
    granted: [u64; 7],
}

impl Budget {
    /// Budget of `per_hour` requests per hour. With 0 there is no limit, and only refusals delay requests.
    #[must_use]
    pub fn new(per_hour: u32, now: Instant) -> Self {
        let burst = (f64::from(per_hour) / 36.0).clamp(1.0, BURST_MAX);
        let mut budget = Self {
            per_hour,
            burst,
            live: 0.0,
            shares: [0.0; 3],
            refilled_at: now,
            pace: None,
            reported_remaining: None,
            live_at: now,
            blocked_until: None,
            refusals: 0,
            first_waiting: 0,
            in_flight: 0,
            is_day_complete: false,
            granted: [0; 7],
            audit: 0.0,
            asked: 0.0,
        };
        budget.add_tokens((burst * FIRST_PART).max(1.0));
        budget
    }

    /// Takes a token for a request. The caller reports the end of the request by [`Self::record_end`].
    ///
    /// # Errors
    ///
    /// Time after which the caller should try again.
    pub fn try_take(&mut self, class: Class, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        // After a refusal nothing goes, not even the live stream.
        if let Some(blocked_for) = self.blocked_for(now) {
            return Err(blocked_for.clamp(WAIT_MIN, WAIT_MAX));
        }
        // Without a limit no tokens are counted.
        if self.per_hour > 0 {
            let missing = self.missing_tokens(class);
            if missing > 0.0 && !(class == Class::Live && self.may_probe(now)) {
                let wait = Duration::try_from_secs_f64(missing / self.rate(now).max(f64::MIN_POSITIVE));
                return Err(wait.unwrap_or(WAIT_MAX).clamp(WAIT_MIN, WAIT_MAX));
            }
            self.withdraw(class);
        }
        if class == Class::Live {
            self.live_at = now;
        }
        self.in_flight = self.in_flight.saturating_add(1);
        if let Some(granted) = self.granted.get_mut(class.index()) {
            *granted += 1;
        }
        Ok(())
    }

    /// Records that a response head arrived, or will never arrive.
    pub fn record_end(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Records a waiting look-up of a first asset. Meanwhile only the stream and such look-ups get tokens.
    pub fn begin_first_assets_wait(&mut self) {
        self.first_waiting = self.first_waiting.saturating_add(1);
    }

    /// Records that such a look-up no longer waits.
    pub fn end_first_assets_wait(&mut self) {
        self.first_waiting = self.first_waiting.saturating_sub(1);
    }

    /// Charges requests that the open stream cost without a grant: one per ledger.
    pub fn charge(&mut self, requests: u32, now: Instant) {
        self.refill(now);
        if self.per_hour > 0 {
            self.owe(f64::from(requests));
        }
        self.granted[0] = self.granted[0].saturating_add(u64::from(requests));
    }

    /// Records the allowance that a reply reported, while its request still counts as in flight.
    ///
    /// `remaining / reset` is the right rate for a fixed window. It also suits Horizon's own limiter, which expires one
    /// request after another: that one settles at a half-full bucket and its full rate.
    ///
    /// Near the bottom of that bucket `reset` is the time until the whole burst is back, about 100 s, while the next
    /// request fits within a second. So half of the rate at which requests expire is always allowed.
    pub fn record_allowance(&mut self, allowance: Allowance, now: Instant) {
        self.refill(now);
        // Requests in flight may not be counted in the reported number yet.
        let unanswered = self.in_flight.saturating_sub(1);
        let left = f64::from(allowance.remaining.saturating_sub(unanswered));
        if self.reported_remaining.replace(allowance.remaining).is_none() {
            let trusted = (left * TRUSTED_PART).min(self.burst);
            self.add_tokens((trusted - self.tokens()).max(0.0));
        }
        // Never hold more tokens than Horizon has left.
        let excess = self.tokens() - left;
        if excess > 0.0 {
            self.withdraw_from_all(excess);
        }
        let reset = Duration::from_secs(allowance.reset_s);
        // No window of Horizon's is longer. A larger number is a time of day, or wrong.
        if !reset.is_zero() && reset <= BLOCKED_ASKED_MAX {
            let seconds = reset.as_secs_f64();
            let least = match allowance.request_limit() {
                RequestLimit::Burst(limit) => {
                    f64::from(limit.saturating_sub(allowance.remaining)) / seconds * EXPIRY_PART
                }
                RequestLimit::PerHour(_) => 0.0,
            };
            self.pace = now.checked_add(reset).map(|until| ((left / seconds).max(least), until));
        }
    }

    /// Records a refusal (429). Nothing is sent for the time that it names, or for a time of our own.
    ///
    /// If the operator set no limit, the server is the operator's own. A 429 then comes from a proxy, or from a limit
    /// meant for others, so it pauses requests for at most one minute.
    pub fn record_refusal(&mut self, retry_after: Option<Duration>, now: Instant) {
        self.refill(now);
        // Empty all buckets, so that no burst follows the pause. The stream keeps its debt.
        self.live = self.live.min(0.0);
        self.shares = [0.0; 3];
        let own = BLOCKED_FIRST.saturating_mul(1 << self.refusals.min(8)).min(BLOCKED_LONGEST);
        let longest = if self.per_hour == 0 { BLOCKED_LONGEST } else { BLOCKED_ASKED_MAX };
        let asked = retry_after.filter(|asked| *asked <= BLOCKED_ASKED_MAX);
        let wait = asked.map_or(own, |asked| asked.clamp(WAIT_MAX, longest));
        self.refusals = self.refusals.saturating_add(1);
        self.blocked_until = self.blocked_until.max(now.checked_add(wait));
    }

    /// Records an answered request.
    pub const fn record_success(&mut self) {
        self.refusals = 0;
    }

    /// Sets whether the last 24 hours are complete. If they are, history needs a smaller share.
    pub const fn set_day_complete(&mut self, is_day_complete: bool) {
        self.is_day_complete = is_day_complete;
    }

    /// Current state of the budget.
    #[must_use]
    pub fn report(&mut self, now: Instant) -> BudgetReport {
        self.refill(now);
        BudgetReport {
            per_hour: self.per_hour,
            tokens: self.tokens(),
            reported_remaining: self.reported_remaining,
            blocked_for: self.blocked_for(now).unwrap_or_default(),
            granted: self.granted,
        }
    }

    fn blocked_for(&self, now: Instant) -> Option<Duration> {
        self.blocked_until.map(|until| until.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// Current rate, in requests per second: the lower of the operator's and Horizon's.
    fn rate(&self, now: Instant) -> f64 {
        let own = f64::from(self.per_hour) / SECONDS_PER_HOUR;
        match self.pace {
            Some((reported, until)) if now < until => own.min(reported),
            _ => own,
        }
    }

    /// Returns true if the live stream may send a request without a token: by Horizon's report alone it would wait for
    /// more than a minute, and it has waited for one.
    fn may_probe(&self, now: Instant) -> bool {
        let own = f64::from(self.per_hour) / SECONDS_PER_HOUR;
        let probes = PROBED_EVERY.as_secs_f64().recip();
        self.rate(now) < probes
            && own >= probes
            && now.saturating_duration_since(self.live_at) >= PROBED_EVERY
    }

    fn tokens(&self) -> f64 {
        self.live + self.shares.iter().sum::<f64>()
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.refilled_at).as_secs_f64();
        let added = passed * self.rate(now);
        self.refilled_at = now.max(self.refilled_at);
        // These save up separately, so that idle hours do not turn into a burst.
        self.audit = (self.audit + added * MINOR_PART).min(AUDIT_MAX);
        self.asked = (self.asked + added * MINOR_PART).min(ASKED_MAX);
        self.add_tokens(added);
    }

    /// Adds tokens to the stream's bucket first, then to the shares. Overflow of one share goes to the others.
    fn add_tokens(&mut self, tokens: f64) {
        let live_cap = self.live_cap();
        let for_live = tokens.min((live_cap - self.live).max(0.0));
        self.live += for_live;
        let rest = tokens - for_live;
        let weights = if self.is_day_complete { WEIGHTS } else { WEIGHTS_FILLING };
        let caps = weights.map(|weight| (weight * (self.burst - live_cap)).max(1.0));
        let mut overflow = 0.0;
        for ((share, weight), cap) in self.shares.iter_mut().zip(weights).zip(caps) {
            *share += rest * weight;
            overflow += (*share - cap).max(0.0);
            *share = share.min(cap);
        }
        // Offer the overflow to the others in order. What no share can hold is lost.
        for (share, cap) in self.shares.iter_mut().zip(caps) {
            let taken = overflow.min((cap - *share).max(0.0));
            *share += taken;
            overflow -= taken;
        }
    }

    /// Capacity of the stream's bucket, in tokens.
    fn live_cap(&self) -> f64 {
        (self.burst * LIVE_PART).max(1.0)
    }

    /// Takes tokens of the stream for requests that were sent without a grant. The debt is at most one full bucket:
    /// such requests are estimated, and a wrong estimate must not stop live trades for long.
    fn owe(&mut self, tokens: f64) {
        self.live = (self.live - tokens).max(-self.live_cap());
    }

    /// Tokens missing for one request of a class. Zero or less if the request may go.
    fn missing_tokens(&self, class: Class) -> f64 {
        // The stream goes first: tokens that pay its debt back are not for others.
        let debt = (-self.live).max(0.0);
        let [history, assets, books] = self.shares.map(|share| share - debt);
        let has_first_waiting = self.first_waiting > 0;
        let has = match class {
            // Waiting look-ups of first assets take precedence over all other classes.
            Class::Live => self.tokens(),
            Class::FirstAssets => self.shares.iter().sum::<f64>() - debt,
            _ if has_first_waiting => 0.0,
            Class::History => history,
            Class::Assets => assets,
            Class::Books => books,
            Class::Audit => history.min(self.audit),
            Class::AskedBooks => books.min(self.asked),
        };
        1.0 - has
    }

    fn withdraw(&mut self, class: Class) {
        let tokens = self.tokens();
        let [history, assets, books] = &mut self.shares;
        match class {
            Class::Live if self.live >= 1.0 => self.live -= 1.0,
            // A probe leaves a debt, and takes nothing from the shares.
            Class::Live if tokens < 1.0 => self.owe(1.0),
            Class::Live => {
                // The stream borrows from the shares.
                let lent = 1.0 - self.live;
                self.live = 0.0;
                self.withdraw_from_shares(lent);
            }
            Class::FirstAssets => self.withdraw_from_shares(1.0),
            Class::History => *history -= 1.0,
            Class::Assets => *assets -= 1.0,
            Class::Books => *books -= 1.0,
            Class::Audit => {
                *history -= 1.0;
                self.audit -= 1.0;
            }
            Class::AskedBooks => {
                *books -= 1.0;
                self.asked -= 1.0;
            }
        }
    }

    /// Withdraws tokens from all shares in proportion.
    fn withdraw_from_shares(&mut self, tokens: f64) {
        let all: f64 = self.shares.iter().sum();
        let left = if all > 0.0 { ((all - tokens) / all).max(0.0) } else { 0.0 };
        self.shares = self.shares.map(|share| share * left);
    }

    fn withdraw_from_all(&mut self, tokens: f64) {
        let of_shares = self.shares.iter().sum::<f64>().min(tokens);
        self.withdraw_from_shares(of_shares);
        // A negative balance stays: it is a debt of the stream.
        self.live = (self.live - (tokens - of_shares)).max(self.live.min(0.0));
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod week;
