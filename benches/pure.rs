//! Benches of the pure parts: decoding, windows, rendering.
#![expect(clippy::unwrap_used, reason = "a bench that cannot measure must end with an error")]
#![expect(clippy::as_conversions, reason = "figures are doubles")]

#[path = "whole/idle.rs"]
mod idle;
#[path = "whole/synthetic.rs"]
mod synthetic;

use std::{collections::BTreeSet, sync::Arc};

use actix::System;
use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput};
use idle::Sender;
use rand::{SeedableRng, seq::SliceRandom};
use stellar_ticker::{
    actors::trace::{
        recorder::Recorder,
        step::{Step, StepName},
        subject::Subject,
    },
    clock::SystemClock,
    domain::{
        asset::Asset,
        candles::Interval,
        directory::Directory,
        instant::{DAY, UnixSeconds},
        issuer_file::Currency,
        listed_asset::ListedAsset,
        market::QUOTE_ASSETS,
        market_snapshot::MarketSnapshot,
        trade_stats::WindowTrade,
        windows::{MarketId, Windows},
    },
    horizon::wire,
};
use synthetic::Synthetic;
use ticker_formats::{
    Document,
    legacy::markets_json,
    listings::{
        IdStyle, ListingView,
        candles::{self, CandleQuery},
        history::{MarketHistory, StoredPart},
    },
    output::Output,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NEWEST: UnixSeconds = UnixSeconds(1_795_457_237);
const MARKETS: u64 = 30_000;
const TRADES: u64 = 200_000;
const PAGE: u64 = 200;
/// Trades that the backfiller commits at once.
const BATCH: usize = 2_000;
/// Ranges of history that the backfiller reads concurrently.
const READERS: usize = 4;

fn window_trades(network: &Synthetic) -> Vec<(MarketId, WindowTrade)> {
    let made = (0..network.trades).map(|number| network.make(number));
    made.map(|made| (made.market as MarketId, WindowTrade::from(&made.trade()))).collect()
}

/// Cost of recording a step, beside the same with recording off.
fn trace(criterion: &mut Criterion) {
    const STEP: StepName = StepName("bench");
    let clock = SystemClock::shared();
    let mut group = criterion.benchmark_group("trace");
    for (name, recorder) in [("on", Recorder::on(clock.clone())), ("off", Recorder::off(clock))] {
        let cause = Step::begin(&recorder, "bench", STEP, None).done();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut step = Step::begin(&recorder, "bench", STEP, Some(&cause));
                step.set_subject(Subject::none().with("seq", 1).with("trades", 20));
                step.done()
            });
        });
    }
    group.finish();
}

/// A message with a batch of 64 markets to an idle actor and its answer, beside the same with recording off. The
/// difference is the cost of recording.
fn messages(criterion: &mut Criterion) {
    let clock = SystemClock::shared();
    let system = System::new();
    let mut group = criterion.benchmark_group("message");
    for (name, recorder) in [("on", Recorder::on(clock.clone())), ("off", Recorder::off(clock))] {
        let sender = system.block_on(async { Sender::start(recorder) });
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|messages| system.block_on(sender.send(messages)));
        });
    }
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    let network = Synthetic::week(PAGE, 100, NEWEST);
    let records: Vec<Vec<u8>> = (0..PAGE)
        .map(|number| {
            let mut bytes = Vec::new();
            synthetic::render(&mut bytes, &network.make(number).record, "2026-11-24T08:00:00Z");
            bytes
        })
        .collect();
    let one = Bytes::from(records.first().unwrap().clone());
    let page = [&br#"{"_embedded":{"records":["#[..], &records.join(&b','), b"]}}"].concat();
    let page = Bytes::from(page);
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("a trade", |bencher| bencher.iter(|| wire::trade(one.clone(), None).unwrap()));
    group.throughput(Throughput::Elements(PAGE));
    group.bench_function("a page of 200", |bencher| bencher.iter(|| wire::trades_page(&page).unwrap()));
    group.finish();
}

fn windows(criterion: &mut Criterion) {
    let network = Synthetic::week(TRADES, MARKETS, NEWEST);
    let trades = window_trades(&network);
    let mut group = criterion.benchmark_group("windows");
    group.sample_size(10).throughput(Throughput::Elements(TRADES));
    group.bench_function("add from old to new", |bencher| {
        bencher.iter_batched(|| (), |()| filled(&trades), BatchSize::PerIteration);
    });
    for (name, runs) in histories(&trades) {
        let add = |()| {
            let mut windows = Windows::default();
            runs.iter().for_each(|run| windows.add_run(run));
            windows
        };
        group.bench_function(name, |bencher| bencher.iter_batched(|| (), add, BatchSize::PerIteration));
    }
    group.throughput(Throughput::Elements(synthetic::LEDGER_TRADES));
    group.bench_function("a ledger of 115, and the sums of its markets", |bencher| {
        let (week, ledger) = trades.split_at(trades.len() - synthetic::LEDGER_TRADES as usize);
        let ready = || {
            let mut windows = filled(week);
            windows.advance(NEWEST);
            windows
        };
        let step = |mut windows: Windows| {
            windows.add_run(ledger);
            windows.advance(NEWEST.plus(1));
            windows
        };
        bencher.iter_batched(ready, step, BatchSize::PerIteration);
    });
    group.finish();
}

type Runs = Vec<Vec<(MarketId, WindowTrade)>>;

/// Returns the same trades in the orders in which history may be committed.
fn histories(trades: &[(MarketId, WindowTrade)]) -> [(&'static str, Runs); 6] {
    let from_new_to_old = |size: usize| -> Runs {
        let mut trades = trades.to_vec();
        trades.reverse();
        trades.chunks(size).map(<[_]>::to_vec).collect()
    };
    let (batches, pages) = (from_new_to_old(BATCH), from_new_to_old(PAGE as usize));
    let mut readers: Vec<_> =
        batches.chunks(batches.len().div_ceil(READERS)).map(|part| part.iter()).collect();
    let mut side_by_side = Runs::new();
    while side_by_side.len() < batches.len() {
        side_by_side.extend(readers.iter_mut().filter_map(Iterator::next).cloned());
    }
    let random = &mut rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let (mut random_pages, mut random_trades) = (pages.clone(), trades.to_vec());
    random_pages.shuffle(random);
    random_trades.shuffle(random);
    let in_runs = |size: usize| random_trades.chunks(size).map(<[_]>::to_vec).collect::<Runs>();
    [
        ("batches of 2000 from new to old", batches),
        ("pages of 200 from new to old", pages),
        ("batches of 2000 by four readers, each from new to old", side_by_side),
        ("pages of 200 in random order", random_pages),
        ("batches of 5000 in random order", in_runs(5_000)),
        ("trades in random order, one by one", in_runs(1)),
    ]
}

fn filled(trades: &[(MarketId, WindowTrade)]) -> Windows {
    let mut windows = Windows::default();
    trades.iter().for_each(|(market, trade)| windows.add(*market, *trade));
    windows
}

fn render(criterion: &mut Criterion) {
    let network = Synthetic::new(TRADES, MARKETS, NEWEST, DAY);
    let mut windows = filled(&window_trades(&network));
    windows.advance(NEWEST);
    let snapshot = MarketSnapshot::new(windows.view(), directory(&network));
    let mut group = criterion.benchmark_group("render");
    group.sample_size(10);
    group.bench_function("pairs", |bencher| bencher.iter(|| snapshot.pairs()));
    let pairs = snapshot.pairs();
    group.bench_function("markets.json of the pairs", |bencher| {
        bencher.iter(|| markets_json::render(NEWEST, &pairs));
    });
    group.finish();
}

/// Document of all markets with this schema, in memory.
fn whole(schema: &str, view: &ListingView) -> Vec<u8> {
    let mut bytes = Vec::new();
    (Output::named(schema).unwrap().render)(view, IdStyle::Classic, &mut bytes).unwrap();
    bytes
}

/// Whole documents of the market API. `markets.json of the pairs` of the group `render` is the measure.
fn documents(criterion: &mut Criterion) {
    let network = Synthetic::new(TRADES, MARKETS, NEWEST, DAY);
    let mut windows = filled(&window_trades(&network));
    windows.advance(NEWEST);
    let snapshot = Arc::new(MarketSnapshot::new(windows.view(), directory(&network)));
    let anchors: Vec<Asset> = QUOTE_ASSETS.iter().take(2).map(|name| name.parse().unwrap()).collect();
    let view = || ListingView::new(1, Arc::clone(&snapshot), "Bench".into(), &anchors, &Arc::default());
    let mut group = criterion.benchmark_group("documents of 30,000 markets");
    group.sample_size(10);
    group.bench_function("a view with all prices in dollars", |bencher| bencher.iter(view));
    let view = view();
    group.bench_function("v1/markets.json", |bencher| bencher.iter(|| whole("markets", &view)));
    group.bench_function("CoinGecko's tickers", |bencher| {
        bencher.iter(|| whole("coingecko-tickers", &view));
    });
    group.bench_function("CoinMarketCap's summary", |bencher| {
        bencher.iter(|| whole("coinmarketcap-summary", &view));
    });
    group.finish();
}

/// 1,000 candles of 5 minutes of the busiest market, which has a tenth of all trades.
fn candles(criterion: &mut Criterion) {
    let network = Synthetic::new(TRADES, MARKETS, NEWEST, 4 * DAY);
    let mut windows = filled(&window_trades(&network));
    windows.advance(NEWEST);
    let snapshot = Arc::new(MarketSnapshot::new(windows.view(), directory(&network)));
    let view = ListingView::new(1, snapshot, "Bench".into(), &[], &Arc::default());
    let stored = StoredPart::default();
    let history = MarketHistory::new(&view, *network.markets.first().unwrap(), &stored);
    let interval = Interval::FiveMinutes;
    let from = interval.buckets().start_of(NEWEST.minus(1_000 * 300));
    let query = CandleQuery { interval, from, known_from: None, to: NEWEST, limit: 1_000, fill: true };
    let mut group = criterion.benchmark_group("1,000 candles of 20,000 trades");
    let written = || {
        let mut json = Vec::new();
        candles::candles(&history, query, &mut json).unwrap();
        json
    };
    group.bench_function("as JSON", |bencher| bencher.iter(written));
    let json = written();
    group.throughput(Throughput::Bytes(json.len() as u64));
    group.bench_function("compressed", |bencher| {
        bencher.iter(|| Document::gzipped(&json));
    });
    group.finish();
}

/// Returns a directory in which all assets are valid. The id of an asset is its index in sorted order.
fn directory(network: &Synthetic) -> Directory {
    let sides = network.markets.iter().flat_map(|market| [*market.base(), *market.counter()]);
    let assets: Vec<Asset> = sides.collect::<BTreeSet<_>>().into_iter().collect();
    let id = |asset: &Asset| assets.binary_search(asset).unwrap() as i32;
    let mut directory = Directory::default();
    directory.update_assets(assets.iter().map(|asset| {
        let currency =
            Currency { code: asset.code().into(), issuer: asset.issuer().into(), ..Currency::default() };
        (id(asset), Some(ListedAsset { currency, ..ListedAsset::default() }))
    }));
    directory.add_names(assets.iter().map(|asset| (id(asset), *asset)));
    directory.add_markets(
        network
            .markets
            .iter()
            .zip(0..)
            .map(|(market, number)| (number, id(market.base()), id(market.counter()))),
    );
    directory
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    decode(&mut criterion);
    windows(&mut criterion);
    render(&mut criterion);
    documents(&mut criterion);
    candles(&mut criterion);
    trace(&mut criterion);
    messages(&mut criterion);
    criterion.final_summary();
}
