//! Explanation of a figure: the trades behind it, those left out, the deciding ones, and a recomputation.

use std::{
    cmp::{Ordering, Reverse},
    collections::VecDeque,
};

use serde::{Serialize, Serializer};
use serde_json::Value;
use ticker_domain::{
    cursor::PagingToken,
    instant::UnixSeconds,
    quoted::QuotedStats,
    span::Span,
    trade_stats::{TradeStats, WindowTrade},
    windows::MarketId,
};

use super::{market::MarketView, own, trades::QuotedTrade};

/// Most trades that are shown.
const SHOWN_MAX: usize = 10;

/// Figure of a window that can be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name in the documents of markets.
    pub name: &'static str,
    counted: Counted,
    decided_by: DecidedBy,
    /// Rule in one sentence.
    rule: &'static str,
}

/// Trades that a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    All,
    /// Trades with a price.
    Priced,
    /// Clean trades, or all with a price if there is none.
    Clean,
    OnlyClean,
    Bought,
    Sold,
    Book,
    Pool,
}

/// Trades that a figure is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DecidedBy {
    First,
    Last,
    FirstAndLast,
    Highest,
    Lowest,
    /// A sum has no single one: the trades with the largest base amounts are shown.
    LargestBase,
    LargestQuote,
}

const fn field(name: &'static str, counted: Counted, decided_by: DecidedBy, rule: &'static str) -> Field {
    Field { name, counted, decided_by, rule }
}

/// All figures that can be explained.
pub const FIELDS: [Field; 19] = [
    field(
        "open",
        Counted::Clean,
        DecidedBy::First,
        "First price of the window's clean trades; without a clean trade, of all trades.",
    ),
    field(
        "high",
        Counted::Clean,
        DecidedBy::Highest,
        "Highest price of the window's clean trades; without a clean trade, of all trades.",
    ),
    field(
        "low",
        Counted::Clean,
        DecidedBy::Lowest,
        "Lowest price of the window's clean trades; without a clean trade, of all trades.",
    ),
    field(
        "close",
        Counted::Clean,
        DecidedBy::Last,
        "Last price of the window's clean trades; without a clean trade, of all trades.",
    ),
    field(
        "open_raw",
        Counted::Priced,
        DecidedBy::First,
        "Price of the first trade of the window, dust included.",
    ),
    field("high_raw", Counted::Priced, DecidedBy::Highest, "Highest price of the window, dust included."),
    field("low_raw", Counted::Priced, DecidedBy::Lowest, "Lowest price of the window, dust included."),
    field(
        "close_raw",
        Counted::Priced,
        DecidedBy::Last,
        "Price of the last trade of the window, dust included.",
    ),
    field(
        "vwap",
        Counted::OnlyClean,
        DecidedBy::LargestBase,
        "Quote volume of the clean trades divided by their base volume; null without a clean trade.",
    ),
    field(
        "change",
        Counted::Clean,
        DecidedBy::FirstAndLast,
        "Last minus first price of the window's clean trades; without a clean trade, of all trades.",
    ),
    field(
        "change_percent",
        Counted::Clean,
        DecidedBy::FirstAndLast,
        "Difference of last and first price of the window's clean trades, in per cent of the first; without a clean \
         trade, of all trades.",
    ),
    field("base_volume", Counted::All, DecidedBy::LargestBase, "Sum of the base amounts of all trades."),
    field("quote_volume", Counted::All, DecidedBy::LargestQuote, "Sum of the quote amounts of all trades."),
    field("trade_count", Counted::All, DecidedBy::LargestBase, "Number of all trades."),
    field("clean_count", Counted::OnlyClean, DecidedBy::LargestBase, "Number of clean trades."),
    field(
        "buy_volume",
        Counted::Bought,
        DecidedBy::LargestBase,
        "Base volume of trades whose taker bought the base.",
    ),
    field(
        "sell_volume",
        Counted::Sold,
        DecidedBy::LargestBase,
        "Base volume of trades whose taker sold the base.",
    ),
    field(
        "book_volume",
        Counted::Book,
        DecidedBy::LargestBase,
        "Base volume of trades with offers of the order book.",
    ),
    field(
        "pool_volume",
        Counted::Pool,
        DecidedBy::LargestBase,
        "Base volume of trades with liquidity pools.",
    ),
];

/// Explanation of one figure of one window.
#[derive(Debug, Serialize)]
pub struct Explanation {
    pub(crate) as_of: String,
    pub(crate) seq: i64,
    pub(crate) market: String,
    pub(crate) field: &'static str,
    pub(crate) window: &'static str,
    /// Published figure, as in the document of the market.
    pub value: Value,
    /// The same figure, computed from the listed trades alone.
    pub(crate) recomputed: Value,
    /// True if both are equal.
    pub agrees: bool,
    pub(crate) rule: &'static str,
    /// Trades that closed after this time count …
    pub(crate) from: String,
    /// … up to this one, inclusive.
    pub(crate) to: String,
    pub(crate) trades: TradeCounts,
    /// Trades that decide the figure; of a sum the ten largest.
    pub(crate) deciding: Vec<ExplainedTrade>,
    /// Query for `psql` that lists the window's trades.
    pub(crate) sql: String,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct TradeCounts {
    pub(crate) in_window: usize,
    pub(crate) counted: usize,
    pub(crate) left_out: Vec<LeftOut>,
}

#[derive(Debug, Serialize)]
pub(crate) struct LeftOut {
    pub(crate) reason: &'static str,
    pub(crate) count: usize,
    /// Horizon's ids of the newest of them, at most [`SHOWN_MAX`], the newest first.
    #[serde(serialize_with = "texts")]
    pub(crate) paging_tokens: VecDeque<PagingToken>,
}

fn texts<S: Serializer>(tokens: &VecDeque<PagingToken>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(tokens.iter().map(PagingToken::to_string))
}

impl TradeCounts {
    /// Counts a trade that is left out. It must be newer than those before.
    fn leave_out(&mut self, reason: &'static str, trade: &WindowTrade) {
        let known = self.left_out.iter().position(|known| known.reason == reason);
        let place = known.unwrap_or(self.left_out.len());
        if known.is_none() {
            self.left_out.push(LeftOut { reason, count: 0, paging_tokens: VecDeque::new() });
        }
        let Some(known) = self.left_out.get_mut(place) else { return };
        known.count += 1;
        known.paging_tokens.push_front(trade.token);
        known.paging_tokens.truncate(SHOWN_MAX);
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct ExplainedTrade {
    #[serde(flatten)]
    pub(crate) trade: QuotedTrade,
    is_clean: bool,
}

impl Field {
    /// Field of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        FIELDS.into_iter().find(|field| field.name == name)
    }

    /// Explains the figure of a market's window. `query` makes the text that lists the window's trades.
    /// Costs a pass over the trades of the window.
    #[must_use]
    pub fn explain(
        self,
        market: &MarketView<'_>,
        span: Span,
        query: fn(MarketId, UnixSeconds, UnixSeconds) -> String,
    ) -> Explanation {
        let view = market.view();
        let from = span.edge(view.as_of());
        // The network's clock may be ahead of ours, and its newest trades count.
        let to = market.last_trade_at().map_or(view.as_of(), |at| at.max(view.as_of()));
        // Twice through the trades instead of a list of them: a busy market has a million in 7 days.
        let held = || market.raw_trades_since(from);
        let mut stats = TradeStats::default();
        held().for_each(|trade| stats.add(&trade));
        let is_flipped = market.is_flipped();
        let (mut trades, mut deciding) = (TradeCounts::default(), Vec::new());
        for trade in held() {
            trades.in_window += 1;
            match self.counted.reason_against(&trade, stats.clean.trade_count > 0, is_flipped) {
                Some(reason) => trades.leave_out(reason, &trade),
                None => {
                    trades.counted += 1;
                    self.decided_by.choose(&mut deciding, trade, is_flipped);
                }
            }
        }
        let figure = |stats: &QuotedStats| own::figure(stats, self.name);
        let value = figure(&market.stats(span));
        let recomputed = figure(&QuotedStats::of(&stats, is_flipped));
        Explanation {
            as_of: view.as_of().to_rfc3339(),
            seq: view.seq(),
            market: market.name(),
            field: self.name,
            window: span.name(),
            agrees: value == recomputed,
            value,
            recomputed,
            rule: self.rule,
            from: from.to_rfc3339(),
            to: to.to_rfc3339(),
            trades,
            deciding: deciding.iter().map(|trade| ExplainedTrade::of(trade, is_flipped)).collect(),
            sql: query(market.id(), from, to),
        }
    }
}

impl Counted {
    /// Reason for which a trade is not counted, or `None` if it is.
    fn reason_against(self, trade: &WindowTrade, has_clean: bool, is_flipped: bool) -> Option<&'static str> {
        const UNCLEAN: &str = "dust: one stroop is more than a thousandth of its amounts";
        const UNPRICED: &str = "it has no price";
        let is_buy = trade.is_buy != is_flipped;
        let (is_counted, reason) = match self {
            Self::All => (true, ""),
            Self::Clean | Self::OnlyClean | Self::Priced if trade.price.is_none() => (false, UNPRICED),
            Self::Clean if has_clean => (trade.is_clean(), UNCLEAN),
            Self::OnlyClean => (trade.is_clean(), UNCLEAN),
            Self::Clean | Self::Priced => (true, ""),
            Self::Bought => (is_buy, "its taker sold the base"),
            Self::Sold => (!is_buy, "its taker bought the base"),
            Self::Book => (!trade.is_pool, "a liquidity pool made its price"),
            Self::Pool => (trade.is_pool, "an offer of the order book made its price"),
        };
        (!is_counted).then_some(reason)
    }
}

impl DecidedBy {
    /// Adds a trade to the chosen ones if it belongs there, in the order in which they are shown.
    fn choose(self, chosen: &mut Vec<WindowTrade>, trade: WindowTrade, is_flipped: bool) {
        // The inverse reverses the order of prices.
        let wants_highest = (self == Self::Highest) != is_flipped;
        let first = chosen.first();
        match self {
            Self::First if first.is_none_or(|first| trade.token < first.token) => one(chosen, trade),
            Self::Last if first.is_none_or(|last| trade.token > last.token) => one(chosen, trade),
            Self::First | Self::Last => {}
            Self::FirstAndLast => {
                let place = chosen.partition_point(|chosen| chosen.token < trade.token);
                chosen.insert(place, trade);
                if chosen.len() > 2 {
                    chosen.remove(1);
                }
            }
            Self::Highest | Self::Lowest => {
                // Of equal prices, that of the first trade.
                let is_further = |best: &WindowTrade| match trade.price.cmp(&best.price) {
                    Ordering::Equal => trade.token < best.token,
                    order => order.is_gt() == wants_highest,
                };
                if first.is_none_or(is_further) {
                    one(chosen, trade);
                }
            }
            Self::LargestBase | Self::LargestQuote => {
                let is_of_counter = (self == Self::LargestQuote) != is_flipped;
                let key = |trade: &WindowTrade| {
                    let amount = if is_of_counter { trade.counter_amount } else { trade.base_amount };
                    (Reverse(amount.stroops()), trade.token)
                };
                let place = chosen.partition_point(|chosen| key(chosen) < key(&trade));
                chosen.insert(place, trade);
                chosen.truncate(SHOWN_MAX);
            }
        }
    }
}

/// Chooses this trade alone.
fn one(chosen: &mut Vec<WindowTrade>, trade: WindowTrade) {
    chosen.clear();
    chosen.push(trade);
}

impl ExplainedTrade {
    fn of(trade: &WindowTrade, is_flipped: bool) -> Self {
        Self { trade: QuotedTrade::of(trade, is_flipped), is_clean: trade.is_clean() }
    }
}

#[cfg(test)]
mod tests {
    use ticker_domain::test_support::trade;

    use super::*;

    /// Trades that are chosen from some, in either order of arrival.
    fn chosen(by: DecidedBy, trades: &[WindowTrade], is_flipped: bool) -> Vec<WindowTrade> {
        let [mut forth, mut back] = [Vec::new(), Vec::new()];
        trades.iter().for_each(|trade| by.choose(&mut forth, *trade, is_flipped));
        trades.iter().rev().for_each(|trade| by.choose(&mut back, *trade, is_flipped));
        assert_eq!(forth, back, "{by:?} {is_flipped}");
        forth
    }

    #[test]
    fn the_largest_trades_of_a_sum_are_those_with_the_most_of_what_it_sums() {
        let (cheap, dear) = (trade(1, 0, 1, (500, 20), (1, 25)), trade(2, 0, 2, (10, 900), (90, 1)));
        for (by, is_flipped, largest) in [
            (DecidedBy::LargestBase, false, &cheap),
            (DecidedBy::LargestQuote, false, &dear),
            (DecidedBy::LargestBase, true, &dear),
            (DecidedBy::LargestQuote, true, &cheap),
        ] {
            let chosen = chosen(by, &[cheap, dear], is_flipped);
            assert_eq!((chosen.len(), chosen.first()), (2, Some(largest)), "{by:?} {is_flipped}");
        }
        let many: Vec<_> = (0..30).map(|at| trade(at, 0, at, (1_000 - at % 7, 5), (1, 1))).collect();
        let tokens = chosen(DecidedBy::LargestBase, &many, false);
        let ledgers: Vec<u32> = tokens.iter().map(|trade| trade.token.ledger()).collect();
        assert_eq!(ledgers, [0, 7, 14, 21, 28, 1, 8, 15, 22, 29]);
    }

    #[test]
    fn a_trade_without_a_price_is_left_out_for_that_reason() {
        let clean = trade(1, 0, 1, (10_000, 20_000), (2, 1));
        let dust = trade(2, 0, 2, (1, 900), (900, 1));
        let unpriced = WindowTrade { price: None, ..clean };
        let reasons = |name: &str, has_clean: bool| {
            let counted = Field::named(name).unwrap().counted;
            let reason = |trade: &WindowTrade| counted.reason_against(trade, has_clean, false);
            [clean, dust, unpriced]
                .map(|trade| reason(&trade).map(|reason| reason.split_once([':', ' ']).unwrap().0))
        };
        for name in ["open", "high", "low", "close", "change", "change_percent"] {
            assert_eq!(reasons(name, true), [None, Some("dust"), Some("it")], "{name}");
            assert_eq!(
                reasons(name, false),
                [None, None, Some("it")],
                "{name}: without a clean trade, all count"
            );
        }
        for name in ["vwap", "clean_count"] {
            for has_clean in [true, false] {
                assert_eq!(reasons(name, has_clean), [None, Some("dust"), Some("it")], "{name}");
            }
        }
        assert_eq!(reasons("high_raw", true), [None, None, Some("it")]);
        assert_eq!(reasons("base_volume", true), [None; 3]);
    }

    #[test]
    fn prices_are_decided_by_one_trade_or_by_the_first_and_the_last() {
        let prices = [(3, 1), (1, 1), (9, 1), (1, 1), (9, 1), (4, 1)];
        let made = (1..).zip(prices).map(|(at, price)| trade(at, 0, at, (1_000, 1_000), price));
        let trades: Vec<WindowTrade> = made.collect();
        for (by, is_flipped, expected) in [
            (DecidedBy::First, false, &[1][..]),
            (DecidedBy::Last, true, &[6]),
            (DecidedBy::FirstAndLast, false, &[1, 6]),
            (DecidedBy::Highest, false, &[3]),
            (DecidedBy::Lowest, false, &[2]),
            (DecidedBy::Highest, true, &[2]),
            (DecidedBy::Lowest, true, &[3]),
        ] {
            let chosen = chosen(by, &trades, is_flipped);
            let ledgers: Vec<u32> = chosen.iter().map(|trade| trade.token.ledger()).collect();
            assert_eq!(ledgers, expected, "{by:?} {is_flipped}");
        }
        let one = chosen(DecidedBy::FirstAndLast, &trades[..1], false);
        assert_eq!(one.len(), 1, "it is both");
    }
}
