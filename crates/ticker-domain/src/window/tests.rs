use super::{block::BLOCK_TRADES, chunk::CHUNK_BLOCKS, *};
use crate::{
    instant::HOUR,
    test_support::{MERGES, any_trade, trade},
};
use proptest::{prelude::*, sample::Index};
use rand::{SeedableRng, seq::SliceRandom};
use std::collections::HashSet;

use super::super::cursor::PagingToken;

/// Adds trades in any order. Returns the number of new ones.
fn add(window: &mut MarketWindow, trades: &[WindowTrade]) -> usize {
    let mut run = trades.to_vec();
    sort_run(&mut run);
    let mut new = 0;
    window.add_run(&run, &mut |_| new += 1);
    new
}

fn add_one(window: &mut MarketWindow, trade: WindowTrade) -> bool {
    add(window, &[trade]) == 1
}

/// One trade per second.
fn seconds(seconds: Range<usize>) -> Vec<WindowTrade> {
    let at = |second: usize| i64::try_from(second).unwrap();
    seconds.map(|second| trade(at(second), 0, at(second), (at(second), 7), (1 + at(second) % 9, 3))).collect()
}

fn blocks(window: &MarketWindow) -> usize {
    window.chunks.iter().map(|chunk| chunk.blocks.len()).sum()
}

/// Asserts that the window holds exactly these trades, sorted, and that all sums are correct.
fn assert_holds(window: &MarketWindow, mut trades: Vec<WindowTrade>) {
    sort_run(&mut trades);
    assert_eq!(window.trades().collect::<Vec<_>>(), trades);
    assert_eq!(window.since(UnixSeconds(i64::MIN)), trades.iter().collect());
    for chunk in &window.chunks {
        assert!(!chunk.blocks.is_empty() && chunk.blocks.len() <= CHUNK_BLOCKS);
        assert_eq!(chunk.sum, sum_of(&chunk.blocks));
    }
}

#[test]
fn the_lower_edge_is_exact_to_the_second_and_there_is_no_upper_one() {
    let mut window = MarketWindow::default();
    for (ledger, second) in [(1, 7_200), (2, 7_201), (3, 999_999)] {
        add_one(&mut window, trade(ledger, 0, second, (1, 1), (1, 1)));
    }
    assert_eq!(window.since(UnixSeconds(7_199)).trade_count, 3);
    assert_eq!(window.since(UnixSeconds(7_200)).trade_count, 2);
    assert_eq!(window.since(UnixSeconds(7_201)).trade_count, 1);
    assert_eq!(window.since(UnixSeconds(7_200)).times, Some((UnixSeconds(7_201), UnixSeconds(999_999))));
    assert_eq!(window.since(UnixSeconds(999_999)).times, None);
}

#[test]
fn a_clone_keeps_its_state() {
    let mut window = MarketWindow::default();
    add_one(&mut window, trade(1, 0, 7_200, (1, 1), (1, 1)));
    let before = window.clone();
    add_one(&mut window, trade(2, 0, 7_201, (1, 1), (1, 1)));
    let count = |window: &MarketWindow| window.since(UnixSeconds(0)).trade_count;
    assert_eq!((count(&before), count(&window)), (1, 2));
}

#[test]
fn drops_trades_that_no_window_reaches() {
    let mut window = MarketWindow::default();
    add(&mut window, &seconds(0..1_000));
    window.drop_expired(UnixSeconds(499 + LONGEST_HOURS * HOUR));
    assert_eq!(window.trades().count(), 1_000 - 3 * BLOCK_TRADES, "whole blocks are dropped");
    assert_eq!(window.since(UnixSeconds(499)).trade_count, 500);
    window.drop_expired(UnixSeconds(i64::MAX));
    assert!(window.is_empty());
}

/// A trade that closed at the edge is in no window. One that closed a second later is.
#[test]
fn dropping_is_exact_to_the_second_for_blocks_and_chunks() {
    // Put the edge at the last trade of a block, within a chunk and at the end of a chunk.
    for blocks in [1, CHUNK_BLOCKS] {
        let count = blocks * BLOCK_TRADES;
        let trades = seconds(0..count + 2 * BLOCK_TRADES);
        let mut window = MarketWindow::default();
        add(&mut window, &trades);
        let held: Vec<usize> = window
            .chunks
            .iter()
            .flat_map(|chunk| &chunk.blocks)
            .map(|block| block.trades().count())
            .collect();
        let upto: usize = held.iter().take(blocks).sum();
        let last = trades[upto - 1].closed_at;
        let let_go = |window: &mut MarketWindow, edge: UnixSeconds| {
            let before = window.trades().count();
            window.drop_expired(edge.plus(LONGEST_HOURS * HOUR));
            before - window.trades().count()
        };
        let before_it: usize = held.iter().take(blocks - 1).sum();
        assert_eq!(let_go(&mut window, last.minus(1)), before_it, "its last trade is in a window");
        assert_eq!(window.since(last.minus(1)).trade_count, u64::try_from(trades.len() - upto + 1).unwrap());
        assert_eq!(let_go(&mut window, last), upto - before_it, "no trade of it is");
        assert_eq!(window.since(last).trade_count, u64::try_from(trades.len() - upto).unwrap());
    }
}

/// Orders in which history arrives, in runs of the given length: from old to new, from new to old, and by four
/// concurrent readers from new to old.
fn orders(trades: &[WindowTrade], run: usize) -> [Vec<Vec<WindowTrade>>; 3] {
    let forwards: Vec<Vec<WindowTrade>> = trades.chunks(run).map(<[_]>::to_vec).collect();
    let mut backwards = forwards.clone();
    backwards.reverse();
    let mut readers: Vec<_> = backwards.chunks(backwards.len().div_ceil(4)).map(|part| part.iter()).collect();
    let mut side_by_side = Vec::new();
    while side_by_side.len() < backwards.len() {
        side_by_side.extend(readers.iter_mut().filter_map(Iterator::next).cloned());
    }
    [forwards, backwards, side_by_side]
}

#[test]
fn blocks_fill_up_in_every_order_of_history() {
    let trades = seconds(0..3 * CHUNK_BLOCKS * BLOCK_TRADES);
    for run in [1, 7, 200, 5_000] {
        for (order, runs) in orders(&trades, run).into_iter().enumerate() {
            let mut window = MarketWindow::default();
            let new: usize = runs.iter().map(|run| add(&mut window, run)).sum();
            assert_eq!(new, trades.len());
            // Blocks are full by bytes, which vary. A reader leaves one or two blocks with room where it meets another
            // one.
            let most = 3 * CHUNK_BLOCKS + if order == 2 { 12 } else { 2 };
            assert!(blocks(&window) <= most, "{} blocks of runs of {run}, order {order}", blocks(&window));
            assert!(window.chunks.len() <= 3 + 8, "{} chunks of runs of {run}", window.chunks.len());
            assert_holds(&window, trades.clone());
        }
    }
}

/// Cost of a trade, without a clock: the average number of other trades decoded for it.
#[test]
fn history_is_cheap_to_add_in_every_order() {
    let trades = seconds(0..100 * BLOCK_TRADES);
    let read_for_each = |runs: &[Vec<WindowTrade>]| {
        let mut window = MarketWindow::default();
        let before = codec::tests::READS.with(std::cell::Cell::get);
        runs.iter().for_each(|run| assert_eq!(add(&mut window, run), run.len()));
        (codec::tests::READS.with(std::cell::Cell::get) - before) / u64::try_from(trades.len()).unwrap()
    };
    for run in [1, 3, 20, 500] {
        for (order, runs) in orders(&trades, run).iter().enumerate() {
            let read = read_for_each(runs);
            assert!(read <= if order == 2 { 20 } else { 2 }, "{read} read, runs of {run}, order {order}");
        }
    }
    // Each trade lands in a block of its own. About half of that block is decoded.
    let mut shuffled: Vec<Vec<WindowTrade>> = trades.iter().map(|trade| vec![*trade]).collect();
    shuffled.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(1));
    let read = read_for_each(&shuffled);
    assert!(read <= u64::try_from(BLOCK_TRADES).unwrap(), "{read} read, shuffled");
    // A dense run decodes each block once for all of its trades.
    let (even, odd): (Vec<_>, Vec<_>) = trades.iter().partition(|trade| trade.closed_at.0 % 2 == 0);
    let read = read_for_each(&[even, odd]);
    assert!(read <= 2, "{read} read, two interleaved runs");
}

#[test]
fn memory_stays_bounded_for_shuffled_trades() {
    let mut trades = seconds(0..200 * BLOCK_TRADES);
    trades.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(2));
    for run in [1, 50] {
        let mut window = MarketWindow::default();
        trades.chunks(run).for_each(|run| assert_eq!(add(&mut window, run), run.len()));
        assert!(blocks(&window) <= 450, "{} blocks where 200 would do", blocks(&window));
        assert!(window.chunks.len() <= 30, "{} chunks", window.chunks.len());
        assert_holds(&window, trades.clone());
    }
}

#[test]
fn many_trades_in_any_order_equal_a_recomputation() {
    let count = i64::try_from(2 * CHUNK_BLOCKS * BLOCK_TRADES).unwrap();
    let mut trades: Vec<_> =
        (0..count).map(|place| trade(place / 3, 0, place / 5, (place, 7), (1 + place % 9, 3))).collect();
    trades.dedup_by_key(|trade| (trade.closed_at, trade.token));
    let edges = [-1, 0, 1, count / 10, count / 7, count / 6, count / 5 - 1, count];
    let right = edges.map(|edge| -> TradeStats {
        trades.iter().filter(|trade| trade.closed_at > UnixSeconds(edge)).collect()
    });
    for (seed, run) in [(0, 1), (1, 3), (2, 1_000)] {
        trades.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(seed));
        let mut window = MarketWindow::default();
        for run in trades.chunks(run) {
            assert_eq!(add(&mut window, run), run.len());
        }
        assert_eq!(edges.map(|edge| window.since(UnixSeconds(edge))), right);
        assert!(trades.iter().step_by(99).all(|trade| !add_one(&mut window, *trade)));
        assert_eq!(add(&mut window, &trades), 0, "all of them again");
        window.drop_expired(UnixSeconds(count / 10 + LONGEST_HOURS * HOUR));
        assert_eq!(window.since(UnixSeconds(count / 10)), right[3]);
    }
}

/// Operation on a window.
#[derive(Clone, Debug)]
enum Step {
    /// Adds these trades as one run.
    Run(Vec<Index>),
    /// Adds trades from this index on, at most this many, one by one.
    Singles(Index, usize),
    /// Adds neighbours in time as one run, like a page.
    Page(Index, usize),
    /// Drops trades that closed before this one.
    Forget(Index),
    /// Takes a view, so that later changes must copy.
    View,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(any::<Index>(), 1..60).prop_map(Step::Run),
        2 => (any::<Index>(), 1..20_usize).prop_map(|(from, count)| Step::Singles(from, count)),
        4 => (any::<Index>(), 1..300_usize).prop_map(|(from, count)| Step::Page(from, count)),
        1 => any::<Index>().prop_map(Step::Forget),
        1 => Just(Step::View),
    ]
}

/// Buckets of any length over any times equal those that are filled trade by trade.
#[test]
fn buckets_equal_those_of_single_trades() {
    let all = seconds(0..10 * BLOCK_TRADES * CHUNK_BLOCKS);
    let mut window = MarketWindow::default();
    add(&mut window, &all);
    for (length, offset) in [(1, 0), (60, 7), (3_600, 0), (100_000, 13), (10_000_000, 0)] {
        for (from, to) in [(i64::MIN, i64::MAX), (5, 6), (1_000, 90_000), (70_000, 70_000), (80_000, 70_000)]
        {
            let buckets = Buckets { seconds: length, offset };
            let times = UnixSeconds(from)..UnixSeconds(to);
            let single = all.iter().filter(|trade| times.contains(&trade.closed_at));
            let single = buckets.fill(single.copied());
            assert_eq!(window.by_bucket(buckets, times), single, "{length} {from} {to}");
        }
    }
}

#[test]
fn whole_blocks_in_one_bucket_are_added_by_their_sums() {
    let mut window = MarketWindow::default();
    add(&mut window, &seconds(0..100 * BLOCK_TRADES));
    let merges = |times: Range<UnixSeconds>| {
        let before = MERGES.get();
        let buckets = window.by_bucket(Buckets { seconds: 6_000, offset: 0 }, times);
        (buckets.len(), MERGES.get() - before)
    };
    let (buckets, merges) = merges(UnixSeconds(100)..UnixSeconds(16_000));
    // Each of the 100 blocks, and the trades of the four that an edge cuts.
    assert!(buckets == 3 && merges < 120 + 4 * 160, "{buckets} buckets, {merges} merges");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_window_equals_a_recomputation_from_scratch(
        trades in prop::collection::vec(any_trade(), 0..400),
        repeats in prop::collection::vec(any::<Index>(), 0..60),
        steps in prop::collection::vec((0..30_000_i64, 1..=LONGEST_HOURS), 1..20),
    ) {
        // Distinct trades never share a token: the database enforces that.
        let mut seen = HashSet::new();
        let trades: Vec<_> = trades.into_iter().filter(|trade| seen.insert(trade.token)).collect();
        let mut window = MarketWindow::default();
        let mut as_of = UnixSeconds(1_000_000);
        let mut fed = 0;
        for (step, (wait, hours)) in steps.iter().enumerate() {
            let until = trades.len() * (step + 1) / steps.len();
            for new in trades.iter().take(until).skip(fed) {
                prop_assert!(add_one(&mut window, *new));
            }
            fed = until;
            for repeat in repeats.iter().filter(|_| fed > 0) {
                prop_assert!(!add_one(&mut window, trades[repeat.index(fed)]));
            }
            for hours in [*hours, 24, LONGEST_HOURS] {
                let edge = as_of.minus(hours * HOUR);
                let scratch: TradeStats = trades[..fed].iter().filter(|trade| trade.closed_at > edge).collect();
                prop_assert_eq!(window.since(edge), scratch);
            }
            as_of = as_of.plus(*wait);
        }
    }

    /// Runs of any trades in any order, with pages, repeats and single trades, while time passes.
    #[test]
    fn runs_in_any_order_equal_a_recomputation_from_scratch(
        trades in prop::collection::vec(any_trade(), 1..2_000), steps in prop::collection::vec(any_step(), 1..40),
        hours in 1..=LONGEST_HOURS,
    ) {
        let mut seen = HashSet::new();
        let mut trades: Vec<_> = trades.into_iter().filter(|trade| seen.insert(trade.token)).collect();
        sort_run(&mut trades);
        let mut window = MarketWindow::default();
        let mut fed: HashSet<PagingToken> = HashSet::new();
        let (mut forgotten, mut view) = (UnixSeconds(i64::MIN), (window.clone(), Vec::new()));
        for step in steps {
            let some = |from: Index, count: usize| trades.iter().skip(from.index(trades.len())).take(count).copied();
            let (mut coming, is_run) = match step {
                Step::Run(places) => (places.iter().map(|place| *place.get(&trades)).collect::<Vec<_>>(), true),
                Step::Singles(from, count) => (some(from, count).collect(), false),
                Step::Page(from, count) => (some(from, count).collect(), true),
                Step::View => {
                    view = (window.clone(), window.trades().collect());
                    continue;
                }
                Step::Forget(place) => {
                    forgotten = forgotten.max(place.get(&trades).closed_at);
                    window.drop_expired(forgotten.plus(LONGEST_HOURS * HOUR));
                    continue;
                }
            };
            // The caller never adds trades that the window has already dropped.
            coming.retain(|trade| trade.closed_at > forgotten);
            let unknown = coming.iter().filter(|trade| fed.insert(trade.token)).count();
            let new = if is_run {
                add(&mut window, &coming)
            } else {
                coming.iter().filter(|trade| add_one(&mut window, **trade)).count()
            };
            prop_assert_eq!(new, unknown);
        }
        let edges = [forgotten, forgotten.plus(1), forgotten.plus(hours * HOUR), UnixSeconds(1_000_000 + hours * HOUR)];
        for edge in edges.into_iter().filter(|edge| *edge >= forgotten) {
            let is_after = |trade: &&WindowTrade| fed.contains(&trade.token) && trade.closed_at > edge;
            let scratch: TradeStats = trades.iter().filter(is_after).collect();
            prop_assert_eq!(window.since(edge), scratch);
            let buckets = Buckets { seconds: hours * 60, offset: 7 };
            let later = edge.plus(1)..UnixSeconds(i64::MAX);
            prop_assert_eq!(window.by_bucket(buckets, later), buckets.fill(window.trades_since(edge)));
        }
        assert_holds(&window, window.trades().collect());
        prop_assert_eq!(view.0.trades().collect::<Vec<_>>(), view.1, "a view keeps its state");
    }

    /// Running sums with many trades per second: before, within and after the block that the edge cuts.
    #[test]
    fn running_sums_equal_a_recomputation_in_crowded_seconds(
        seconds in prop::collection::vec(0..12_i64, 700..1_500), steps in prop::collection::vec((1..60_usize, 0..2_i64), 5..40),
    ) {
        let mut trades: Vec<_> = seconds.iter().enumerate().map(|(order, second)| {
            trade(*second, i32::try_from(order).unwrap(), *second, (1 + second, 2), (1 + *second, 7))
        }).collect();
        let (mut window, mut running, mut edge, mut fed) = (MarketWindow::default(), RunningSum::default(), UnixSeconds(-1), 0);
        trades.rotate_left(seconds.len() / 3);
        // Half of the trades are there from the beginning.
        let ahead = trades.len() / 2;
        for (count, passed) in std::iter::once((ahead, 0)).chain(steps) {
            let mut run: Vec<_> = trades.iter().skip(fed).take(count).copied().collect();
            sort_run(&mut run);
            window.add_run(&run, &mut |trade| running.add(trade));
            fed = (fed + count).min(trades.len());
            edge = edge.plus(passed);
            let scratch: TradeStats = trades[..fed].iter().filter(|trade| trade.closed_at > edge).collect();
            prop_assert_eq!(window.since_running(edge, &mut running), scratch);
        }
    }

    #[test]
    fn a_crowded_hour_equals_a_recomputation(
        seconds in prop::collection::vec(0..3_600_i64, 0..600), edge in 0..3_600_i64, run in 1..100_usize,
    ) {
        let trades: Vec<_> = seconds.iter().enumerate().map(|(order, second)| {
            trade(*second, i32::try_from(order).unwrap(), *second, (1 + second, 2), (*second, 7))
        }).collect();
        let mut window = MarketWindow::default();
        for run in trades.chunks(run) {
            prop_assert_eq!(add(&mut window, run), run.len());
        }
        let scratch: TradeStats = trades.iter().filter(|trade| trade.closed_at > UnixSeconds(edge)).collect();
        prop_assert_eq!(window.since(UnixSeconds(edge)), scratch);
    }
}
