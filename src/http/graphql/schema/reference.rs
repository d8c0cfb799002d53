//! Reference implementation: async-graphql renders the lists from values. The rows that are printed directly must be
//! equal to it, byte for byte.

use std::{collections::BTreeMap, sync::Arc};

use async_graphql::{Context, EmptyMutation, EmptySubscription, Object, Schema};

use super::{
    super::{fields, limits, market_data, output, prepared::Prepared, render, request::DocumentRequest},
    AggregatedMarket, AssetObject, BigInt, IssuerObject, MarketObject, OrderbookStats, Time, legacy,
};
use crate::domain::{
    amount::{STROOPS_PER_UNIT, Total},
    conversions::SaturatingFrom,
    directory::Directory,
    instant::{HOUR, UnixSeconds},
    issuer_file::{Currency, Organisation},
    listed_asset::ListedAsset,
    market_snapshot::{MarketFilter, MarketRow, MarketSnapshot, PairCodes, TickerRow},
    number::ratio_to_f64,
    orderbook::{BestPrices, BookFigures, PolledBook},
    test_support::{listed, trade},
    ticker::LegacyFigures,
    trade_stats::TradeStats,
    windows::Windows,
};

struct Reference;

#[Object(name = "Query")]
impl Reference {
    async fn assets(&self, ctx: &Context<'_>) -> Vec<AssetObject> {
        snapshot(ctx).assets().iter().map(|asset| AssetObject::from(asset.as_ref())).collect()
    }

    async fn issuers(&self, ctx: &Context<'_>) -> Vec<IssuerObject> {
        let assets = snapshot(ctx).assets();
        let by_key: BTreeMap<&str, &ListedAsset> =
            assets.iter().map(|asset| (asset.issuer(), asset.as_ref())).collect();
        by_key.into_values().map(IssuerObject::from).collect()
    }

    async fn markets(
        &self,
        ctx: &Context<'_>,
        base_asset_code: Option<String>,
        base_asset_issuer: Option<String>,
        counter_asset_code: Option<String>,
        counter_asset_issuer: Option<String>,
        num_hours_ago: Option<i32>,
    ) -> Vec<Option<MarketObject>> {
        let (snapshot, hours) = (snapshot(ctx), i64::from(num_hours_ago.unwrap_or(24)));
        let filter = MarketFilter {
            base_code: base_asset_code,
            base_issuer: base_asset_issuer,
            counter_code: counter_asset_code,
            counter_issuer: counter_asset_issuer,
        };
        let since = snapshot.since(hours);
        snapshot.markets(&filter, hours).iter().map(|row| Some(MarketObject::of(row, since))).collect()
    }

    async fn ticker(
        &self,
        ctx: &Context<'_>,
        pair_name: Option<String>,
        num_hours_ago: Option<i32>,
    ) -> Vec<Option<AggregatedMarket>> {
        let (snapshot, hours) = (snapshot(ctx), i64::from(num_hours_ago.unwrap_or(24)));
        let rows = match pair_name {
            None => snapshot.tickers(hours),
            Some(name) => snapshot.tickers_of(&PairCodes::parse(&name).unwrap(), hours),
        };
        let since = snapshot.since(hours);
        rows.into_iter().map(|row| Some(AggregatedMarket::of(row, since))).collect()
    }
}

fn snapshot<'a>(ctx: &Context<'a>) -> &'a MarketSnapshot {
    ctx.data_unchecked::<Arc<MarketSnapshot>>()
}

fn times(stats: &TradeStats) -> (Time, Time) {
    let (first, last) = stats.times.unwrap_or_default();
    (Time(first), Time(last))
}

impl MarketObject {
    fn of(row: &MarketRow<'_>, since: UnixSeconds) -> Self {
        let figures = LegacyFigures::from(&row.stats);
        let (first, last) = times(&row.stats);
        Self {
            trade_pair: row.name(),
            base_asset_code: row.base.code().to_owned(),
            base_asset_issuer: row.base.issuer().to_owned(),
            counter_asset_code: row.counter.code().to_owned(),
            counter_asset_issuer: row.counter.issuer().to_owned(),
            base_volume: figures.base_volume,
            counter_volume: figures.counter_volume,
            trade_count: i32::saturating_from(figures.trade_count),
            open: figures.open,
            low: figures.low,
            high: figures.high,
            change: figures.close - figures.open,
            close: figures.close,
            interval_start: Time(since),
            first_ledger_close_time: first,
            last_ledger_close_time: last,
            orderbook_stats: OrderbookStats::from(&row.book),
        }
    }
}

impl AggregatedMarket {
    fn of(row: TickerRow, since: UnixSeconds) -> Self {
        let figures = LegacyFigures::from(&row.stats);
        let (first, last) = times(&row.stats);
        Self {
            trade_pair: row.name,
            base_volume: figures.base_volume,
            counter_volume: figures.counter_volume,
            trade_count: i32::saturating_from(figures.trade_count),
            open: figures.open,
            low: figures.low,
            high: figures.high,
            change: figures.close - figures.open,
            close: figures.close,
            interval_start: Time(since),
            first_ledger_close_time: first,
            last_ledger_close_time: last,
            orderbook_stats: OrderbookStats::from(&row.book),
        }
    }
}

impl From<&BookFigures> for OrderbookStats {
    fn from(book: &BookFigures) -> Self {
        let levels = |count: u64| BigInt(i64::saturating_from(count));
        let (spread, spread_mid_point) = book.spread();
        Self {
            bid_count: levels(book.bid_count),
            bid_volume: book.bid_volume,
            bid_max: book.bid_max,
            ask_count: levels(book.ask_count),
            ask_volume: book.ask_volume,
            ask_min: book.ask_min,
            spread,
            spread_mid_point,
        }
    }
}

impl From<&ListedAsset> for AssetObject {
    fn from(asset: &ListedAsset) -> Self {
        let currency = &asset.currency;
        Self {
            code: currency.code.clone(),
            issuer_account: currency.issuer.clone(),
            kind: asset.kind.clone(),
            num_accounts: i32::saturating_from(asset.num_accounts),
            auth_required: asset.auth_required,
            auth_revocable: asset.auth_revocable,
            amount: ratio_to_f64(asset.amount.stroops(), STROOPS_PER_UNIT),
            asset_controlled_by_domain: asset.is_controlled_by_domain,
            anchor_asset_code: currency.anchor_asset.clone(),
            anchor_asset_type: currency.anchor_asset_type.clone(),
            is_asset_anchored: currency.is_asset_anchored,
            display_decimals: BigInt(currency.display_decimals),
            name: currency.name.clone(),
            desc: currency.desc.clone(),
            conditions: currency.conditions.clone(),
            fixed_number: BigInt(currency.fixed_number),
            max_number: BigInt(currency.max_number),
            is_unlimited: currency.is_unlimited,
            redemption_instructions: currency.redemption_instructions.clone(),
            collateral_addresses: currency.collateral_addresses.join(","),
            collateral_address_signatures: currency.collateral_address_signatures.join(","),
            countries: String::new(), // always empty in the old answers
            status: currency.status.clone(),
            issuer_id: asset.issuer_id,
        }
    }
}

impl From<&ListedAsset> for IssuerObject {
    fn from(asset: &ListedAsset) -> Self {
        let org = &asset.issuer;
        Self {
            public_key: asset.issuer().to_owned(),
            name: org.name.clone(),
            url: org.url.clone(),
            toml_url: asset.toml_url.clone(),
            federation_server: org.federation_server.clone(),
            auth_server: org.auth_server.clone(),
            transfer_server: org.transfer_server.clone(),
            web_auth_endpoint: org.web_auth_endpoint.clone(),
            deposit_server: org.deposit_server.clone(),
            org_twitter: org.twitter.clone(),
        }
    }
}

/// Returns a snapshot of three markets with texts and figures that are hard to print. One of them has a book.
fn hard_snapshot() -> MarketSnapshot {
    let text = |text: &str| format!("{text} \"<&>\\\n\u{2028}\u{1f600}\u{1}");
    let odd = |code: &str, issuer: &str, anchor: &str| {
        let plain = listed(code, issuer, anchor);
        ListedAsset {
            kind: "credit_alphanum4".into(),
            num_accounts: 5_000_000_000,
            auth_required: true,
            amount: Total::parse("922337203685477580.1234567").unwrap(),
            is_controlled_by_domain: true,
            currency: Currency {
                name: text("name"),
                desc: text("desc"),
                conditions: text(""),
                anchor_asset_type: "fiat".into(),
                display_decimals: -7,
                max_number: i64::MAX,
                is_unlimited: true,
                collateral_addresses: vec!["a".into(), text("b")],
                ..plain.currency
            },
            issuer_id: 77,
            issuer: Organisation {
                name: text("org"),
                url: "https://a.example/?b&c".into(),
                ..Organisation::default()
            }
            .into(),
            toml_url: "https://a.example/.well-known/stellar.toml".into(),
            ..plain
        }
    };
    let mut directory = Directory::default();
    let assets = [("XLM", "native", ""), ("BRL", "G1", ""), ("BRLT", "G1", "BRL"), ("TEA", "G4", "")];
    directory.update_assets(
        (1..).zip(assets.iter().map(|(code, issuer, anchor)| Some(odd(code, issuer, anchor)))),
    );
    directory.add_markets([(1, 1, 2), (2, 1, 3), (3, 2, 4)]);
    let figures = BookFigures {
        bid_count: u64::MAX,
        bid_volume: 1e300,
        bid_max: 1.5e-9,
        ask_count: 3,
        ask_volume: f64::INFINITY,
        ask_min: 0.1,
    };
    directory.update_books(
        vec![(1, PolledBook { figures, best: BestPrices::default(), fetched_at: UnixSeconds(1) })],
        true,
    );
    let (mut windows, now) = (Windows::default(), UnixSeconds(1_000_000_000));
    for (number, market) in [(1, 1), (2, 1), (3, 2), (4, 3)] {
        let closed_at = now.0 - number * HOUR - 5;
        windows.add(market, trade(number, 0, closed_at, (i64::MAX, number), (number, 3_000_000_007)));
        windows.add(market, trade(number, 1, closed_at, (7, 9), (i64::MAX, number)));
        windows.add(market, trade(number, 2, closed_at, (0, 1), (0, 1)));
    }
    windows.advance(now);
    MarketSnapshot::new(windows.view(), directory)
}

async fn both(query: &str) -> (String, String) {
    both_of(query, None).await
}

/// Returns the printed answer of an operation, and that of the reference.
async fn both_of(query: &str, operation: Option<&str>) -> (String, String) {
    let snapshot = Arc::new(hard_snapshot());
    let body = serde_json::json!({ "query": query, "operationName": operation }).to_string();
    let parse = || DocumentRequest::from_body(body.as_bytes()).unwrap().parse(&snapshot).unwrap().unwrap().0;
    let reference = Schema::build(Reference, EmptyMutation, EmptySubscription).finish();
    let expected = render::render(&reference.execute(parse().into_inner().data(Arc::clone(&snapshot))).await);
    let prepared = Prepared::of(&legacy(), parse()).await;
    limits::weigh(prepared.lists(), &snapshot).unwrap();
    let answer = prepared.short(&snapshot, output::CancelGuard::default().token());
    (String::from_utf8(answer.unwrap().pieces.concat()).unwrap(), expected)
}

/// Selection of all fields of a type.
fn selection(types: &[(String, Vec<String>)], type_name: &str) -> String {
    let (_, names) = types.iter().find(|(name, _)| name == type_name).unwrap();
    let fields = names.iter().map(|name| match name.as_str() {
        "orderbookStats" => format!("{name} {}", selection(types, "OrderbookStats")),
        _ => name.clone(),
    });
    format!("{{ __typename {} }}", fields.collect::<Vec<_>>().join(" "))
}

/// Query for every field of the old ticker's lists.
fn everything() -> String {
    let types = super::tests::schema_fields();
    let [markets, pairs, assets, issuers] =
        ["Market", "AggregatedMarket", "Asset", "Issuer"].map(|name| selection(&types, name));
    format!(
        "{{ markets(numHoursAgo: 168) {markets} ticker(numHoursAgo: 168) {pairs} assets {assets} issuers {issuers} }}"
    )
}

#[tokio::test]
async fn rows_are_printed_as_the_values_of_the_schema_would_be() {
    let everything = everything();
    for query in [
        everything.as_str(),
        "{ a: markets(numHoursAgo: 2) { x: close close y: close } b: markets(numHoursAgo: 0) { close } }",
        "{ markets { open } markets { close open orderbookStats { askMin } orderbookStats { bidMax askMin } } }",
        "{ ...q ticker(pairName: \"BRL_XLM\") { open } } fragment q on Query { ticker(pairName: \"BRL_XLM\") { ...r close } }
         fragment r on AggregatedMarket { low ... on AggregatedMarket { high } ... { __typename } }",
        "{ markets { close @skip(if: true) open } assets @include(if: false) { code } __typename }",
        "{ markets(counterAssetCode: \"TEA\") { tradePair } ticker(pairName: \"NONE_XLM\") { open } }",
        "{ __typename a: __typename issuers { name } }",
    ] {
        let (printed, expected) = both(query).await;
        assert_eq!(printed, expected, "{query}");
        assert!(!printed.contains("\"errors\""), "{printed}");
    }
    assert!(both(&everything).await.0.len() > 5_000);
}

#[tokio::test]
async fn typename_of_the_root_stands_beside_lists_wherever_it_is_selected() {
    for (names, query) in [
        (1, "{ __typename issuers { name } }"),
        (1, "{ issuers { name } a: __typename }"),
        (2, "{ __typename issuers { name } __typename a: __typename }"),
        (1, "{ issuers { name } ... { __typename } }"),
        (1, "{ ... on Query { __typename issuers { name } } __typename }"),
        (1, "{ issuers { name } ...q } fragment q on Query { t: __typename }"),
        (1, "{ __typename ...q issuers { name } ...q } fragment q on Query { __typename issuers { url } }"),
        (2, "{ issuers { name } __typename @skip(if: false) a: __typename @include(if: true) }"),
        (0, "{ issuers { name } __typename @skip(if: true) a: __typename @include(if: false) }"),
        (0, "query($v: Boolean = true) { __typename @skip(if: $v) issuers { name } }"),
        (1, "query($v: Boolean = false) { __typename @skip(if: $v) issuers { name } }"),
        (
            1,
            "query($v: Boolean! = true) { issuers { name } a: __typename @include(if: $v) @skip(if: false) }",
        ),
        (1, "query($v: Boolean! = true) { issuers { name } ... on Query { __typename @include(if: $v) } }"),
        (
            0,
            "query($v: Boolean = true) { ...q issuers { name } } fragment q on Query { __typename @skip(if: $v) }",
        ),
        (1, "query($v: Boolean = true) { issuers { name __typename @skip(if: $v) } __typename }"),
        (
            0,
            "query($v: Boolean = true) { issuers { ...i } } fragment i on Issuer { __typename @include(if: $v) }",
        ),
    ] {
        let (printed, expected) = both(query).await;
        assert_eq!(printed, expected, "{query}");
        assert!(printed.contains("\"issuers\":[{"), "{query}: {printed}");
        assert_eq!(printed.matches("\"Query\"").count(), names, "{query}: {printed}");
    }
}

#[tokio::test]
async fn a_name_is_a_list_in_one_operation_and_typename_in_a_fragment_of_another() {
    let query = "query A { issuers { name } } query B { ...q } fragment q on Query { issuers: __typename assets { code } }";
    let (printed, expected) = both_of(query, Some("A")).await;
    assert_eq!(printed, expected);
    assert!(printed.starts_with("{\"data\":{\"issuers\":[{\"name\":"), "{printed}");
    let (printed, expected) = both_of(query, Some("B")).await;
    assert_eq!(printed, expected);
    assert!(printed.starts_with("{\"data\":{\"issuers\":\"Query\",\"assets\":[{"), "{printed}");
}

#[tokio::test]
async fn directives_of_typename_are_validated() {
    for (directive, message) in
        [("@nope", "Unknown directive"), ("@skip", "is required"), ("@skip(if: $w)", "$w")]
    {
        let (printed, _) = both(&format!("{{ issuers {{ name }} __typename {directive} }}")).await;
        assert!(printed.starts_with("{\"errors\":[{") && printed.contains(message), "{printed}");
    }
}

#[tokio::test]
async fn an_object_whose_fields_are_all_skipped_is_empty_and_not_null() {
    for (query, data) in [
        ("{ issuers { name @skip(if: true) } }", "{\"issuers\":[{},{},{}]}"),
        (
            "{ markets(numHoursAgo: 2) { orderbookStats { askMin @include(if: false) } } }",
            "{\"markets\":[{\"orderbookStats\":{}}]}",
        ),
        ("{ markets @skip(if: true) { close } }", "{}"),
        ("query($s: Boolean = true) { __typename @skip(if: $s) }", "{}"),
        (
            "query($s: Boolean! = true) { a: issuers @skip(if: $s) { name } b: assets @include(if: $s) { countries } }",
            "{\"b\":[{\"countries\":\"\"},{\"countries\":\"\"},{\"countries\":\"\"},{\"countries\":\"\"}]}",
        ),
    ] {
        assert_eq!(both(query).await.0, format!("{{\"data\":{data}}}"), "{query}");
    }
}

#[tokio::test]
async fn a_refused_argument_leaves_no_data_of_other_fields() {
    for query in [
        "{ a: ticker(numHoursAgo: 169) { close } b: markets { close } }",
        "{ b: markets { close } a: ticker(numHoursAgo: 169) { close } }",
    ] {
        let (printed, _) = both(query).await;
        assert!(printed.starts_with("{\"errors\":[{") && printed.ends_with(",\"data\":null}"), "{printed}");
        assert_eq!(printed.matches("\"message\"").count(), 1, "{printed}");
    }
}

#[tokio::test]
async fn every_field_of_the_schema_can_be_printed() {
    let all = super::tests::schema_fields();
    let names = |type_name: &str| all.iter().find(|(name, _)| name == type_name).unwrap().1.clone();
    for type_name in ["Asset", "Issuer"] {
        for name in names(type_name) {
            assert!(fields::of_asset(type_name, &name).is_some(), "{type_name}.{name}");
        }
    }
    for type_name in ["Market", "AggregatedMarket", "OrderbookStats"] {
        let names = names(type_name);
        assert!(names.len() >= 8, "{names:?}");
        for name in names.iter().filter(|name| *name != "orderbookStats") {
            assert!(fields::of_traded(type_name, name).is_some(), "{type_name}.{name}");
        }
    }
    for type_name in ["Trade", "TradedPair", "Token"] {
        for name in
            names(type_name).iter().filter(|name| !["pair", "token0", "token1"].contains(&name.as_str()))
        {
            assert!(market_data::of_swap(type_name, name).is_some(), "{type_name}.{name}");
        }
    }
    for name in names("Candle") {
        assert!(market_data::of_candle("Candle", &name).is_some(), "Candle.{name}");
    }
}
