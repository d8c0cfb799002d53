//! Common interface of the generated and the scripted network, and the oracle for tests.

use super::asset_cursor::{self, AssetKey};
use super::book;
use super::config::{SimClock, SimConfig};
use super::fixed::FixedSource;
use super::generator::Network;
use super::model::{SimTrade, TomlReply, TradeId};
use super::render::{self, Shape};
use super::render_asset;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use std::io;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering};

/// Range of history that the server has at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Oldest ledger still served.
    pub elder: u32,
    /// Newest closed ledger.
    pub latest: u32,
    /// Close time of `latest`, in whole seconds.
    pub closed_at: DateTime<Utc>,
}

impl Head {
    /// Range of a server that lacks this number of the newest ledgers.
    pub(crate) fn less(self, ledgers: u32) -> Self {
        Self { latest: self.latest.saturating_sub(ledgers).max(self.elder), ..self }
    }
}

/// Query for a page of trades.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TradeQuery {
    /// Cursor, exclusive.
    pub(crate) after: TradeId,
    pub(crate) descending: bool,
    pub(crate) limit: usize,
}

impl TradeQuery {
    /// Same page without the trades below this one.
    pub(crate) fn not_below(self, below: TradeId) -> Self {
        let before = TradeId { order: below.order.saturating_sub(1), ..below };
        Self { after: self.after.max(before), ..self }
    }
}

/// Query for a page of assets.
#[derive(Debug, Clone, Default)]
pub(crate) struct AssetQuery {
    pub(crate) code: Option<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) after: Option<AssetKey>,
    pub(crate) descending: bool,
    pub(crate) limit: usize,
}

/// Rendered records in sequence.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Id of each record, and the offset of its end.
    ends: Vec<(TradeId, usize)>,
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn id(&self, index: usize) -> Option<TradeId> {
        self.ends.get(index).map(|end| end.0)
    }

    pub(crate) fn get(&self, index: usize) -> Option<(TradeId, &[u8])> {
        let (id, end) = *self.ends.get(index)?;
        let start = index.checked_sub(1).and_then(|i| self.ends.get(i)).map_or(0, |end| end.1);
        Some((id, self.bytes.get(start..end)?))
    }

    /// Number of leading records at or above `below`. In a descending page they all come first.
    pub(crate) fn shown(&self, below: TradeId) -> usize {
        self.ends.iter().take_while(|(id, _)| *id >= below).count()
    }

    /// Keeps the first records only.
    fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.bytes.truncate(self.ends.last().map_or(0, |end| end.1));
    }

    /// Appends the records of another batch.
    fn append(&mut self, other: &Self) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.ends.extend(other.ends.iter().map(|(id, end)| (*id, start + end)));
    }

    fn close(&mut self, id: TradeId) {
        self.ends.push((id, self.bytes.len()));
    }
}

#[derive(Debug)]
enum Source {
    Generated(Box<Network>),
    Fixed(FixedSource),
}

/// Simulated network: the data that the server serves, and the oracle of what it must have served.
#[derive(Debug)]
pub struct Simulation {
    source: Source,
    clock: SimClock,
    is_legacy: bool,
    /// Oldest ledger of a generated network.
    elder: AtomicU32,
    /// Newest ledger ever shown. The system clock may be set back, but a ledger is never taken back.
    shown: AtomicU32,
}

impl Simulation {
    /// Builds the network.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an invalid configuration.
    pub fn new(config: &SimConfig) -> io::Result<Self> {
        config.check()?;
        let (source, elder) = match &config.fixed {
            Some(fixed) => (Source::Fixed(fixed.clone()), 0),
            None => {
                let network = Network::new(config);
                let history_ms = i64::from(config.history_hours) * 3_600_000;
                let elder = network.timeline.ledger_at(config.clock.now_ms() - history_ms);
                (Source::Generated(Box::new(network)), elder)
            }
        };
        let (clock, is_legacy) = (config.clock.clone(), config.legacy_shapes);
        Ok(Self { source, clock, is_legacy, elder: AtomicU32::new(elder), shown: AtomicU32::new(0) })
    }

    /// Drops the history before `elder`, like a server with little retention. The lake keeps it.
    pub fn forget_below(&self, elder: u32) {
        self.elder.store(elder, Ordering::SeqCst);
    }

    /// Current range of history.
    pub fn head(&self) -> Head {
        match &self.source {
            Source::Fixed(fixed) => {
                let state = fixed.read();
                Head { elder: state.elder, latest: state.latest, closed_at: state.closed_at }
            }
            Source::Generated(network) => {
                let now = network.timeline.ledger_at(self.clock.now_ms());
                let latest = self.shown.fetch_max(now, Ordering::SeqCst).max(now);
                let elder = self.elder.load(Ordering::SeqCst);
                Head { elder, latest, closed_at: network.timeline.closed_at(latest) }
            }
        }
    }

    /// Oracle: every trade of these ledgers in order, closed yet or not. Empty for scripted data, which the test knows
    /// itself.
    pub fn trades(&self, ledgers: RangeInclusive<u32>) -> Vec<SimTrade> {
        let Source::Generated(network) = &self.source else { return Vec::new() };
        ledgers
            .flat_map(|ledger| network.trades(ledger, 0..network.count(ledger)))
            .map(|raw| network.typed(&raw))
            .collect()
    }

    /// Close time of a ledger. For scripted data, that of the newest ledger.
    pub fn closed_at(&self, ledger: u32) -> DateTime<Utc> {
        match &self.source {
            Source::Generated(network) => network.timeline.closed_at(ledger),
            Source::Fixed(fixed) => fixed.read().closed_at,
        }
    }

    pub(crate) fn batch(&self, query: TradeQuery, head: Head, origin: &str) -> Batch {
        match &self.source {
            Source::Fixed(fixed) => fixed_batch(fixed, query, head),
            Source::Generated(network) => {
                let shape = Shape { origin, is_legacy: self.is_legacy };
                let mut batch = Batch::default();
                if query.descending {
                    fill_down(network, query, head, shape, &mut batch);
                } else {
                    fill_up(network, query, head, shape, &mut batch);
                }
                batch
            }
        }
    }

    /// Same as [`Self::batch`] for a server without the ledgers of `hole`.
    pub(crate) fn batch_without(
        &self,
        query: TradeQuery,
        head: Head,
        origin: &str,
        hole: Option<RangeInclusive<u32>>,
    ) -> Batch {
        let mut batch = self.batch(query, head, origin);
        let Some(hole) = hole else { return batch };
        let (first, end) =
            (TradeId::before_ledger(*hole.start()), TradeId::before_ledger(hole.end().saturating_add(1)));
        let is_before_hole = |id: &TradeId| if query.descending { *id >= end } else { *id < first };
        let before = batch.ends.iter().take_while(|(id, _)| is_before_hole(id)).count();
        if before == batch.len() && before == query.limit {
            return batch;
        }
        batch.truncate(before);
        let after = if query.descending { query.after.min(first) } else { query.after.max(end) };
        batch.append(&self.batch(TradeQuery { after, limit: query.limit - before, ..query }, head, origin));
        batch
    }

    /// Asset records with their paging tokens.
    pub(crate) fn assets(&self, query: &AssetQuery) -> Vec<(String, Value)> {
        match &self.source {
            Source::Fixed(fixed) => {
                let state = fixed.read();
                select(state.assets.iter(), query, |(key, _)| (*key).clone(), |(_, value)| (*value).clone())
            }
            Source::Generated(network) => {
                let catalog = &network.markets.catalog;
                let assets = catalog.listed.iter().filter_map(|index| catalog.assets.get(*index));
                let record = |asset: &&_| render_asset::record(asset, self.is_legacy);
                select(assets, query, |asset| render_asset::key(asset), record)
            }
        }
    }

    /// Bids and asks, or a whole scripted reply.
    pub(crate) fn book(&self, selling: &str, buying: &str, limit: usize) -> Book {
        match &self.source {
            Source::Fixed(fixed) => {
                let key = (selling.to_owned(), buying.to_owned());
                fixed.read().books.get(&key).cloned().map_or_else(Book::empty, Book::Whole)
            }
            Source::Generated(network) => {
                let latest = self.head().latest;
                let (bids, asks) = book::sides(&network.markets, selling, buying, latest, limit);
                Book::Sides { bids, asks }
            }
        }
    }

    pub(crate) fn toml(&self, domain: &str) -> Option<TomlReply> {
        match &self.source {
            Source::Fixed(fixed) => fixed.read().tomls.get(domain).cloned(),
            Source::Generated(network) => network.markets.catalog.tomls.get(domain).cloned(),
        }
    }
}

/// Order book to serve.
#[derive(Debug)]
pub(crate) enum Book {
    Sides { bids: Value, asks: Value },
    Whole(Value),
}

impl Book {
    fn empty() -> Self {
        Self::Sides { bids: Value::Array(Vec::new()), asks: Value::Array(Vec::new()) }
    }
}

fn render_some(
    network: &Network,
    ledger: u32,
    range: std::ops::Range<u32>,
    shape: Shape<'_>,
    batch: &mut Batch,
) {
    let closed = network.timeline.closed_at(ledger).to_rfc3339_opts(SecondsFormat::Secs, true);
    for raw in network.trades(ledger, range) {
        render::trade(&mut batch.bytes, &raw, &closed, shape);
        batch.close(raw.id);
    }
}

fn room(query: TradeQuery, batch: &Batch) -> u32 {
    u32::try_from(query.limit.saturating_sub(batch.len())).unwrap_or(u32::MAX)
}

fn fill_up(network: &Network, query: TradeQuery, head: Head, shape: Shape<'_>, batch: &mut Batch) {
    for ledger in query.after.ledger().max(head.elder)..=head.latest {
        let count = network.count(ledger);
        let start = network.layout(ledger).prefix(count, |id| id <= query.after);
        let end = count.min(start.saturating_add(room(query, batch)));
        render_some(network, ledger, start..end, shape, batch);
        if room(query, batch) == 0 {
            return;
        }
    }
}

fn fill_down(network: &Network, query: TradeQuery, head: Head, shape: Shape<'_>, batch: &mut Batch) {
    for ledger in (head.elder..=query.after.ledger().min(head.latest)).rev() {
        let end = network.layout(ledger).prefix(network.count(ledger), |id| id < query.after);
        let start = end.saturating_sub(room(query, batch));
        // Render one by one: records go from new to old, while the generator goes from old to new.
        for index in (start..end).rev() {
            render_some(network, ledger, index..index + 1, shape, batch);
        }
        if room(query, batch) == 0 {
            return;
        }
    }
}

fn fixed_batch(fixed: &FixedSource, query: TradeQuery, head: Head) -> Batch {
    let state = fixed.read();
    let mut batch = Batch::default();
    let ledgers = head.elder..=head.latest;
    let mut take = |(id, value): (&TradeId, &Value)| {
        // Serialising a Value into a Vec never fails.
        let _ = serde_json::to_writer(&mut batch.bytes, value);
        batch.close(*id);
    };
    if query.descending {
        let older = state.trades.range(..query.after).rev().filter(|(id, _)| state.serves(**id, &ledgers));
        older.take(query.limit).for_each(&mut take);
    } else {
        let after = (std::ops::Bound::Excluded(query.after), std::ops::Bound::Unbounded);
        let newer = state.trades.range(after).filter(|(id, _)| state.serves(**id, &ledgers));
        newer.take(query.limit).for_each(&mut take);
    }
    batch
}

/// Filters a sorted list of assets and returns one page of it.
fn select<T>(
    sorted: impl DoubleEndedIterator<Item = T>,
    query: &AssetQuery,
    key: impl Fn(&T) -> AssetKey,
    record: impl Fn(&T) -> Value,
) -> Vec<(String, Value)> {
    let wanted = |key: &AssetKey| {
        let place = match &query.after {
            None => true,
            Some(after) if query.descending => key < after,
            Some(after) => key > after,
        };
        place
            && query.code.as_ref().is_none_or(|code| *code == key.0)
            && query.issuer.as_ref().is_none_or(|issuer| *issuer == key.1)
    };
    let pick = |item: T| {
        let key = key(&item);
        wanted(&key).then(|| (asset_cursor::token(&key), record(&item)))
    };
    if query.descending {
        sorted.rev().filter_map(pick).take(query.limit).collect()
    } else {
        sorted.filter_map(pick).take(query.limit).collect()
    }
}
