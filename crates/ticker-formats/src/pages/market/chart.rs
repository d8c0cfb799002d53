//! Candles as SVG, for readers without script and until the script has drawn its own.

use std::fmt::Write as _;

use ticker_domain::{
    candles::Interval,
    conversions::SaturatingFrom,
    instant::UnixSeconds,
    quoted::{QuotedPrices, QuotedStats},
    span::Span,
};

use crate::{
    board::{BoardRow, ratio},
    listings::MarketView,
    pages::frame::date_time,
    shown,
};

/// Most candles of the drawing.
const CANDLES_MAX: usize = 168;
/// Growth of the time that is read while it has too few candles.
const SPAN_FACTOR: i64 = 8;
/// Candles of the table.
const TABLE_ROWS: usize = 24;
/// Width of a candle and the space after it.
const STEP: usize = 6;
/// Height of the prices.
const HEIGHT: i128 = 300;
/// Height of the volumes.
const VOLUME_HEIGHT: i128 = 60;
/// Number of prices at the axis.
const LABELS: i64 = 5;

/// Drawing of candles, with their figures as texts.
pub(in crate::pages) struct Chart {
    pub(in crate::pages) width: usize,
    /// Paths of rising and falling candles: wicks, bodies, volumes.
    pub(in crate::pages) up: Shapes,
    pub(in crate::pages) down: Shapes,
    /// Prices at the axis, the highest first.
    pub(in crate::pages) labels: Vec<String>,
    /// Largest volume of a candle.
    pub(in crate::pages) most: String,
    /// The last candles, the newest first.
    pub(in crate::pages) rows: Vec<CandleRow>,
    pub(in crate::pages) first: String,
    pub(in crate::pages) last: String,
    /// True if no trade of the last 7 days is clean, so that clean candles are those of dust.
    pub(in crate::pages) has_only_dust: bool,
}

/// SVG paths of the candles of one direction.
#[derive(Default)]
pub(in crate::pages) struct Shapes {
    pub(in crate::pages) wicks: String,
    pub(in crate::pages) bodies: String,
    pub(in crate::pages) volumes: String,
}

pub(in crate::pages) struct CandleRow {
    pub(in crate::pages) time: String,
    pub(in crate::pages) open: String,
    pub(in crate::pages) high: String,
    pub(in crate::pages) low: String,
    pub(in crate::pages) close: String,
    pub(in crate::pages) volume: String,
    pub(in crate::pages) trades: String,
}

/// Candle in units of the market's scale.
struct Candle {
    time: String,
    open: i64,
    high: i64,
    low: i64,
    close: i64,
    volume: i128,
    trades: u64,
}

impl Chart {
    /// Chart of a market, or `None` if it has no price that can be drawn.
    pub(super) fn of(
        market: &MarketView<'_>,
        row: &BoardRow,
        interval: Interval,
        is_raw: bool,
    ) -> Option<Self> {
        let candles = candles(market, row, interval, is_raw);
        let low = candles.iter().map(|candle| candle.low).min()?;
        let high = candles.iter().map(|candle| candle.high).max()?;
        let most = candles.iter().map(|candle| candle.volume).max()?;
        let (mut up, mut down) = (Shapes::default(), Shapes::default());
        for (place, candle) in candles.iter().enumerate() {
            let shapes = if candle.close >= candle.open { &mut up } else { &mut down };
            shapes.add(candle, place.saturating_mul(STEP), (low, high), most);
        }
        let label = |place: i64| {
            let range = high.saturating_sub(low);
            high.saturating_sub(range.saturating_mul(place) / (LABELS - 1))
        };
        Some(Self {
            width: candles.len().saturating_mul(STEP),
            up,
            down,
            labels: (0..LABELS).map(|place| row.print(Some(label(place)))).collect(),
            most: shown::amount(most),
            rows: candles.iter().rev().take(TABLE_ROWS).map(|candle| CandleRow::of(candle, row)).collect(),
            first: candles.first()?.time.clone(),
            last: candles.last()?.time.clone(),
            has_only_dust: !has_clean(market),
        })
    }
}

fn has_clean(market: &MarketView<'_>) -> bool {
    market.stats(Span::Week).clean_count > 0
}

/// The last candles with a price, the oldest first. Clean ones have no buckets of dust unless there is nothing
/// else, as in a sparkline. Reads further back until there are enough or nothing older is held.
fn candles(market: &MarketView<'_>, row: &BoardRow, interval: Interval, is_raw: bool) -> Vec<Candle> {
    let buckets = interval.buckets();
    let as_of = market.view().as_of();
    let takes_dust = is_raw || !has_clean(market);
    // A bucket whose beginning is not held any more would be wrong.
    let oldest = buckets.next_start(Span::Week.edge(as_of).plus(1));
    let mut span = i64::saturating_from(CANDLES_MAX).saturating_mul(buckets.seconds);
    loop {
        // A busy market has enough candles in the first span, so only the trades of a quiet one are all read.
        let first = buckets.next_start(as_of.minus(span)).max(oldest);
        let filled = market.by_bucket(buckets, first..UnixSeconds(i64::MAX));
        let mut candles: Vec<Candle> = filled
            .iter()
            .rev()
            .filter(|(_, stats)| takes_dust || stats.clean.trade_count > 0)
            .filter_map(|(start, stats)| {
                Candle::of(*start, &QuotedStats::of(stats, market.is_flipped()), row, is_raw)
            })
            .take(CANDLES_MAX)
            .collect();
        if candles.len() == CANDLES_MAX || first == oldest {
            candles.reverse();
            return candles;
        }
        span = span.saturating_mul(SPAN_FACTOR);
    }
}

impl Candle {
    /// Candle of a bucket, or `None` if its trades set no price that can be drawn.
    fn of(start: UnixSeconds, stats: &QuotedStats, row: &BoardRow, is_raw: bool) -> Option<Self> {
        let prices: QuotedPrices = if is_raw { stats.raw_prices } else { stats.prices }?;
        let units = |price| row.scale?.units(ratio(price));
        Some(Self {
            time: date_time(start),
            open: units(prices.open)?,
            high: units(prices.high)?,
            low: units(prices.low)?,
            close: units(prices.close)?,
            volume: stats.base_volume,
            trades: stats.trade_count,
        })
    }
}

impl Shapes {
    /// Adds a candle whose left edge is at `x`.
    fn add(&mut self, candle: &Candle, x: usize, (low, high): (i64, i64), most: i128) {
        // In tenths of a unit of the drawing.
        let y = |price: i64| {
            let range = i128::from(high) - i128::from(low);
            let above = i128::from(high) - i128::from(price);
            (above * HEIGHT * 10).checked_div(range).unwrap_or(HEIGHT * 5)
        };
        let tenths = |value: i128| format!("{}.{}", value / 10, value % 10);
        let (top, bottom) = (y(candle.open.max(candle.close)), y(candle.open.min(candle.close)));
        // A candle that ends where it began is still a line.
        let bottom = bottom.max(top + 10);
        let middle = x.saturating_add(STEP / 2);
        // Writing to a String never fails.
        let _ = write!(self.wicks, "M{middle} {}V{}", tenths(y(candle.high)), tenths(y(candle.low)));
        let _ = write!(self.bodies, "M{} {}h4V{}h-4z", x.saturating_add(1), tenths(top), tenths(bottom));
        let filled = candle.volume.checked_mul(VOLUME_HEIGHT).and_then(|volume| volume.checked_div(most));
        let top = VOLUME_HEIGHT - filled.unwrap_or(0);
        let _ = write!(self.volumes, "M{} {top}h4V{VOLUME_HEIGHT}h-4z", x.saturating_add(1));
    }
}

impl CandleRow {
    fn of(candle: &Candle, row: &BoardRow) -> Self {
        let print = |units| row.print(Some(units));
        Self {
            time: candle.time.clone(),
            open: print(candle.open),
            high: print(candle.high),
            low: print(candle.low),
            close: print(candle.close),
            volume: shown::amount(candle.volume),
            trades: shown::count(candle.trades),
        }
    }
}

#[cfg(test)]
mod tests {
    use ticker_domain::{
        asset::Asset,
        test_support::{address, trade},
    };

    use super::*;
    use crate::test_view::view_of_market;

    /// Opening prices of the candles of an hour, and whether dust is all there is. Each trade has its age in hours,
    /// its amount in stroops and its price.
    fn opens(trades: &[(i64, i64, i64)], is_raw: bool) -> (Vec<String>, bool) {
        const NOW: i64 = 1_000_000_000;
        let trades = (1..).zip(trades).map(|(ledger, (hours, stroops, price))| {
            trade(ledger, 0, NOW - 3_600 * hours, (*stroops, stroops * price), (*price, 1))
        });
        let assets = (Asset::issued("A", &address(1)).unwrap(), Asset::Native);
        let view = view_of_market(assets, NOW, trades);
        let market = view.markets().remove(0);
        let chart = Chart::of(&market, &BoardRow::of(&market), Interval::Hour, is_raw).unwrap();
        (chart.rows.into_iter().rev().map(|row| row.open).collect(), chart.has_only_dust)
    }

    #[test]
    fn a_clean_chart_has_dust_only_where_there_is_nothing_else() {
        let trades = [(9, 50_000, 2), (7, 10, 900), (5, 50_000, 3)];
        assert_eq!(opens(&trades, false), (vec!["2.0000".to_owned(), "3.0000".to_owned()], false));
        assert_eq!(opens(&trades, true).0, ["2.0000", "900.0000", "3.0000"]);
        let (dust, has_only_dust) = opens(&[(9, 10, 2), (7, 10, 3)], false);
        assert_eq!((dust.len(), has_only_dust), (2, true));
    }

    /// Times of the candles of a minute, of a market with a trade this many minutes ago.
    fn times(minutes: impl Iterator<Item = i64>) -> Vec<String> {
        const NOW: i64 = 999_999_990;
        let trades = (1..).zip(minutes);
        let trades =
            trades.map(|(ledger, minute)| trade(ledger, 0, NOW - 60 * minute, (50_000, 100_000), (2, 1)));
        let assets = (Asset::Native, Asset::issued("A", &address(1)).unwrap());
        let view = view_of_market(assets, NOW, trades);
        let market = view.markets().remove(0);
        let candles = candles(&market, &BoardRow::of(&market), Interval::Minute, false);
        candles.into_iter().map(|candle| candle.time).collect()
    }

    #[test]
    fn a_quiet_market_has_its_last_candles_however_old_and_a_busy_one_no_more_than_fit() {
        let at = |minutes: i64| date_time(UnixSeconds(999_999_960 - 60 * minutes));
        assert_eq!(times([9_000, 4_000, 200].into_iter()), [9_000, 4_000, 200].map(at), "oldest first");
        // More than 7 days ago, of which the window may hold some.
        assert_eq!(times([10_081, 10_000].into_iter()), [at(10_000)]);
        // Half of them are in the first span.
        let busy: Vec<i64> = (0..200).map(|place| place * 2).rev().collect();
        let expected: Vec<String> = busy.iter().skip(200 - CANDLES_MAX).copied().map(at).collect();
        assert_eq!(times(busy.into_iter()), expected);
    }

    #[test]
    fn a_candle_reaches_from_its_low_to_its_high() {
        let candle =
            Candle { time: String::new(), open: 100, high: 200, low: 0, close: 150, volume: 5, trades: 1 };
        let mut shapes = Shapes::default();
        shapes.add(&candle, 12, (0, 200), 10);
        assert_eq!(shapes.wicks, "M15 0.0V300.0");
        assert_eq!(shapes.bodies, "M13 75.0h4V150.0h-4z");
        assert_eq!(shapes.volumes, "M13 30h4V60h-4z");
        let flat = Candle { open: 7, high: 7, low: 7, close: 7, ..candle };
        let mut shapes = Shapes::default();
        shapes.add(&flat, 0, (7, 7), 0);
        assert_eq!(shapes.bodies, "M1 150.0h4V151.0h-4z", "one price is a line in the middle");
    }
}
