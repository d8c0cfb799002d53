use super::*;
use crate::{
    domain::{close_times::EARLIEST, instant::DAY, test_support::address},
    horizon::wire,
};
use bytes::Bytes;

const NOW: i64 = 1_795_457_237;

fn now() -> UnixSeconds {
    UnixSeconds(NOW)
}

fn received(ledger: i64, order: i32, closed_at: i64) -> ReceivedTrade {
    let record = serde_json::json!({
        "paging_token": format!("{}-{order}", (ledger << 32) + 4097),
        "ledger_close_time": UnixSeconds(closed_at).to_rfc3339(),
        "base_amount": "1.0", "base_asset_type": "native", "base_account": address(1),
        "counter_amount": "2.0", "counter_asset_type": "credit_alphanum4", "counter_asset_code": "TEA",
        "counter_asset_issuer": address(2), "counter_account": address(3), "base_is_seller": true,
        "price": {"n": "2", "d": "1"}
    });
    wire::trade(serde_json::to_vec(&record).unwrap().into(), None).unwrap()
}

fn collector() -> Collector {
    let intake =
        Intake { source: "stream", ceiling: 1_000, latest_time: None, newest_at: None, retention_days: 8 };
    Collector::new(None, PagingToken::before_ledger(100), intake)
}

impl Collector {
    /// The batch of the stream.
    fn batch(&self) -> TradeBatch {
        self.batches().pop().unwrap()
    }
}

#[test]
fn trades_far_below_the_others_are_in_narrow_batches_of_their_own() {
    let mut collector = collector();
    let intake = Intake { ceiling: 200_000, ..collector.intake };
    collector.set_intake(intake);
    collector.set_start(PagingToken::FIRST);
    assert_eq!(collector.batches().len(), 1, "a batch without trades moves the cursor");
    let ledgers = [100_000, 100_000 - i64::from(BATCH_LEDGERS_MAX), 7, 100_001, 350, 99_801, 9, 8];
    for ledger in ledgers {
        collector.trade(received(ledger, 0, NOW), now());
    }
    collector.refused(RecordError { token: None, reason: "x".into(), raw: Bytes::new() });
    let batches = collector.batches();
    let of = |batch: &TradeBatch| {
        let ledgers: Vec<u32> = batch.trades.iter().map(|incoming| incoming.trade.token.ledger()).collect();
        let cursor = batch.cursor.as_ref().map(|cursor| cursor.to.ledger());
        (batch.kind, cursor, batch.quarantine.len(), ledgers)
    };
    assert_eq!(
        batches.iter().map(of).collect::<Vec<_>>(),
        [
            (BatchKind::Repair, None, 0, vec![7, 8, 9]),
            (BatchKind::Repair, None, 0, vec![350]),
            (BatchKind::Repair, None, 0, vec![99_800]),
            (BatchKind::Live, Some(100_001), 1, vec![99_801, 100_000, 100_001]),
        ]
    );
    collector.committed();
    assert_eq!(collector.batch().trades.len(), 0);
}

#[test]
fn future_trades_are_quarantined_and_old_ones_skipped_and_the_cursor_moves_on() {
    let mut collector = collector();
    collector.trade(received(100, 0, NOW + DAY + 1), now());
    let oldest_day = (NOW - 8 * DAY) - (NOW - 8 * DAY).rem_euclid(DAY);
    collector.trade(received(101, 0, oldest_day - 1), now());
    collector.trade(received(102, 0, NOW + DAY), now());
    collector.trade(received(103, 0, oldest_day), now());
    let batch = collector.batch();
    assert_eq!((batch.trades.len(), batch.quarantine.len(), collector.skipped()), (2, 1, 1));
    assert_eq!(batch.cursor.unwrap().to.ledger(), 103);
}

#[test]
fn a_ledger_that_cannot_exist_yet_does_not_move_the_cursor() {
    let mut collector = collector();
    collector.trade(received(1_001, 0, NOW), now());
    collector.trade(received(1_000, 0, NOW), now());
    let batch = collector.batch();
    assert_eq!(
        (batch.trades.len(), batch.quarantine.len(), batch.cursor.unwrap().to.ledger()),
        (1, 1, 1_000)
    );
}

#[test]
fn a_close_time_that_does_not_fit_earlier_ones_is_quarantined_and_the_next_is_stored() {
    let mut collector = collector();
    collector.set_anchor(Some((100, UnixSeconds(NOW))));
    collector.trade(received(100, 0, NOW - DAY), now()); // the anchor says nothing about its own ledger
    collector.trade(received(101, 0, NOW - SLACK_S), now());
    collector.trade(received(102, 0, NOW - SLACK_S - 1), now());
    assert_eq!((collector.batch().trades.len(), collector.batch().quarantine.len()), (2, 1));
    collector.committed();
    collector.trade(received(103, 0, NOW - 3 * DAY), now());
    collector.trade(received(104, 0, NOW + 20), now());
    let batch = collector.batch();
    assert_eq!((batch.trades.len(), batch.quarantine.len(), batch.cursor.unwrap().to.ledger()), (1, 1, 104));
    let reason = &batch.quarantine[0].reason;
    assert!(reason.contains("does not fit those of the ledgers around 103"), "{reason}");
    // Without the root's close time, earlier ledgers decide.
    collector.set_anchor(None);
    collector.trade(received(105, 0, NOW - 3 * DAY), now());
    assert_eq!(collector.batch().quarantine.len(), 2);
}

#[test]
fn trades_of_a_ledger_that_closed_at_another_time_than_most_of_a_batch_are_quarantined() {
    let stored = |trades: &[(i64, i64)]| {
        let mut collector = collector();
        for (order, (ledger, after)) in (0..).zip(trades) {
            collector.trade(received(*ledger, order, NOW + after), now());
        }
        let batch = collector.batch();
        assert_eq!(batch.quarantine.len() + batch.trades.len(), trades.len());
        batch.trades.iter().map(|incoming| incoming.trade.closed_at.0 - NOW).collect::<Vec<_>>()
    };
    assert_eq!(stored(&[(100, 0), (100, 300), (100, 0), (101, 301)]), [0, 0, 301]);
    assert_eq!(stored(&[(100, 0), (100, 300)]), [300], "a tie goes to the latest");
    let mut collector = collector();
    collector.trade(received(100, 0, NOW + 300), now());
    collector.committed();
    collector.trade(received(100, 1, NOW), now());
    assert_eq!(collector.batch().trades.len(), 1, "the part of an earlier batch has no vote");
}

#[test]
fn horizons_clock_bounds_the_future_closely_and_a_slow_clock_of_ours_does_no_harm() {
    let mut collector = collector();
    let intake = Intake { latest_time: Some(UnixSeconds(NOW)), ..collector.intake };
    collector.set_intake(intake);
    collector.trade(received(100, 0, NOW + SLACK_S), now());
    collector.trade(received(101, 0, NOW + SLACK_S + 1), now());
    assert_eq!((collector.batch().trades.len(), collector.batch().quarantine.len()), (1, 1));
    collector.trade(received(102, 0, NOW + SLACK_S), UnixSeconds(NOW - 3_600));
    assert_eq!(collector.batch().trades.len(), 2);
}

#[test]
fn a_close_time_before_all_networks_is_quarantined() {
    let mut collector = collector();
    let intake = Intake { retention_days: 36_500, ..collector.intake };
    collector.set_intake(intake);
    collector.trade(received(100, 0, EARLIEST.0), now());
    collector.trade(received(101, 0, EARLIEST.0 - 1), now());
    assert_eq!((collector.batch().trades.len(), collector.batch().quarantine.len()), (1, 1));
}

#[test]
fn the_cursor_never_goes_back() {
    let mut collector = collector();
    collector.trade(received(102, 1, NOW), now());
    collector.trade(received(101, 0, NOW), now());
    assert_eq!((collector.reached.ledger(), collector.batch().trades.len()), (102, 2));
}

#[test]
fn a_trade_that_was_not_asked_for_is_never_stored_and_quarantined_if_it_is_far_below() {
    let mut collector = collector();
    collector.set_start(PagingToken::before_ledger(500));
    for ledger in [499, 500 - i64::from(BATCH_LEDGERS_MAX)] {
        collector.trade(received(ledger, 0, NOW), now());
    }
    assert!(collector.is_empty(), "recent trades, once more");
    for count in 1..3 {
        collector.trade(received(299, count, NOW), now()); // an old ledger with a recent time
        collector.trade(received(500, count, NOW), now());
        let batch = collector.batch();
        assert_eq!((collector.batches().len(), batch.trades.len(), batch.quarantine.len()), (1, 1, 1));
        collector.committed();
    }
}

#[test]
fn a_refused_record_moves_the_cursor_if_it_has_a_position() {
    let mut collector = collector();
    let refused = |token| RecordError { token, reason: "x".into(), raw: Bytes::new() };
    collector.refused(refused(None));
    assert_eq!(collector.reached, PagingToken::before_ledger(100));
    collector.refused(refused(PagingToken::new(101 << 32, 5)));
    assert_eq!((collector.reached.order, collector.batch().quarantine.len()), (5, 2));
}

/// Makes the first record of the batch older by `time`.
fn waits(collector: &mut Collector, time: Duration) {
    let opened = collector.opened.as_mut().unwrap();
    *opened = opened.checked_sub(time).unwrap();
}

/// Opens the next batch in the future, so that no time counts as waited.
fn never_waits(collector: &mut Collector) {
    collector.opened = Instant::now().checked_add(Duration::from_secs(3_600));
}

#[test]
fn a_commit_moves_the_cursor_only_if_something_was_collected() {
    let mut collector = collector();
    assert!(collector.has_advanced(), "the database has no cursor yet");
    collector.committed();
    assert!(!collector.has_advanced(), "the cursor has not moved");
    collector.trade(received(100, 0, NOW), now());
    assert!(collector.has_advanced());
}

#[test]
fn impossible_close_times_are_not_evidence_against_later_ones() {
    let mut collector = collector();
    for ledger in 100..105 {
        collector.trade(received(ledger, 0, NOW + 2 * DAY), now());
    }
    collector.trade(received(105, 0, NOW), now());
    assert_eq!((collector.batch().trades.len(), collector.batch().quarantine.len()), (1, 5));
}

#[test]
fn a_batch_waits_for_its_ledger_and_not_for_the_next_one() {
    let mut collector = collector();
    collector.trade(received(100, 0, NOW), now());
    collector.trade(received(100, 1, NOW), now());
    waits(&mut collector, QUIET);
    assert!(!collector.is_due(), "more of the ledger may come");
    collector.trade(received(101, 0, NOW), now());
    assert!(collector.is_due(), "the ledger is complete");
    collector.committed();
    collector.trade(received(101, 1, NOW), now());
    waits(&mut collector, ONE_LEDGER_MAX);
    assert!(collector.is_due(), "the server is too slow to wait for");
    collector.committed();
    collector.trade(received(102, 0, NOW), now());
    waits(&mut collector, QUIET);
    assert!(!collector.is_due(), "the first trade of a batch does not complete its ledger");
}

#[test]
fn many_records_are_due_at_once() {
    let mut collector = collector();
    never_waits(&mut collector);
    for order in 0..i32::try_from(BATCH_RECORDS_MAX).unwrap() {
        assert!(!collector.is_due());
        collector.trade(received(100, order, NOW), now());
    }
    assert!(collector.is_due());
    collector.committed();
    assert!(collector.is_empty() && !collector.is_due());
}

#[test]
fn few_long_records_are_due_as_well() {
    let mut collector = collector();
    never_waits(&mut collector);
    let raw = || Bytes::from(vec![b' '; BATCH_BYTES_MAX / 2]);
    collector.trade(ReceivedTrade { raw: raw(), ..received(100, 0, NOW) }, now());
    assert!(!collector.is_due());
    collector.refused(RecordError { token: None, reason: "x".into(), raw: raw() });
    assert!(collector.is_due());
    collector.committed();
    assert!(!collector.is_due());
}
