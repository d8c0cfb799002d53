//! The asset poller: what Horizon's `/assets` says of assets. Those of the busiest markets are looked up singly first;
//! then all are swept by schedule, and what is new in trades is looked up singly again. Only while this replica leads.

mod standing;

use std::{sync::Arc, time::Duration};

use actix::{Context, Handler};
use futures_util::{StreamExt, stream};
use tracing::{debug, info, warn};

use super::{
    envelope::{Envelope, TraceContext},
    leadership::Leadership,
    messages::{AssetsLookedUp, AssetsSeen},
    port::Port,
    ranking::Ranking,
    supervision::status::ChildStatus,
    timetable::{Schedule, Timetable},
    worker::{Life, TICK, Work, Worker},
};
use crate::{
    clock::SharedClock,
    db::{
        Database, DbError,
        assets::{AssetStanding, AssetSweep},
    },
    domain::{asset::Asset, ranking::assets_of},
    horizon::{HorizonClient, HorizonError, budget::Class, retry::Retry, wire::AssetRecord},
};

use standing::{gone, standing};

/// How often it looks for something to do when nobody tells it.
const REST: Duration = Duration::from_secs(5);
/// Assets looked up singly in one step.
const SINGLES: i64 = 20;
/// More than so many that wait are met sooner by a sweep, of which a request brings 200.
const SINGLES_MAX: i64 = 300;
/// Requests for single assets at a time.
const AT_ONCE: usize = 4;
/// On an empty database the assets of so many of the busiest markets come before everything but the stream.
const FIRST_MARKETS: usize = 200;
/// That is over after so many look-ups, whatever markets come to the top meanwhile.
const FIRST_ASSETS_MAX: usize = 400;
/// A sweep for the sake of new assets begins no sooner after the last one.
const SWEEP_AGAIN: chrono::TimeDelta = chrono::TimeDelta::minutes(10);
/// How long the next one may take to say that it heard.
const TOLD_TIMEOUT: Duration = Duration::from_secs(1);

/// A command that sweeps once gives up after so many failures in a row.
const FAILURES_MAX: u32 = 10;

/// What the asset poller works with.
#[derive(Clone)]
pub struct AssetPoll {
    /// Where assets are looked up.
    pub horizon: HorizonClient,
    /// Where they were seen, and where what was found goes.
    pub database: Database,
    /// Whether this replica may write.
    pub leadership: Leadership,
    /// Which markets are busiest.
    pub ranking: Ranking,
    /// Who learns that assets were looked up; nobody in a command that runs alone.
    pub toml_checker: Option<Port<AssetsLookedUp>>,
    /// What time it is.
    pub clock: SharedClock,
    /// When all assets are swept.
    pub schedule: Schedule,
    /// Whether a stellar.toml decides on validity: everywhere but on testnet.
    pub links_count: bool,
    /// Its own line in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub type AssetPoller = Worker<AssetPoll>;

impl Work for AssetPoll {
    async fn run(self, life: Life) {
        let mut timetable = Timetable::due_at_start(Arc::clone(&self.schedule));
        let mut first = First::Unknown;
        let mut retry = Retry::default();
        loop {
            life.advance();
            let Some(epoch) = self.leadership.epoch_within(TICK).await else { continue };
            match self.step(epoch, &mut timetable, &mut first, &life).await {
                Ok(Step::Idle) => {
                    retry.succeeded();
                    self.status.set_state("idle");
                    life.rest(REST).await;
                }
                Ok(Step::Done) => retry.succeeded(),
                Err(error) => {
                    let wait = retry.next_wait(error.retry_after());
                    warn!(%error, wait_ms = wait.as_millis(), "assets cannot be looked up now");
                    life.pause(wait).await;
                }
            }
        }
    }

    fn status(&self) -> &Arc<ChildStatus> {
        &self.status
    }
}

impl Handler<Envelope<AssetsSeen>> for AssetPoller {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<AssetsSeen>, _: &mut Context<Self>) {
        let _handling = self.work.status.begin(&envelope);
        self.life.wake();
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Horizon(#[from] HorizonError),
    #[error(transparent)]
    Database(#[from] DbError),
}

impl StepError {
    const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Horizon(error) => error.retry_after(),
            Self::Database(_) => None,
        }
    }
}

/// What a step came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Done,
    Idle,
}

/// The look-ups that come before everything else on an empty database.
enum First {
    /// Nobody has looked yet whether the database is empty.
    Unknown,
    /// So many have been looked up.
    Running(usize),
    Over,
}

impl AssetPoll {
    /// Sweeps all assets once, from the beginning.
    ///
    /// # Errors
    ///
    /// In words: the lease or the database is lost, or Horizon failed too often in a row.
    pub async fn sweep_once(&self, life: &Life) -> Result<(), String> {
        let (mut retry, mut failures) = (Retry::default(), 0);
        let mut sweep = AssetSweep { began_at: Some(self.clock.now()), ..AssetSweep::default() };
        while sweep.began_at.is_some() {
            let epoch = self.leadership.epoch().ok_or("the lease was lost")?;
            match self.sweep_step(epoch, &sweep).await {
                Ok(next) => (sweep, retry, failures) = (next, Retry::default(), 0),
                Err(StepError::Horizon(error)) if failures < FAILURES_MAX => {
                    failures += 1;
                    warn!(%error, "a page of assets cannot be read now");
                    life.pause(retry.next_wait(error.retry_after())).await;
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// The most urgent thing: single look-ups while they are few, and a page of the sweep.
    async fn step(
        &self,
        epoch: i64,
        timetable: &mut Timetable,
        first: &mut First,
        life: &Life,
    ) -> Result<Step, StepError> {
        let singles = self.look_up_singly(epoch, first, life).await?;
        let now = self.clock.now();
        let mut sweep = self.database.asset_sweep().await?;
        let many_wait = singles.waiting > SINGLES_MAX
            && sweep.finished_at.is_none_or(|finished| now - finished > SWEEP_AGAIN);
        // A sweep that goes on after a restart is the one that is due at start.
        let is_due = timetable.take_due(now);
        if sweep.began_at.is_none() && (is_due || many_wait) {
            sweep = AssetSweep { token: None, began_at: Some(now), ..sweep };
        }
        if sweep.began_at.is_some() && (singles.looked_up == 0 || !matches!(first, First::Running(_))) {
            self.status.set_state("sweeping");
            let next = self.sweep_step(epoch, &sweep).await?;
            if next.began_at.is_none() {
                self.tell().await;
            }
            return Ok(Step::Done);
        }
        if singles.looked_up == 0 {
            self.tell().await;
            return Ok(Step::Idle);
        }
        Ok(Step::Done)
    }

    async fn look_up_singly(&self, epoch: i64, first: &mut First, life: &Life) -> Result<Singles, StepError> {
        if matches!(first, First::Unknown) {
            let is_empty = !self.database.any_asset_checked().await?;
            *first = if is_empty { First::Running(0) } else { First::Over };
        }
        if self.database.due_assets(&[], 1).await?.count == 0 {
            return Ok(Singles { looked_up: 0, waiting: 0 });
        }
        let ranked = self.ranking.ask().await.unwrap_or_default();
        let busiest = assets_of(ranked.get(..FIRST_MARKETS).unwrap_or(&ranked));
        let due = self.database.due_assets(&busiest, SINGLES).await?;
        let mut wanted = due.assets;
        if let First::Running(looked_up) = first {
            let busiest_due = usize::try_from(due.ranked).unwrap_or(usize::MAX);
            wanted.truncate(busiest_due);
            let all_seen = wanted.is_empty() && ranked.len() >= FIRST_MARKETS;
            *looked_up += wanted.len();
            if all_seen || *looked_up > FIRST_ASSETS_MAX {
                info!(looked_up, "the assets of the busiest markets are known");
                *first = First::Over;
            }
        } else if due.count > SINGLES_MAX {
            // A sweep meets them; only those of the busiest markets do not wait for it.
            wanted.truncate(usize::try_from(due.ranked).unwrap_or(usize::MAX));
        }
        let class = if matches!(first, First::Running(_)) { Class::FirstAssets } else { Class::Assets };
        let looked_up = wanted.len();
        if looked_up > 0 {
            self.status.set_state("looking up");
            self.look_up(epoch, wanted, class, life).await?;
            self.tell().await;
        }
        Ok(Singles { looked_up, waiting: due.count })
    }

    async fn look_up(
        &self,
        epoch: i64,
        assets: Vec<Asset>,
        class: Class,
        life: &Life,
    ) -> Result<(), StepError> {
        let horizon = self.horizon.of_class(class);
        let mut failed = None;
        let mut standings: Vec<AssetStanding> = Vec::new();
        let mut found = stream::iter(assets)
            .map(|asset| {
                let horizon = &horizon;
                async move { (asset, find(horizon, &asset).await) }
            })
            .buffer_unordered(AT_ONCE);
        while let Some((asset, found)) = found.next().await {
            life.advance();
            match found {
                Ok(Some(record)) => standings.push(standing(&record, self.links_count)),
                Ok(None) => standings.push(gone(asset)),
                Err(error) => failed = Some(error),
            }
        }
        if !standings.is_empty() {
            let now = self.clock.now();
            self.database.record_standings(epoch, &standings, self.links_count, None, now).await?;
            debug!(looked_up = standings.len(), "assets looked up");
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Takes in the next page of the sweep, and gives how far the sweep then is.
    async fn sweep_step(&self, epoch: i64, sweep: &AssetSweep) -> Result<AssetSweep, StepError> {
        let horizon = self.horizon.of_class(Class::Assets);
        let mut page = horizon.assets_page(sweep.token.as_deref()).await?;
        if page.next.is_none() {
            page = horizon.assets_page(sweep.token.as_deref()).await?; // one empty answer is no end
        }
        let now = self.clock.now();
        let is_last = page.next.is_none() || page.next == sweep.token;
        let next = if is_last {
            AssetSweep { token: None, began_at: None, swept_from: sweep.began_at, finished_at: Some(now) }
        } else {
            AssetSweep { token: page.next, ..sweep.clone() }
        };
        let standings: Vec<AssetStanding> =
            page.records.iter().map(|record| standing(record, self.links_count)).collect();
        self.database.record_standings(epoch, &standings, self.links_count, Some(&next), now).await?;
        if is_last {
            info!(began_at = ?sweep.began_at, "all assets are swept");
        }
        Ok(next)
    }

    async fn tell(&self) {
        let Some(toml_checker) = &self.toml_checker else { return };
        let told = toml_checker.call(&TraceContext::root(), AssetsLookedUp, TOLD_TIMEOUT).await;
        if let Err(error) = told {
            debug!(%error, "the looked-up assets were not heard of");
        }
    }
}

/// What Horizon knows of an asset. That it knows nothing would take the asset's trades away, so it must say so twice.
async fn find(horizon: &HorizonClient, asset: &Asset) -> Result<Option<AssetRecord>, HorizonError> {
    match horizon.asset(asset).await? {
        Some(record) => Ok(Some(record)),
        None => horizon.asset(asset).await,
    }
}

/// What came of single look-ups.
struct Singles {
    looked_up: usize,
    waiting: i64,
}
