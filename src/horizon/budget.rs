//! The request budget of one IP address at a Horizon, shared by everything that asks it. Pure: instants come in.
//!
//! A bucket fills at the allowed pace. The live stream drinks first; what it leaves flows into three shares by weight,
//! and what overflows a share goes to the others in their order.

mod class;

use std::time::{Duration, Instant};

pub use class::{Allowance, BudgetReport, Class};

/// Weights of history, assets and books once the last 24 hours are held whole.
const WEIGHTS: [f64; 3] = [0.5, 0.3, 0.2];
/// Their weights until then.
const WEIGHTS_FILLING: [f64; 3] = [0.9, 0.05, 0.05];
/// The part of what the stream leaves that history has: until the last 24 hours are held whole, and afterwards.
pub const HISTORY_SHARES: [f64; 2] = [WEIGHTS_FILLING[0], WEIGHTS[0]];
/// Horizon's own burst.
const BURST_MAX: f64 = 100.0;
/// How much of the burst is kept for the live stream.
const LIVE_PART: f64 = 0.1;
/// How much of the burst a process begins with: one that restarts often must not bring a whole burst each time.
const FIRST_PART: f64 = 0.1;
/// How much of what Horizon says is left a process that has just begun believes.
const BELIEVED_PART: f64 = 0.8;
/// The wait after a refusal that names none; it doubles with each further one.
const BLOCKED_FIRST: Duration = Duration::from_secs(5);
/// No refusal that names no wait blocks longer.
const BLOCKED_LONGEST: Duration = Duration::from_secs(60);
/// No refusal blocks longer. One that names a longer wait counts as one that names none.
const BLOCKED_ASKED_MAX: Duration = Duration::from_secs(3_600);
/// Whoever waits asks again after this time at the latest, for the pace may have changed.
const WAIT_MAX: Duration = Duration::from_secs(1);
const WAIT_MIN: Duration = Duration::from_millis(5);
/// How much of the pace an audit may take.
const AUDIT_PART: f64 = 0.1;
/// Requests that an audit may save up: what one look at a few ledgers costs where a page must be asked for again.
const AUDIT_MAX: f64 = 5.0;
const SECONDS_AN_HOUR: f64 = 3_600.0;

/// The budget.
#[derive(Debug)]
pub struct Budget {
    per_hour: u32,
    /// Tokens at most, all together.
    burst: f64,
    /// Tokens of the live stream; below zero where it spent what it was not asked for.
    live: f64,
    /// Tokens of history, assets and books.
    shares: [f64; 3],
    /// Requests that an audit may take of history's tokens.
    audit: f64,
    refilled_at: Instant,
    /// What Horizon's word allows a second, and until when that word is good.
    pace: Option<(f64, Instant)>,
    told_remaining: Option<u32>,
    blocked_until: Option<Instant>,
    /// Refusals in a row.
    refusals: u32,
    /// Look-ups of first assets that wait.
    first_waiting: u32,
    /// Requests whose answer's head has not come.
    in_flight: u32,
    day_is_whole: bool,
    granted: [u64; 6],
}

impl Budget {
    /// A budget of so many requests an hour; 0 is no limit, and then only refusals hold anything back.
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
            told_remaining: None,
            blocked_until: None,
            refusals: 0,
            first_waiting: 0,
            in_flight: 0,
            day_is_whole: false,
            granted: [0; 6],
            audit: 0.0,
        };
        budget.pour((burst * FIRST_PART).max(1.0));
        budget
    }

    /// Takes a request's place. Its answer is told by [`Self::ended`].
    ///
    /// # Errors
    ///
    /// The time after which it makes sense to ask again.
    pub fn try_take(&mut self, class: Class, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        if let Some(blocked_for) = self.blocked_for(now) {
            return Err(blocked_for.clamp(WAIT_MIN, WAIT_MAX));
        }
        if self.per_hour > 0 {
            let lacking = self.lacking(class);
            if lacking > 0.0 {
                let wait = Duration::try_from_secs_f64(lacking / self.rate(now).max(f64::MIN_POSITIVE));
                return Err(wait.unwrap_or(WAIT_MAX).clamp(WAIT_MIN, WAIT_MAX));
            }
            self.draw(class);
        }
        self.in_flight = self.in_flight.saturating_add(1);
        if let Some(granted) = self.granted.get_mut(class.place()) {
            *granted += 1;
        }
        Ok(())
    }

    /// The head of an answer has come, or will never come.
    pub fn ended(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// One more look-up of a first asset waits: others than the stream get nothing meanwhile.
    pub fn first_begins_to_wait(&mut self) {
        self.first_waiting = self.first_waiting.saturating_add(1);
    }

    /// It waits no more.
    pub fn first_waits_no_more(&mut self) {
        self.first_waiting = self.first_waiting.saturating_sub(1);
    }

    /// The open stream cost a request that nobody asked for: one a ledger.
    pub fn spent(&mut self, requests: u32, now: Instant) {
        self.refill(now);
        if self.per_hour > 0 {
            self.live -= f64::from(requests);
        }
        self.granted[0] = self.granted[0].saturating_add(u64::from(requests));
    }

    /// A reply told what is left, while its request still counts as under way.
    ///
    /// `remaining / reset` is the right pace for a fixed window, and for Horizon's own limiter, which forgets one
    /// request after the other: that one settles where its bucket is half full, at its full rate.
    pub fn told(&mut self, allowance: Allowance, now: Instant) {
        self.refill(now);
        let unanswered = self.in_flight.saturating_sub(1);
        let left = f64::from(allowance.remaining.saturating_sub(unanswered));
        if self.told_remaining.replace(allowance.remaining).is_none() {
            let believed = (left * BELIEVED_PART).min(self.burst);
            self.pour((believed - self.tokens()).max(0.0));
        }
        let excess = self.tokens() - left;
        if excess > 0.0 {
            self.draw_from_all(excess);
        }
        let reset = Duration::from_secs(allowance.reset_s);
        // No window of Horizon's is longer: a larger number is a time of day, or a lie.
        if !reset.is_zero() && reset <= BLOCKED_ASKED_MAX {
            self.pace = now.checked_add(reset).map(|until| (left / reset.as_secs_f64(), until));
        }
    }

    /// Horizon refused a request: nothing is sent before the time that it named, or one of our own.
    ///
    /// Without a limit of ours the server is the operator's own. A 429 there comes from a proxy or from a limit that is
    /// meant for others, so it pauses requests for a minute at most, whatever it names.
    pub fn limited(&mut self, retry_after: Option<Duration>, now: Instant) {
        self.refill(now);
        self.live = self.live.min(0.0);
        self.shares = [0.0; 3];
        let own = BLOCKED_FIRST.saturating_mul(1 << self.refusals.min(8)).min(BLOCKED_LONGEST);
        let longest = if self.per_hour == 0 { BLOCKED_LONGEST } else { BLOCKED_ASKED_MAX };
        let asked = retry_after.filter(|asked| *asked <= BLOCKED_ASKED_MAX);
        let wait = asked.map_or(own, |asked| asked.clamp(WAIT_MAX, longest));
        self.refusals = self.refusals.saturating_add(1);
        self.blocked_until = self.blocked_until.max(now.checked_add(wait));
    }

    /// Horizon answered a request.
    pub const fn succeeded(&mut self) {
        self.refusals = 0;
    }

    /// Whether the last 24 hours are held whole: then history needs less.
    pub const fn set_day_is_whole(&mut self, day_is_whole: bool) {
        self.day_is_whole = day_is_whole;
    }

    /// How it stands.
    #[must_use]
    pub fn report(&mut self, now: Instant) -> BudgetReport {
        self.refill(now);
        BudgetReport {
            per_hour: self.per_hour,
            tokens: self.tokens(),
            told_remaining: self.told_remaining,
            blocked_for: self.blocked_for(now).unwrap_or_default(),
            granted: self.granted,
        }
    }

    fn blocked_for(&self, now: Instant) -> Option<Duration> {
        self.blocked_until.map(|until| until.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// Requests a second.
    fn rate(&self, now: Instant) -> f64 {
        let own = f64::from(self.per_hour) / SECONDS_AN_HOUR;
        match self.pace {
            Some((told, until)) if now < until => own.min(told),
            _ => own,
        }
    }

    fn tokens(&self) -> f64 {
        self.live + self.shares.iter().sum::<f64>()
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.refilled_at).as_secs_f64();
        let poured = passed * self.rate(now);
        self.refilled_at = now.max(self.refilled_at);
        self.audit = (self.audit + poured * AUDIT_PART).min(AUDIT_MAX);
        self.pour(poured);
    }

    /// Fills the stream's part first, then the shares; what is too much for one goes to the next.
    fn pour(&mut self, tokens: f64) {
        let live_cap = (self.burst * LIVE_PART).max(1.0);
        let for_live = tokens.min((live_cap - self.live).max(0.0));
        self.live += for_live;
        let rest = tokens - for_live;
        let weights = if self.day_is_whole { WEIGHTS } else { WEIGHTS_FILLING };
        let caps = weights.map(|weight| (weight * (self.burst - live_cap)).max(1.0));
        let mut overflow = 0.0;
        for ((share, weight), cap) in self.shares.iter_mut().zip(weights).zip(caps) {
            *share += rest * weight;
            overflow += (*share - cap).max(0.0);
            *share = share.min(cap);
        }
        for (share, cap) in self.shares.iter_mut().zip(caps) {
            let taken = overflow.min((cap - *share).max(0.0));
            *share += taken;
            overflow -= taken;
        }
    }

    /// The tokens that a class lacks for one request.
    fn lacking(&self, class: Class) -> f64 {
        let [history, assets, books] = self.shares;
        let others_wait = self.first_waiting > 0;
        let has = match class {
            Class::Live => self.tokens(),
            Class::FirstAssets => history + assets + books,
            _ if others_wait => 0.0,
            Class::History => history,
            Class::Assets => assets,
            Class::Books => books,
            Class::Audit => history.min(self.audit),
        };
        1.0 - has
    }

    fn draw(&mut self, class: Class) {
        let [history, assets, books] = &mut self.shares;
        match class {
            Class::Live if self.live >= 1.0 => self.live -= 1.0,
            Class::Live => {
                let lent = 1.0 - self.live;
                self.live = 0.0;
                self.draw_from_shares(lent);
            }
            Class::FirstAssets => self.draw_from_shares(1.0),
            Class::History => *history -= 1.0,
            Class::Assets => *assets -= 1.0,
            Class::Books => *books -= 1.0,
            Class::Audit => {
                *history -= 1.0;
                self.audit -= 1.0;
            }
        }
    }

    /// Takes from every share in proportion.
    fn draw_from_shares(&mut self, tokens: f64) {
        let all: f64 = self.shares.iter().sum();
        let left = if all > 0.0 { ((all - tokens) / all).max(0.0) } else { 0.0 };
        self.shares = self.shares.map(|share| share * left);
    }

    fn draw_from_all(&mut self, tokens: f64) {
        let of_shares = self.shares.iter().sum::<f64>().min(tokens);
        self.draw_from_shares(of_shares);
        self.live = (self.live - (tokens - of_shares)).max(self.live.min(0.0));
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod week;
