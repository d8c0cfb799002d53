//! What may go wrong, as a script or at random by seed.
//!
//! A fault belongs to one request: each request of an endpoint takes the next fault of its queue, and none
//! once the queue is empty. Faults work at three places: instead of the reply, on its list of records, or
//! on its bytes.

use super::model::TradeId;
use super::num::{below, hash3, unit};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a fault can be set on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/`
    Root,
    /// Pages of `/trades`.
    Trades,
    /// The stream of `/trades`.
    Stream,
    /// `/assets`
    Assets,
    /// `/order_book`
    OrderBook,
    /// `/ledgers`
    Ledgers,
    /// `/_toml/…`
    Toml,
}

/// One fault, for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends after so many bytes of the body, without a proper end.
    Cut {
        /// Bytes sent before.
        after_bytes: usize,
    },
    /// Nothing more is sent after so many bytes, and the connection stays open.
    Stall {
        /// Bytes sent before.
        after_bytes: usize,
    },
    /// This status instead of a reply, with problem+json.
    Status(u16),
    /// An HTML page with status 200.
    HtmlWith200,
    /// An HTML page of a proxy with this status: Horizon itself says nothing.
    ProxyPage(u16),
    /// Properly ended JSON (or events) that stops in the middle.
    TruncatedJson {
        /// Bytes sent.
        after_bytes: usize,
    },
    /// Sends the last records of a page or a ledger again, at its end.
    Repeat {
        /// How many.
        records: usize,
    },
    /// Sends a page's or ledger's records the wrong way round.
    Reorder,
    /// Leaves out every so-many-th record.
    Skip {
        /// 1 leaves out all.
        every: usize,
    },
    /// In place of this record of a page or ledger (from 0) comes one whose fields are of the wrong types.
    MalformedRecord {
        /// Which.
        index: usize,
    },
    /// The stream says goodbye after so many records.
    ByeByeEarly {
        /// Records sent before.
        after_records: usize,
    },
    /// The stream is told off by the rate limiter after so many records.
    RateLimitedMidStream {
        /// Records sent before.
        after_records: usize,
    },
    /// The stream's first event is this large.
    HugeEvent {
        /// Bytes of its data.
        bytes: usize,
    },
    /// The body comes in pieces of this many bytes.
    Drip {
        /// Bytes a piece; 0 counts as 1.
        bytes: usize,
    },
    /// The same, with a pause before each piece.
    SlowDrip {
        /// Bytes a piece; 0 counts as 1.
        bytes: usize,
        /// How long nothing is sent.
        pause: Duration,
    },
    /// A page properly ended, in gzip that stops in the middle; a stream has no gzip.
    TruncatedGzip,
}

/// The faults to come; clones share them.
#[derive(Debug, Clone, Default)]
pub struct FaultPlan(Arc<Plan>);

#[derive(Debug, Default)]
struct Plan {
    queues: Mutex<HashMap<Endpoint, VecDeque<Fault>>>,
    random: Option<Random>,
    hidden: Mutex<Option<Hidden>>,
}

/// Trades that a server does not show: pages of them are well formed and empty.
#[derive(Debug, Clone, Copy)]
struct Hidden {
    /// Those below this one.
    below: TradeId,
    /// Only from pages that go down.
    only_descending: bool,
    /// Until then; none: until they are shown again.
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
    /// Nothing goes wrong until a fault is pushed.
    pub fn none() -> Self {
        Self::default()
    }

    /// Each request fails with a probability of `rate` (0 to 1), the same ones for the same seed.
    pub fn random(seed: u64, rate: f64) -> Self {
        let random = Some(Random { seed, rate, requests: AtomicU64::new(0), ended: AtomicBool::new(false) });
        Self(Arc::new(Plan { random, ..Plan::default() }))
    }

    /// From now on pages lack all trades below `below`, as those of a server that reads its history in again. With
    /// `only_descending` the other direction has them, as behind a proxy that kept an empty page.
    pub fn hide(&self, below: TradeId, only_descending: bool) {
        *self.hidden() = Some(Hidden { below, only_descending, until: None });
    }

    /// Makes all pages empty for `time`, as those of a server that has just started.
    pub fn hide_all_for(&self, time: Duration) {
        let until = Instant::now().checked_add(time);
        *self.hidden() = Some(Hidden { below: TradeId::MAX, only_descending: false, until });
    }

    /// Nothing is hidden any more.
    pub fn show(&self) {
        *self.hidden() = None;
    }

    /// The trades that a page lacks now are those below this one.
    pub(crate) fn hidden_below(&self, descending: bool) -> Option<TradeId> {
        let hidden = (*self.hidden())?;
        let lasts = hidden.until.is_none_or(|until| Instant::now() < until);
        (lasts && (descending || !hidden.only_descending)).then_some(hidden.below)
    }

    fn hidden(&self) -> std::sync::MutexGuard<'_, Option<Hidden>> {
        self.0.hidden.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing goes wrong at random any more.
    pub fn end(&self) {
        if let Some(random) = &self.0.random {
            random.ended.store(true, Ordering::SeqCst);
        }
    }

    /// The next request of this endpoint that has no earlier fault waiting gets this one.
    pub fn push(&self, endpoint: Endpoint, fault: Fault) {
        self.queues().entry(endpoint).or_default().push_back(fault);
    }

    /// What was pushed for this endpoint and not yet taken does not happen.
    pub fn clear(&self, endpoint: Endpoint) {
        self.queues().remove(&endpoint);
    }

    /// Faults not yet taken.
    pub fn pending(&self, endpoint: Endpoint) -> usize {
        self.queues().get(&endpoint).map_or(0, VecDeque::len)
    }

    pub(crate) fn take(&self, endpoint: Endpoint) -> Option<Fault> {
        let scripted = self.queues().get_mut(&endpoint).and_then(VecDeque::pop_front);
        scripted.or_else(|| self.0.random.as_ref().and_then(|random| random.draw(endpoint)))
    }

    fn queues(&self) -> std::sync::MutexGuard<'_, HashMap<Endpoint, VecDeque<Fault>>> {
        self.0.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        ];
        // What a list of trades may suffer; the last three make sense on a stream only.
        let trades = [
            Fault::Repeat { records: 1 + some(20) },
            Fault::Reorder,
            Fault::Skip { every: 2 + some(9) },
            Fault::MalformedRecord { index: some(20) },
            Fault::ByeByeEarly { after_records: some(50) },
            Fault::RateLimitedMidStream { after_records: some(50) },
            Fault::HugeEvent { bytes: 300_000 },
        ];
        let choice = hash3(self.seed, 2, request);
        let extra = match endpoint {
            Endpoint::Stream => trades.len(),
            Endpoint::Trades => trades.len() - 3,
            _ => 0,
        };
        let index = below(choice, common.len() + extra);
        common.get(index).or_else(|| trades.get(index.saturating_sub(common.len()))).cloned()
    }
}

/// A record's place in a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) index: usize,
    pub(crate) malformed: bool,
}

/// Which of `len` records to send, in what order.
pub(crate) fn arrange(fault: Option<&Fault>, len: usize) -> Vec<Item> {
    let mut items: Vec<Item> = (0..len).map(|index| Item { index, malformed: false }).collect();
    match fault {
        Some(Fault::Repeat { records }) => items.extend_from_within(len.saturating_sub(*records)..),
        Some(Fault::Reorder) => items.reverse(),
        Some(Fault::Skip { every }) => items.retain(|item| (item.index + 1) % every.max(&1) != 0),
        Some(Fault::MalformedRecord { index }) => {
            if let Some(item) = items.get_mut(*index) {
                item.malformed = true;
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
    fn random_faults_are_the_same_for_a_seed_and_about_as_many_as_asked() {
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
    fn records_are_repeated_reordered_skipped_or_spoiled() {
        let order = |fault| arrange(Some(&fault), 4).iter().map(|item| item.index).collect::<Vec<_>>();
        assert_eq!(order(Fault::Repeat { records: 2 }), [0, 1, 2, 3, 2, 3]);
        assert_eq!(order(Fault::Repeat { records: 9 }), [0, 1, 2, 3, 0, 1, 2, 3]);
        assert_eq!(order(Fault::Reorder), [3, 2, 1, 0]);
        assert_eq!(order(Fault::Skip { every: 2 }), [0, 2]);
        assert!(arrange(Some(&Fault::MalformedRecord { index: 1 }), 4)[1].malformed);
    }
}
