//! Fault injection, scripted or pseudorandom.
//!
//! A fault applies to one request. Each request of an endpoint takes the next fault of its queue, or else the one that
//! applies to all its requests ([`FaultPlan::always`]). A fault replaces the reply, changes its list of records, or
//! changes its bytes or headers.

use super::model::TradeId;
use super::num::{below, hash3, unit};
use std::collections::{HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Endpoint that a fault applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/`
    Root,
    /// Pages of `/trades`.
    Trades,
    /// The stream of `/trades`.
    Stream,
    /// `/assets`, lists and look-ups of single assets.
    Assets,
    /// Lists of `/assets` only, so that look-ups of single assets still work.
    AssetLists,
    /// `/order_book`
    OrderBook,
    /// `/ledgers/{sequence}`
    Ledgers,
    /// `/_toml/…`
    Toml,
    /// `/lake/…`
    Lake,
    /// `/rpc`
    Rpc,
}

/// Fault of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Connection that breaks after this many bytes of the body.
    Cut {
        /// Number of bytes sent before.
        after_bytes: usize,
    },
    /// Connection that breaks after this time, whatever was sent.
    CutLater {
        /// Time from the first byte.
        after: Duration,
    },
    /// Connection that stays open but sends nothing after this many bytes.
    Stall {
        /// Number of bytes sent before.
        after_bytes: usize,
    },
    /// Status with problem+json instead of a reply.
    Status(u16),
    /// Status with problem+json instead of a reply, and a `Retry-After` header.
    RetryLater {
        /// The status.
        status: u16,
        /// Value of the header, which a client must not trust.
        retry_after: &'static str,
    },
    /// Problem of a server that loads its history again.
    StillIngesting,
    /// HTML page with status 200.
    HtmlWith200,
    /// HTML page of a proxy with this status, without a word from Horizon.
    ProxyPage(u16),
    /// Truncated JSON (or events) in a properly ended body.
    TruncatedJson {
        /// Number of bytes sent.
        after_bytes: usize,
    },
    /// Last records of a page or a ledger, repeated at its end.
    Repeat {
        /// Number of repeated records.
        records: usize,
    },
    /// Records of a page or a ledger in reverse order.
    Reorder,
    /// Missing records at a regular interval.
    Skip {
        /// Interval. 1 removes all records.
        every: usize,
    },
    /// Record with fields of the wrong types, in place of the record at this index of a page or ledger.
    MalformedRecord {
        /// Index, from 0.
        index: usize,
    },
    /// Page, stream or root of another server behind the same proxy, which has not ingested the newest ledgers yet.
    Behind {
        /// Number of ledgers that it lacks.
        ledgers: u32,
    },
    /// Root that names a newest ledger far above the real one, with the close time of the real one.
    Ahead {
        /// Number of ledgers that do not exist.
        ledgers: u32,
    },
    /// Page that holds its first record, and then one that is no trade, whose position lies far below.
    FalsePosition {
        /// Number of ledgers below the first record.
        ledgers: u32,
    },
    /// Descending page with a real trade in its middle that lies far below the others. Ascending pages have none.
    Stray {
        /// Least number of ledgers below the first record.
        ledgers: u32,
    },
    /// Reply whose headers report this allowance of 3,600 requests an hour, whatever the real one is.
    FalseAllowance {
        /// `X-RateLimit-Remaining`
        remaining: u32,
        /// `X-RateLimit-Reset`
        reset_s: u64,
    },
    /// Stream that sends an event of this text again and again, and no record.
    Heartbeat {
        /// Lines of the event, without the blank line that ends it.
        event: &'static str,
        /// Interval.
        every: Duration,
    },
    /// Stream that closes normally after this many records.
    ByeByeEarly {
        /// Number of records sent before.
        after_records: usize,
    },
    /// Stream that ends with a rate limit error after this many records.
    RateLimitedMidStream {
        /// Number of records sent before.
        after_records: usize,
    },
    /// Stream that ends with an error of the server after this many records.
    ErrorMidStream {
        /// Number of records sent before.
        after_records: usize,
    },
    /// Stream whose first event is this large.
    HugeEvent {
        /// Size of the event's data, in bytes.
        bytes: usize,
    },
    /// Body sent in pieces of this many bytes.
    Drip {
        /// Bytes per piece. 0 counts as 1.
        bytes: usize,
    },
    /// Body sent in pieces, with a pause before each.
    SlowDrip {
        /// Bytes per piece. 0 counts as 1.
        bytes: usize,
        /// Pause before each piece.
        pause: Duration,
    },
    /// Page in gzip. That is no fault, but few requests get such a page. Streams have no gzip.
    Gzip,
    /// Truncated gzip in a properly ended page.
    TruncatedGzip,
}

/// Faults to inject. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct FaultPlan(Arc<Plan>);

#[derive(Debug, Default)]
struct Plan {
    queues: Mutex<HashMap<Endpoint, VecDeque<Fault>>>,
    /// Faults of all requests that find no other in their queue.
    always: Mutex<HashMap<Endpoint, Fault>>,
    random: Option<Random>,
    hidden: Mutex<Option<Hidden>>,
    /// Ledgers that the server lacks, though it has older ones.
    hole: Mutex<Option<RangeInclusive<u32>>>,
    /// Ledgers whose trades no descending page can hold.
    broken: Mutex<Option<RangeInclusive<u32>>>,
    assets: Mutex<AssetFaults>,
}

/// Lasting faults of `/assets`.
#[derive(Debug, Default)]
struct AssetFaults {
    /// End of the time in which the server has no asset.
    hidden_until: Option<Instant>,
    /// Longest list that the server can make in its time.
    longest: Option<usize>,
    /// True if the first list follows after the last one.
    is_circle: bool,
}

/// Trades that the server hides. Pages without them are well formed and may be empty.
#[derive(Debug, Clone, Copy)]
struct Hidden {
    /// Upper limit (exclusive) of the hidden trades.
    below: TradeId,
    /// True to hide them only from descending pages.
    descending_only: bool,
    /// End of the hiding, or `None` to hide them until [`FaultPlan::show`].
    until: Option<Instant>,
}

#[derive(Debug)]
struct Random {
    seed: u64,
    rate: f64,
    requests: AtomicU64,
    ended: AtomicBool,
}

impl FaultPlan {
    /// Creates a plan without faults, to which faults can be pushed.
    pub fn none() -> Self {
        Self::default()
    }

    /// Creates a plan in which each request fails with a probability of `rate` (0 to 1). The seed determines which.
    pub fn random(seed: u64, rate: f64) -> Self {
        let random = Some(Random { seed, rate, requests: AtomicU64::new(0), ended: AtomicBool::new(false) });
        Self(Arc::new(Plan { random, ..Plan::default() }))
    }

    /// Hides all trades below `below` from pages, like a server that ingests its history again.
    ///
    /// With `descending_only`, ascending pages still have them, as behind a proxy that caches an empty page.
    pub fn hide(&self, below: TradeId, descending_only: bool) {
        *self.hidden() = Some(Hidden { below, descending_only, until: None });
    }

    /// Makes all pages empty for `time`, like those of a server that has just started.
    pub fn hide_all_for(&self, time: Duration) {
        let until = Instant::now().checked_add(time);
        *self.hidden() = Some(Hidden { below: TradeId::MAX, descending_only: false, until });
    }

    /// Hides these ledgers and their trades, like a server that loads the ledgers before them first.
    pub fn hide_between(&self, ledgers: RangeInclusive<u32>) {
        *lock(&self.0.hole) = Some(ledgers);
    }

    /// Makes each descending page fail that would hold a trade of these ledgers.
    pub fn break_pages(&self, ledgers: RangeInclusive<u32>) {
        *lock(&self.0.broken) = Some(ledgers);
    }

    /// Makes `/assets` empty for `time`, lists and look-ups of single assets, like a server that builds its table of
    /// assets again. Zero ends that.
    pub fn hide_assets_for(&self, time: Duration) {
        lock(&self.0.assets).hidden_until = Instant::now().checked_add(time);
    }

    /// Makes lists of more than `records` assets fail with 504, like a database that is slow.
    pub fn time_out_long_asset_lists(&self, records: usize) {
        lock(&self.0.assets).longest = Some(records);
    }

    /// Makes the list of all assets begin again at its end, so that no page is empty.
    pub fn list_assets_in_a_circle(&self) {
        lock(&self.0.assets).is_circle = true;
    }

    /// Returns true if the server has no asset now.
    pub(crate) fn hides_assets(&self) -> bool {
        lock(&self.0.assets).hidden_until.is_some_and(|until| Instant::now() < until)
    }

    /// Returns true if the server is too slow for a list of this many assets.
    pub(crate) fn is_long_asset_list(&self, records: usize) -> bool {
        lock(&self.0.assets).longest.is_some_and(|longest| records > longest)
    }

    /// Returns true if the list of all assets begins again at its end.
    pub(crate) fn lists_in_a_circle(&self) -> bool {
        lock(&self.0.assets).is_circle
    }

    /// Ends the hiding of trades.
    pub fn show(&self) {
        *self.hidden() = None;
        *lock(&self.0.hole) = None;
    }

    /// Ledgers that the server lacks now.
    pub(crate) fn hole(&self) -> Option<RangeInclusive<u32>> {
        lock(&self.0.hole).clone()
    }

    /// Returns true if no descending page can hold a trade of this ledger.
    pub(crate) fn is_broken(&self, ledger: u32) -> bool {
        lock(&self.0.broken).as_ref().is_some_and(|ledgers| ledgers.contains(&ledger))
    }

    /// Upper limit (exclusive) of the trades that a page lacks now.
    pub(crate) fn hidden_below(&self, descending: bool) -> Option<TradeId> {
        let hidden = (*self.hidden())?;
        let is_active = hidden.until.is_none_or(|until| Instant::now() < until);
        (is_active && (descending || !hidden.descending_only)).then_some(hidden.below)
    }

    fn hidden(&self) -> MutexGuard<'_, Option<Hidden>> {
        lock(&self.0.hidden)
    }

    /// Ends the random faults.
    pub fn end(&self) {
        if let Some(random) = &self.0.random {
            random.ended.store(true, Ordering::SeqCst);
        }
    }

    /// Queues a fault for the next request of this endpoint without one.
    pub fn push(&self, endpoint: Endpoint, fault: Fault) {
        self.queues().entry(endpoint).or_default().push_back(fault);
    }

    /// Applies a fault to every request of this endpoint that finds no other in its queue, until [`Self::clear`].
    pub fn always(&self, endpoint: Endpoint, fault: Fault) {
        lock(&self.0.always).insert(endpoint, fault);
    }

    /// Removes all faults of this endpoint that were queued or apply to all its requests.
    pub fn clear(&self, endpoint: Endpoint) {
        self.queues().remove(&endpoint);
        lock(&self.0.always).remove(&endpoint);
    }

    /// Number of queued faults of this endpoint.
    pub fn pending(&self, endpoint: Endpoint) -> usize {
        self.queues().get(&endpoint).map_or(0, VecDeque::len)
    }

    pub(crate) fn take(&self, endpoint: Endpoint) -> Option<Fault> {
        let scripted = self.queues().get_mut(&endpoint).and_then(VecDeque::pop_front);
        let scripted = scripted.or_else(|| lock(&self.0.always).get(&endpoint).cloned());
        scripted.or_else(|| self.0.random.as_ref().and_then(|random| random.draw(endpoint)))
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<Endpoint, VecDeque<Fault>>> {
        lock(&self.0.queues)
    }
}

/// Locks. A poisoned lock only means that a test failed elsewhere; the data are consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Random {
    fn draw(&self, endpoint: Endpoint) -> Option<Fault> {
        let request = self.requests.fetch_add(1, Ordering::SeqCst);
        let hash = hash3(self.seed, 0x6661_756c, request);
        if unit(hash) >= self.rate || self.ended.load(Ordering::SeqCst) {
            return None;
        }
        let some = |most: usize| below(hash3(self.seed, 1, request), most);
        let common = [
            Fault::Cut { after_bytes: some(20_000) },
            Fault::Stall { after_bytes: some(20_000) },
            Fault::Status(500),
            Fault::Status(502),
            Fault::Status(503),
            Fault::Status(504),
            Fault::Status(429),
            Fault::HtmlWith200,
            Fault::TruncatedJson { after_bytes: some(5_000) },
            Fault::Drip { bytes: 1 + some(500) },
            Fault::ProxyPage(404),
            Fault::StillIngesting,
        ];
        // Faults of a list of trades. The first two apply only to a page, the last four only to a stream.
        let trades = [
            Fault::Gzip,
            Fault::TruncatedGzip,
            Fault::Repeat { records: 1 + some(20) },
            Fault::Reorder,
            Fault::Skip { every: 2 + some(9) },
            Fault::MalformedRecord { index: some(20) },
            Fault::Behind { ledgers: u32::try_from(1 + some(6)).unwrap_or(1) },
            Fault::ByeByeEarly { after_records: some(50) },
            Fault::RateLimitedMidStream { after_records: some(50) },
            Fault::ErrorMidStream { after_records: some(50) },
            Fault::HugeEvent { bytes: 300_000 },
        ];
        let choice = hash3(self.seed, 2, request);
        let own = match endpoint {
            Endpoint::Stream => trades.get(2..),
            Endpoint::Trades => trades.get(..trades.len() - 4),
            _ => None,
        };
        let own = own.unwrap_or_default();
        let index = below(choice, common.len() + own.len());
        common.get(index).or_else(|| own.get(index.saturating_sub(common.len()))).cloned()
    }
}

/// Number of the newest ledgers that the server of this request lacks.
pub(crate) const fn lacked_ledgers(fault: Option<&Fault>) -> u32 {
    match fault {
        Some(Fault::Behind { ledgers }) => *ledgers,
        _ => 0,
    }
}

/// Number of ledgers above the newest one that the root of this request names.
pub(crate) const fn invented_ledgers(fault: Option<&Fault>) -> u32 {
    match fault {
        Some(Fault::Ahead { ledgers }) => *ledgers,
        _ => 0,
    }
}

/// Record of a reply: its index, and whether it is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) index: usize,
    pub(crate) is_malformed: bool,
}

/// Selects and orders `len` records as the fault requires.
pub(crate) fn arrange(fault: Option<&Fault>, len: usize) -> Vec<Item> {
    let mut items: Vec<Item> = (0..len).map(|index| Item { index, is_malformed: false }).collect();
    match fault {
        Some(Fault::Repeat { records }) => items.extend_from_within(len.saturating_sub(*records)..),
        Some(Fault::Reorder) => items.reverse(),
        Some(Fault::Skip { every }) => items.retain(|item| (item.index + 1) % every.max(&1) != 0),
        Some(Fault::MalformedRecord { index }) => {
            if let Some(item) = items.get_mut(*index) {
                item.is_malformed = true;
            }
        }
        _ => {}
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_faults_follow_the_seed_and_the_rate() {
        let draw = |seed| {
            let plan = FaultPlan::random(seed, 0.2);
            (0..1000).map(|_| plan.take(Endpoint::Stream)).collect::<Vec<_>>()
        };
        assert_eq!(draw(4), draw(4));
        assert_ne!(draw(4), draw(5));
        let hits = draw(4).iter().flatten().count();
        assert!((120..280).contains(&hits), "{hits}");
    }

    #[test]
    fn records_are_repeated_reordered_skipped_or_malformed() {
        let order = |fault| arrange(Some(&fault), 4).iter().map(|item| item.index).collect::<Vec<_>>();
        assert_eq!(order(Fault::Repeat { records: 2 }), [0, 1, 2, 3, 2, 3]);
        assert_eq!(order(Fault::Repeat { records: 9 }), [0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(order(Fault::Reorder), [3, 2, 1, 0]);
        assert_eq!(order(Fault::Skip { every: 2 }), [0, 2]);
        assert!(arrange(Some(&Fault::MalformedRecord { index: 1 }), 4)[1].is_malformed);
    }
}
