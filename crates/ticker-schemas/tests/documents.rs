//! The schemas against the code: what the formats print is valid, and a fault of each kind is found.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail loudly")]

#[path = "documents/agreement.rs"]
mod agreement;

use std::{
    io::{self, Write},
    sync::Arc,
};

use serde_json::{Value, json};
use ticker_domain::{
    amount::{Amount, Total},
    asset::Asset,
    candles::{Buckets, Interval, Stored},
    coverage::LedgerRange,
    directory::Directory,
    identity::{ContractId, SpelledAsset},
    instant::UnixSeconds,
    issuer_file::Currency,
    listed_asset::ListedAsset,
    market::{Market, QUOTE_ASSETS},
    market_snapshot::MarketSnapshot,
    orderbook::{Level, OrderBook, PolledBook},
    price::Price,
    span::Span,
    test_support::{address, trade},
    windows::Windows,
};
use ticker_formats::{
    board::{self, Board},
    listings::{
        AssetView, IdStyle, ListingView, MarketView,
        aggregations::{AggregationQuery, trade_aggregations},
        candles::{CandleQuery, candles},
        ccxt::{self, Page},
        coingecko::{self, TradeQuery},
        coinmarketcap,
        explain::Field,
        history::{MarketHistory, StoredPart, oldest_held},
        orderbook::{self, QuotedLevels},
        own,
        price_at::{self, Moment},
        udf::{self, HistoryQuery},
        volume::{self, Past, Window},
    },
    output::{OUTPUTS, Output},
};
use ticker_schemas::{SCHEMAS, Validator};

const NOW: UnixSeconds = UnixSeconds(1_790_000_000);
const UNIT: i64 = 10_000_000;

/// A day of seven markets: XLM against USDC, a token against both, one whose token is not valid and has a price of many
/// zeros, two without a price, and one in which only dust traded after a clean trade of three days ago.
fn view() -> ListingView {
    let usdc: Asset = QUOTE_ASSETS[0].parse().unwrap();
    let token = |byte: u8| format!("TEA:{}", address(byte)).parse::<Asset>().unwrap();
    let assets = [(1, Asset::Native), (2, usdc), (3, token(7)), (4, token(8)), (5, token(9))];
    let mut directory = Directory::default();
    directory.add_names(assets);
    directory.update_assets(assets.iter().filter(|(id, _)| *id != 4).map(|(id, asset)| {
        let (code, issuer) = (asset.code().to_owned(), asset.issuer().to_owned());
        let currency = Currency { code, issuer, name: "A name \"of 1e5\"".to_owned(), ..Currency::default() };
        let toml_url = "https://example.com/.well-known/stellar.toml".to_owned();
        let listed = ListedAsset {
            currency,
            num_accounts: 50,
            is_controlled_by_domain: true,
            toml_url,
            ..ListedAsset::default()
        };
        (*id, Some(listed))
    }));
    directory.add_markets([(1, 1, 2), (2, 3, 2), (3, 1, 3), (4, 1, 4), (5, 1, 5), (6, 5, 2), (7, 3, 5)]);
    let level = |n, d| Level { price: Price::new(n, d).unwrap(), amount: Total::parse("1").unwrap() };
    let book = OrderBook { bids: vec![level(1, 10)], asks: vec![level(1, 8)] };
    let book = PolledBook::of(&book, NOW.minus(5));
    directory.update_books(vec![(1, book)], true);
    let mut windows = Windows::default();
    for minute in 0..300_i64 {
        let at = NOW.0 - 60 * minute;
        for market in 1..=4_i32 {
            let amounts = match market {
                4 => (1, i64::MAX - minute),
                _ => ((11 + minute % 7) * UNIT, (100 + minute % 13) * UNIT),
            };
            let mut made = trade(1_000 - minute, market, at, amounts, (amounts.1, amounts.0));
            made.is_buy = minute % 3 == 0;
            made.is_pool = minute % 5 == 0;
            windows.add(market, made);
        }
    }
    windows.add(1, trade(1_001, 1, NOW.0, (0, 1), (0, 0)));
    for market in [5, 6] {
        windows.add(market, trade(1_002, market, NOW.0, (3, 0), (0, 0)));
    }
    windows.add(7, trade(1, 7, NOW.0 - 3 * 86_400, (UNIT, UNIT / 10), (1, 10)));
    windows.add(7, trade(1_003, 7, NOW.0, (1, 50), (50, 1)));
    windows.advance(NOW);
    let snapshot = MarketSnapshot::new(windows.view(), directory);
    let range = LedgerRange { from: 1, to: 1_001, from_time: UnixSeconds(1), to_time: NOW };
    let snapshot = Arc::new(snapshot.with_coverage(Arc::new(vec![range])));
    ListingView::new(7, snapshot, "Schema Network".into(), &[usdc], &Arc::default())
}

fn xlm_usdc(view: &ListingView) -> MarketView<'_> {
    let find = |text: &str| view.find(&text.parse().unwrap()).unwrap();
    view.market_between(&find("XLM"), &find(&QUOTE_ASSETS[0].replace(':', "-"))).unwrap()
}

fn levels(market: &MarketView<'_>) -> QuotedLevels {
    let level = |n, d| Level {
        price: Price::new(n, d).unwrap(),
        amount: Amount::from_stroops(5 * UNIT).unwrap().into(),
    };
    let book = OrderBook { bids: vec![level(1, 10)], asks: vec![level(1, 8), level(1, 7)] };
    QuotedLevels::of(market, &book, NOW.minus(5))
}

/// Market of XLM and USDC, out of memory alone.
fn xlm_usdc_sides() -> Market {
    Market::of(Asset::Native, QUOTE_ASSETS[0].parse().unwrap()).unwrap().0
}

fn hourly(view: &ListingView) -> Vec<u8> {
    let query = CandleQuery {
        interval: Interval::Hour,
        from: UnixSeconds(0),
        known_from: None,
        to: NOW,
        limit: 100,
        fill: true,
    };
    let stored = StoredPart::default();
    bytes_of(|out| candles(&MarketHistory::new(view, xlm_usdc_sides(), &stored), query, out))
}

fn hourly_bars(view: &ListingView) -> Vec<u8> {
    let query = HistoryQuery {
        interval: Interval::Hour,
        held: oldest_held(view),
        from: UnixSeconds(0),
        to: NOW,
        countback: None,
    };
    udf::history(&MarketHistory::new(view, xlm_usdc_sides(), &StoredPart::default()), query)
}

fn hourly_records(view: &ListingView) -> Vec<u8> {
    let query = AggregationQuery {
        buckets: Buckets { seconds: 3_600, offset: 0 },
        start_time: None,
        end_time: None,
        limit: 200,
        descending: false,
        address: "http://h/trade_aggregations?".to_owned(),
    };
    let nothing = StoredPart::default();
    let history = MarketHistory::new(view, xlm_usdc_sides(), &nothing);
    trade_aggregations(&history, &Asset::Native, oldest_held(view), &query)
}

fn hourly_ohlcv(view: &ListingView) -> Vec<u8> {
    let nothing = StoredPart::default();
    let history = MarketHistory::new(view, xlm_usdc_sides(), &nothing);
    ccxt::ohlcv(&history, Interval::Hour, oldest_held(view), Page { since: None, limit: 100 })
}

fn explained(market: &MarketView<'_>, field: &str) -> Vec<u8> {
    let query = |id, _, _| format!("SELECT {id}");
    own::to_bytes(&Field::named(field).unwrap().explain(market, Span::Day, query))
}

/// Nothing of the past: the day is in memory.
fn no_past(asset: &Asset, view: &ListingView) -> Vec<(Market, StoredPart)> {
    price_at::markets(asset, view.anchors())
        .into_iter()
        .map(|market| (market, StoredPart::default()))
        .collect()
}

fn price_of(asset: &AssetView<'_>, view: &ListingView) -> Vec<u8> {
    let moment = Moment { at: NOW, stored: Stored::Minute };
    price_at::price_at(view, asset.asset(), moment, &no_past(asset.asset(), view))
}

fn volume_of_day(view: &ListingView, is_of_market: bool) -> Vec<u8> {
    let window = Window { from: NOW.minus(7_200), to: NOW, interval: Interval::Hour, stored: Stored::Hour };
    let past = Past { anchors: no_past(&Asset::Native, view), ..Past::default() };
    if is_of_market {
        volume::of_market(view, xlm_usdc_sides(), window, &past)
    } else {
        volume::of_asset(view, &Asset::Native, window, &past)
    }
}

/// A document for each schema that the formats print.
fn documents(view: &ListingView) -> Vec<(&'static str, Vec<u8>)> {
    let market = xlm_usdc(view);
    let (week, all) = (NOW.minus(86_400), usize::MAX);
    let of_gecko = TradeQuery { side: None, limit: None, from: week, to: NOW };
    let assets = view.assets();
    // All assets of markets, and one that is not traded by each spelling.
    let unknown: Asset = format!("NONE:{}", address(9)).parse().unwrap();
    let contract = SpelledAsset::Contract(ContractId::of(&unknown, "Another Network"));
    let unknown = SpelledAsset::Classic(unknown);
    let spelled: Vec<SpelledAsset> =
        assets.iter().map(|asset| asset.name().parse().unwrap()).chain([unknown, contract]).collect();
    let mut documents = vec![
        ("asset", own::to_bytes(&own::asset(&assets[0], view))),
        ("board-figures", board::figures(view, &Board::of(view))),
        ("board-names", board::names(view, &Board::of(view), 0)),
        ("board-sparks", board::sparks(view, &Board::of(view))),
        ("candles", hourly(view)),
        ("ccxt-ohlcv", hourly_ohlcv(view)),
        ("ccxt-orderbook", ccxt::orderbook(&market, &levels(&market))),
        ("ccxt-ticker", ccxt::ticker(&market, IdStyle::Classic)),
        ("ccxt-ticker", ccxt::ticker(&market, IdStyle::Contract)),
        ("ccxt-trades", ccxt::trades(&market, Page { since: None, limit: 100 })),
        ("coingecko-historical_trades", bytes_of(|out| coingecko::historical_trades(&market, of_gecko, out))),
        ("coinmarketcap-orderbook", orderbook::coinmarketcap(&levels(&market))),
        ("coinmarketcap-trades", bytes_of(|out| coinmarketcap::trades(&market, out))),
        ("explain", explained(&market, "vwap")),
        ("explain", explained(&market, "trade_count")),
        ("market", own::to_bytes(&own::market(&market))),
        ("orderbook", orderbook::own(&market, &levels(&market), NOW)),
        ("price_at", price_of(&assets[0], view)),
        ("price", own::to_bytes(&own::price(&assets[0], view))),
        ("prices", own::prices(view, &spelled)),
        ("trade_aggregations", hourly_records(view)),
        ("trades", own::trades(&market, week, NOW, all)),
        ("udf-config", udf::config()),
        ("udf-history", hourly_bars(view)),
        ("udf-search", udf::search(view, "xlm", 30)),
        ("udf-search", udf::found_by_id(&MarketHistory::new(view, xlm_usdc_sides(), &StoredPart::default()))),
        ("udf-symbols", udf::symbol(&MarketHistory::new(view, xlm_usdc_sides(), &StoredPart::default()))),
        ("volume", volume_of_day(view, true)),
        ("volume", volume_of_day(view, false)),
    ];
    for style in [IdStyle::Classic, IdStyle::Contract] {
        documents.push(("coingecko-orderbook", orderbook::coingecko(&market, &levels(&market), style)));
    }
    for output in OUTPUTS {
        for (_, style) in output.paths() {
            documents.push((output.schema, written(*output, view, style)));
        }
    }
    documents
}

/// Schemas of documents that other parts of the program print, which test them: `status` and `problem`.
const OF_OTHERS: [&str; 3] = ["common", "problem", "status"];

/// A view in which one of two anchors is worth half of the other.
fn depegged_view() -> ListingView {
    let usdc: Asset = QUOTE_ASSETS[0].parse().unwrap();
    let half: Asset = format!("HALF:{}", address(7)).parse().unwrap();
    let mut directory = Directory::default();
    directory.add_names([(1, Asset::Native), (2, usdc), (3, half)]);
    directory.add_markets([(1, 1, 2), (2, 1, 3)]);
    let mut windows = Windows::default();
    for minute in 0..30_i64 {
        for (market, amounts) in [(1, (1_000 * UNIT, 100 * UNIT)), (2, (100 * UNIT, 20 * UNIT))] {
            let at = NOW.0 - 60 * minute;
            windows.add(market, trade(1_000 - minute, market, at, amounts, (amounts.1, amounts.0)));
        }
    }
    windows.advance(NOW);
    let snapshot = Arc::new(MarketSnapshot::new(windows.view(), directory));
    ListingView::new(7, snapshot, "Schema Network".into(), &[usdc, half], &Arc::default())
}

#[test]
fn markets_of_an_anchor_that_lost_the_dollar_are_flagged() {
    let view = depegged_view();
    let document = whole("markets", &view, IdStyle::Classic);
    let violations = Validator::new().unwrap().check("markets", &document);
    assert!(violations.is_empty(), "{violations:?}");
    let document: Value = serde_json::from_slice(&document).unwrap();
    for market in document["markets"].as_array().unwrap() {
        let flags = market["flags"].as_array().unwrap();
        let is_of_half = market["id"].as_str().unwrap().contains("HALF-");
        assert_eq!(flags.iter().any(|flag| flag["flag"] == "depeg"), is_of_half, "{market}");
    }
}

#[test]
fn every_document_is_valid_by_its_schema() {
    let validator = Validator::new().unwrap();
    let documents = documents(&view());
    for (schema, document) in &documents {
        let violations = validator.check(schema, document);
        assert!(violations.is_empty(), "{schema}: {violations:?}\n{}", String::from_utf8_lossy(document));
    }
    for schema in SCHEMAS.iter().filter(|schema| !OF_OTHERS.contains(&schema.name)) {
        assert!(documents.iter().any(|(name, _)| *name == schema.name), "no document for {}", schema.name);
    }
}

/// All objects of a document that have the fields of a schema, as JSON pointers.
fn objects(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.push(at.to_owned());
            fields.iter().for_each(|(name, inner)| objects(inner, &format!("{at}/{name}"), found));
        }
        // The entries of a list are alike.
        Value::Array(items) => items.iter().take(1).for_each(|item| objects(item, &format!("{at}/0"), found)),
        _ => {}
    }
}

#[test]
fn a_fault_of_each_kind_is_a_violation() {
    let validator = Validator::new().unwrap();
    // May be absent, and are in the documents above.
    let optional = ["bid", "ask", "base_id", "quote_id", "unified_cryptoasset_id"];
    for (schema, document) in documents(&view()) {
        let document: Value = serde_json::from_slice(&document).unwrap();
        let is_map = ["coinmarketcap-assets", "coinmarketcap-dex", "coinmarketcap-ticker"].contains(&schema);
        let mut places = Vec::new();
        objects(&document, "", &mut places);
        for place in places.iter().filter(|place| !(is_map && place.is_empty())) {
            let faulty = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
                let mut faulty = document.clone();
                change(faulty.pointer_mut(place).unwrap().as_object_mut().unwrap());
                validator.check(schema, &serde_json::to_vec(&faulty).unwrap())
            };
            assert!(
                !faulty(&|object| drop(object.insert("more".into(), json!(1)))).is_empty(),
                "{schema}{place}"
            );
            let names: Vec<String> =
                document.pointer(place).unwrap().as_object().unwrap().keys().cloned().collect();
            for name in names {
                let wrong = faulty(&|object| drop(object.insert(name.clone(), json!({"no": "such type"}))));
                assert!(!wrong.is_empty(), "{schema}{place}: {name} of a wrong type");
                let of_listing = schema.starts_with("coin") && optional.contains(&name.as_str());
                let missing = faulty(&|object| drop(object.remove(&name)));
                assert!(of_listing || !missing.is_empty(), "{schema}{place}: {name} missing");
            }
        }
    }
}

#[test]
fn exponents_wrong_decimals_and_broken_texts_are_violations() {
    let validator = Validator::new().unwrap();
    let view = view();
    let summary = String::from_utf8(whole("coinmarketcap-summary", &view, IdStyle::Classic)).unwrap();
    let ask = "\"lowest_ask\":0.125";
    assert!(summary.contains(ask), "{summary}");
    let faulty =
        validator.check("coinmarketcap-summary", summary.replace(ask, "\"lowest_ask\":1.25e-1").as_bytes());
    assert!(faulty.iter().any(|violation| violation.problem.contains("1.25e-1")), "{faulty:?}");
    let tickers = String::from_utf8(whole("coingecko-tickers", &view, IdStyle::Classic)).unwrap();
    for figure in ["1.25e-1", ".125", "-1", "01.5", "1.", "", "NaN"] {
        let faulty = tickers.replace("\"ask\":\"0.125\"", &format!("\"ask\":\"{figure}\""));
        assert!(!validator.check("coingecko-tickers", faulty.as_bytes()).is_empty(), "{figure}");
    }
    let violations =
        validator.check("coingecko-tickers", tickers.replacen("\"last_price\"", "\"last\"", 1).as_bytes());
    assert!(violations.iter().any(|violation| violation.problem.contains("last_price")), "{violations:?}");
    for broken in [&b"\xff"[..], b"", b"{", b"[]x", b"null"] {
        assert!(!validator.check("markets", broken).is_empty());
    }
    assert!(!validator.check("none", b"{}").is_empty());
}

/// Schemas that describe an object without saying all of its fields.
fn loose(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let is_object = fields.get("type") == Some(&json!("object"));
            if is_object && !fields.contains_key("additionalProperties") {
                found.push(at.to_owned());
            }
            fields.iter().for_each(|(name, inner)| loose(inner, &format!("{at}/{name}"), found));
        }
        Value::Array(items) => items.iter().for_each(|item| loose(item, at, found)),
        _ => {}
    }
}

#[test]
fn no_schema_leaves_fields_open_and_all_are_in_the_directory() {
    let mut found = Vec::new();
    loose(&json!({"a": [{"type": "object"}]}), "", &mut found);
    assert_eq!(found, ["/a"], "an open object is found");
    for schema in SCHEMAS {
        let mut found = Vec::new();
        loose(&serde_json::from_str(schema.text).unwrap(), "", &mut found);
        assert!(found.is_empty(), "{}: {found:?}", schema.name);
    }
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schemas");
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name());
    let mut files: Vec<String> = files.map(|name| name.to_string_lossy().replace(".json", "")).collect();
    files.sort_unstable();
    let mut names: Vec<&str> = SCHEMAS.iter().map(|schema| schema.name).collect();
    names.sort_unstable();
    assert_eq!(files, names);
}

/// Document of all markets with this schema.
fn whole(schema: &str, view: &ListingView, style: IdStyle) -> Vec<u8> {
    written(Output::named(schema).unwrap(), view, style)
}

fn bytes_of(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes).unwrap();
    bytes
}

fn written(output: Output, view: &ListingView, style: IdStyle) -> Vec<u8> {
    bytes_of(|out| (output.render)(view, style, out))
}
