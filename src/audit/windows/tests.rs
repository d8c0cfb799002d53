use super::*;
use crate::domain::{
    instant::DAY,
    price::Price,
    test_support::{any_trade, directory, trade},
    window::LONGEST_HOURS,
    windows::Windows,
};
use proptest::prelude::*;

const NOW: UnixSeconds = UnixSeconds(2_000_000);

fn snapshot(trades: &[(MarketId, WindowTrade)]) -> MarketSnapshot {
    let mut windows = Windows::default();
    for (market, trade) in trades {
        windows.add(*market, *trade);
    }
    windows.advance(NOW);
    let assets = [("XLM", "native", ""), ("TEA", "G1", ""), ("TEA", "G2", "")];
    MarketSnapshot::new(windows.view(), directory(&assets, &[(1, 1, 2), (2, 1, 3)], &[(1, 3)]))
}

fn rows(trades: &[(MarketId, RawTrade)]) -> BTreeMap<MarketId, MarketSums> {
    let mut sums: BTreeMap<MarketId, MarketSums> = BTreeMap::new();
    for (market, trade) in trades.iter().filter(|(_, trade)| trade.closed_at > Span::Week.edge(NOW)) {
        sums.entry(*market).or_default().add(trade, NOW);
    }
    sums
}

fn rendered(snapshot: &MarketSnapshot) -> Vec<u8> {
    ticker_formats::legacy::markets_json::render(snapshot.as_of(), &snapshot.pairs()).into()
}

/// Compares the snapshot of some trades with these rows, over both markets.
fn found(trades: &[(MarketId, WindowTrade)], raw: &[(MarketId, RawTrade)]) -> SliceComparison {
    let snapshot = snapshot(trades);
    compare(&snapshot, &rendered(&snapshot), &[1, 2], &rows(raw)).unwrap()
}

fn raw(trades: &[(MarketId, WindowTrade)]) -> Vec<(MarketId, RawTrade)> {
    trades.iter().map(|(market, trade)| (*market, RawTrade::from(trade))).collect()
}

fn at(token: u32, closed_at: i64, price: (i64, i64)) -> WindowTrade {
    trade(token.into(), 0, closed_at, (10, 20), price)
}

#[test]
fn a_slice_without_all_markets_of_a_pair_skips_the_pairs_row() {
    let trades = [(1, at(1, NOW.0 - 5, (1, 2))), (2, at(2, NOW.0 - 4, (1, 3)))];
    let snapshot = snapshot(&trades);
    let mut wrong = raw(&trades);
    wrong[0].1.base_amount += 1;
    let found = compare(&snapshot, &rendered(&snapshot), &[1], &rows(&wrong)).unwrap();
    assert!(found.comparison.differences.iter().all(|difference| difference.entry == "market 1 XLM_TEA"));
    let found = compare(&snapshot, &rendered(&snapshot), &[1, 2], &rows(&wrong)).unwrap();
    assert_eq!(found.markets.into_iter().collect::<Vec<_>>(), [1, 2], "the pair's row belongs to both");
    let found = compare(&snapshot, &rendered(&snapshot), &[2], &rows(&wrong)).unwrap();
    assert_eq!(found.comparison.difference_count, 0);
}

#[test]
fn reports_a_market_that_only_the_rows_or_only_the_windows_have() {
    let trades = [(1, at(1, NOW.0 - 5, (1, 2)))];
    let both = [trades[0], (2, at(2, NOW.0 - DAY - 4, (1, 3)))];
    assert!(found(&trades, &raw(&both)).markets.contains(&2));
    assert!(found(&both, &raw(&trades)).markets.contains(&2));
    assert_eq!(found(&both, &raw(&both)).comparison.difference_count, 0);
}

#[test]
fn differing_ledgers_are_those_of_added_removed_and_changed_trades() {
    let before = [1, 2, 3].map(|token| (1, at(token, NOW.0 - 100 + i64::from(token), (1, 2))));
    let mut after = before.to_vec();
    after.remove(0);
    after[0].1.price = Price::new(1, 3);
    after.push((1, at(9, NOW.0, (1, 2)))); // arrived between the two snapshots
    let ledgers = differing_ledgers(&snapshot(&before), &snapshot(&after), &BTreeSet::from([1]));
    assert_eq!(ledgers, [1, 2].map(|token| before[token - 1].1.token.ledger()).into());
}

#[test]
fn reports_a_wrong_side_a_wrong_maker_and_a_wrong_clean_price_by_name() {
    let large =
        WindowTrade { is_buy: true, is_pool: true, ..trade(1, 0, NOW.0 - 5, (5_000, 10_000), (2, 1)) };
    let dust = trade(2, 0, NOW.0 - 4, (1, 500), (500, 1));
    let trades = [(1, large), (1, dust)];
    let fields = |change: fn(&mut RawTrade)| -> BTreeSet<String> {
        let mut rows = raw(&trades);
        change(&mut rows[0].1);
        let found = found(&trades, &rows).comparison;
        let [hour, day, week] = Span::ALL.map(|span| -> BTreeSet<String> {
            let name = |field: &str| Some(field.strip_prefix(span.name())?.trim().to_owned());
            found.differences.iter().filter_map(|difference| name(&difference.field)).collect()
        });
        assert_eq!((&hour, &day), (&day, &week), "both trades closed in the last hour");
        hour
    };
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(fields(|_| {}), named(&[]));
    assert_eq!(fields(|row| row.is_buy = false), named(&["bought_volume"]));
    assert_eq!(fields(|row| row.is_pool = false), named(&["pool_volume"]));
    let of_price = fields(|row| row.price_n = 3);
    assert!(
        of_price.is_superset(&named(&["clean_open", "clean_low", "clean_high", "clean_close"])),
        "{of_price:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn correct_windows_match_their_rows_and_any_changed_row_is_found(
        trades in prop::collection::vec((1..3, any_trade()), 1..60), place in any::<prop::sample::Index>(),
        field in 0..8_u8, delta in 1..1_000_i64,
    ) {
        let mut seen = BTreeSet::new();
        let trades: Vec<(MarketId, WindowTrade)> = trades
            .into_iter()
            .filter(|(_, trade)| seen.insert(trade.token) && trade.closed_at > NOW.minus(LONGEST_HOURS * 3_600))
            .collect();
        prop_assume!(!trades.is_empty());
        let mut rows = raw(&trades);
        let right = found(&trades, &rows);
        prop_assert_eq!(right.comparison.difference_count, 0, "{:?}", right.comparison.differences);
        let (market, row) = &mut rows[place.index(trades.len())];
        match field {
            0 => row.base_amount = row.base_amount.wrapping_add(delta),
            1 => row.counter_amount = row.counter_amount.wrapping_add(delta),
            2 => (row.price_n, row.price_d) = (row.price_n.max(1) + delta, row.price_d.max(1)),
            3 => row.token.order = row.token.order.wrapping_add(i32::try_from(delta).unwrap()),
            4 => row.token.toid = row.token.toid.wrapping_add(delta),
            5 => row.is_buy = !row.is_buy,
            6 => row.is_pool = !row.is_pool,
            _ => row.closed_at = row.closed_at.plus(delta),
        }
        let market = *market;
        prop_assert!(found(&trades, &rows).markets.contains(&market));
    }
}
