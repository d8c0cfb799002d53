//! Commands that do one task of the daemon once, as the old program had them. Each needs the lease: beside a daemon that
//! ingests there is nothing for them to do.

use std::{sync::Arc, time::Duration};

use actix::Actor;
use actix_rt::System;
use tracing::info;

use super::{Failure, common::Common, progress_bar, store::Store};
use crate::{
    actors::{
        aggregator::MarketState,
        lease_keeper::LeaseKeeper,
        ranking::Ranking,
        supervision::{messages::Drain, status::ChildStatus},
        worker::{Life, Work},
    },
    clock::SystemClock,
    config::Config,
    db::private_postgres::IfRunning,
    domain::instant::Second,
};

/// A lease that nobody renews ends sooner.
const LEASE_PATIENCE: Duration = Duration::from_secs(9);
/// How long giving the lease back may take.
const RELEASE: Duration = Duration::from_secs(1);

/// One sweep of all assets, and the files of those that meet the rules.
pub(super) fn assets(config: &Config) -> Result<u8, Failure> {
    with_lease(config, async |common, life| {
        let ranking = ranking(common).await?;
        common.asset_poll(ranking.clone(), None, status(common, "asset_poller")).sweep_once(life).await?;
        common.toml_check(ranking, None, status(common, "toml_checker")).check_once(life).await
    })
}

/// Every book once.
pub(super) fn orderbooks(config: &Config) -> Result<u8, Failure> {
    with_lease(config, async |common, life| {
        let ranking = ranking(common).await?;
        common.orderbook_poll(ranking, status(common, "orderbook_poller")).poll_once(life).await
    })
}

/// History as far back as is wanted, and then the stream, where that is wanted too.
pub(super) fn trades(config: &Config, and_stream: bool) -> Result<u8, Failure> {
    with_lease(config, async |common, life| {
        let backfill = common.backfill(None, status(common, "backfiller"));
        if !backfill.tells_by_log {
            actix_rt::spawn(progress_bar::draw(Arc::clone(&common.published)));
        }
        backfill.fill_once(life).await?;
        info!("history is held whole, as far as Horizon has it");
        if and_stream {
            let stream = common.stream_ingest(None, status(common, "stream_ingester"));
            tokio::join!(stream.run(life.clone()), backfill.run(life.clone()));
        }
        Ok(())
    })
}

/// One pass of the cleaner.
pub(super) fn clean(config: &Config) -> Result<u8, Failure> {
    with_lease(config, async |common, _| {
        let epoch = common.leadership.epoch().ok_or("the lease was lost")?;
        let keep_days = i64::from(common.config.retention_days);
        let cleaned = common.database.clean(epoch, keep_days, common.clock.now()).await;
        info!(cleaned = ?cleaned.map_err(|error| error.to_string())?, keep_days, "cleaned");
        Ok(())
    })
}

/// The markets by what the database holds now.
async fn ranking(common: &Common) -> Result<Ranking, String> {
    let now = Second::from(common.clock.now());
    let (mut markets, _) =
        MarketState::load(&common.database, now).await.map_err(|error| error.to_string())?;
    Ok(Ranking::Fixed(Arc::new(markets.ranked_at(now))))
}

fn status(common: &Common, name: &'static str) -> Arc<ChildStatus> {
    ChildStatus::new(name, 1, Arc::clone(&common.clock))
}

/// Does the work while this process holds the lease.
fn with_lease(
    config: &Config,
    work: impl AsyncFnOnce(&Common, &Life) -> Result<(), String>,
) -> Result<u8, Failure> {
    let store = Store::open(config, IfRunning::Join)?;
    let system = System::new();
    let done = system.block_on(async {
        let database = store.database(config).await?;
        let common = Common::new(config, &database, SystemClock::shared());
        common.check_network().await?;
        let keeper = LeaseKeeper::new(common.lease_keeper(status(&common, "lease_keeper"))).start();
        if common.leadership.epoch_within(LEASE_PATIENCE).await.is_none() {
            let told = "a running daemon ingests into this database already, and does this by itself";
            return Err(Failure::Unavailable(told.into()));
        }
        let done = work(&common, &Life::default()).await.map_err(Failure::Unavailable);
        let _ = keeper.send(Drain { within: RELEASE }).await;
        done
    });
    store.close();
    done.map(|()| 0)
}
