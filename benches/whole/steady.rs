//! What the daemon costs all the time: CPU at 20 trades a second, a publication each second.

use std::time::{Duration, Instant};

use super::{
    bench::{Bench, Times, pause},
    live::Live,
    report::{Row, Unit},
    start::{self, Daemon, NAIVE},
    watch,
};

/// Twenty trades a second, in a ledger each 5 s.
const LEDGER_TRADES: u64 = 100;
const LEDGER_PERIOD: Duration = Duration::from_secs(5);
/// What a start leaves to be done is done by then.
const SETTLING: Duration = Duration::from_secs(20);

pub(crate) fn run(bench: &Bench) -> Vec<Row> {
    let trades = bench.sized(1_000_000, 10_000_000);
    let span = bench.sized(Duration::from_secs(30), Duration::from_secs(60));
    let store = bench.block_on(start::filled(bench, trades));
    let before = bench.postgres_cpu_s();
    for window in ["24 hours", "7 days"] {
        bench.block_on(store.client.query(NAIVE, &[&window])).unwrap();
    }
    let naive_s = bench.postgres_cpu_s() - before;
    // The limit of requests is the default one, so books are read at the pace at which they are on the real network.
    let network = Live::after(trades, true);
    let daemon = Daemon::on(&store.url, &network.url(), &[]);
    bench.block_on(daemon.first_publication());
    let network = network.go_on(LEDGER_TRADES, LEDGER_PERIOD);
    pause(SETTLING);
    watch::until_seen(daemon.public, &network.emitted);
    let cpu = || (Times::of(daemon.pid()).unwrap().own_s, bench.postgres_cpu_s());
    let (begun, before) = (Instant::now(), cpu());
    pause(span);
    let (seconds, after) = (begun.elapsed().as_secs_f64(), cpu());
    watch::until_seen(daemon.public, &network.emitted); // it did not stand still
    drop(daemon);
    drop(network);
    bench.block_on(store.close());
    let what = format!("CPU a second at 20 trades a second, {} million trades held", trades / 1_000_000);
    vec![
        Row::new(format!("{what}: the daemon"), (after.0 - before.0) / seconds, Unit::Seconds)
            .baseline("naive SQL, once a second", naive_s)
            .goal(0.2),
        Row::new(format!("{what}: PostgreSQL"), (after.1 - before.1) / seconds, Unit::Seconds)
            .baseline("naive SQL, once a second", naive_s),
    ]
}
