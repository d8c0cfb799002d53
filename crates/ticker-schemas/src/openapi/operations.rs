//! The operations of the public listener, one line or block each.

use super::{
    Answer::{self, Events, Html, Json, Object, OfView, Text},
    Operation, Parameter,
    Values::{self, Number, Words},
    parameters::{
        ASSET, CCXT_BOOK, CCXT_CANDLES, CCXT_PAGE, DEPTH, HISTORICAL, INTERVALS, LEVEL, MARKET,
        OF_AGGREGATIONS, OF_HISTORY, OF_MARKETS, PAIR, SECONDS, SPANS, SYMBOL, TICKER_ID, in_query,
    },
};

const MARKETS: &str = "Markets and assets";
const COINGECKO: &str = "CoinGecko";
const COINMARKETCAP: &str = "CoinMarketCap";
const CHARTS: &str = "Candles and charts";
const LEGACY: &str = "The old ticker's files and GraphQL";
const TICKER: &str = "The ticker itself";
const PAGES: &str = "Pages";

/// Operation without parameters.
const fn plain(path: &'static str, tag: &'static str, summary: &'static str, answer: Answer) -> Operation {
    Operation { path, tag, summary, parameters: &[], answer, statuses: &[406, 503] }
}

/// Operation that refuses every parameter.
const fn strict(path: &'static str, tag: &'static str, summary: &'static str, answer: Answer) -> Operation {
    with(plain(path, tag, summary, answer), &[], &[400, 406, 503])
}

const fn with(operation: Operation, parameters: &'static [Parameter], statuses: &'static [u16]) -> Operation {
    Operation { parameters, statuses, ..operation }
}

/// Statuses of a market or an asset: a wrong name, one that is not traded, and one in another spelling.
const NAMED: &[u16] = &[301, 400, 404, 406, 503];
const NAMED_IN_TIME: &[u16] = &[301, 400, 404, 406, 410, 503];

const OF_VOLUME: &[u16] = &[400, 404, 406, 410, 503];
const OF_PAIR: &[u16] = &[400, 404, 406, 503];

const fn historical_trades(path: &'static str) -> Operation {
    let trades = plain(path, COINGECKO, "Trades", OfView("coingecko-historical_trades"));
    with(trades, HISTORICAL, &[400, 404, 406, 410, 503])
}

const fn books(
    path: &'static str,
    tag: &'static str,
    answer: Answer,
    parameters: &'static [Parameter],
    statuses: &'static [u16],
) -> Operation {
    with(plain(path, tag, "Order book of a market", answer), parameters, statuses)
}

/// All operations.
pub const OPERATIONS: &[Operation] = &[
    with(
        plain("/api/v1/markets", MARKETS, "Markets, in pages", OfView("markets")),
        OF_MARKETS,
        &[400, 404, 406, 410, 503],
    ),
    plain("/v1/markets.json", MARKETS, "Every market with a trade in 7 days", OfView("markets")),
    with(plain("/api/v1/markets/{market}", MARKETS, "One market", OfView("market")), &[MARKET], NAMED),
    with(
        plain("/api/v1/markets/{market}/trades", MARKETS, "Trades of a market", OfView("trades")),
        &[
            MARKET,
            in_query(
                "from",
                SECONDS,
                "First close time, in seconds since 1970. Default: 24 hours before the last",
            ),
            in_query("to", SECONDS, "Last close time, in seconds since 1970"),
            in_query("limit", Number(1, 10_000), "Maximum number of trades, the newest ones. Default: 100"),
        ],
        NAMED_IN_TIME,
    ),
    with(
        plain("/api/v1/markets/{market}/orderbook", MARKETS, "Order book of a market", Json("orderbook")),
        &[MARKET, in_query("limit", Number(1, 200), "Maximum number of levels on each side. Default: 200")],
        &[301, 400, 404, 406, 503],
    ),
    with(
        plain(
            "/api/v1/markets/{market}/explain",
            MARKETS,
            "The trades behind a figure of a market",
            OfView("explain"),
        ),
        &[
            MARKET,
            Parameter {
                is_required: true,
                ..in_query("field", Values::Text("explained-field"), "Name of the figure")
            },
            in_query("window", Words(SPANS), "Window of the figure. Default: 24h"),
        ],
        NAMED,
    ),
    strict("/api/v1/assets", MARKETS, "All assets that trade", OfView("assets")),
    with(plain("/api/v1/assets/{asset}", MARKETS, "One asset", OfView("asset")), &[ASSET], NAMED),
    with(
        plain("/api/v1/assets/{asset}/supply", MARKETS, "Supply of an asset, one plain number", Text),
        &[ASSET],
        &[301, 400, 404, 503],
    ),
    with(
        plain("/api/v1/assets/{asset}/price", MARKETS, "Price of an asset at a moment", OfView("price_at")),
        &[
            ASSET,
            in_query(
                "at",
                Values::Text("moment"),
                "Moment, in seconds since 1970; or by RFC 3339. Default: that of the figures, also for 60 s after it",
            ),
        ],
        NAMED_IN_TIME,
    ),
    with(
        plain("/api/v1/prices", MARKETS, "Prices of assets in dollars and in XLM", OfView("prices")),
        &[Parameter {
            is_required: true,
            ..in_query("assets", Values::Text("stellar-assets"), "Up to 200 assets, separated by commas")
        }],
        &[400, 406, 503],
    ),
    with(
        plain("/api/v1/stream", MARKETS, "Changed markets and new trades as they are published", Events),
        &[
            in_query("markets", Values::Text("stellar-markets"), "Up to 200 markets, separated by commas"),
            in_query("assets", Values::Text("stellar-assets"), "Up to 200 assets, separated by commas"),
            in_query("board", Words(&["1"]), "Changed rows of the board instead"),
        ],
        &[400, 404, 503],
    ),
    strict("/api/v1/symbols", MARKETS, "The asset that stands for each code", OfView("symbols")),
    plain("/api/v1/coingecko/pairs", COINGECKO, "Listed markets", OfView("coingecko-pairs")),
    plain(
        "/api/v1/coingecko/tickers",
        COINGECKO,
        "Listed markets with their figures",
        OfView("coingecko-tickers"),
    ),
    books(
        "/api/v1/coingecko/orderbook",
        COINGECKO,
        Json("coingecko-orderbook"),
        &[TICKER_ID, DEPTH],
        OF_PAIR,
    ),
    historical_trades("/api/v1/coingecko/historical_trades"),
    plain(
        "/api/v1/contract/coingecko/pairs",
        COINGECKO,
        "Listed markets by contract ids",
        OfView("coingecko-pairs"),
    ),
    plain(
        "/api/v1/contract/coingecko/tickers",
        COINGECKO,
        "The figures by contract ids",
        OfView("coingecko-tickers"),
    ),
    books(
        "/api/v1/contract/coingecko/orderbook",
        COINGECKO,
        Json("coingecko-orderbook"),
        &[TICKER_ID, DEPTH],
        OF_PAIR,
    ),
    historical_trades("/api/v1/contract/coingecko/historical_trades"),
    plain(
        "/api/v1/coinmarketcap/summary",
        COINMARKETCAP,
        "Listed markets with their figures",
        OfView("coinmarketcap-summary"),
    ),
    plain("/api/v1/coinmarketcap/assets", COINMARKETCAP, "Assets by symbol", OfView("coinmarketcap-assets")),
    plain(
        "/api/v1/coinmarketcap/ticker",
        COINMARKETCAP,
        "Prices and volumes by pair",
        OfView("coinmarketcap-ticker"),
    ),
    plain("/api/v1/coinmarketcap/dex", COINMARKETCAP, "The DEX format C1", OfView("coinmarketcap-dex")),
    books(
        "/api/v1/coinmarketcap/orderbook/{pair}",
        COINMARKETCAP,
        Json("coinmarketcap-orderbook"),
        &[PAIR, DEPTH, LEVEL],
        NAMED,
    ),
    with(
        plain(
            "/api/v1/coinmarketcap/trades/{pair}",
            COINMARKETCAP,
            "Trades of 24 hours",
            OfView("coinmarketcap-trades"),
        ),
        &[PAIR],
        NAMED,
    ),
    plain(
        "/api/v1/contract/coinmarketcap/summary",
        COINMARKETCAP,
        "The figures by contract ids",
        OfView("coinmarketcap-summary"),
    ),
    plain(
        "/api/v1/contract/coinmarketcap/assets",
        COINMARKETCAP,
        "Assets by contract id",
        OfView("coinmarketcap-assets"),
    ),
    plain(
        "/api/v1/contract/coinmarketcap/ticker",
        COINMARKETCAP,
        "Prices and volumes by contract ids",
        OfView("coinmarketcap-ticker"),
    ),
    plain(
        "/api/v1/contract/coinmarketcap/dex",
        COINMARKETCAP,
        "The DEX format by contract ids",
        OfView("coinmarketcap-dex"),
    ),
    books(
        "/api/v1/contract/coinmarketcap/orderbook/{pair}",
        COINMARKETCAP,
        Json("coinmarketcap-orderbook"),
        &[PAIR, DEPTH, LEVEL],
        NAMED,
    ),
    with(
        plain(
            "/api/v1/contract/coinmarketcap/trades/{pair}",
            COINMARKETCAP,
            "Trades of 24 hours",
            OfView("coinmarketcap-trades"),
        ),
        &[PAIR],
        NAMED,
    ),
    with(
        plain("/api/v1/markets/{market}/candles", CHARTS, "Candles of a market", OfView("candles")),
        &[
            MARKET,
            in_query("interval", Words(INTERVALS), "Length of a candle. Default: 1h"),
            in_query(
                "from",
                SECONDS,
                "Second in the first candle, since 1970. Default: 7 days ago, or earlier for more candles",
            ),
            in_query("to", SECONDS, "Last second of interest, since 1970"),
            in_query("limit", Number(1, 1_000), "Maximum number of candles, the newest ones. Default: 100"),
            in_query("fill", Words(&["true", "false"]), "true: candles without trades as well"),
        ],
        NAMED_IN_TIME,
    ),
    with(
        plain("/trade_aggregations", CHARTS, "Horizon's resource of this name", OfView("trade_aggregations")),
        OF_AGGREGATIONS,
        &[400, 406, 503],
    ),
    with(
        plain("/api/v1/volume", CHARTS, "Volume of a past window, of a market or an asset", OfView("volume")),
        &[
            in_query("market", Values::Text("stellar-market"), "Market. Give either this or asset"),
            in_query("asset", Values::Text("stellar-asset"), "Asset, over all of its markets"),
            in_query("from", SECONDS, "First second, since 1970. Default: 24 hours before the end"),
            in_query("to", SECONDS, "End, exclusive, since 1970"),
            in_query("interval", Words(&["1h", "1d"]), "Length of a bucket. Default: 1h"),
        ],
        OF_VOLUME,
    ),
    plain("/api/v1/ccxt/markets", CHARTS, "Markets as CCXT structures", OfView("ccxt-markets")),
    plain(
        "/api/v1/ccxt/tickers",
        CHARTS,
        "Figures of all markets as CCXT structures",
        OfView("ccxt-tickers"),
    ),
    plain("/api/v1/contract/ccxt/markets", CHARTS, "The markets by contract ids", OfView("ccxt-markets")),
    plain("/api/v1/contract/ccxt/tickers", CHARTS, "The figures by contract ids", OfView("ccxt-tickers")),
    with(
        plain("/api/v1/ccxt/ticker", CHARTS, "Figures of a market", OfView("ccxt-ticker")),
        &[SYMBOL],
        OF_PAIR,
    ),
    with(
        plain("/api/v1/ccxt/trades", CHARTS, "Trades of a market", OfView("ccxt-trades")),
        CCXT_PAGE,
        OF_PAIR,
    ),
    with(
        plain("/api/v1/ccxt/ohlcv", CHARTS, "Candles of a market", OfView("ccxt-ohlcv")),
        CCXT_CANDLES,
        OF_PAIR,
    ),
    with(
        plain("/api/v1/ccxt/orderbook", CHARTS, "Order book of a market", Json("ccxt-orderbook")),
        CCXT_BOOK,
        OF_PAIR,
    ),
    with(
        plain("/api/v1/contract/ccxt/ticker", CHARTS, "The figures by contract ids", OfView("ccxt-ticker")),
        &[SYMBOL],
        OF_PAIR,
    ),
    with(
        plain(
            "/api/v1/contract/ccxt/trades",
            CHARTS,
            "Trades of a market, for a pair of contract ids",
            OfView("ccxt-trades"),
        ),
        CCXT_PAGE,
        OF_PAIR,
    ),
    with(
        plain(
            "/api/v1/contract/ccxt/ohlcv",
            CHARTS,
            "Candles of a market, for a pair of contract ids",
            OfView("ccxt-ohlcv"),
        ),
        CCXT_CANDLES,
        OF_PAIR,
    ),
    with(
        plain(
            "/api/v1/contract/ccxt/orderbook",
            CHARTS,
            "Order book of a market, for a pair of contract ids",
            Json("ccxt-orderbook"),
        ),
        CCXT_BOOK,
        OF_PAIR,
    ),
    with(plain("/udf/config", CHARTS, "Abilities of the UDF server", Json("udf-config")), &[], &[]),
    with(
        plain("/udf/symbols", CHARTS, "One market as a UDF symbol", Json("udf-symbols")),
        &[
            in_query("symbol", Values::Text("stellar-market"), "Id of a market"),
            in_query("currencyCode", Values::Text("text"), "Ignored"),
            in_query("unitId", Values::Text("text"), "Ignored"),
        ],
        &[406, 503],
    ),
    with(
        plain("/udf/search", CHARTS, "Markets whose names or home domains hold a text", OfView("udf-search")),
        &[
            in_query("query", Values::Text("text"), "Text, in any case"),
            in_query("limit", Values::Text("text"), "Maximum number of results, at most 100. Default: 30"),
            in_query("type", Values::Text("text"), "Ignored"),
            in_query("exchange", Values::Text("text"), "Ignored"),
        ],
        &[406, 503],
    ),
    with(plain("/udf/history", CHARTS, "Bars of a market", Json("udf-history")), OF_HISTORY, &[406, 503]),
    with(plain("/udf/time", CHARTS, "Seconds since 1970", Text), &[], &[]),
    plain("/", LEGACY, "The list of markets for a client that prefers HTML, else markets.json", Object),
    plain("/markets.json", LEGACY, "The old ticker's markets.json", Object),
    plain("/assets.json", LEGACY, "The old ticker's assets.json", Object),
    with(
        plain("/graphql", LEGACY, "Answer to a GraphQL document", Object),
        &[
            in_query("query", Values::Text("graphql"), "GraphQL document"),
            in_query("variables", Values::Text("json-object"), "Variables, as a JSON object"),
            in_query("operationName", Values::Text("text"), "Name of the operation"),
        ],
        &[400, 405, 408, 413, 503],
    ),
    plain("/api/v1/status", TICKER, "Freshness, coverage and health of the data", Json("status")),
    plain("/api/v1/books", TICKER, "Ages of all order books", Object),
    plain("/livez", TICKER, "200 while the supervisor runs", Object),
    plain("/readyz", TICKER, "503 without a fresh publication, and while draining; else 200", Object),
    with(
        plain("/api/v1/board/names", PAGES, "Names of all markets, for the list", OfView("board-names")),
        &[in_query("from", Number(0, 2_147_483_647), "Lowest number of a market to include")],
        &[400, 406, 503],
    ),
    with(
        plain(
            "/api/v1/board/figures",
            PAGES,
            "Figures of all markets, for the list",
            OfView("board-figures"),
        ),
        &[],
        &[400, 406, 503],
    ),
    strict("/api/v1/board/sparks", PAGES, "Prices of the last days, for the list", OfView("board-sparks")),
    plain("/openapi.json", TICKER, "This description, for programs", Object),
    plain("/docs", TICKER, "This description, for people", Html),
    plain("/graphiql", PAGES, "Explorer for GraphQL", Html),
    with(plain("/m/{market}", PAGES, "Page of a market", Html), &[MARKET], NAMED),
    with(plain("/a/{asset}", PAGES, "Page of an asset", Html), &[ASSET], NAMED),
    plain("/status", PAGES, "Page of the ticker's own state", Html),
    plain("/licences", PAGES, "Third-party licences", Html),
];
