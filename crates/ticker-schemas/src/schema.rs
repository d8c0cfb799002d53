//! The schemas, as texts.

/// JSON Schema (2020-12) of one kind of document.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Name of the file in `docs/schemas/`, without `.json`.
    pub name: &'static str,
    /// Content of the file.
    pub text: &'static str,
}

/// Includes schemas by name.
macro_rules! schemas {
    ($($name:literal),+ $(,)?) => {
        /// All schemas. `common` holds only definitions.
        pub static SCHEMAS: &[Schema] = &[$(Schema {
            name: $name,
            text: include_str!(concat!("../../../docs/schemas/", $name, ".json")),
        }),+];
    };
}

schemas!(
    "asset",
    "assets",
    "board-figures",
    "board-names",
    "board-sparks",
    "candles",
    "ccxt-markets",
    "ccxt-ohlcv",
    "ccxt-orderbook",
    "ccxt-ticker",
    "ccxt-tickers",
    "ccxt-trades",
    "coingecko-historical_trades",
    "coingecko-orderbook",
    "coingecko-pairs",
    "coingecko-tickers",
    "coinmarketcap-assets",
    "coinmarketcap-dex",
    "coinmarketcap-orderbook",
    "coinmarketcap-summary",
    "coinmarketcap-ticker",
    "coinmarketcap-trades",
    "common",
    "explain",
    "market",
    "markets",
    "orderbook",
    "price",
    "price_at",
    "prices",
    "problem",
    "status",
    "symbols",
    "trade_aggregations",
    "trades",
    "udf-config",
    "udf-history",
    "udf-search",
    "udf-symbols",
    "volume",
);
