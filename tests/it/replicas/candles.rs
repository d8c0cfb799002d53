//! Candles on two replicas that are killed, while late trades come and the cleaner drops old days.

use stellar_ticker::{db::Database, domain::trade::Trade};

use super::*;
use crate::{
    database::{
        candles::{Dice, any_trade, assert_all_equal_to, backfilled},
        open,
    },
    support::DEADLINE,
};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// A lease that ends soon, and a cleaner that works all the time.
const ENVIRONMENT: [(&str, &str); 2] =
    [("TICKER_CHAOS_LEASE_MS", "1200"), ("TICKER_CLEAN_SCHEDULE", "*/3 * * * * *")];
/// Keeps a copy of each trade that was ever written.
const KEEP: &str = "
    CREATE TABLE kept_trades (LIKE trades);
    CREATE FUNCTION keep_trade() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO kept_trades SELECT (NEW).*;
        RETURN NULL; END $$;
    CREATE TRIGGER keep_trade AFTER INSERT ON trades FOR EACH ROW EXECUTE FUNCTION keep_trade()";

/// Writes trades with the epoch of the current leader. Returns the batch.
async fn write(replicas: &Replicas, database: &Database, trades: Vec<Trade>) -> i64 {
    let begun = Instant::now();
    loop {
        let epoch = number(&replicas.client, "SELECT epoch FROM ingest_lease").await;
        match database.write_trades(epoch, &backfilled(trades.clone())).await {
            Ok(written) => return written.seq,
            Err(error) => assert!(begun.elapsed() < DEADLINE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a query returns true.
async fn wait_for(client: &tokio_postgres::Client, what: &str, sql: &str) {
    reached(what, async || client.query_one(sql, &[]).await.unwrap().get::<_, Option<bool>>(0) == Some(true))
        .await;
}

async fn wait_until_derived(client: &tokio_postgres::Client, seq: i64) {
    let sql = format!("SELECT seq > {seq} FROM candle_progress");
    wait_for(client, "all candles are derived", &sql).await;
}

#[test]
fn candles_equal_a_recomputation_after_kills_take_overs_late_trades_and_dropped_days() {
    const ROUNDS: u32 = 10;
    const LATE: u32 = 100;
    const OLD: u32 = 300;
    block_on(async {
        let mut replicas = Replicas::start(network(68, FaultPlan::none()), &ENVIRONMENT).await;
        replicas.client.batch_execute(KEEP).await.unwrap();
        let (database, mut dice) = (open(&replicas.database), Dice(68));
        let now = chrono::Utc::now().timestamp();
        let hour = now - now % HOUR;
        // Days that the cleaner drops as soon as their candles are derived.
        let old = (1..=OLD).map(|ledger| any_trade(ledger, hour - 12 * DAY + dice.number(7_200), &mut dice));
        let old: Vec<Trade> = old.collect();
        write(&replicas, &database, old).await;
        let mut last = 0;
        for round in 0..ROUNDS {
            let ledgers = (1..=LATE).map(|ledger| OLD + round * LATE + ledger);
            // In eight of the last 144 hours: a step of the keeper reads twelve hours, and then it rests.
            let late = ledgers.map(|ledger| {
                let second = hour - (1 + dice.number(8)) * 17 * HOUR + dice.number(3_600);
                any_trade(ledger, second, &mut dice)
            });
            let late: Vec<Trade> = late.collect();
            last = write(&replicas, &database, late).await;
            if round % 2 == 0 {
                // Its candles wait, or are being derived.
                let leader = replicas.leader();
                let begun = Instant::now();
                replicas.both[leader].kill();
                replicas.taken_over(leader, begun).await;
                replicas.restart(leader);
            }
        }
        wait_until_derived(&replicas.client, last).await;
        let dropped = "SELECT count(*) = 0 FROM trades WHERE ledger_close_time < now() - interval '9 days'";
        wait_for(&replicas.client, "the old days are dropped", dropped).await;
        let kept =
            number(&replicas.client, "SELECT count(*) FROM kept_trades WHERE toid < 5000 * 4294967296").await;
        assert_eq!(kept, i64::from(OLD + ROUNDS * LATE), "each was written once");
        let candles = assert_all_equal_to("kept_trades", &database, &replicas.client).await;
        assert!(candles > 500, "{candles}");
        replicas.assert_in_order().await;
    });
}
