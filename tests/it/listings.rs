//! The market API and the formats of listing sites: equal to each other, and to a recomputation from the raw rows.

mod aggregations;
mod asked_books;
mod audited_prices;
mod candles;
mod chosen;
mod counted;
mod described;
mod documented;
mod edges;
mod priceless;
mod recomputed;
mod selected;
mod stored;
mod sums;
mod tolerated;
mod validated;
mod written;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stellar_ticker::sim::{ManualTime, SimClock, SimConfig, SimServer, start};

use crate::support::{
    daemon::{Answer, Daemon},
    network::block_on,
    postgres::fresh_database,
    reached, recomputation, wait_until,
};
use recomputed::{Expected, assert_amount, assert_quotient};

const PASSPHRASE: &str = "Listing Network";
pub(crate) const USDC: &str = "USDC-GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN";

/// A network whose clock stands still: an hour of history, and nothing more happens.
pub(crate) fn horizon() -> SimServer {
    let clock = SimClock::Manual(ManualTime::new(chrono::Utc::now()));
    let config = SimConfig {
        network_passphrase: PASSPHRASE.into(),
        clock,
        history_hours: 1,
        trades_per_second: 4.0,
        markets: 60,
        unpriced_trades: true,
        seed: 18,
        ..SimConfig::default()
    };
    start(config, "127.0.0.1:0".parse().unwrap()).unwrap()
}

/// A daemon that holds the whole history of `sim`, with every asset and book looked up.
pub(crate) async fn daemon(sim: &SimServer) -> Daemon {
    daemon_with(sim, &[]).await
}

/// The same with more arguments.
async fn daemon_with(sim: &SimServer, more: &[&str]) -> Daemon {
    let database = fresh_database().await;
    let one_hour: &[&str] = if more.contains(&"--backfill-hours") { &[] } else { &["--backfill-hours", "1"] };
    let arguments = [one_hour, more].concat();
    let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &arguments);
    daemon.wait_for_publication();
    let client = recomputation::connect(&database).await;
    let sql =
        "SELECT (SELECT count(*) FROM orderbook_levels) = (SELECT count(DISTINCT market_id) FROM trades),
                      (SELECT seq FROM ingest_lease), (SELECT count(*) FROM trades)";
    reached("the history is held, with assets and books", async || {
        let row = client.query_one(sql, &[]).await.unwrap();
        let (has_books, seq, trades): (bool, i64, i64) = (row.get(0), row.get(1), row.get(2));
        let status = daemon.status();
        let ledger = |end: &str| u32::try_from(status["coverage"][0][end].as_u64().unwrap_or(0)).unwrap();
        let (from, to) = (ledger("from"), ledger("to"));
        if !has_books || status["seq"].as_i64() != Some(seq) || status["backfill"]["done_ratio"] != 1.0 {
            return false;
        }
        let emitted = sim.oracle().trades(from..=sim.oracle().head().latest);
        // The newest ledgers of a network that stands still may be empty: no later trade shows that they are complete.
        let newest = emitted.last().map(|trade| trade.id.ledger());
        newest.is_some_and(|newest| to >= newest) && trades >= i64::try_from(emitted.len()).unwrap()
    })
    .await;
    daemon
}

pub(crate) fn ok(daemon: &Daemon, path: &str) -> Answer {
    let answer = daemon.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    answer
}

/// Documents of one pinned view.
pub(crate) fn of_one_view<const N: usize>(daemon: &Daemon, paths: [&str; N]) -> [Value; N] {
    let mut documents = None;
    wait_until("all documents come from one view", || {
        let answers = paths.map(|path| ok(daemon, path));
        let view = |answer: &Answer| {
            let name = |header| answer.header(header).unwrap().to_owned();
            (name("x-ticker-seq"), name("x-ticker-as-of"))
        };
        let is_one = answers.iter().all(|answer| view(answer) == view(&answers[0]));
        documents = is_one.then(|| answers.map(|answer| answer.json()));
        is_one
    });
    documents.unwrap()
}

pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} of {value}"))
}

fn by<'a>(list: &'a Value, field: &str) -> BTreeMap<String, &'a Value> {
    list.as_array().unwrap().iter().map(|item| (text(item, field).to_owned(), item)).collect()
}

#[test]
fn all_formats_equal_each_other_and_a_recomputation_from_the_rows() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let [all, tickers, pairs, summary, ticker, dex] = of_one_view(
            &daemon,
            [
                "/v1/markets.json",
                "/api/v1/coingecko/tickers",
                "/api/v1/coingecko/pairs",
                "/api/v1/coinmarketcap/summary",
                "/api/v1/coinmarketcap/ticker",
                "/api/v1/coinmarketcap/dex",
            ],
        );
        let client = recomputation::connect(&daemon.database).await;
        let as_of = chrono::DateTime::parse_from_rfc3339(text(&all, "as_of")).unwrap().timestamp();
        let expected = recomputed::markets(&client, 0).await;
        let of_hour = recomputed::markets(&client, as_of - 3_600).await;
        let (own, tickers, pairs) =
            (by(&all["markets"], "id"), by(&tickers, "ticker_id"), by(&pairs, "ticker_id"));
        assert_eq!(own.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "every market, once");
        assert!(own.len() >= 30, "{}", own.len());
        let mut listed = 0;
        for (name, market) in &own {
            let Expected { stats, .. } = &expected[name];
            for window in ["24h", "7d"] {
                recomputed::compare(&market["windows"][window], stats, name);
            }
            let none = Expected::default();
            recomputed::compare(&market["windows"]["1h"], &of_hour.get(name).unwrap_or(&none).stats, name);
            assert_quotient(&market["last"], stats.clean_or_raw().last().copied(), name);
            if name.ends_with(&format!("_{USDC}")) {
                // USDC is an anchor: a unit is a dollar.
                assert_amount(&market["usd"]["volume_24h"], Some(stats.quote), name);
                assert_eq!(market["usd"]["last"], market["last"], "{name}");
            }
            let is_valid = market["base"]["valid"] == true && market["quote"]["valid"] == true;
            assert_eq!(tickers.contains_key(name), is_valid, "{name}");
            assert_eq!(pairs.contains_key(name), is_valid, "{name}");
            if !is_valid {
                assert!(market["flags"].to_string().contains("invalid_asset"), "{market}");
                continue;
            }
            listed += 1;
            listing_formats_equal_the_own(market, tickers[name], &dex[name], name);
        }
        assert_eq!((tickers.len(), pairs.len(), dex.as_object().unwrap().len()), (listed, listed, listed));
        let (summary, ticker) = (by(&summary, "trading_pairs"), ticker.as_object().unwrap());
        assert_eq!((summary.len(), ticker.len()), (listed, listed), "no two markets share a name");
        let symbols = ok(&daemon, "/api/v1/symbols").json();
        let symbols = by(&symbols["symbols"], "code");
        for market in own.values().filter(|market| tickers.contains_key(text(market, "id"))) {
            let pair = pair_of_symbols(market, &symbols);
            coinmarketcap_equals_the_own(market, summary[&pair], &ticker[&pair], &pair);
        }
        trades_are_numbered(&daemon, &expected);
        books_have_levels(&daemon, &own);
        counted::requests_with_contract_ids_count_under_their_own_paths(&daemon);
    });
}

/// CoinGecko's and CoinMarketCap's figures of one market against the ticker's own.
fn listing_formats_equal_the_own(market: &Value, of_ticker: &Value, of_dex: &Value, name: &str) {
    let day = &market["windows"]["24h"];
    for (ours, theirs) in [
        (&day["close"], &of_ticker["last_price"]),
        (&day["high"], &of_ticker["high"]),
        (&day["low"], &of_ticker["low"]),
        (&day["base_volume"], &of_ticker["base_volume"]),
        (&day["quote_volume"], &of_ticker["target_volume"]),
        (&market["pool_id"], &of_ticker["pool_id"]),
        (&day["close"], &of_dex["last_price"]),
        (&day["base_volume"], &of_dex["base_volume"]),
        (&day["quote_volume"], &of_dex["quote_volume"]),
        (&market["base"]["id"], &of_dex["base_id"]),
    ] {
        assert_eq!(ours, theirs, "{name}");
    }
    for asset in [&market["base"], &market["quote"]] {
        assert!(text(asset, "contract_id").starts_with('C') && text(asset, "contract_id").len() == 56);
    }
}

/// Name of a market in CoinMarketCap's formats: each side by its code if it stands for it.
fn pair_of_symbols(market: &Value, symbols: &BTreeMap<String, &Value>) -> String {
    let symbol = |side: &str| {
        let (code, id) = (text(&market[side], "code"), text(&market[side], "id"));
        let stands_for_code = symbols.get(code).is_some_and(|symbol| symbol["asset"] == id);
        if stands_for_code { code.to_owned() } else { id.to_owned() }
    };
    format!("{}_{}", symbol("base"), symbol("quote"))
}

/// CoinMarketCap's numbers of one market against the ticker's own decimals, which are compared with the rows.
fn coinmarketcap_equals_the_own(market: &Value, summary: &Value, ticker: &Value, pair: &str) {
    let day = &market["windows"]["24h"];
    for (ours, of_summary, of_ticker) in [
        (&day["close"], "last_price", Some("last_price")),
        (&day["base_volume"], "base_volume", Some("base_volume")),
        (&day["quote_volume"], "quote_volume", Some("quote_volume")),
        (&day["high"], "highest_price_24h", None),
        (&day["low"], "lowest_price_24h", None),
        (&day["change_percent"], "price_change_percent_24h", None),
        (&market["bid"], "highest_bid", None),
        (&market["ask"], "lowest_ask", None),
    ] {
        // These formats have no null.
        let ours: f64 = ours.as_str().unwrap_or("0").parse().unwrap();
        assert_eq!(summary[of_summary].as_f64(), Some(ours), "{pair} {of_summary}");
        if let Some(of_ticker) = of_ticker {
            assert_eq!(ticker[of_ticker].as_f64(), Some(ours), "{pair} {of_ticker}");
        }
    }
}

/// Trades of the busiest market against the rows, in all formats.
fn trades_are_numbered(daemon: &Daemon, expected: &BTreeMap<String, Expected>) {
    let name = format!("XLM_{USDC}");
    let trades = ok(daemon, &format!("/api/v1/markets/{name}/trades?limit=10000")).json();
    let of_gecko = ok(daemon, &format!("/api/v1/coingecko/historical_trades?ticker_id={name}")).json();
    selected::times_may_be_in_milliseconds(daemon, &name, &of_gecko);
    let of_cap = ok(daemon, "/api/v1/coinmarketcap/trades/XLM_USDC").json();
    let ids = |list: &Value, field: &str| {
        let mut ids: Vec<u64> =
            list.as_array().unwrap().iter().map(|trade| trade[field].as_u64().unwrap()).collect();
        ids.sort_unstable();
        ids
    };
    let own = ids(&trades["trades"], "id");
    let rows: Vec<u64> = expected[&name].numbers.clone();
    // The first and the newest ledger of the history may not be known to be complete.
    let is_run = rows.windows(own.len()).any(|run| run == own);
    assert!(rows.len() - own.len() < 20 && is_run, "{} of {}", own.len(), rows.len());
    let mut sides = ids(&of_gecko["buy"], "trade_id");
    let buys = sides.len();
    sides.extend(ids(&of_gecko["sell"], "trade_id"));
    sides.sort_unstable();
    // Trades without a price are in the own format only.
    let priced =
        trades["trades"].as_array().unwrap().iter().filter(|trade| !trade["price"].is_null()).count();
    assert_eq!((sides.len(), ids(&of_cap, "trade_id").len()), (priced, priced));
    let bought = trades["trades"].as_array().unwrap().iter().filter(|trade| trade["type"] == "buy");
    assert_eq!(bought.filter(|trade| !trade["price"].is_null()).count(), buys);
}

/// Books of both formats of a market in the order of its best prices.
fn books_have_levels(daemon: &Daemon, own: &BTreeMap<String, &Value>) {
    let mut both_sides = 0;
    for (name, market) in own.iter().take(12) {
        let book = ok(daemon, &format!("/api/v1/markets/{name}/orderbook")).json();
        let of_gecko = ok(daemon, &format!("/api/v1/coingecko/orderbook?ticker_id={name}&depth=4")).json();
        for (side, best) in [("bids", "bid"), ("asks", "ask")] {
            let levels = book[side].as_array().unwrap();
            let prices: Vec<f64> =
                levels.iter().map(|level| level[0].as_str().unwrap().parse().unwrap()).collect();
            let sorted = if side == "bids" { prices.is_sorted_by(|a, b| a >= b) } else { prices.is_sorted() };
            assert!(sorted, "{name} {side}: {prices:?}");
            assert!(of_gecko[side].as_array().unwrap().len() <= 2, "two levels a side");
            let best: Option<f64> = market[best].as_str().map(|price| price.parse().unwrap());
            assert_eq!(best.is_some(), !prices.is_empty(), "{name} {side}");
            if let Some((best, first)) = best.zip(prices.first()) {
                assert!((best / first - 1.0).abs() < 1e-12, "{name} {side}: {best} {first}");
            }
        }
        let (bids, asks) = (&book["bids"][0][0], &book["asks"][0][0]);
        if let (Some(bid), Some(ask)) = (bids.as_str(), asks.as_str()) {
            both_sides += 1;
            assert!(bid.parse::<f64>().unwrap() < ask.parse::<f64>().unwrap(), "{name}: {bid} {ask}");
        }
    }
    assert!(both_sides > 5, "{both_sides} books have two sides");
}

#[test]
fn every_spelling_leads_to_one_address_and_bad_questions_to_clear_errors() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let canonical = format!("/api/v1/markets/XLM_{USDC}");
        let assets = ok(&daemon, "/api/v1/assets").json();
        let contract = |id: &str| text(by(&assets["assets"], "id")[id], "contract_id").to_owned();
        let sep11 = USDC.replace('-', ":");
        for spelled in [
            format!("native_{USDC}"),
            format!("XLM_{sep11}"),
            format!("{USDC}-1_native"),
            format!("XLM_{}", sep11.replace(':', "%3A")),
            format!("{}_{}", contract("XLM"), contract(USDC)),
        ] {
            let answer = daemon.get(&format!("/api/v1/markets/{spelled}"));
            assert_eq!(
                (answer.status, answer.header("location")),
                (301, Some(canonical.as_str())),
                "{spelled}"
            );
        }
        let unknown = USDC.replace("USDC", "NONE");
        let issuer = USDC.trim_start_matches("USDC-");
        let aggregations_of = |kind: &str| {
            format!(
                "/trade_aggregations?base_asset_type=native&counter_asset_type={kind}&counter_asset_code=USDC\
                 &counter_asset_issuer={issuer}&resolution=60000"
            )
        };
        for (path, status) in [
            ("/api/v1/markets?foo=1".to_owned(), 400),
            ("/api/v1/markets?limit=0".to_owned(), 400),
            ("/api/v1/markets?limit=1&limit=2".to_owned(), 400),
            ("/api/v1/markets?sort=size".to_owned(), 400),
            ("/api/v1/markets?fields=id,none".to_owned(), 400),
            ("/api/v1/markets?cursor=x".to_owned(), 400),
            ("/api/v1/markets?cursor=1.2.3".to_owned(), 410),
            ("/api/v1/markets?base=%00".to_owned(), 400),
            ("/api/v1/markets/XLM".to_owned(), 400),
            (format!("/api/v1/markets/XLM_{unknown}"), 404),
            ("/api/v1/markets/XLM_XLM".to_owned(), 404),
            ("/api/v1/markets/%F0%9F%92%A9_XLM".to_owned(), 400),
            (format!("{canonical}/trades?from=1"), 410),
            (format!("{canonical}/trades?limit=-1"), 400),
            ("/api/v1/prices".to_owned(), 400),
            ("/api/v1/prices?assets=XLM,none".to_owned(), 400),
            (format!("/api/v1/prices?assets={}", ["XLM"; 201].join(",")), 400),
            (format!("/api/v1/assets/{unknown}"), 404),
            ("/api/v1/coingecko/historical_trades".to_owned(), 400),
            ("/api/v1/coingecko/orderbook?ticker_id=XLM_NONE".to_owned(), 400),
            (aggregations_of("credit_alphanum12"), 400),
        ] {
            let answer = daemon.get(&path);
            assert_eq!(answer.status, status, "{path}: {}", String::from_utf8_lossy(&answer.body));
            let kind = answer.header("content-type");
            assert_eq!(kind, Some("application/problem+json"), "{path}");
        }
        ok(&daemon, &aggregations_of("credit_alphanum4"));
        selected::check(&daemon);
        assert_eq!(daemon.get_with("POST", "/api/v1/markets", "").status, 405);
        assert_eq!(daemon.get_with("OPTIONS", "/api/v1/markets", "").status, 204);
        a_document_of_the_same_view_is_not_sent_again(&daemon);
        let zipped = daemon.get_with("GET", "/v1/markets.json", "Accept-Encoding: gzip\r\n");
        assert_eq!(zipped.header("content-encoding"), Some("gzip"));
    });
}

fn a_document_of_the_same_view_is_not_sent_again(daemon: &Daemon) {
    wait_until("two answers of one view", || {
        let whole = ok(daemon, "/api/v1/coingecko/tickers");
        assert_eq!(whole.header("access-control-allow-origin"), Some("*"));
        let tag = format!("If-None-Match: {}\r\n", whole.header("etag").unwrap());
        let again = daemon.get_with("GET", "/api/v1/coingecko/tickers", &tag);
        let is_same_view = again.header("x-ticker-as-of") == whole.header("x-ticker-as-of");
        assert_eq!(again.status == 304, is_same_view, "{}", again.status);
        is_same_view
    });
}

/// Contract ids of XLM and USDC.
fn contract_ids(daemon: &Daemon) -> [String; 2] {
    let market = ok(daemon, &format!("/api/v1/markets/XLM_{USDC}")).json();
    ["base", "quote"].map(|side| text(&market[side], "contract_id").to_owned())
}

/// An answer that does not name its market would give inverse prices.
#[test]
fn exchanged_sides_and_other_spellings_redirect_or_are_refused() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let [xlm, usdc] = contract_ids(&daemon);
        let (symbols, contracts) = ("XLM_USDC".to_owned(), format!("{xlm}_{usdc}"));
        for (family, right, other) in
            [("coinmarketcap", &symbols, &contracts), ("contract/coinmarketcap", &contracts, &symbols)]
        {
            let exchanged = ["USDC_XLM".to_owned(), format!("{USDC}_native"), format!("{usdc}_{xlm}")];
            let spelled = [format!("native_{USDC}"), "native_USDC".to_owned()];
            for given in exchanged.iter().chain(&spelled).chain([other]) {
                for document in ["trades", "orderbook"] {
                    let answer = daemon.get(&format!("/api/v1/{family}/{document}/{given}?depth=2"));
                    let right = format!("/api/v1/{family}/{document}/{right}?depth=2");
                    let found = (answer.status, answer.header("location"));
                    assert_eq!(found, (301, Some(right.as_str())), "{family} {document} {given}");
                    ok(&daemon, &right);
                }
            }
            // The market's own name is understood everywhere. Crawlers send the names that these documents print.
            ok(&daemon, &format!("/api/v1/{family}/orderbook/XLM_{USDC}"));
            let summary = ok(&daemon, &format!("/api/v1/{family}/summary")).json();
            for pair in by(&summary, "trading_pairs").keys() {
                ok(&daemon, &format!("/api/v1/{family}/trades/{pair}"));
                ok(&daemon, &format!("/api/v1/{family}/orderbook/{pair}"));
            }
        }
        for path in [
            format!("/api/v1/coingecko/historical_trades?ticker_id={USDC}_XLM"),
            format!("/api/v1/ccxt/ohlcv?symbol={USDC}_XLM"),
            "/api/v1/ccxt/trades?symbol=USDC/XLM".to_owned(),
        ] {
            assert_eq!(daemon.get(&path).status, 404, "{path}");
        }
        for path in
            [format!("/udf/history?symbol={USDC}_XLM&resolution=60"), "/udf/search?limit=0".to_owned()]
        {
            assert_eq!(ok(&daemon, &path).json()["s"], "error", "{path}");
        }
    });
}

#[test]
fn pages_of_one_view_add_up_to_the_whole() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        wait_until("all pages come from one view", || {
            let whole = ok(&daemon, "/api/v1/markets?limit=1000&sort=volume").json();
            let (mut pages, mut cursor) = (Vec::new(), String::new());
            loop {
                let answer = daemon.get(&format!("/api/v1/markets?limit=7&sort=volume{cursor}"));
                if answer.status == 410 {
                    return false; // two views came meanwhile
                }
                let page = answer.json();
                pages.extend(page["markets"].as_array().unwrap().clone());
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            let ids =
                |markets: &[Value]| markets.iter().map(|market| market["id"].clone()).collect::<Vec<_>>();
            let whole = ids(whole["markets"].as_array().unwrap());
            assert!(whole.len() > 14);
            ids(&pages) == whole
        });
        let first = ok(&daemon, "/api/v1/markets?limit=7&sort=volume").json();
        let cursor = first["next_cursor"].as_str().unwrap();
        for other in ["sort=name", "", "sort=volume&verified=true"] {
            let refused = daemon.get(&format!("/api/v1/markets?{other}&cursor={cursor}"));
            let reason = refused.json()["detail"].clone();
            assert_eq!(refused.status, 410, "{other}");
            assert!(reason.as_str().unwrap().contains("of another list"), "{reason}");
        }
        let one = ok(&daemon, &format!("/api/v1/markets?base=native&quote={USDC}&fields=id,last")).json();
        let market = one["markets"][0].as_object().unwrap();
        assert_eq!(market.keys().collect::<Vec<_>>(), ["id", "last"]);
        let none = ok(&daemon, "/api/v1/markets?min_volume_usd=900000000000").json();
        assert_eq!(none["markets"].as_array().unwrap().len(), 0);
    });
}

#[test]
fn prices_name_their_way_to_the_dollar() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let none = USDC.replace("USDC", "NONE");
        let answer = ok(&daemon, &format!("/api/v1/prices?assets=native,{none},{USDC}")).json();
        let [xlm, unknown, usdc] = answer["prices"].as_array().unwrap().as_slice() else {
            panic!("{answer}")
        };
        assert_eq!((text(usdc, "usd"), text(usdc, "method")), ("1", "anchor"));
        assert_eq!(
            (text(unknown, "asset"), text(unknown, "reason")),
            (none.as_str(), "no trade in the last 7 days")
        );
        assert!(unknown["usd"].is_null() && usdc["reason"].is_null(), "{answer}");
        assert_eq!((text(xlm, "xlm"), text(xlm, "method")), ("1", "xlm_median"));
        let dollars: f64 = text(xlm, "usd").parse().unwrap();
        let market = ok(&daemon, &format!("/api/v1/markets/XLM_{USDC}")).json();
        let last: f64 = text(&market, "last").parse().unwrap();
        assert!((dollars / last - 1.0).abs() < 0.05, "{dollars} {last}");
        assert_amount(&market["windows"]["24h"]["quote_volume"], None, "XLM");
        let symbols = ok(&daemon, "/api/v1/symbols").json();
        let symbols = by(&symbols["symbols"], "code");
        assert_eq!((text(symbols["USDC"], "asset"), text(symbols["XLM"], "asset")), (USDC, "XLM"));
    });
}
