//! History that is longer than the retention: what is skipped does not count as known.

use chrono::{TimeDelta, Utc};

use super::*;
use crate::support::scripted::{LEDGER, address, scripted_since, trade};

const DAY: i64 = 86_400;
/// Ledgers of history, one trade each, half an hour apart: twelve days, and the half hour before them.
const LEDGERS: u32 = 12 * 48 + 2;

/// Start of the day that was so many days ago.
fn day_of(now: i64, days: i64) -> i64 {
    (now - days * DAY).div_euclid(DAY) * DAY
}

/// The candle of a day, empty or not.
fn candle(daemon: &Daemon, day: i64) -> Value {
    let market = format!("TEA-{}_XLM", address(9));
    let path = format!("/api/v1/markets/{market}/candles?interval=1d&from={day}&to={day}&fill=true");
    daemon.get(&path).json()["candles"][0].clone()
}

/// Forgets everything of the last ten days, as if the ticker had been down.
async fn forget_ten_days(client: &Client, now: i64) {
    let down = format!("to_timestamp({})", now - 10 * DAY);
    let forget = format!(
        "DELETE FROM trades WHERE ledger_close_time > {down};
         UPDATE coverage SET (to_ledger, to_time) =
             (SELECT max(toid) >> 32, max(ledger_close_time) FROM trades)"
    );
    client.batch_execute(&forget).await.unwrap();
}

#[test]
fn days_beyond_the_retention_that_were_never_read_are_not_complete() {
    let (sim, source) = scripted_since(LEDGER - LEDGERS, FaultPlan::none());
    let now = Utc::now();
    let at = |step: u32| now - TimeDelta::minutes(30 * i64::from(LEDGERS - step));
    source.push_trades((1..=LEDGERS).map(|step| trade(LEDGER - LEDGERS + step, 0, at(step)))).unwrap();
    let now = now.timestamp();
    block_on(async {
        let database = fresh_database().await;
        let url = sim.url();
        let common = ["--database-url", &database, "--horizon-url", &url, "--network", PASSPHRASE];
        let task = |words: &[&str]| {
            let (code, _, log) = run(&[words, &common, &["--horizon-requests-per-hour", "0"]].concat());
            assert_eq!(code, 0, "{words:?}: {log}");
        };
        task(&["ingest", "trades", "--num-hours", "312", "--retention-days", "13"]);
        let client = recomputation::connect(&database).await;
        forget_ten_days(&client, now).await;
        // Derives the candles, and drops nothing: the newest trade is ten days old.
        task(&["clean", "trades", "--keep-days", "8"]);
        task(&["ingest", "trades"]);
        let kept = format!(
            "SELECT count(*) FROM trades WHERE ledger_close_time >= to_timestamp({})",
            day_of(now, 8)
        );
        assert!(number(&client, &kept).await >= 8 * 48);
        task(&["clean", "trades", "--keep-days", "8"]);
        let daemon = Daemon::serve(&url, &database, PASSPHRASE, &["--clean-schedule", "0 0 1 1 *"]);
        wait_until_history_is_complete(&daemon);
        wait_until("candles are read", || candle(&daemon, day_of(now, 8))["trade_count"] == 48);
        assert_eq!(candle(&daemon, day_of(now, 8))["complete"], true, "the oldest day that is kept");
        let skipped = candle(&daemon, day_of(now, 9));
        assert_eq!((&skipped["trade_count"], &skipped["complete"]), (&0.into(), &false.into()), "{skipped}");
        let old = candle(&daemon, day_of(now, 11));
        assert_eq!((&old["trade_count"], &old["complete"]), (&48.into(), &true.into()), "{old}");
    });
}
