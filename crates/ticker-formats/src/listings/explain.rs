//! Explanation of a figure: the trades behind it, those left out, the deciding ones, and a recomputation.

use serde::Serialize;
use serde_json::Value;
use ticker_domain::{
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
    field("open", Counted::Clean, DecidedBy::First, "Price of the first clean trade of the window."),
    field("high", Counted::Clean, DecidedBy::Highest, "Highest price of the window's clean trades."),
    field("low", Counted::Clean, DecidedBy::Lowest, "Lowest price of the window's clean trades."),
    field("close", Counted::Clean, DecidedBy::Last, "Price of the last clean trade of the window."),
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
        Counted::Clean,
        DecidedBy::LargestBase,
        "Quote volume of the clean trades divided by their base volume.",
    ),
    field("change", Counted::Clean, DecidedBy::FirstAndLast, "Last clean price minus first clean price."),
    field(
        "change_percent",
        Counted::Clean,
        DecidedBy::FirstAndLast,
        "Difference of last and first clean price, in per cent of the first.",
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

#[derive(Debug, Serialize)]
pub(crate) struct TradeCounts {
    pub(crate) in_window: usize,
    pub(crate) counted: usize,
    pub(crate) left_out: Vec<LeftOut>,
}

#[derive(Debug, Serialize)]
pub(crate) struct LeftOut {
    pub(crate) reason: &'static str,
    pub(crate) count: usize,
    /// Horizon's ids of the newest of them, at most [`SHOWN_MAX`].
    pub(crate) paging_tokens: Vec<String>,
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

    /// Explains the figure of a market's window. `query` makes the text that lists the window's trades. Costs a pass over
    /// the trades of the window.
    #[must_use]
    pub fn explain(
        self,
        market: &MarketView<'_>,
        span: Span,
        query: fn(MarketId, UnixSeconds, UnixSeconds) -> String,
    ) -> Explanation {
        let view = market.view();
        let (from, to) = (span.edge(view.as_of()), view.as_of());
        let mut all: Vec<WindowTrade> = market.raw_trades_since(from).collect();
        all.sort_unstable_by_key(|trade| trade.token);
        let has_clean = all.iter().any(WindowTrade::is_clean);
        let is_flipped = market.is_flipped();
        let reason = |trade: &WindowTrade| self.counted.reason_against(trade, has_clean, is_flipped);
        let counted: Vec<&WindowTrade> = all.iter().filter(|trade| reason(trade).is_none()).collect();
        let mut left_out: Vec<LeftOut> = Vec::new();
        for (trade, reason) in all.iter().rev().filter_map(|trade| Some((trade, reason(trade)?))) {
            let known = left_out.iter().position(|known| known.reason == reason);
            let place = known.unwrap_or(left_out.len());
            if known.is_none() {
                left_out.push(LeftOut { reason, count: 0, paging_tokens: Vec::new() });
            }
            let Some(known) = left_out.get_mut(place) else { continue };
            known.count += 1;
            if known.paging_tokens.len() < SHOWN_MAX {
                known.paging_tokens.push(trade.token.to_string());
            }
        }
        let figure = |stats: &QuotedStats| own::figure(stats, self.name);
        let value = figure(&market.stats(span));
        let recomputed = figure(&QuotedStats::of(&all.iter().collect::<TradeStats>(), is_flipped));
        let deciding = self.decided_by.choose(&counted, is_flipped);
        Explanation {
            as_of: to.to_rfc3339(),
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
            trades: TradeCounts { in_window: all.len(), counted: counted.len(), left_out },
            deciding: deciding.into_iter().map(|trade| ExplainedTrade::of(trade, is_flipped)).collect(),
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
            Self::Clean if has_clean => (trade.is_clean(), UNCLEAN),
            Self::OnlyClean => (trade.is_clean(), UNCLEAN),
            Self::Clean | Self::Priced => (trade.price.is_some(), UNPRICED),
            Self::Bought => (is_buy, "its taker sold the base"),
            Self::Sold => (!is_buy, "its taker bought the base"),
            Self::Book => (!trade.is_pool, "a liquidity pool made its price"),
            Self::Pool => (trade.is_pool, "an offer of the order book made its price"),
        };
        (!is_counted).then_some(reason)
    }
}

impl DecidedBy {
    /// Chooses from trades in the order of their tokens.
    fn choose<'a>(self, trades: &[&'a WindowTrade], is_flipped: bool) -> Vec<&'a WindowTrade> {
        // The inverse reverses the order of prices.
        let wants_highest = (self == Self::Highest) != is_flipped;
        match self {
            Self::First => trades.first().copied().into_iter().collect(),
            Self::Last => trades.last().copied().into_iter().collect(),
            Self::FirstAndLast => trades.first().into_iter().chain(trades.last()).copied().collect(),
            // The first trade with that price.
            Self::Highest | Self::Lowest if wants_highest => {
                trades.iter().rev().max_by_key(|trade| trade.price).copied().into_iter().collect()
            }
            Self::Highest | Self::Lowest => {
                trades.iter().min_by_key(|trade| trade.price).copied().into_iter().collect()
            }
            Self::LargestBase | Self::LargestQuote => {
                let is_of_counter = (self == Self::LargestQuote) != is_flipped;
                let amount = |trade: &WindowTrade| {
                    let amount = if is_of_counter { trade.counter_amount } else { trade.base_amount };
                    amount.stroops()
                };
                let mut largest = trades.to_vec();
                largest.sort_by_key(|trade| std::cmp::Reverse(amount(trade)));
                largest.truncate(SHOWN_MAX);
                largest
            }
        }
    }
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

    #[test]
    fn the_largest_trades_of_a_sum_are_those_with_the_most_of_what_it_sums() {
        let (cheap, dear) = (trade(1, 0, 1, (500, 20), (1, 25)), trade(2, 0, 2, (10, 900), (90, 1)));
        for (by, is_flipped, largest) in [
            (DecidedBy::LargestBase, false, &cheap),
            (DecidedBy::LargestQuote, false, &dear),
            (DecidedBy::LargestBase, true, &dear),
            (DecidedBy::LargestQuote, true, &cheap),
        ] {
            let chosen = by.choose(&[&cheap, &dear], is_flipped);
            assert_eq!((chosen.len(), chosen.first()), (2, Some(&largest)), "{by:?} {is_flipped}");
        }
    }
}
