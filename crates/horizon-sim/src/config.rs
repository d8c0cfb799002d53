//! Configuration of the simulation.

use super::faults::FaultPlan;
use super::fixed::FixedSource;
use super::lake::LakeLayout;
use super::model::LEDGER_MAX;
use chrono::{DateTime, Duration as Span, Utc};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Shortest allowed ledger, in seconds.
pub const LEDGER_SECONDS_MIN: f64 = 0.02;
/// Maximum number of markets.
pub const MARKETS_MAX: usize = 30_000;
/// Maximum number of trades in one ledger. Transaction numbers have 20 bits.
pub(crate) const TRADES_PER_LEDGER_MAX: u32 = 200_000;

/// Configuration of a simulated Horizon.
///
/// The default is a network of the public one's size: 18 trades per second in 60 markets, a ledger every 5.8 s, 24
/// hours of history, no rate limit, no faults.
///
/// Seed, anchor, `ledger_seconds`, `trades_per_second`, `burst`, `markets`, `legacy_shapes` and `unpriced_trades`
/// determine every record. The anchor is a fixed date, not the start time, so a restarted simulation continues the
/// same history.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// Seed of all pseudorandom choices.
    pub seed: u64,
    /// Network passphrase reported on `/`.
    pub network_passphrase: String,
    /// Mean number of trades per second. A single ledger has 40 % to 160 % of its share.
    pub trades_per_second: f64,
    /// Hours of history before the start time.
    pub history_hours: u32,
    /// Seconds between ledgers. Close times are rounded down to whole seconds.
    pub ledger_seconds: f64,
    /// Ledger that closes at `anchor_time`.
    pub anchor_ledger: u32,
    /// Close time of `anchor_ledger`.
    pub anchor_time: DateTime<Utc>,
    /// Source of the current time.
    pub clock: SimClock,
    /// Number of markets that trade, at most [`MARKETS_MAX`].
    pub markets: usize,
    /// Occasional ledgers with a fixed number of trades.
    pub burst: Option<Burst>,
    /// Records of an old server: numeric prices, `offer_id` instead of `trade_type`, no pools, and `amount` and
    /// `num_accounts` on assets.
    pub legacy_shapes: bool,
    /// A few trades with offers have the price 0/0, as rows that an old Horizon ingested. No offer of the network has
    /// such a price, so a reader refuses the ledgers of a lake that hold them.
    pub unpriced_trades: bool,
    /// Interval at which an open stream checks for a new ledger.
    pub stream_poll: Duration,
    /// Lifetime of a stream.
    pub stream_duration: Duration,
    /// Requests allowed per `rate_window`. `None` for no limit and no headers.
    pub rate_limit: Option<u32>,
    /// Length of a rate window.
    pub rate_window: Duration,
    /// Burst of Horizon's own limiter, in requests. `None` for a fixed window.
    pub rate_burst: Option<u32>,
    /// Number of HTTP worker threads.
    pub workers: usize,
    /// Sizes of the objects of the lake.
    pub lake_layout: LakeLayout,
    /// Injected faults. Clones share the plan, so faults can be added while the server runs.
    pub faults: FaultPlan,
    /// Scripted data instead of the generated network. Clones share it, so trades can be added while the server runs.
    pub fixed: Option<FixedSource>,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            network_passphrase: "Public Global Stellar Network ; September 2015".to_owned(),
            trades_per_second: 18.0,
            history_hours: 24,
            ledger_seconds: 5.8,
            anchor_ledger: 58_000_000,
            // 2026-06-01T00:00:00Z
            anchor_time: DateTime::from_timestamp(1_780_272_000, 0).unwrap_or_default(),
            clock: SimClock::System,
            markets: 60,
            burst: None,
            legacy_shapes: false,
            unpriced_trades: false,
            stream_poll: Duration::from_secs(5),
            stream_duration: Duration::from_secs(55),
            rate_limit: None,
            rate_window: Duration::from_secs(3600),
            rate_burst: None,
            workers: 1,
            lake_layout: LakeLayout::default(),
            faults: FaultPlan::none(),
            fixed: None,
        }
    }
}

impl SimConfig {
    /// Rejects an invalid configuration, with a message for the operator.
    pub(crate) fn check(&self) -> io::Result<()> {
        let refuse = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        // Negated, so that NaN is rejected too.
        if !(self.ledger_seconds >= LEDGER_SECONDS_MIN && self.ledger_seconds <= 600.0) {
            return refuse(format!("ledger_seconds must be {LEDGER_SECONDS_MIN} to 600"));
        }
        let per_ledger = self.trades_per_second * self.ledger_seconds * 1.6;
        if !(per_ledger >= 0.0 && per_ledger < f64::from(TRADES_PER_LEDGER_MAX)) {
            return refuse(format!("at most {TRADES_PER_LEDGER_MAX} trades fit in one ledger"));
        }
        if self.burst.is_some_and(|b| b.trades > TRADES_PER_LEDGER_MAX || b.every_ledgers == 0) {
            return refuse(format!(
                "a burst has at most {TRADES_PER_LEDGER_MAX} trades, every 1 or more ledgers"
            ));
        }
        if self.markets == 0 || self.markets > MARKETS_MAX {
            return refuse(format!("markets must be 1 to {MARKETS_MAX}"));
        }
        if self.anchor_ledger > LEDGER_MAX {
            return refuse(format!("anchor_ledger must be at most {LEDGER_MAX}"));
        }
        Ok(())
    }
}

/// Ledgers with exactly `trades` trades, at every `every_ledgers`-th ledger number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    /// Interval: a ledger whose number is divisible by this is a burst.
    pub every_ledgers: u32,
    /// Number of trades in a burst.
    pub trades: u32,
}

/// Source of the current time.
#[derive(Debug, Clone)]
pub enum SimClock {
    /// System clock.
    System,
    /// Clock that stands still until a test moves it.
    Manual(ManualTime),
}

impl SimClock {
    /// Unix time in milliseconds.
    pub(crate) fn now_ms(&self) -> i64 {
        match self {
            Self::System => Utc::now().timestamp_millis(),
            Self::Manual(time) => time.0.load(Ordering::SeqCst),
        }
    }
}

/// Time that only a test moves. Clones share it.
#[derive(Debug, Clone)]
pub struct ManualTime(Arc<AtomicI64>);

impl ManualTime {
    /// Creates a clock that stands at `at`.
    pub fn new(at: DateTime<Utc>) -> Self {
        Self(Arc::new(AtomicI64::new(at.timestamp_millis())))
    }

    /// Moves the clock forward. Ignores a negative span, since ledgers are never taken back.
    pub fn advance(&self, by: Span) {
        self.0.fetch_add(by.num_milliseconds().max(0), Ordering::SeqCst);
    }
}
