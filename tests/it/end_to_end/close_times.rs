//! Records with impossible close times: they are lost themselves, and the history below them is not.

use chrono::{TimeDelta, Utc};

use super::*;
use crate::support::scripted::{LEDGER, scripted_since, trade};

/// Ledgers of history, one trade each, five seconds apart: three pages.
const LEDGERS: u32 = 600;

/// All trades of a ledger close in the same second. With other times, their numbers in listings would not be unique.
#[test]
fn a_trade_with_another_close_time_than_most_of_its_ledger_is_quarantined() {
    let (sim, source) = scripted_since(LEDGER - 60, FaultPlan::none());
    let begin = Utc::now() - TimeDelta::minutes(10);
    let at = |step: u32| begin + TimeDelta::seconds(5 * i64::from(step));
    let orders = |step: u32| (0..3).map(move |order| (step, order));
    let records = (1..=60).flat_map(orders).map(|(step, order)| {
        let is_wrong = (step, order) == (30, 1);
        let closed_at = if is_wrong { at(step) + TimeDelta::seconds(300) } else { at(step) };
        trade(LEDGER - 60 + step, order, closed_at)
    });
    source.push_trades(records).unwrap();
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 179).await;
        wait_until_history_is_complete(&daemon);
        assert_eq!(number(&client, "SELECT count(*) FROM trades").await, 179);
        let refused = "SELECT count(*) FROM quarantine WHERE reason LIKE '%does not fit%'";
        assert_eq!(number(&client, refused).await, 1);
        let times = "SELECT count(DISTINCT ledger_close_time) - count(DISTINCT toid >> 32) FROM trades";
        assert_eq!(number(&client, times).await, 0, "a time for each ledger");
    });
}

#[test]
fn wrong_close_times_in_the_middle_end_no_history_and_are_quarantined() {
    let (sim, source) = scripted_since(LEDGER - LEDGERS, FaultPlan::none());
    let now = Utc::now();
    let right = |step: u32| now - TimeDelta::seconds(5 * i64::from(LEDGERS - step));
    // Older than what is wanted and kept, a day that is kept, the future, and at the edge of a page.
    let wrong: Vec<(u32, TimeDelta)> = vec![
        (590, TimeDelta::days(-20)),
        (401, TimeDelta::days(-20)),
        (400, TimeDelta::days(-20)),
        (300, TimeDelta::days(-3)),
        (250, TimeDelta::days(20)),
        (249, TimeDelta::hours(-2)),
        (100, TimeDelta::days(-20 * 365)),
    ];
    let records = (1..=LEDGERS).map(|step| {
        let by = wrong.iter().find(|(odd, _)| *odd == step).map_or(TimeDelta::zero(), |(_, by)| *by);
        trade(LEDGER - LEDGERS + step, 0, right(step) + by)
    });
    source.push_trades(records).unwrap();
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        let good = i64::from(LEDGERS) - i64::try_from(wrong.len()).unwrap();
        wait_for_trades(&client, good).await;
        wait_until_history_is_complete(&daemon);
        assert_eq!(complete_range(&client).await.0, i64::from(LEDGER - LEDGERS));
        assert_eq!(number(&client, "SELECT count(*) FROM trades").await, good);
        let refused =
            number(&client, "SELECT count(*) FROM quarantine WHERE reason LIKE '%close time%'").await;
        assert_eq!(refused, i64::try_from(wrong.len()).unwrap());
        let spread =
            "SELECT extract(epoch FROM max(ledger_close_time) - min(ledger_close_time))::bigint FROM trades";
        assert_eq!(
            number(&client, spread).await,
            5 * i64::from(LEDGERS - 1),
            "no time of another day is stored"
        );
        // And on the stream.
        source.push_trade(trade(LEDGER + 1, 0, Utc::now() - TimeDelta::days(3))).unwrap();
        source.push_trade(trade(LEDGER + 2, 0, Utc::now())).unwrap();
        wait_for_trades(&client, good + 1).await;
        assert_eq!(number(&client, "SELECT count(*) FROM quarantine").await, refused + 1);
        // Reading the ledgers again finds nothing to repair.
        let reread = || daemon.status()["audit"]["reread"].clone();
        wait_until("ledgers were read again", || {
            reread()["ledgers"].as_u64().is_some_and(|count| count > 1_000)
        });
        assert_eq!(
            (&reread()["missing"], &reread()["contradicting"]),
            (&0.into(), &0.into()),
            "{}",
            reread()
        );
        assert!(compare_published(&daemon, &client).await > 0);
    });
}
