//! Resumption after a kill, at another replica, and the ids that cannot be resumed.

use std::collections::{BTreeMap, BTreeSet};

use stellar_ticker::sim::{FaultPlan, FixedSource, SimServer};
use tokio_postgres::Client;

use super::*;
use crate::support::{
    SHORT_LEASE,
    network::network,
    postgres::execute,
    progress::{number, wait_for_pairs, wait_for_trades},
    recomputation::connect,
    replicas::Replicas,
};

/// Tokens of `trade` events up to the next `published`, with its id. Nothing may be lost on the way.
fn read_on(reader: &mut Reader, seen: &mut BTreeSet<String>) -> String {
    loop {
        let event = reader.next();
        match event.name.as_str() {
            "trade" => {
                seen.insert(event.data["paging_token"].as_str().unwrap().to_owned());
            }
            "published" => return event.id.unwrap(),
            "market" | "hello" => {}
            other => panic!("{other}: {event:?}"),
        }
    }
}

/// Tokens in the database from `token` on.
async fn stored_from(client: &Client, token: &str) -> BTreeSet<String> {
    let (toid, order) = token.split_once('-').unwrap();
    let sql = format!(
        "SELECT toid || '-' || trade_order FROM trades WHERE (toid, trade_order) >= ({toid}, {order})"
    );
    client.query(&sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

fn metric(daemon: &Daemon, name: &str) -> u64 {
    let text = String::from_utf8(daemon.admin("/metrics").body).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.map_or(0, |value| value.parse().unwrap())
}

/// A daemon that has published one trade, and the market of that trade.
async fn with_one_trade(sim: &SimServer, source: &FixedSource) -> (Daemon, String) {
    let daemon = Daemon::serve_in(&[SHORT_LEASE], &sim.url(), &fresh_database().await, PASSPHRASE, &[]);
    source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
    let market = market_of(&daemon);
    (daemon, market)
}

/// Starts a killed daemon again, in a later second: its first publication is then one that no reader has. Waits until
/// the market has this number of published trades, and returns its document.
fn start_again(sim: &SimServer, killed: &Daemon, market: &str, trades: u32) -> (Daemon, Value) {
    let second = Utc::now().timestamp();
    wait_until("the second is over", || Utc::now().timestamp() > second);
    let daemon = Daemon::serve_in(&[SHORT_LEASE], &sim.url(), &killed.database, PASSPHRASE, &[]);
    let mut document = Value::Null;
    wait_until("all trades are published", || {
        let answer = daemon.get(&format!("/api/v1/markets/{market}"));
        if answer.status == 200 {
            document = answer.json();
        }
        document["windows"]["24h"]["trade_count"] == trades
    });
    (daemon, document)
}

#[test]
fn readers_that_come_back_after_kill_9_get_what_was_committed_meanwhile() {
    const READERS: usize = 60;
    let (sim, source) = scripted();
    block_on(async {
        let (mut daemon, market) = with_one_trade(&sim, &source).await;
        let mut reader = Reader::open(&daemon, "", None);
        let mut filtered = Reader::open(&daemon, &format!("?markets={market}"), None);
        assert_eq!((reader.next().name, filtered.next().name), ("hello".into(), "hello".into()));
        source.push_trade(trade(LEDGER + 2, 0, Utc::now())).unwrap();
        let [mut seen, mut of_market]: [BTreeSet<String>; 2] = Default::default();
        let id = read_on(&mut reader, &mut seen);
        let filtered_id = read_on(&mut filtered, &mut of_market);
        assert_eq!((&seen, &of_market), (&[paging_token(LEDGER + 2, 0)].into(), &seen));
        daemon.kill();

        // While it is down: ordinary trades, and one of seven minutes ago.
        let closed_at = Utc::now();
        let ordinary = (0..300).map(|order| trade(LEDGER + 3, order, closed_at));
        source.push_trades(ordinary).unwrap();
        source.push_trade(trade(LEDGER + 4, 0, Utc::now() - chrono::TimeDelta::minutes(7))).unwrap();
        let mut daemon = Daemon::serve_in(&[SHORT_LEASE], &sim.url(), &daemon.database, PASSPHRASE, &[]);
        let client = connect(&daemon.database).await;
        wait_for_trades(&client, 303).await;
        // Killed again, so that no process has made the publications in between.
        daemon.kill();
        let (daemon, _) = start_again(&sim, &daemon, &market, 303);
        let mut herd: Vec<Reader> = (0..READERS).map(|_| Reader::open(&daemon, "", Some(&id))).collect();
        for reader in &mut herd {
            let mut missed = BTreeSet::new();
            let at = read_on(reader, &mut missed);
            assert_eq!(missed, stored_from(&client, &paging_token(LEDGER + 3, 0)).await);
            assert_eq!(missed.len(), 301);
            assert_ne!(at, id);
        }
        let mut resumed = Reader::open(&daemon, &format!("?markets={market}"), Some(&filtered_id));
        let mut missed = BTreeSet::new();
        read_on(&mut resumed, &mut missed);
        assert_eq!(missed.len(), 301);
        let reads = metric(&daemon, "ticker_live_backlogs_read_total");
        assert!((1..=4).contains(&reads), "one reads for all, at most every ten seconds: {reads}");

        // And then the live events.
        source.push_trade(trade(LEDGER + 5, 0, Utc::now())).unwrap();
        for reader in herd.iter_mut().chain([&mut resumed]) {
            assert_eq!(reader.next_of("trade").data["paging_token"], paging_token(LEDGER + 5, 0));
        }
    });
}

#[test]
fn after_an_absence_each_watched_market_comes_once_as_it_is() {
    let (sim, source) = scripted();
    block_on(async {
        let (mut daemon, market) = with_one_trade(&sim, &source).await;
        let mut reader = Reader::open(&daemon, "", None);
        let id = reader.next_of("hello").id.unwrap();
        daemon.kill();
        source.push_trade(trade(LEDGER + 2, 0, Utc::now())).unwrap();
        let (daemon, document) = start_again(&sim, &daemon, &market, 2);
        let mut resumed = Reader::open(&daemon, &format!("?markets={market}"), Some(&id));
        assert_eq!(resumed.next().name, "trade");
        let present = resumed.next();
        assert_eq!((present.name.as_str(), &present.data["market"]), ("market", &market.into()));
        assert_eq!(present.data["24h"]["quote_volume"], document["windows"]["24h"]["quote_volume"]);
        let end = resumed.next();
        assert_eq!(end.name, "published", "each market once");
        let seq: i64 = id.split('.').next().unwrap().parse().unwrap();
        assert!(end.data["seq"].as_i64().unwrap() > seq, "{end:?}");
    });
}

/// Readers hop between two replicas, one of which is killed again and again. Together they get each trade.
#[test]
fn a_reader_that_hops_between_replicas_that_are_killed_misses_no_trade() {
    const ROUNDS: usize = 4;
    block_on(async {
        let mut replicas = Replicas::start(network(91, FaultPlan::none()), &[SHORT_LEASE]).await;
        replicas.both.iter().for_each(wait_for_pairs);
        let mut seen = BTreeSet::new();
        let mut reader = Reader::open(&replicas.both[0], "", None);
        let hello = reader.next_of("hello");
        let seq = hello.data["seq"].as_i64().unwrap();
        let mut id = hello.id.unwrap();
        for round in 0..ROUNDS {
            let place = round % 2;
            id = read_on(&mut reader, &mut seen);
            // The other one leads, or this one: both fall in turn.
            replicas.both[place].kill();
            let stored = number(&replicas.client, "SELECT count(*) FROM trades").await;
            wait_for_trades(&replicas.client, stored + 20).await;
            reader = Reader::open(&replicas.both[1 - place], "", Some(&id));
            id = read_on(&mut reader, &mut seen);
            replicas.restart(place);
            wait_for_pairs(&replicas.both[place]);
            // Back to the one that has just started.
            reader = Reader::open(&replicas.both[place], "", Some(&id));
            id = read_on(&mut reader, &mut seen);
            reader = Reader::open(&replicas.both[1 - place], "", Some(&id));
        }
        let newest = "SELECT coalesce(max(seq), 0) FROM ingest_batches WHERE trades > 0";
        let upto = number(&replicas.client, newest).await;
        while id.split('.').next().unwrap().parse::<i64>().unwrap() < upto {
            id = read_on(&mut reader, &mut seen);
        }
        // Trades after the ones that the first publication had, and up to those of the last one. The batch after it may
        // go on within an operation.
        let edge = "SELECT split_part(to_token, '-', 1)::bigint, split_part(to_token, '-', 2)::int FROM ingest_batches
                    WHERE kind = 'live' AND seq <= $1 AND to_token IS NOT NULL ORDER BY 1 DESC, 2 DESC LIMIT 1";
        let first = replicas.client.query_opt(edge, &[&seq]).await.unwrap();
        let first: i64 = first.map_or(0, |row| row.get(0));
        let last = replicas.client.query_one(edge, &[&upto]).await.unwrap();
        let (last, last_order): (i64, i32) = (last.get(0), last.get(1));
        // The first publication may have newer ones already: those of pages, which are other batches than live ones.
        let stored = "SELECT toid || '-' || trade_order FROM trades WHERE toid > $1 AND (toid, trade_order) <= ($2, $3)
                          AND NOT EXISTS (
                          SELECT FROM ingest_batches WHERE seq <= $4 AND kind IN ('backfill', 'repair')
                          AND (toid, trade_order) >= (split_part(from_token, '-', 1)::bigint, split_part(from_token, '-', 2)::int)
                          AND (toid, trade_order) <= (split_part(to_token, '-', 1)::bigint, split_part(to_token, '-', 2)::int))";
        let rows = replicas.client.query(stored, &[&first, &last, &last_order, &seq]).await.unwrap();
        let missing: Vec<String> =
            rows.iter().map(|row| row.get(0)).filter(|token| !seen.contains(token)).collect();
        assert!(
            missing.is_empty() && rows.len() > 100,
            "{} of {} missing: {missing:?}",
            missing.len(),
            rows.len()
        );
        let all = stored_from(&replicas.client, "0-0").await;
        assert!(seen.is_subset(&all), "only what is stored");
        replicas.finish().await;
    });
}

#[test]
fn an_id_that_cannot_be_resumed_says_reset_with_the_reason() {
    let (sim, source) = scripted();
    block_on(async {
        let (mut daemon, market) = with_one_trade(&sim, &source).await;
        let id = Reader::open(&daemon, "", None).next_of("hello").id.unwrap();
        daemon.kill();
        source.push_trade(trade(LEDGER + 2, 0, Utc::now())).unwrap();
        let (daemon, _) = start_again(&sim, &daemon, &market, 2);
        let reason = |id: &str| {
            let event = Reader::open(&daemon, "", Some(id)).next();
            (event.name, event.data["reason"].as_str().unwrap_or_default().to_owned())
        };
        let (seq, as_of) = id.split_once('.').unwrap();
        let (seq, as_of): (i64, i64) = (seq.parse().unwrap(), as_of.parse().unwrap());
        // A daemon that starts within a second publishes the reader's own moment again, and resumes it from memory.
        let earlier = format!("{seq}.{}", as_of - 1);
        let now = Utc::now().timestamp();
        let malformed = "Last-Event-ID is not an id of this stream".to_owned();
        let future = "Last-Event-ID is in the future".to_owned();
        let gone = "the database no longer has the batch of Last-Event-ID".to_owned();
        let reasons: BTreeMap<String, String> = [
            ("x".to_owned(), malformed.clone()),
            (format!("{seq}"), malformed.clone()),
            (format!("{seq}.{now}.1"), malformed.clone()),
            (format!("-{seq}.{now}"), malformed),
            (format!("{}.{now}", seq + 1_000_000), future.clone()),
            (format!("{}.{now}", i64::MAX), future.clone()),
            (format!("{}.{}", i64::MAX, as_of - 1), future.clone()),
            (format!("{seq}.{}", now + 7_200), future.clone()),
            (format!("{seq}.{}", i64::MAX), future),
            (format!("{seq}.{}", now - 3_700), "Last-Event-ID is more than an hour old".to_owned()),
            // A batch of that number, committed after the reader saw it: the database lost the one that the reader saw.
            (format!("{seq}.{}", now - 3_000), gone.clone()),
            (format!("0.{now}"), gone.clone()),
        ]
        .into();
        for (id, why) in reasons {
            assert_eq!(reason(&id), ("reset".to_owned(), why), "{id}");
        }
        assert_eq!(
            Reader::open(&daemon, "", Some(&earlier)).next().name,
            "trade",
            "the right one is resumed"
        );
        // The batches are gone, and so is what was read for the reader before.
        execute(&daemon.database, &format!("DELETE FROM ingest_batches WHERE seq <= {seq}")).await;
        wait_until("it is read again", || reason(&earlier) == ("reset".to_owned(), gone.clone()));
    });
}
