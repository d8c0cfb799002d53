//! Commands that do one task of the daemon once: `ingest assets`, `ingest orderbooks`, `ingest trades`, `clean trades`.
//! Each needs the lease. If a daemon holds it, the command fails, since the daemon does the same work. It also fails
//! if the database becomes another one than at the start.

use std::{pin::pin, sync::Arc, time::Duration};

use actix::Actor;
use actix_rt::System;
use tracing::info;

use super::{
    CommandError, progress_bar,
    signals::Signals,
    source_check::{check_lake, check_network},
    store::Store,
    test_hooks,
};
use crate::{
    actors::{
        aggregator::MarketState,
        asset_poller::AssetPoll,
        backfiller::Backfill,
        lease_keeper::LeaseKeeper,
        orderbook_poller::OrderbookPoll,
        ranking::Ranking,
        services::Services,
        stream_ingester::StreamIngest,
        supervision::{messages::Drain, status::ChildStatus},
        toml_checker::TomlCheck,
        unfit::UnfitError,
        worker::{Work, WorkContext},
    },
    clock::SystemClock,
    config::Config,
    db::candles::DroppedCandles,
    domain::instant::UnixSeconds,
    published::HealthCell,
};
use private_postgres::IfRunning;

/// Longest wait for the lease. A lease that nobody renews expires sooner.
const LEASE_PATIENCE: Duration = Duration::from_secs(9);
/// Time limit for finishing work after a signal.
const DRAIN: Duration = Duration::from_secs(2);
/// Time limit for releasing the lease.
const RELEASE: Duration = Duration::from_secs(1);

/// End of a command's work without an error.
enum Done {
    /// All work was done.
    Whole,
    /// A signal stopped work that has no end of its own, such as the stream.
    Stopped,
}

/// Sweeps all assets once, then fetches the stellar.toml files of those that meet the rules.
pub(super) fn assets(config: &Config) -> Result<u8, CommandError> {
    with_lease(config, async |services, context| {
        let ranking = ranking(services).await?;
        let (assets, files) = (status(services, "asset_poller"), status(services, "toml_checker"));
        AssetPoll::new(services, ranking.clone(), None, assets).sweep_once(context).await?;
        TomlCheck::new(services, ranking, None, files).check_once(context).await?;
        Ok(Done::Whole)
    })
}

/// Reads every order book once.
pub(super) fn orderbooks(config: &Config) -> Result<u8, CommandError> {
    with_lease(config, async |services, context| {
        let ranking = ranking(services).await?;
        OrderbookPoll::new(services, ranking, status(services, "orderbook_poller"))
            .poll_once(context)
            .await?;
        Ok(Done::Whole)
    })
}

/// Fills history as far back as configured. With `and_stream`, then follows the stream until a signal.
pub(super) fn trades(config: &Config, and_stream: bool) -> Result<u8, CommandError> {
    with_lease(config, async |services, context| {
        let backfill = Backfill::new(services, None, status(services, "backfiller"));
        if !backfill.logs_progress {
            actix_rt::spawn(progress_bar::draw(Arc::clone(&services.published)));
        }
        let newest = tokio::select! {
            biased;
            () = context.draining(), if and_stream => return Ok(Done::Stopped),
            filled = backfill.fill_once(context) => filled?,
        };
        info!(newest, "history is complete, as far as its source has it");
        if !and_stream {
            return Ok(Done::Whole);
        }
        let stream = StreamIngest::new(services, None, status(services, "stream_ingester"));
        // On a signal, the stream commits what it has collected and ends. History may be dropped at any await.
        let history = async {
            tokio::select! {
                biased;
                () = context.draining() => {}
                () = backfill.run(context.clone()) => {}
            }
        };
        tokio::join!(stream.run(context.clone()), history);
        Ok(Done::Stopped)
    })
}

/// Does one pass of the cleaner. The rest of a long search for unused markets is left to the daemon, which only
/// follows while this process holds the lease. Candles stay without `drops_candles`.
pub(super) fn clean(config: &Config, drops_candles: bool) -> Result<u8, CommandError> {
    with_lease(config, async |services, _| {
        let epoch = services.leadership.epoch().ok_or("the lease was lost")?;
        let keep_days = i64::from(services.config.retention_days);
        let now = services.clock.now();
        let time = services.database.retention_time(now).await.map_err(|error| error.to_string())?;
        // A day of trades is dropped once its candles are derived.
        loop {
            let step = services.database.derive_candles(epoch, time.unwrap_or(now), || {}).await;
            if step.map_err(|error| error.to_string())?.is_caught_up {
                break;
            }
        }
        let cleaned = services.database.clean(epoch, keep_days, time.unwrap_or(now), || {}).await;
        let cleaned = cleaned.map_err(|error| error.to_string())?;
        let candle_days = i64::from(services.config.candle_retention_days);
        let candles = match time {
            Some(time) if drops_candles => {
                services.database.drop_candles(epoch, candle_days, time, || {}).await
            }
            _ => Ok(DroppedCandles::default()),
        };
        let candles = candles.map_err(|error| error.to_string())?;
        info!(
            days_dropped = cleaned.days,
            days_left = cleaned.days_left,
            rows_deleted = cleaned.rows,
            keep_days,
            candle_partitions_dropped = candles.partitions,
            candles_left = candles.left,
            markets_forgotten = candles.markets,
            "cleaned"
        );
        if cleaned.is_searching {
            info!("search for unused markets not finished, a daemon will begin a new one");
        }
        Ok(Done::Whole)
    })
}

/// Ranks the markets from what the database holds now.
async fn ranking(services: &Services) -> Result<Ranking, String> {
    let now = UnixSeconds::from(services.clock.now());
    let mut markets = MarketState::load(&services.database, now).await.map_err(|error| error.to_string())?;
    Ok(Ranking::fixed(&markets.snapshot_at(now)))
}

fn status(services: &Services, name: &'static str) -> Arc<ChildStatus> {
    ChildStatus::new(name, 1, Arc::clone(&services.clock), Arc::clone(&services.recorder))
}

/// Runs `work` while this process holds the lease. Releases the lease whatever ends the work.
fn with_lease(
    config: &Config,
    work: impl AsyncFnOnce(&Services, &WorkContext) -> Result<Done, String>,
) -> Result<u8, CommandError> {
    let system = System::new();
    let mut store = None;
    let done = system.block_on(async {
        let mut signals = Signals::listen()?;
        let services = tokio::select! {
            services = prepared(config, &mut store) => services?,
            signal = signals.next() => return Err(interrupted(signal)),
        };
        let keeper = LeaseKeeper::new(&services, status(&services, "lease_keeper")).start();
        let context = WorkContext::default();
        let led = async {
            if services.leadership.epoch_within(LEASE_PATIENCE).await.is_none() {
                return Err(refusal(&services).await);
            }
            tokio::select! {
                biased;
                done = work(&services, &context) => done.map_err(CommandError::Unavailable),
                unfit = services.unfit.reported() => Err(unfit.into()),
            }
        };
        let done = until_stopped(led, &context, &mut signals).await;
        // The release may time out; the lease then expires by itself.
        let _ = keeper.send(Drain { within: RELEASE }).await;
        done
    });
    if let Some(store) = store {
        store.close();
    }
    done.map(|()| 0)
}

/// Returns the reason for which this process got no lease.
async fn refusal(services: &Services) -> CommandError {
    let (database, vitals) = (&services.database, &services.published.vitals.database);
    if database.is_read_only() {
        return CommandError::Unavailable("the database is read-only: nothing can be stored".to_owned());
    }
    match database.within(LEASE_PATIENCE, database.is_led()).await {
        Ok(true) => CommandError::Unavailable(
            "a running daemon ingests into this database already and does this task itself".to_owned(),
        ),
        // It can be read. The last request for the lease shows why nothing can be written.
        Ok(false) => {
            let fault = failure(&vitals.answers).or_else(|| failure(&vitals.unleased));
            let fault = fault.unwrap_or_else(|| "did not grant it in time; try again".to_owned());
            CommandError::Unavailable(format!("the lease could not be taken: the database {fault}"))
        }
        Err(error) => match UnfitError::shown_by(&error) {
            Some(unfit) => unfit.into(),
            None => error.into(),
        },
    }
}

/// Returns the reason if the last report is a failure.
fn failure(cell: &HealthCell) -> Option<String> {
    cell.load().as_ref().filter(|report| !report.ok).map(|report| report.detail.clone())
}

async fn prepared(config: &Config, store: &mut Option<Store>) -> Result<Services, CommandError> {
    let store = store.insert(Store::open(config, IfRunning::Join).await?);
    let database = store.database(config).await?;
    let services = Services::new(config, &database, SystemClock::shared(), test_hooks::timings());
    check_lake(&services).await?;
    check_network(&services).await?;
    Ok(services)
}

/// Runs `work` to its end, or until a signal. After a signal it has [`DRAIN`] to finish what it began; then it is
/// dropped. Dropping is safe, since everything is written in transactions.
async fn until_stopped(
    work: impl Future<Output = Result<Done, CommandError>>,
    context: &WorkContext,
    signals: &mut Signals,
) -> Result<(), CommandError> {
    let mut work = pin!(work);
    let signal = tokio::select! {
        done = &mut work => return done.map(|_| ()),
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

fn interrupted(signal: &str) -> CommandError {
    CommandError::Unavailable(format!(
        "{signal}: stopped before all work was done; everything stored so far is kept"
    ))
}
