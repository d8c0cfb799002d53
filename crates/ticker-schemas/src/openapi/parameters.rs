//! Parameters of the operations: single ones, and the lists of longer queries.

use super::{
    Parameter,
    Values::{self, Number, Words},
};

pub(super) const INTERVALS: &[&str] = &["1m", "5m", "15m", "1h", "4h", "1d", "1w"];
pub(super) const SPANS: &[&str] = &["1h", "24h", "7d"];
const ASSET_TYPES: &[&str] = &["native", "credit_alphanum4", "credit_alphanum12"];
pub(super) const SECONDS: Values = Number(0, i64::MAX);

pub(super) const MARKET: Parameter =
    in_path("market", "stellar-market", "Two assets with _ between them, in any spelling");
pub(super) const ASSET: Parameter = in_path("asset", "stellar-asset", "Asset, in any spelling");
pub(super) const PAIR: Parameter = in_path(
    "pair",
    "stellar-market",
    "Name of the pair in summary, or full id of the market. Other spellings redirect",
);
pub(super) const TICKER_ID: Parameter = Parameter {
    is_required: true,
    ..in_query("ticker_id", Values::Text("stellar-market"), "Two assets with _ between them, in any spelling")
};
pub(super) const DEPTH: Parameter =
    in_query("depth", Number(0, 10_000), "Levels of both sides together. 0 or absent: all");

pub(super) const fn in_query(name: &'static str, values: Values, description: &'static str) -> Parameter {
    Parameter { name, is_in_path: false, is_required: false, values, description }
}

const fn in_path(name: &'static str, format: &'static str, description: &'static str) -> Parameter {
    Parameter { name, is_in_path: true, is_required: true, values: Values::Text(format), description }
}

const fn asset_type(name: &'static str) -> Parameter {
    Parameter { is_required: true, ..in_query(name, Words(ASSET_TYPES), "Kind of the asset") }
}

const fn asset_part(name: &'static str) -> Parameter {
    in_query(name, Values::Text("text"), "Code or issuer of the asset, except for native")
}

/// Level of detail of an order book at CoinMarketCap.
pub(super) const LEVEL: Parameter = in_query("level", Number(1, 3), "1: the best prices only");

pub(super) const SYMBOL: Parameter = Parameter {
    is_required: true,
    ..in_query("symbol", Values::Text("stellar-market"), "Symbol of CCXT, or id of a market")
};
const SINCE: Parameter = in_query("since", SECONDS, "First time, in milliseconds since 1970");
const CCXT_LIMIT: Parameter = in_query("limit", Number(1, 1_000), "Maximum number of entries. Default: 100");

pub(super) const CCXT_PAGE: &[Parameter] = &[SYMBOL, SINCE, CCXT_LIMIT];
pub(super) const CCXT_CANDLES: &[Parameter] =
    &[SYMBOL, in_query("timeframe", Words(INTERVALS), "Length of a candle. Default: 1m"), SINCE, CCXT_LIMIT];
pub(super) const CCXT_BOOK: &[Parameter] =
    &[SYMBOL, in_query("limit", Number(1, 200), "Maximum number of levels on each side. Default: 200")];

pub(super) const HISTORICAL: &[Parameter] = &[
    TICKER_ID,
    in_query("type", Words(&["buy", "sell"]), "Side of the taker"),
    in_query("limit", SECONDS, "Most trades of each side. 0 or absent: all"),
    in_query(
        "start_time",
        SECONDS,
        "First close time, in seconds or milliseconds since 1970. Default: 7 days ago if end_time is over 24 hours ago or is given with a limit, else 24 hours before end_time",
    ),
    in_query("end_time", SECONDS, "Last close time, in seconds or milliseconds since 1970. Default: now"),
];

pub(super) const OF_MARKETS: &[Parameter] = &[
    in_query("base", Values::Text("stellar-asset"), "Base asset"),
    in_query("quote", Values::Text("stellar-asset"), "Quote asset"),
    in_query("code", Values::Text("text"), "Code of either side"),
    in_query("issuer", Values::Text("text"), "Issuer of either side"),
    in_query("verified", Words(&["true", "false"]), "true: only markets whose two assets are verified"),
    in_query("min_volume_usd", SECONDS, "Least volume of 24 hours, in whole dollars"),
    in_query("sort", Words(&["name", "volume", "trades", "change"]), "Order. Default: name"),
    in_query("limit", Number(1, 1_000), "Markets of a page. Default: 100"),
    in_query(
        "fields",
        Values::Text("market-fields"),
        "Fields of each market, separated by commas. Default: all",
    ),
    in_query("cursor", Values::Text("market-cursor"), "next_cursor of the previous page"),
];

pub(super) const OF_AGGREGATIONS: &[Parameter] = &[
    asset_type("base_asset_type"),
    asset_part("base_asset_code"),
    asset_part("base_asset_issuer"),
    asset_type("counter_asset_type"),
    asset_part("counter_asset_code"),
    asset_part("counter_asset_issuer"),
    in_query("start_time", SECONDS, "First time, in milliseconds since 1970"),
    in_query("end_time", SECONDS, "Time after the last, in milliseconds since 1970"),
    Parameter {
        is_required: true,
        ..in_query(
            "resolution",
            Words(&["60000", "300000", "900000", "3600000", "86400000", "604800000"]),
            "Length of a record in milliseconds",
        )
    },
    in_query("offset", Number(0, 86_399_999), "Offset of the records in milliseconds, in whole hours"),
    in_query("limit", Number(1, 200), "Maximum number of records. Default: 10"),
    in_query("order", Words(&["asc", "desc"]), "Order. Default: asc"),
];

/// Parameters of the UDF are texts: the protocol answers a wrong value with status 200 and an error in the body.
pub(super) const OF_HISTORY: &[Parameter] = &[
    in_query("symbol", Values::Text("stellar-market"), "Id of a market"),
    in_query("resolution", Values::Text("text"), "1, 5, 15, 60, 240, 1D or 1W"),
    in_query("from", Values::Text("text"), "Start of the range, in seconds since 1970"),
    in_query("to", Values::Text("text"), "End of the range, exclusive, in seconds since 1970"),
    in_query("countback", Values::Text("text"), "Number of bars before `to`. If given, `from` is ignored"),
    in_query("currencyCode", Values::Text("text"), "Ignored"),
    in_query("unitId", Values::Text("text"), "Ignored"),
];
