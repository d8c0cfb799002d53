//! Commands that do one task of the daemon once, as the old program had them. Each needs the lease: beside a daemon that
//! ingests there is nothing for them to do.

use std::{pin::pin, sync::Arc, time::Duration};

use actix::Actor;
use actix_rt::System;
use tracing::info;

use super::{Failure, progress_bar, services::Services, signals::Signals, store::Store};
use crate::{
    actors::{
        aggregator::MarketState,
        lease_keeper::LeaseKeeper,
        ranking::Ranking,
        supervision::{messages::Drain, status::ChildStatus},
        worker::{Work, WorkContext},
    },
    clock::SystemClock,
    config::Config,
    domain::instant::UnixSeconds,
};
use private_postgres::IfRunning;

/// A lease that nobody renews ends sooner.
const LEASE_PATIENCE: Duration = Duration::from_secs(9);
/// How long what was begun may take when a signal has come.
const DRAIN: Duration = Duration::from_secs(2);
/// How long giving the lease back may take.
const RELEASE: Duration = Duration::from_secs(1);

/// How a command's work ended.
enum Done {
    /// All is done that was to be done.
    Whole,
    /// It was told to stop, as what has no end of its own is.
    Stopped,
}

/// One sweep of all assets, and the files of those that meet the rules.
pub(super) fn assets(config: &Config) -> Result<u8, Failure> {
    with_lease(config, async |services, context| {
        let ranking = ranking(services).await?;
        services
            .asset_poll(ranking.clone(), None, status(services, "asset_poller"))
            .sweep_once(context)
            .await?;
        services.toml_check(ranking, None, status(services, "toml_checker")).check_once(context).await?;
        Ok(Done::Whole)
    })
}

/// Every book once.
pub(super) fn orderbooks(config: &Config) -> Result<u8, Failure> {
    with_lease(config, async |services, context| {
        let ranking = ranking(services).await?;
        services.orderbook_poll(ranking, status(services, "orderbook_poller")).poll_once(context).await?;
        Ok(Done::Whole)
    })
}

/// History as far back as is wanted, and then the stream, where that is wanted too.
pub(super) fn trades(config: &Config, and_stream: bool) -> Result<u8, Failure> {
    with_lease(config, async |services, context| {
        let backfill = services.backfill(None, status(services, "backfiller"));
        if !backfill.tells_by_log {
            actix_rt::spawn(progress_bar::draw(Arc::clone(&services.published)));
        }
        tokio::select! {
            filled = backfill.fill_once(context) => filled?,
            () = context.draining(), if and_stream => return Ok(Done::Stopped),
        }
        info!("history is held whole, as far as Horizon has it");
        if !and_stream {
            return Ok(Done::Whole);
        }
        let stream = services.stream_ingest(None, status(services, "stream_ingester"));
        // When it is told to stop, the stream stores what it has collected and ends; history is dropped at any moment.
        let history = async {
            tokio::select! {
                () = backfill.run(context.clone()) => {}
                () = context.draining() => {}
            }
        };
        tokio::join!(stream.run(context.clone()), history);
        Ok(Done::Stopped)
    })
}

/// One pass of the cleaner.
pub(super) fn clean(config: &Config) -> Result<u8, Failure> {
    with_lease(config, async |services, _| {
        let epoch = services.leadership.epoch().ok_or("the lease was lost")?;
        let keep_days = i64::from(services.config.retention_days);
        let cleaned = services.database.clean(epoch, keep_days, services.clock.now()).await;
        let cleaned = cleaned.map_err(|error| error.to_string())?;
        info!(
            days_dropped = cleaned.days,
            days_left = cleaned.days_left,
            rows_deleted = cleaned.rows,
            keep_days,
            "cleaned"
        );
        Ok(Done::Whole)
    })
}

/// The markets by what the database holds now.
async fn ranking(services: &Services) -> Result<Ranking, String> {
    let now = UnixSeconds::from(services.clock.now());
    let (mut markets, _) =
        MarketState::load(&services.database, now).await.map_err(|error| error.to_string())?;
    Ok(Ranking::Fixed(Arc::new(markets.ranked_at(now))))
}

fn status(services: &Services, name: &'static str) -> Arc<ChildStatus> {
    ChildStatus::new(name, 1, Arc::clone(&services.clock))
}

/// Does the work while this process holds the lease, which is given back whatever ends it.
fn with_lease(
    config: &Config,
    work: impl AsyncFnOnce(&Services, &WorkContext) -> Result<Done, String>,
) -> Result<u8, Failure> {
    let system = System::new();
    let mut store = None;
    let done = system.block_on(async {
        let mut signals = Signals::listen()?;
        let services = tokio::select! {
            services = prepared(config, &mut store) => services?,
            signal = signals.next() => return Err(interrupted(signal)),
        };
        let keeper = LeaseKeeper::new(services.lease_keeper(status(&services, "lease_keeper"))).start();
        let context = WorkContext::default();
        let led = async {
            if services.leadership.epoch_within(LEASE_PATIENCE).await.is_none() {
                let told = "a running daemon ingests into this database already, and does this by itself";
                return Err(told.into());
            }
            work(&services, &context).await
        };
        let done = until_stopped(led, &context, &mut signals).await;
        let _ = keeper.send(Drain { within: RELEASE }).await;
        done
    });
    if let Some(store) = store {
        store.close();
    }
    done.map(|()| 0)
}

async fn prepared(config: &Config, store: &mut Option<Store>) -> Result<Services, Failure> {
    let store = store.insert(Store::open(config, IfRunning::Join).await?);
    let database = store.database(config).await?;
    database.check_rights().await?;
    let services = Services::new(config, &database, SystemClock::shared());
    services.check_network().await?;
    Ok(services)
}

/// The work to its end, or until a signal. What has no end of its own may then finish what it has begun; all else is
/// dropped after that time: what is written is written in transactions.
async fn until_stopped(
    work: impl Future<Output = Result<Done, String>>,
    context: &WorkContext,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let mut work = pin!(work);
    let signal = tokio::select! {
        done = &mut work => return done.map(|_| ()).map_err(Failure::Unavailable),
        signal = signals.next() => signal,
    };
    info!(signal, "stopping");
    context.drain(DRAIN);
    tokio::select! {
        done = tokio::time::timeout(DRAIN, work) => match done {
            Ok(Ok(Done::Whole | Done::Stopped)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(interrupted(signal)),
        },
        signal = signals.next() => Err(interrupted(signal)),
    }
}

fn interrupted(signal: &str) -> Failure {
    Failure::Unavailable(format!("{signal}: stopped before all was done; what was stored stays"))
}
