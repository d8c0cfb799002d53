//! The self-audit, slice by slice: it finds each corruption of rows or memory, and nothing else.

use std::collections::BTreeSet;

use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use stellar_ticker::{
    actors::aggregator::MarketState,
    audit::{lists, windows},
    db::recomputation::{Audited, Listed, Summed},
    domain::{
        orderbook::{BestPrices, BookFigures, OrderBook, PolledBook},
        trade_stats::WindowTrade,
        windows::Windows,
    },
    published::{FileMaker, Publication},
};

use super::*;
use crate::support::figure;

const MARKETS: i32 = 1_200;
/// Trades of each market.
const TRADES: i32 = 12;
const CORRUPTIONS: usize = 1_000;
/// Markets in a slice.
const SLICE: usize = 170;
/// Time for reading one.
const LIMIT: Duration = Duration::from_secs(20);

/// XLM and a code that only this market has.
fn trade_of(market: i32, place: i32) -> Trade {
    let seed = i64::from(market) * 100 + i64::from(place);
    TradeRecord {
        token: token(u32::try_from(place * MARKETS + market + 1).unwrap(), 0),
        closed_at: UnixSeconds(NOW - 6 * 86_400 + i64::from(place) * 43_000 + i64::from(market)),
        base: side(Asset::Native, 1_000 + seed),
        counter: side(Asset::issued(&format!("M{market}"), &address(1)).unwrap(), 2_000 + 3 * seed),
        price_n: 2_000 + seed % 97,
        price_d: 1_000 + seed % 89,
        base_is_seller: true,
    }
    .normalise()
    .unwrap()
}

/// All markets' trades in the database, and what is published of them.
async fn world() -> (Scene, MarketState) {
    let scene = Scene::new().await;
    let trades: Vec<Trade> =
        (0..TRADES).flat_map(|place| (0..MARKETS).map(move |market| trade_of(market, place))).collect();
    let mut before = None;
    for part in trades.chunks(3_000) {
        let batch = batch(before, part.to_vec());
        before = part.iter().map(|trade| trade.token).max();
        scene.database.write_trades(scene.epoch, &batch).await.unwrap();
    }
    scene.client.batch_execute("UPDATE assets SET is_valid = true").await.unwrap();
    let state = MarketState::load(&scene.database, UnixSeconds(NOW)).await.unwrap();
    (scene, state)
}

fn published(state: &mut MarketState) -> Publication {
    let snapshot = state.snapshot_at(UnixSeconds(NOW));
    Publication::render(state.seq(), state.latest(), snapshot, None, &mut FileMaker::default()).unwrap()
}

/// The markets that an audit of everything finds, and how many figures it compared.
async fn found(scene: &Scene, publication: &Publication) -> (BTreeSet<i32>, u64) {
    let audited = Audited { seq: publication.seq, as_of: publication.as_of };
    let (mut found, mut figures) = (BTreeSet::new(), 0);
    for slice in scene.database.market_ids().await.unwrap().chunks(SLICE) {
        let Summed::Sums(sums) = scene.database.sum_markets(audited, slice, LIMIT).await.unwrap() else {
            panic!("nothing was committed meanwhile")
        };
        let reported =
            windows::compare(&publication.snapshot, &publication.files.markets.raw, slice, &sums).unwrap();
        assert_eq!(reported.comparison.difference_count == 0, reported.markets.is_empty());
        found.extend(reported.markets);
        figures += reported.comparison.figures;
    }
    (found, figures)
}

/// Rebuilds the windows of these markets with a false trade in each.
async fn skew(scene: &Scene, state: &mut MarketState, markets: &[i32]) {
    let (seq, windows) =
        MarketState::read_markets(&scene.database, markets.into(), UnixSeconds(NOW)).await.unwrap();
    let mut wrong = Windows::default();
    wrong.advance(UnixSeconds(NOW));
    for (market, window) in windows {
        let trades: Vec<WindowTrade> = window.trades().collect();
        let newest = *trades.last().unwrap();
        for trade in trades {
            wrong.add(market, trade);
        }
        wrong.add(market, WindowTrade { token: PagingToken::default(), price: None, ..newest });
    }
    state.replace(seq, wrong.into_windows().collect());
}

/// Corrupts one row of a market. Returns the statement and the markets that are wrong after it.
fn corruption(random: &mut ChaCha8Rng, market: i32, spare: i32) -> (String, Vec<i32>) {
    let place = random.random_range(0..TRADES);
    let row = format!(
        "WHERE market_id = {market} AND toid = (SELECT toid FROM kept WHERE market_id = {market} ORDER BY toid OFFSET {place} LIMIT 1)"
    );
    let delta = random.random_range(1..1_000);
    let change = |set: String| (format!("UPDATE trades SET {set} {row}"), vec![market]);
    match random.random_range(0..10) {
        0 | 1 => (format!("DELETE FROM trades {row}"), vec![market]),
        2 => change(format!("base_amount = base_amount + {delta}")),
        3 => change(format!("counter_amount = counter_amount - {delta}")),
        4 => change(format!("price_n = price_n + {delta}")),
        5 => change(format!("price_d = price_d + {delta}")),
        6 => change(format!("trade_order = trade_order + {delta}")),
        7 => change("ledger_close_time = ledger_close_time + interval '1 second'".to_owned()),
        8 => (format!("UPDATE trades SET market_id = {spare} {row}"), vec![market, spare]),
        _ => (
            format!(
                "INSERT INTO trades SELECT toid, trade_order + {delta}, ledger_close_time, market_id, base_asset_id, \
                 counter_asset_id, base_amount, counter_amount, price_n, price_d, base_is_seller, base_account, \
                 counter_account, liquidity_pool_id FROM kept {row}"
            ),
            vec![market],
        ),
    }
}

#[tokio::test]
async fn all_of_1000_random_corruptions_are_found_and_nothing_else_and_rebuilding_heals_the_windows() {
    let (scene, mut state) = world().await;
    let clean = published(&mut state);
    let (none, figures) = found(&scene, &clean).await;
    assert_eq!(none, BTreeSet::new());
    let seed = std::env::var("TICKER_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut markets = scene.database.market_ids().await.unwrap();
    markets.shuffle(&mut random);
    let spares = markets.split_off(CORRUPTIONS);
    scene
        .client
        .batch_execute("CREATE TABLE kept AS SELECT * FROM trades; CREATE INDEX ON kept (market_id)")
        .await
        .unwrap();
    let (mut expected, mut statements, mut skewed) = (BTreeSet::new(), Vec::new(), Vec::new());
    for market in &markets {
        if random.random_bool(0.25) {
            expected.insert(*market);
            skewed.push(*market);
            continue;
        }
        let spare = spares[random.random_range(0..spares.len())];
        let (statement, wrong) = corruption(&mut random, *market, spare);
        statements.push(statement);
        expected.extend(wrong);
    }
    skew(&scene, &mut state, &skewed).await;
    scene.client.batch_execute(&statements.join(";")).await.unwrap();
    let wrong = published(&mut state);
    let (reported, _) = found(&scene, &wrong).await;
    let missed: Vec<_> = expected.difference(&reported).collect();
    let too_many: Vec<_> = reported.difference(&expected).collect();
    assert_eq!((missed, too_many), (vec![], vec![]), "seed {seed}");
    println!(
        "seed {seed}: {CORRUPTIONS} corruptions ({} in memory) of {} trades: all found, of {figures} figures",
        skewed.len(),
        MARKETS * TRADES
    );
    let suspects: Vec<i32> = reported.into_iter().collect();
    let (seq, windows) =
        MarketState::read_markets(&scene.database, suspects.clone().into(), UnixSeconds(NOW)).await.unwrap();
    let before = wrong.snapshot.clone();
    state.replace(seq, windows);
    let healed = published(&mut state);
    assert_eq!(found(&scene, &healed).await.0, BTreeSet::new());
    // The audit names the doubtful ledgers exactly, so that they can be read again.
    let ledgers = windows::differing_ledgers(&before, &healed.snapshot, &suspects.into_iter().collect());
    assert!(ledgers.len() >= CORRUPTIONS - skewed.len() - 1, "{}", ledgers.len());
}

#[tokio::test]
async fn a_skew_of_the_file_alone_is_found() {
    let (scene, mut state) = world().await;
    let clean = published(&mut state);
    let text = String::from_utf8(clean.files.markets.raw.to_vec()).unwrap();
    let ids = scene.database.market_ids().await.unwrap();
    let audited = Audited { seq: clean.seq, as_of: clean.as_of };
    let Summed::Sums(sums) = scene.database.sum_markets(audited, &ids, LIMIT).await.unwrap() else {
        panic!()
    };
    let entries = |text: &str| windows::compare(&clean.snapshot, text.as_bytes(), &ids, &sums).unwrap();
    assert_eq!(entries(&text).comparison.difference_count, 0);
    let reported = entries(&text.replacen("\"trade_count_7d\": 12", "\"trade_count_7d\": 13", 1));
    assert_eq!((reported.comparison.difference_count, reported.markets.len()), (1, 1));
    let reported = entries(&text.replacen("XLM_M7\"", "XLM_M7X\"", 1));
    let names: Vec<&str> =
        reported.comparison.differences.iter().map(|reported| reported.entry.as_str()).collect();
    assert_eq!(names, ["XLM_M7X", "XLM_M7"], "one too much, and one missing");
}

#[tokio::test]
async fn rows_that_were_committed_after_the_publication_are_no_difference() {
    let (scene, mut state) = world().await;
    let publication = published(&mut state);
    let last = trade_of(MARKETS - 1, TRADES - 1).token;
    let mut later = trade_of(0, 0);
    later.token = PagingToken { toid: last.toid + (1 << 32), order: 0 };
    scene.database.write_trades(scene.epoch, &batch(Some(last), vec![later])).await.unwrap();
    assert_eq!(found(&scene, &publication).await.0, BTreeSet::new());
    // Windows that were rebuilt from more batches than the rest go back until all is read.
    let ids = scene.database.market_ids().await.unwrap();
    let seq = state.seq();
    let (newer, windows) =
        MarketState::read_markets(&scene.database, ids.into(), UnixSeconds(NOW)).await.unwrap();
    assert_eq!(newer, seq + 1);
    state.replace(newer, windows);
    assert_eq!((state.seq(), state.is_settled()), (seq, false));
    let mut update =
        MarketState::read_after(&scene.database, seq, &[], UnixSeconds(NOW)).await.unwrap().unwrap();
    assert!(state.update(&mut update), "few trades are taken in at once");
    assert_eq!((state.seq(), state.is_settled()), (newer, true));
    assert_eq!(found(&scene, &published(&mut state)).await.0, BTreeSet::new());
}

#[tokio::test]
async fn the_lists_of_ten_thousand_valid_assets_are_read_and_agree() {
    let (scene, _) = world().await;
    let many = format!(
        "INSERT INTO assets (code, issuer, type, is_valid, last_valid, name, \"desc\", conditions)
         SELECT 'T' || n, '{}', 'credit_alphanum12', true, now(), 'Token ' || n, repeat('words ', 40), repeat('terms ', 20)
         FROM generate_series(1, 10000) n;
         INSERT INTO markets (base_asset_id, counter_asset_id)
         SELECT a.id, b.id FROM assets a CROSS JOIN (VALUES (3), (5), (7)) AS steps (step) JOIN assets b ON b.id = a.id + step WHERE a.code LIKE 'T%' AND b.code LIKE 'T%';
         INSERT INTO orderbook_stats SELECT id, 3, 1.5, 0.5, 4, 2.5, 0.75, now() FROM markets ORDER BY id DESC LIMIT 5000;
         ANALYZE",
        address(1)
    );
    scene.client.batch_execute(&many).await.unwrap();
    let mut state = MarketState::load(&scene.database, UnixSeconds(NOW)).await.unwrap();
    let seq = state.seq();
    let publication =
        Publication::render(seq, None, state.snapshot_at(UnixSeconds(NOW)), None, &mut FileMaker::default())
            .unwrap();
    let audited = Audited { seq, as_of: publication.as_of };
    let begun = std::time::Instant::now();
    let Listed::Lists(rows) = scene.database.listed(audited).await.unwrap() else { panic!("missed") };
    let read = begun.elapsed();
    let comparison = lists::compare(&publication.snapshot, &publication.files.assets.raw, &rows).unwrap();
    assert_eq!(comparison.difference_count, 0, "{:?}", comparison.differences);
    assert!(rows.assets.len() > 10_000 && rows.markets.len() > 30_000 && rows.books.len() == 5_000);
    figure!(
        "all assets, markets and books fit into a slice of 5 s",
        "{} valid assets, {} markets, {} books: read in {:.2} s, compared in {:.2} s, {} figures agree",
        rows.assets.len(),
        rows.markets.len(),
        rows.books.len(),
        read.as_secs_f64(),
        (begun.elapsed() - read).as_secs_f64(),
        comparison.figures
    );
}

/// The poller stores some nearly each second. No publication would ever be compared.
#[tokio::test]
async fn books_that_changed_after_the_publication_keep_no_other_from_being_compared() {
    let (scene, _) = world().await;
    let book = |market: MarketAssets, bid_count| {
        let figures = BookFigures { bid_count, bid_volume: 0.1, ..BookFigures::default() };
        let polled = PolledBook { figures, best: BestPrices::default(), fetched_at: UnixSeconds(NOW) };
        (market, polled, OrderBook::default())
    };
    let ids = scene.database.market_ids().await.unwrap();
    let markets = scene.markets(&ids[..3]).await;
    let before = [book(markets[0], 1), book(markets[1], 2)];
    scene.database.record_books(scene.epoch, &before, UnixSeconds(NOW)).await.unwrap();
    let mut state = MarketState::load(&scene.database, UnixSeconds(NOW)).await.unwrap();
    let publication = published(&mut state);
    for bid_count in [5, 6] {
        let later = [book(markets[0], bid_count), book(markets[2], bid_count)];
        scene.database.record_books(scene.epoch, &later, UnixSeconds(NOW)).await.unwrap();
    }
    let (changed, wrong, new) = (ids[0], ids[1], ids[2]);
    let audited = Audited { seq: publication.seq, as_of: publication.as_of };
    let differing = async || {
        let Listed::Lists(rows) = scene.database.listed(audited).await.unwrap() else { panic!("missed") };
        assert_eq!(rows.changed_books, [changed, new].into());
        let compared = lists::compare(&publication.snapshot, &publication.files.assets.raw, &rows).unwrap();
        compared.differences.into_iter().map(|found| found.entry).collect::<Vec<_>>()
    };
    assert_eq!(differing().await, Vec::<String>::new());
    let spoil = format!("UPDATE orderbook_stats SET bid_count = 3 WHERE market_id = {wrong}");
    scene.client.batch_execute(&spoil).await.unwrap();
    assert_eq!(differing().await, [format!("book of market {wrong}")]);
    // The row of a removed book is gone, and nothing names it.
    scene.database.keep_books_of(scene.epoch, &[wrong, new]).await.unwrap();
    let removed = scene.database.listed(audited).await.unwrap();
    assert!(matches!(removed, Listed::Missed(_)), "{removed:?}");
}

#[tokio::test]
async fn a_slice_may_take_as_long_as_it_is_given() {
    let (scene, mut state) = world().await;
    let publication = published(&mut state);
    let audited = Audited { seq: publication.seq, as_of: publication.as_of };
    let ids = scene.database.market_ids().await.unwrap();
    let none = scene.database.sum_markets(audited, &ids, Duration::from_millis(1)).await;
    assert!(none.is_err_and(|error| error.is_timeout()));
    let sums = scene.database.sum_markets(audited, &ids, Duration::from_secs(120)).await.unwrap();
    assert!(matches!(sums, Summed::Sums(_)));
}

#[tokio::test]
async fn held_rows_are_read_in_portions_from_the_newest_down_and_none_is_left_out() {
    const MANY: i32 = 4_500;
    let scene = Scene::new().await;
    let trades = (0..MANY).map(|order| trade(5, order, 1, 10)).collect();
    scene.database.write_trades(scene.epoch, &batch(None, trades)).await.unwrap();
    let (bottom, mut above) = (PagingToken::before_ledger(1), PagingToken::before_ledger(9));
    let (mut seen, mut portions) = (Vec::new(), 0);
    loop {
        let held = scene.database.held_between(bottom, above).await.unwrap();
        assert!(held.rows.len() <= 2_000);
        assert!(held.rows.keys().all(|token| (held.from..above).contains(token)));
        seen.splice(0..0, held.rows.keys().map(|token| token.order));
        portions += 1;
        if held.from == bottom {
            break;
        }
        above = held.from;
    }
    assert_eq!((seen, portions), ((0..MANY).collect(), 3));
}
