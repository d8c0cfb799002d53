//! Trades of a market, as documents show them.

use serde::Serialize;
use ticker_domain::{
    instant::{MINUTE, UnixSeconds},
    listed_trade::{self, ListedTrade},
    trade_stats::WindowTrade,
    windows::MarketId,
};

use super::{value, view::ListingView};

/// Length of the first piece, in seconds.
const FIRST_PIECE_S: i64 = MINUTE;
/// Factor between the lengths of two pieces, if the first has too few or too many trades.
const GROWTH: i64 = 4;
/// Trades from which a piece does not grow any more, and beyond which the next one is shorter.
const PIECE_MIN: usize = 1_000;
const PIECE_MAX: usize = 10_000;

/// Trade in the orientation of new outputs: amounts in units, price quote per base.
#[derive(Debug, Serialize)]
pub(crate) struct QuotedTrade {
    /// Close time of the ledger, RFC 3339.
    pub(crate) time: String,
    /// Horizon's id.
    pub(crate) paging_token: String,
    /// `buy` if the taker bought the base, else `sell`.
    #[serde(rename = "type")]
    pub(crate) side: &'static str,
    pub(crate) price: Option<String>,
    pub(crate) base_amount: String,
    pub(crate) quote_amount: String,
    /// `book` or `pool`.
    pub(crate) maker: &'static str,
}

/// Numbered trade of a document.
#[derive(Debug, Serialize)]
pub(super) struct TradeRow {
    /// Number of the trade within its market.
    pub(super) id: u64,
    #[serde(flatten)]
    pub(super) trade: QuotedTrade,
    /// Close time, in milliseconds since 1970.
    #[serde(skip)]
    pub(super) millis: i64,
}

/// Order of trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    NewestFirst,
    OldestFirst,
}

/// Trades of complete ledgers of one market, with their numbers. They are read in pieces of time, since a busy market
/// has a million trades in 7 days, and most readers want few.
pub(super) struct NumberedTrades<'a> {
    view: &'a ListingView,
    market: MarketId,
    order: Order,
    /// Times of the trades that are not read yet: after `edge`, up to `end`.
    edge: UnixSeconds,
    end: UnixSeconds,
    /// Length of the next piece, in seconds.
    seconds: i64,
    piece: std::vec::IntoIter<ListedTrade>,
}

impl<'a> NumberedTrades<'a> {
    /// Trades that closed after `edge`, up to `end`.
    pub(super) fn new(
        view: &'a ListingView,
        market: MarketId,
        order: Order,
        edge: UnixSeconds,
        end: UnixSeconds,
    ) -> Self {
        let times = view.snapshot().windows().figures_of(market).and_then(|figures| figures.week.times);
        // Nothing to read outside of what is held.
        let (edge, end) = times.map_or((end, end), |(first, last)| (edge.max(first.minus(1)), end.min(last)));
        Self { view, market, order, edge, end, seconds: FIRST_PIECE_S, piece: Vec::new().into_iter() }
    }

    /// Reads the next piece.
    fn read(&mut self) {
        let (edge, end) = match self.order {
            Order::NewestFirst => (self.edge.max(self.end.minus(self.seconds)), self.end),
            Order::OldestFirst => (self.edge, self.end.min(self.edge.plus(self.seconds))),
        };
        match self.order {
            Order::NewestFirst => self.end = edge,
            Order::OldestFirst => self.edge = end,
        }
        // All trades of a ledger close in the same second, so no piece cuts a ledger.
        let trades = self.view.snapshot().windows().trades_since(self.market, edge);
        let trades = trades.take_while(|trade| trade.closed_at <= end);
        let mut piece = listed_trade::numbered(trades, self.view.coverage());
        if piece.len() < PIECE_MIN {
            self.seconds = self.seconds.saturating_mul(GROWTH);
        } else if piece.len() > PIECE_MAX {
            self.seconds = (self.seconds / GROWTH).max(1);
        }
        if self.order == Order::NewestFirst {
            piece.reverse();
        }
        self.piece = piece.into_iter();
    }
}

impl Iterator for NumberedTrades<'_> {
    type Item = ListedTrade;

    fn next(&mut self) -> Option<ListedTrade> {
        loop {
            match self.piece.next() {
                Some(trade) => return Some(trade),
                None if self.edge < self.end => self.read(),
                None => return None,
            }
        }
    }
}

/// Takes this number of trades, and those that closed in the same second as the last of them. A reader goes on from
/// the second that follows, and so misses none. If all are of one second, those of the next second are taken too, for
/// readers who go on from the last second itself.
pub(super) fn whole_seconds(
    trades: impl Iterator<Item = ListedTrade>,
    limit: usize,
) -> impl Iterator<Item = ListedTrade> {
    let (mut taken, mut first, mut last) = (0_usize, None, None);
    trades.take_while(move |listed| {
        let closed_at = Some(listed.trade.closed_at);
        let is_one_second = taken > 1 && first == last;
        let is_taken = taken < limit || last == closed_at || is_one_second;
        taken = taken.saturating_add(1);
        first = first.or(closed_at);
        last = closed_at;
        is_taken
    })
}

impl QuotedTrade {
    /// A market's trade. `is_flipped` says that the market's counter is the base of new outputs.
    pub(super) fn of(trade: &WindowTrade, is_flipped: bool) -> Self {
        let (base, quote) = if is_flipped {
            (trade.counter_amount, trade.base_amount)
        } else {
            (trade.base_amount, trade.counter_amount)
        };
        Self {
            time: trade.closed_at.to_rfc3339(),
            paging_token: trade.token.to_string(),
            side: if trade.is_buy == is_flipped { "sell" } else { "buy" },
            price: value::price(trade.price.map(|price| if is_flipped { price.inverse() } else { price })),
            base_amount: base.to_string(),
            quote_amount: quote.to_string(),
            maker: if trade.is_pool { "pool" } else { "book" },
        }
    }
}

impl TradeRow {
    /// Row of a market's trade; `is_flipped` as in [`QuotedTrade::of`].
    pub(super) fn of(listed: &ListedTrade, is_flipped: bool) -> Self {
        Self {
            id: listed.id,
            trade: QuotedTrade::of(&listed.trade, is_flipped),
            millis: listed.trade.closed_at.0.saturating_mul(1_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ticker_domain::{
        asset::Asset, coverage::LedgerRange, directory::Directory, instant::HOUR, market::QUOTE_ASSETS,
        market_snapshot::MarketSnapshot, test_support::trade, windows::Windows,
    };

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_790_000_000);
    const MARKET: MarketId = 1;

    /// Ledgers of two trades each, the number of seconds between them, and a burst in one second.
    fn view(ledgers: i64, seconds: i64) -> ListingView {
        let (mut directory, mut windows) = (Directory::default(), Windows::default());
        directory.add_names([(1, Asset::Native), (2, QUOTE_ASSETS[0].parse().unwrap())]);
        directory.add_markets([(MARKET, 1, 2)]);
        for ledger in 0..ledgers {
            for order in 0..2 {
                let closed_at = NOW.0 - seconds * ledger;
                windows.add(MARKET, trade(100_000 - ledger, order, closed_at, (10_000, 10_000), (1, 1)));
            }
        }
        (0..12_000).for_each(|order| {
            let burst = trade(200_000, order, NOW.0 + 1, (10_000, 10_000), (1, 1));
            windows.add(MARKET, burst);
        });
        windows.advance(NOW);
        let snapshot = MarketSnapshot::new(windows.view(), directory);
        let range = |from, to| LedgerRange { from, to, from_time: UnixSeconds(1), to_time: NOW };
        // One ledger is missing.
        let coverage = vec![range(1, 99_990), range(99_992, 300_000)];
        let snapshot = Arc::new(snapshot.with_coverage(Arc::new(coverage)));
        ListingView::new(7, snapshot, "Network".into(), &[], &Arc::default())
    }

    #[test]
    fn pieces_are_the_whole_in_either_order() {
        for (ledgers, seconds) in [(0, 1), (40, 9 * HOUR / 4), (3_000, 7), (20_000, 1)] {
            let view = view(ledgers, seconds);
            for (edge, end) in
                [(0, i64::MAX), (NOW.0 - 5_000, NOW.0 - 70), (NOW.0, NOW.0), (NOW.0 + 1, i64::MAX)]
            {
                let (edge, end) = (UnixSeconds(edge), UnixSeconds(end));
                let held = view.snapshot().windows().trades_since(MARKET, edge);
                let held = held.filter(|trade| trade.closed_at <= end);
                let mut whole = listed_trade::numbered(held, view.coverage());
                let listed = |order| NumberedTrades::new(&view, MARKET, order, edge, end).collect::<Vec<_>>();
                assert!(listed(Order::OldestFirst) == whole, "{ledgers} {edge:?}");
                whole.reverse();
                assert!(listed(Order::NewestFirst) == whole, "{ledgers} {edge:?}");
            }
        }
    }

    /// Readers go on at the second of the last trade, or after it.
    #[test]
    fn pages_by_time_miss_no_trade_of_a_ledger() {
        let view = view(40, 3);
        let all = UnixSeconds(i64::MAX);
        let from = |edge| NumberedTrades::new(&view, MARKET, Order::OldestFirst, edge, all);
        let whole: Vec<_> = from(UnixSeconds(0)).collect();
        for limit in [1, 3, 50] {
            let (mut read, mut edge) = (Vec::new(), UnixSeconds(0));
            loop {
                let page: Vec<_> = whole_seconds(from(edge), limit).collect();
                let Some(last) = page.last() else { break };
                edge = last.trade.closed_at;
                read.extend(page);
            }
            assert!(read == whole, "{limit}");
            edge = UnixSeconds(0);
            loop {
                let last = whole_seconds(from(edge), limit).last().unwrap().trade.closed_at;
                if edge == last.minus(1) {
                    break;
                }
                edge = last.minus(1);
            }
            assert_eq!(edge, NOW, "readers who begin with the last second reach the newest trade");
        }
        assert_eq!(whole_seconds(from(UnixSeconds(0)), 5).count(), 6, "two trades each");
    }

    #[test]
    fn few_trades_read_few_pieces() {
        let view = view(20_000, 1);
        let end = NOW.minus(1);
        let mut newest = NumberedTrades::new(&view, MARKET, Order::NewestFirst, UnixSeconds(0), end);
        assert_eq!(newest.by_ref().take(100).count(), 100);
        assert_eq!(newest.end, end.minus(FIRST_PIECE_S), "a minute has enough");
    }
}
