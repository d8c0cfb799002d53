//! The simulated Horizon, over the wire and against its oracle.

mod faults;
mod wire;

use crate::support::wait_until;
use chrono::{DateTime, Duration as Span, Utc};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::net::TcpStream;
use std::time::Duration;
use stellar_ticker::domain::{asset::Asset, identity::pool_id};
use stellar_ticker::sim::{
    Burst, FixedSource, ManualTime, SimClock, SimConfig, SimServer, SimTrade, TradeId, TradeKind, start,
};
use wire::{OpenStream, Reply, expected, fetch};

/// Life of a stream that something else ends.
const LONG: Duration = Duration::from_secs(120);

fn noon() -> DateTime<Utc> {
    "2026-06-02T12:00:00Z".parse().unwrap()
}

/// A small network whose clock stands still.
fn config() -> SimConfig {
    SimConfig {
        clock: SimClock::Manual(ManualTime::new(noon())),
        history_hours: 1,
        trades_per_second: 1.0,
        unpriced_trades: true,
        stream_poll: Duration::from_millis(10),
        stream_duration: Duration::from_millis(400),
        ..SimConfig::default()
    }
}

fn serve(config: SimConfig) -> SimServer {
    start(config, "127.0.0.1:0".parse().unwrap()).unwrap()
}

fn get(server: &SimServer, path: &str) -> Reply {
    fetch(server, path, "", Duration::from_secs(30))
}

fn stream(server: &SimServer, path: &str, more: &str) -> Reply {
    fetch(server, path, &format!("Accept: text/event-stream\r\n{more}"), Duration::from_secs(30))
}

fn history(server: &SimServer) -> Vec<SimTrade> {
    let head = server.oracle().head();
    server.oracle().trades(head.elder..=head.latest)
}

/// All records from `first` on, by the links of the pages.
fn follow(server: &SimServer, first: &str, link: &str) -> Vec<Value> {
    let mut path = first.to_owned();
    let mut all = Vec::new();
    loop {
        let page = get(server, &path);
        let records = page.records();
        if records.is_empty() {
            return all;
        }
        all.extend(records);
        let href = page.json()["_links"][link]["href"].as_str().unwrap().to_owned();
        path = href.strip_prefix("http://sim.example").unwrap().to_owned();
    }
}

fn stream_ids(body: &str) -> Vec<String> {
    body.lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned).collect()
}

#[test]
fn two_servers_of_one_seed_answer_the_same_bytes_and_another_seed_does_not() {
    let (one, two, other) = (serve(config()), serve(config()), serve(SimConfig { seed: 2, ..config() }));
    for path in
        ["/", "/trades?limit=200", "/trades?order=desc&limit=50", "/assets?limit=100", "/ledgers/65000000"]
    {
        assert_eq!(get(&one, path).body, get(&two, path).body, "{path}");
    }
    assert_ne!(get(&one, "/trades").body, get(&other, "/trades").body);
}

#[test]
fn a_restart_goes_on_with_the_same_history() {
    let time = ManualTime::new(noon());
    let early = serve(SimConfig { clock: SimClock::Manual(time.clone()), ..config() });
    let late =
        serve(SimConfig { clock: SimClock::Manual(ManualTime::new(noon() + Span::minutes(30))), ..config() });
    time.advance(Span::minutes(30));
    assert!(late.oracle().head().elder > early.oracle().head().elder);
    assert_eq!(get(&early, "/trades?order=desc").body, get(&late, "/trades?order=desc").body);
}

#[test]
fn pages_in_both_directions_are_exactly_the_oracles_history_in_both_shapes() {
    for legacy_shapes in [false, true] {
        let server = serve(SimConfig { legacy_shapes, trades_per_second: 0.4, ..config() });
        let wanted: Vec<Value> =
            history(&server).iter().map(|trade| expected(trade, legacy_shapes)).collect();
        assert!(wanted.len() > 1000);
        assert_eq!(follow(&server, "/trades?limit=200", "next"), wanted);
        let mut backward = follow(&server, "/trades?limit=173&order=desc", "next");
        backward.reverse();
        assert_eq!(backward, wanted);
    }
}

#[test]
fn any_cursor_continues_behind_it_and_prev_leads_back() {
    let server = serve(config());
    let trades = history(&server);
    for index in (0..trades.len() - 5).step_by(97) {
        let id = trades[index].id;
        let tokens = |path: &str| {
            get(&server, path)
                .records()
                .iter()
                .map(|r| r["id"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let after: Vec<String> = trades[index + 1..index + 5].iter().map(|t| t.id.to_string()).collect();
        assert_eq!(tokens(&format!("/trades?cursor={id}&limit=4")), after);
        let next_operation = trades.iter().find(|t| t.id.toid > id.toid).unwrap();
        assert_eq!(tokens(&format!("/trades?cursor={}&limit=1", id.toid)), [next_operation.id.to_string()]);
        let page = get(&server, &format!("/trades?cursor={id}&limit=4")).json();
        let prev = page["_links"]["prev"]["href"].as_str().unwrap().replace("http://sim.example", "");
        assert_eq!(tokens(&prev)[0], id.to_string());
    }
}

#[test]
fn edges_of_history_and_wrong_parameters_answer_as_horizon_does() {
    let server = serve(config());
    let trades = history(&server);
    assert_eq!(get(&server, "/trades?cursor=5-0&limit=1").records()[0]["id"], trades[0].id.to_string());
    let gone = get(&server, "/trades?cursor=5-0&order=desc");
    assert_eq!(
        (gone.status, gone.json()["type"].as_str().unwrap()),
        (410, "https://stellar.org/horizon-errors/before_history")
    );
    let empty = get(&server, "/trades?cursor=now");
    assert_eq!(empty.records().len(), 0);
    assert!(empty.json()["_links"]["next"]["href"].as_str().unwrap().contains("cursor=now"));
    assert_eq!(get(&server, "/trades").records().len(), 10);
    for (query, field) in [
        ("cursor=x", "cursor"),
        ("cursor=-5", "cursor"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("order=up", "order"),
    ] {
        let reply = get(&server, &format!("/trades?{query}"));
        assert_eq!(reply.status, 400, "{query}");
        assert_eq!(reply.json()["extras"]["invalid_field"], field);
        assert!(reply.header("content-type").unwrap().starts_with("application/problem+json"));
    }
    let root = get(&server, "/").json();
    assert_eq!(root["history_elder_ledger"], server.oracle().head().elder);
    assert_eq!(root["network_passphrase"], "Public Global Stellar Network ; September 2015");
    assert_eq!(get(&server, "/nothing").status, 404);
}

#[test]
fn history_holds_every_kind_of_trade() {
    let server = serve(SimConfig { trades_per_second: 20.0, ..config() });
    let trades = history(&server);
    let some = |what: &str, test: &dyn Fn(&SimTrade) -> bool| assert!(trades.iter().any(test), "{what}");
    let pool = |t: &SimTrade| t.kind != TradeKind::Orderbook;
    some("pool", &pool);
    some("order book", &|t| !pool(t));
    some("pool price beyond 32 bits", &|t| pool(t) && t.price_n.max(t.price_d) > 1 << 32);
    some("dust", &|t| (1..=20).contains(&t.base.amount));
    some("price 0/0", &|t| t.price_n == 0 && t.price_d == 0);
    some("no base amount", &|t| t.base.amount == 0 && t.counter.amount > 0);
    some("no counter amount", &|t| t.counter.amount == 0 && t.base.amount > 0);
    some("second trade of an operation", &|t| t.id.order > 0);
    some("XLM as base", &|t| t.base.asset == "native");
    some("XLM as counter", &|t| t.counter.asset == "native");
    some("second operation", &|t| t.id.toid & 0xfff > 1);
    assert!(trades.windows(2).all(|pair| pair[0].id < pair[1].id && pair[0].closed_at <= pair[1].closed_at));
    for trade in &trades {
        assert!(
            trade.base.amount >= 0 && trade.counter.amount >= 0 && trade.base.asset != trade.counter.asset
        );
        assert!(trade.base.amount + trade.counter.amount > 0, "both amounts 0 would be refused: {trade:?}");
        if pool(trade) && trade.price_d != 0 {
            assert_eq!((trade.price_n, trade.price_d), (trade.counter.amount, trade.base.amount));
        }
    }
    let mean = trades.len() as f64 / 3600.0;
    assert!((18.0..22.0).contains(&mean), "{mean} trades a second");
}

#[test]
fn a_burst_ledger_has_its_number_of_trades() {
    let burst = Some(Burst { every_ledgers: 100, trades: 5000 });
    let server = serve(SimConfig { burst, ..config() });
    let ledger = server.oracle().head().latest / 100 * 100;
    assert_eq!(server.oracle().trades(ledger..=ledger).len(), 5000);
    let from = TradeId::before_ledger(ledger).toid;
    let path = format!("/trades?cursor={from}&limit=200");
    let page = get(&server, &path).records();
    let ledger_of = |record: &Value| TradeId::parse(record["id"].as_str().unwrap()).unwrap().ledger();
    assert!(page.len() == 200 && page.iter().all(|record| ledger_of(record) == ledger));
    assert_eq!(
        follow(&server, &path, "next").len(),
        server.oracle().trades(ledger..=server.oracle().head().latest).len()
    );
}

#[test]
fn a_stream_is_framed_as_horizons_and_resumes_without_loss_across_limits() {
    let server = serve(config());
    let trades = history(&server);
    let start = trades[trades.len() - 95].id;
    let first = stream(&server, &format!("/trades?cursor={start}"), "").body;
    assert!(first.starts_with("retry: 1000\nevent: open\ndata: \"hello\"\n\nid: "), "{first}");
    assert!(first.ends_with("}\n\nretry: 10\nevent: close\ndata: \"byebye\"\n\n"));
    let record: Value = serde_json::from_str(
        first.lines().find_map(|l| l.strip_prefix("data: {")).map(|l| format!("{{{l}")).unwrap().as_str(),
    )
    .unwrap();
    assert_eq!(record, expected(&trades[trades.len() - 94], false));
    let mut ids = stream_ids(&first);
    assert_eq!(ids.len(), 10);
    while ids.len() < 94 {
        let resume = format!("Last-Event-ID: {}\r\n", ids.last().unwrap());
        // The cursor is stale: the header overrides it.
        let more = stream_ids(&stream(&server, &format!("/trades?cursor={start}&limit=30"), &resume).body);
        assert!(!more.is_empty());
        ids.extend(more);
    }
    let wanted: Vec<String> = trades[trades.len() - 94..].iter().map(|t| t.id.to_string()).collect();
    assert_eq!(ids, wanted);
    let idle = stream(&server, "/trades?cursor=now", "").body;
    assert_eq!(
        idle,
        "retry: 1000\nevent: open\ndata: \"hello\"\n\nretry: 10\nevent: close\ndata: \"byebye\"\n\n"
    );
}

#[test]
fn a_stream_sends_ledgers_as_they_close() {
    let time = ManualTime::new(noon());
    let clock = SimClock::Manual(time.clone());
    let server = serve(SimConfig { clock, stream_duration: LONG, ..config() });
    let before = server.oracle().head().latest;
    let wanted = server.oracle().trades(before + 1..=before + 5);
    assert!(!wanted.is_empty() && wanted.len() <= 200);
    // `now` is where the stream begins, so the clock stands until it is open. It ends with its last record.
    let open = OpenStream::of(&server, &format!("/trades?cursor=now&limit={}", wanted.len()));
    for _ in 0..5 {
        time.advance(Span::milliseconds(5800));
    }
    let ids = stream_ids(&open.rest(|| {}));
    assert_eq!(ids, wanted.iter().map(|t| t.id.to_string()).collect::<Vec<_>>());
}

#[test]
fn assets_are_sorted_and_hold_every_case_of_the_validity_rules() {
    let server = serve(config());
    let all = follow(&server, "/assets?limit=7", "next");
    let key = |a: &Value| {
        let text = |name: &str| a[name].as_str().unwrap().to_owned();
        (text("asset_code"), text("asset_issuer"), text("asset_type"))
    };
    let keys: Vec<_> = all.iter().map(key).collect();
    assert!(keys.is_sorted() && keys.len() > 40);
    let mut backward = follow(&server, "/assets?limit=9&order=desc", "next");
    backward.reverse();
    assert_eq!(backward, all);
    let find = |code: &str| all.iter().find(|a| a["asset_code"] == code).unwrap_or_else(|| panic!("{code}"));
    assert_eq!(find("FEW")["accounts"]["authorized"], 9);
    assert_eq!(find("NOSUPPLY")["balances"]["authorized"], "0.0000000");
    assert_eq!(find("NOLINK")["_links"]["toml"]["href"], "");
    assert_eq!(
        find("SPACES")["_links"]["toml"]["href"],
        "https://my own site.example/.well-known/stellar.toml"
    );
    assert!(all.iter().all(|a| a["asset_code"] != "XLM"));
    let usdc = get(&server, "/assets?asset_code=USDC").records();
    assert_eq!(usdc.len(), 3);
    let issuer = "GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN";
    let one = get(&server, &format!("/assets?asset_code=USDC&asset_issuer={issuer}")).records();
    assert_eq!(one.len(), 1);
    assert_eq!(one[0]["paging_token"], format!("USDC_{issuer}_credit_alphanum4"));
    assert_eq!(get(&server, "/assets?cursor=USDC").status, 400);
    let file = |domain: &str| get(&server, &format!("/_toml/{domain}/.well-known/stellar.toml"));
    assert!(file("dollar.example").body.contains(issuer));
    assert_eq!((file("gone.example").status, file("nowhere.example").status), (404, 404));
    let traded: HashSet<String> =
        history(&server).into_iter().flat_map(|t| [t.base.asset, t.counter.asset]).collect();
    for code in ["FEW:", "REMOVE:", "NOTTOML:", "EUR:", "A:"] {
        assert!(traded.iter().any(|key| key.starts_with(code)), "{code} trades");
    }
}

#[test]
fn order_books_default_to_20_levels_and_unknown_pairs_are_empty() {
    let server = serve(config());
    let issuer = "GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN";
    let usdc = |side: &str| {
        format!("{side}_asset_type=credit_alphanum4&{side}_asset_code=USDC&{side}_asset_issuer={issuer}")
    };
    let book = get(&server, &format!("/order_book?selling_asset_type=native&{}", usdc("buying"))).json();
    assert_eq!(book["base"], json!({"asset_type": "native"}));
    assert_eq!(["bids", "asks"].map(|side| book[side].as_array().unwrap().len()), [20, 20]);
    let deep =
        get(&server, &format!("/order_book?selling_asset_type=native&{}&limit=200", usdc("buying"))).json();
    assert!(deep["asks"].as_array().unwrap().len() > 20);
    let none = get(&server, "/order_book?selling_asset_type=native&buying_asset_type=native").json();
    assert_eq!((none["bids"].clone(), none["asks"].clone()), (json!([]), json!([])));
    assert_eq!(get(&server, "/order_book?selling_asset_type=native").status, 400);
}

#[test]
fn the_rate_limit_counts_down_then_answers_429_and_stops_a_stream() {
    let time = ManualTime::new(noon());
    let clock = SimClock::Manual(time.clone());
    let server = serve(SimConfig { rate_limit: Some(3), clock, stream_duration: LONG, ..config() });
    let first = get(&server, "/");
    assert_eq!(first.header("x-ratelimit-limit").unwrap(), "3");
    assert_eq!(first.header("x-ratelimit-remaining").unwrap(), "2");
    assert!((3500..=3600).contains(&first.header("x-ratelimit-reset").unwrap().parse::<u32>().unwrap()));
    for _ in 0..3 {
        // The files of other hosts are no requests to Horizon.
        let file = get(&server, "/_toml/nobody.example/.well-known/stellar.toml");
        assert_eq!((file.status, file.header("x-ratelimit-limit")), (404, None));
    }
    get(&server, "/");
    // Each ledger after the first look costs the stream a request.
    let open = OpenStream::of(&server, "/trades?cursor=now").rest(|| time.advance(Span::seconds(6)));
    assert!(open.ends_with("event: error\ndata: Rate limit exceeded\n\n"), "{open}");
    let page = get(&server, "/trades");
    assert_eq!((page.status, page.header("retry-after").is_some()), (429, true));
    let closed = stream(&server, "/trades", "");
    assert_eq!(closed.status, 429);
    assert!(closed.header("retry-after").is_none() && closed.header("x-ratelimit-limit").is_none());
}

#[test]
fn scripted_trades_are_served_as_pushed_while_the_server_runs() {
    let fixed = FixedSource::new(100, 200, noon());
    let server = serve(SimConfig { fixed: Some(fixed.clone()), stream_duration: LONG, ..config() });
    let trade = |ledger: i64, mark: &str| json!({"paging_token": format!("{}-0", (ledger << 32) | 4097), "mark": mark});
    fixed.push_trade(trade(150, "old")).unwrap();
    assert!(fixed.push_trade(json!({"paging_token": "?"})).is_err());
    assert_eq!(get(&server, "/trades").records(), [trade(150, "old")]);
    let open = OpenStream::of(&server, "/trades?cursor=now&limit=1");
    fixed.push_trade(trade(201, "new")).unwrap();
    let body = open.rest(|| {});
    assert!(body.contains(r#""mark":"new""#) && !body.contains("old"), "{body}");
    assert_eq!(get(&server, "/").json()["history_latest_ledger"], 201);
    fixed.put_book("native", "USD:G", json!({"anything": 1}));
    let path = "/order_book?selling_asset_type=native&buying_asset_type=credit_alphanum4&buying_asset_code=USD&buying_asset_issuer=G";
    assert_eq!(get(&server, path).json(), json!({"anything": 1}));
}

#[test]
fn what_cannot_be_simulated_is_refused() {
    let refused = |config: SimConfig| start(config, "127.0.0.1:0".parse().unwrap()).is_err();
    assert!(refused(SimConfig { markets: 0, ..config() }));
    assert!(refused(SimConfig { ledger_seconds: 0.0, ..config() }));
    assert!(refused(SimConfig { trades_per_second: f64::NAN, ..config() }));
}

#[test]
fn a_port_is_taken_until_its_server_stops() {
    // An address that no other test uses, so that nobody takes the port after the server.
    let server = start(config(), "127.18.22.26:0".parse().unwrap()).unwrap();
    let addr = server.addr();
    assert!(start(config(), addr).is_err(), "the port is taken");
    server.stop();
    // A process that another test starts at this moment holds the listener until it has loaded its program.
    wait_until("nobody listens any more", || TcpStream::connect(addr).is_err());
}

#[test]
fn pages_of_30_000_markets_are_full() {
    let server = serve(SimConfig { markets: 30_000, trades_per_second: 200.0, ..config() });
    let mut cursor = String::new();
    let mut ids = HashSet::new();
    for page in 0..40 {
        let records = get(&server, &format!("/trades?limit=200&cursor={cursor}")).records();
        assert_eq!(records.len(), 200, "page {page}");
        cursor = records.last().unwrap()["id"].as_str().unwrap().to_owned();
        ids.extend(records.iter().map(|record| record["id"].as_str().unwrap().to_owned()));
    }
    assert_eq!(ids.len(), 8_000, "no trade is on two pages");
}

#[test]
fn every_pool_has_the_id_that_the_protocol_gives_its_pair() {
    let server = serve(SimConfig { markets: 300, ..config() });
    let mut pools = HashSet::new();
    for trade in history(&server) {
        let pool = trade.base.pool.as_ref().or(trade.counter.pool.as_ref());
        let Some(pool) = pool else { continue };
        let assets = [&trade.base, &trade.counter].map(|side| side.asset.parse::<Asset>().unwrap());
        let expected = pool_id(&assets[0], &assets[1]).unwrap();
        assert_eq!(pool, expected.as_str(), "{} {}", trade.base.asset, trade.counter.asset);
        pools.insert(pool.clone());
    }
    assert!(pools.len() > 50, "{}", pools.len());
}
