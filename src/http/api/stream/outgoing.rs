//! Events on their way to one reader, in small chunks: a reader never holds all events of a publication.

use std::{fmt::Write as _, sync::Arc};

use bytes::Bytes;
use ticker_formats::listings::live::{Line, Lines};

use super::{backlog::Backlog, event_id::EventId, filter::Filter};

/// Bytes after which a chunk ends. The event that passes it is the last one, of shared events the one before.
const CHUNK_BYTES: usize = 4 * 1024;

/// Events with a place.
pub(super) struct Outgoing {
    events: Events,
    /// Number of the next line.
    at: usize,
    /// Last event; none once it was sent.
    end: Option<EventId>,
    /// True if the last event is sent even if no line was wanted.
    ends_always: bool,
}

enum Events {
    /// Lines of one publication.
    Lines(Arc<Lines>),
    /// Everything that a reader missed after this batch.
    Backlog(Arc<Backlog>, i64),
    /// Events that all readers share, to their end.
    Shared(Bytes),
}

impl Outgoing {
    /// Events of a publication. If no line is wanted, nothing is sent.
    pub(super) const fn lines(lines: Arc<Lines>, id: EventId) -> Self {
        Self { events: Events::Lines(lines), at: 0, end: Some(id), ends_always: false }
    }

    /// All events after batch `seen`, for a reader that has everything up to it.
    pub(super) fn backlog(backlog: Arc<Backlog>, seen: i64) -> Self {
        let end = Some(backlog.id);
        Self { events: Events::Backlog(backlog, seen), at: 0, end, ends_always: true }
    }

    /// True for what a reader missed before it came back.
    pub(super) const fn is_backlog(&self) -> bool {
        matches!(self.events, Events::Backlog(..))
    }

    /// Events as they are.
    pub(super) const fn shared(events: Bytes) -> Self {
        Self { events: Events::Shared(events), at: 0, end: None, ends_always: false }
    }

    /// The next chunk; none at the end.
    pub(super) fn chunk(&mut self, filter: &Filter) -> Option<Bytes> {
        if let Events::Shared(rest) = &mut self.events {
            let chunk = rest.split_to(whole_events(rest));
            return (!chunk.is_empty()).then_some(chunk);
        }
        let mut text = String::new();
        while text.len() < CHUNK_BYTES {
            let Some((event, line)) = self.events.line(self.at, filter) else {
                if let Some(id) = self.end.take().filter(|_| self.ends_always) {
                    text.push_str(&published(id));
                }
                break;
            };
            self.at += 1;
            if let Some(line) = line.filter(|line| filter.wants(line)) {
                write_line(event, line, &mut text);
                self.ends_always = true; // the end may come in a later chunk
            }
        }
        (!text.is_empty()).then(|| text.into())
    }
}

/// Length of the events that fit in a chunk, or of the first one. A drain ends the stream between two
/// chunks, so no chunk ends within an event.
fn whole_events(events: &[u8]) -> usize {
    const END: &[u8] = b"\n\n";
    let fitting = events.get(..CHUNK_BYTES).unwrap_or(events);
    let last = fitting.windows(END.len()).rposition(|at| at == END);
    let first = || events.windows(END.len()).position(|at| at == END);
    last.or_else(first).map_or(events.len(), |at| at.saturating_add(END.len()))
}

impl Events {
    /// Name and line of an event; none at the end. A line is none if its reader has it already, or needs none.
    fn line(&self, at: usize, filter: &Filter) -> Option<(&'static str, Option<&Line>)> {
        match self {
            Self::Shared(_) => None,
            Self::Lines(lines) => {
                let trade = lines.trades.get(at).map(|line| ("trade", Some(line)));
                let market = || lines.markets.get(at - lines.trades.len()).map(|line| ("market", Some(line)));
                trade.or_else(market)
            }
            Self::Backlog(backlog, seen) => {
                let Backlog { trades, markets, idle, .. } = backlog.as_ref();
                let trade = trades.get(at).map(|(seq, line)| ("trade", (seq > seen).then_some(line)));
                let market = || markets.get(at - trades.len()).map(|line| ("market", Some(line)));
                let named = |line| ("market", (!filter.is_all()).then_some(line));
                let idle = || idle.get(at - trades.len() - markets.len()).map(named);
                trade.or_else(market).or_else(idle)
            }
        }
    }
}

/// Last event of a publication. Its id is the one to resume from.
pub(super) fn published(EventId { seq, as_of }: EventId) -> String {
    let shown = as_of.to_rfc3339();
    format!("id: {seq}.{}\nevent: published\ndata: {{\"seq\":{seq},\"as_of\":\"{shown}\"}}\n\n", as_of.0)
}

/// Appends one event.
pub(super) fn write_line(event: &str, line: &Line, text: &mut String) {
    // Writing to a String never fails.
    let _ = write!(text, "event: {event}\ndata: {}\n\n", line.json);
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;
    use crate::{
        db::missed::MissedTrades,
        domain::{
            amount::Total,
            asset::Asset,
            changes::Changes,
            directory::Directory,
            instant::UnixSeconds,
            market_snapshot::MarketSnapshot,
            orderbook::{Level, OrderBook, PolledBook},
            price::Price,
            test_support::{address, trade},
            windows::Windows,
        },
        published::recent::Change,
    };

    fn lines(markets: i32) -> Arc<Lines> {
        let line = |market| Line { market, assets: (market, -1), json: "x".repeat(1_000) };
        Arc::new(Lines { trades: vec![line(0)], markets: (1..=markets).map(line).collect() })
    }

    fn chunks(mut outgoing: Outgoing, filter: &Filter) -> Vec<String> {
        let chunks = std::iter::from_fn(|| outgoing.chunk(filter));
        chunks.map(|chunk| String::from_utf8(chunk.to_vec()).unwrap()).collect()
    }

    #[test]
    fn a_large_publication_goes_out_in_small_chunks_and_ends_with_its_id() {
        let id = EventId { seq: 7, as_of: UnixSeconds(90) };
        for markets in [0, 1, 3, 20] {
            let chunks = chunks(Outgoing::lines(lines(markets), id), &Filter::all());
            assert!(chunks.iter().all(|chunk| chunk.len() < CHUNK_BYTES + 1_100), "{markets}");
            let text = chunks.concat();
            assert_eq!(text.matches("event: ").count(), usize::try_from(markets).unwrap() + 2);
            assert!(text.ends_with(&published(id)), "{markets}: {text}");
        }
    }

    #[test]
    fn no_chunk_of_shared_events_ends_within_an_event() {
        let event = |bytes: usize| format!("event: market\ndata: {}\n\n", "x".repeat(bytes));
        for sizes in
            [&[][..], &[10, 20], &[4_000, 4_000, 10], &[9_000, 10], &[2_000, 2_000, 2_000, 2_000, 60_000, 5]]
        {
            let events: String = sizes.iter().copied().map(event).collect();
            let chunks = chunks(Outgoing::shared(events.clone().into()), &Filter::all());
            assert_eq!(chunks.concat(), events);
            for chunk in chunks {
                let is_one = chunk.matches("event: ").count() == 1;
                assert!(chunk.ends_with("\n\n") && (is_one || chunk.len() <= CHUNK_BYTES), "{sizes:?}");
            }
        }
    }

    #[test]
    fn a_publication_without_a_wanted_line_sends_nothing() {
        let id = EventId { seq: 7, as_of: UnixSeconds(90) };
        assert_eq!(
            chunks(Outgoing::lines(lines(9), id), &Filter::of_markets([(77, -1)])),
            Vec::<String>::new()
        );
        let wanted = chunks(Outgoing::lines(lines(9), id), &Filter::of_markets([(-1, 9)])).concat();
        assert!(wanted.starts_with("event: market") && wanted.ends_with(&published(id)), "{wanted}");
    }

    /// Backlog with market 1, which has a trade in 7 days, and markets 2 and 3, which have none. All have a fresh book.
    fn backlog() -> Arc<Backlog> {
        let as_of = UnixSeconds(1_000_000_000);
        let mut windows = Windows::default();
        windows.advance(as_of);
        windows.add(1, trade(5, 0, as_of.0 - 9, (10, 20), (2, 1)));
        let mut directory = Directory::default();
        let issued = |byte: u8| (i32::from(byte), Asset::issued("TEA", &address(byte)).unwrap());
        directory.add_names([(1, Asset::Native), issued(2), issued(3)]);
        directory.add_markets([(1, 1, 2), (2, 1, 3), (3, 2, 3)]);
        let bid = Level { price: Price::new(2, 1).unwrap(), amount: Total::parse("1").unwrap() };
        let book = OrderBook { bids: vec![bid], asks: vec![bid] };
        directory.update_books((1..=3).map(|id| (id, PolledBook::of(&book, as_of))).collect(), true);
        let snapshot = MarketSnapshot::new(windows.view(), directory);
        let (lines, events) = (OnceLock::new(), OnceLock::new());
        let changes = Changes::default();
        let last = Change { number: 1, after: None, seq: 7, as_of, changes, lines, events };
        let missed = MissedTrades { batches: Vec::new(), trades: Vec::new() };
        Arc::new(Backlog::of(missed, &last, &snapshot))
    }

    #[test]
    fn a_reader_that_comes_back_learns_which_of_its_markets_left_meanwhile() {
        let name = |byte| format!("TEA-{}", address(byte));
        let sent = |filter: &Filter| {
            let text = chunks(Outgoing::backlog(backlog(), 6), filter).concat();
            let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
            let events = data.map(|data| serde_json::from_str::<serde_json::Value>(data).unwrap());
            events.filter(|event| event["market"].is_string()).collect::<Vec<_>>()
        };
        let all = sent(&Filter::all());
        assert_eq!(all.len(), 1, "it sees which ones are missing: {all:?}");
        assert_eq!(all[0]["market"], format!("{}_XLM", name(2)));
        assert!(all[0]["last"].is_string() && all[0]["bid"].is_string(), "{all:?}");
        for (filter, market) in [
            (Filter::of_markets([(3, 1)]), format!("{}_XLM", name(3))),
            (Filter::of_assets([3]), format!("{}_XLM", name(3))),
        ] {
            let events = sent(&filter);
            let left = events.iter().find(|event| event["market"] == market).expect(&market);
            assert!(left["last"].is_null() && left["bid"].is_null() && left["ask"].is_null(), "{left}");
            assert_eq!(left["24h"]["trade_count"], 0);
            assert!(!events.iter().any(|event| event["market"] == all[0]["market"]), "not asked for");
        }
        assert_eq!(sent(&Filter::of_assets([3])).len(), 2);
    }
}
