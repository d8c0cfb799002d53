//! Through PgBouncer in transaction mode, migrations past it.

use super::*;
use crate::support::{
    daemon::{Daemon, run},
    pgbouncer::PgBouncer,
    postgres::fresh_database,
    recomputation::connect,
    replicas::settle,
};

#[test]
fn two_replicas_behind_a_transaction_pooler_lose_nothing_when_one_falls_and_when_the_pooler_does() {
    let sim = network(67, FaultPlan::none());
    block_on(async {
        let direct = fresh_database().await;
        let mut pooler = PgBouncer::start(&direct);
        let serve = || {
            let past_it = ["--database-direct-url", &direct];
            let daemon = Daemon::serve(&sim.url(), &pooler.url(), PASSPHRASE, &past_it);
            crate::support::progress::wait_for_pairs(&daemon);
            daemon
        };
        let mut both = [serve(), serve()];
        let client = connect(&direct).await;
        wait_for_trades(&client, 300).await;
        let pooled = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                      AND application_name = 'stellar-ticker'";
        assert!(number(&client, pooled).await <= 10, "all go through the pool");
        wait_until("one leads", || both.iter().filter(|daemon| daemon.leads()).count() == 1);
        let old = both.iter().position(Daemon::leads).unwrap();
        both[old].kill();
        wait_until("the other leads", || both[1 - old].leads());
        let trades = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, trades + 100).await;
        pooler.kill();
        wait_until("it says that the database is away", || {
            both[1 - old].get("/readyz").json()["checks"]["database"]["ok"] == false
        });
        assert_eq!(both[1 - old].get("/markets.json").status, 200, "it goes on from memory");
        let begun = Instant::now();
        pooler.start_again();
        let trades = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, trades + 1).await;
        figure!(
            "a restart of PgBouncer (transaction mode) loses nothing",
            "{:.2} s",
            begun.elapsed().as_secs_f64()
        );
        wait_for_trades(&client, trades + 300).await;
        let trades = settle(sim, &client, &[&both[1 - old]]).await;
        figure!(
            "two replicas work through PgBouncer in transaction mode",
            "{trades} trades, none lost, none doubled"
        );
    });
}

#[test]
fn a_migration_behind_a_pooler_with_one_connection_names_the_remedy_and_ends() {
    block_on(async {
        let direct = fresh_database().await;
        let pooler = PgBouncer::with_connections(&direct, 1);
        let url = pooler.url();
        let migrate = ["migrate", "--database-url", &url, "--startup-timeout", "1s"];
        let (code, _, log) = run(&migrate);
        assert!(code == 69 && log.contains("Set --database-direct-url"), "{code}: {log}");
        let (code, _, log) = run(&[&migrate[..], &["--database-direct-url", &direct]].concat());
        assert_eq!(code, 0, "{log}");
    });
}
