//! Ingest of a backlog by the backfiller itself, from pages of Horizon to committed rows.

use std::sync::Arc;

use chrono::Utc;
use stellar_ticker::{
    actors::{
        backfiller::Backfill,
        leadership::{Leadership, Lease},
        network_check::NetworkCheck,
        newest_page::NewestPage,
        supervision::status::ChildStatus,
        trace::recorder::Recorder,
        trade_writer::{IntakeLogLimits, TradeWriter},
        worker::WorkContext,
    },
    clock::SystemClock,
    domain::instant::UnixSeconds,
    horizon::{HorizonClient, client::HorizonSettings, rate_limiter::RateLimiter},
    published::Published,
};

use super::{
    bench::{Bench, Store, timed},
    copy,
    horizon::{PASSPHRASE, Rendered},
    report::{Row, Unit},
    synthetic::Synthetic,
};

const HOUR: std::time::Duration = std::time::Duration::from_secs(3_600);

pub(crate) fn run(bench: &Bench) -> Vec<Row> {
    let synthetic = Synthetic::week(bench.sized(500_000, 1_000_000), 30_000, UnixSeconds::from(Utc::now()));
    let address = Rendered::of(&synthetic).serve();
    bench.block_on(async {
        let store = bench.store().await;
        let copied = copy::raw(&store, &synthetic).await;
        let backfill = backfill(&store, &format!("http://{address}")).await;
        let (seconds, filled) = timed(backfill.fill_once(&WorkContext::default())).await;
        filled.unwrap();
        let stored: i64 = store.client.query_one("SELECT count(*) FROM trades", &[]).await.unwrap().get(0);
        assert_eq!(u64::try_from(stored).unwrap(), synthetic.trades, "all trades are stored");
        store.close().await;
        let row = Row::new(
            "ingest of a backlog, decode to commit",
            synthetic.trades as f64 / seconds,
            Unit::PerSecond,
        )
        .baseline("raw binary COPY", copied)
        .goal(60_000.0)
        .goal_ratio(0.25);
        vec![row]
    })
}

pub(crate) async fn backfill(store: &Store, url: &str) -> Backfill {
    let clock = SystemClock::shared();
    let leadership = Leadership::new(Arc::clone(&clock));
    let epoch = store.database.take_lease("bench", HOUR).await.unwrap().unwrap();
    leadership.set(Some(Lease { epoch, until: clock.monotonic() + HOUR }));
    let settings = HorizonSettings { url: url.to_owned(), ca_file: None, stream_idle_timeout: HOUR };
    Backfill {
        horizon: HorizonClient::new(settings, RateLimiter::new(0)).unwrap(),
        lake: None,
        reread_lake: None,
        is_from_lake: false,
        is_live_from_lake: false,
        writer: TradeWriter {
            database: store.database.clone(),
            leadership,
            listeners: None,
            clock: Arc::clone(&clock),
            published: Arc::new(Published::default()),
            lines: IntakeLogLimits::default(),
        },
        newest_page: NewestPage::default(),
        network_check: NetworkCheck::new(PASSPHRASE, &store.database),
        hours: 168,
        retention_days: 8,
        is_limited: false,
        to_reread: std::rc::Rc::default(),
        logs_progress: false,
        status: ChildStatus::new("backfiller", 1, Arc::clone(&clock), Recorder::off(clock)),
    }
}
