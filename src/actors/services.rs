//! Parts that the actors share. The daemon and the commands that do one task make them once.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tracing::error;

use super::{
    lake_reader::{LakeReader, LakeReports},
    leadership::Leadership,
    network_check::NetworkCheck,
    newest_page::NewestPage,
    nginx_process::place::PreparedNginx,
    supervision::status::ChildStatus,
    timetable::Schedule,
    timings::Timings,
    trace::recorder::Recorder,
    trade_writer::{IntakeLogLimits, Listeners, TradeWriter},
    unfit::UnfitReport,
};
use crate::{
    clock::SharedClock,
    config::{Config, CronSpec, EXIT_CONFIG, LakeVerify, TESTNET_PASSPHRASE},
    db::Database,
    domain::{asset::Asset, ledger_source::LedgerSource},
    horizon::{HorizonClient, client::HorizonSettings, rate_limiter::RateLimiter},
    lake::{self, Lake, LakeAddress, LakeSettings},
    published::{ListingSource, Published},
};

/// Time limit of an object of a lake, as a multiple of the time for which the lake may be late.
const BODY_FACTOR: u32 = 2;

/// Parts shared by all actors. Cheap to clone; may be sent to any thread.
#[derive(Clone)]
pub struct Services {
    /// Settings.
    pub config: Arc<Config>,
    /// Pool of connections.
    pub database: Database,
    /// Identity of the database, which pages compare; empty for commands without pages.
    pub database_id: Arc<str>,
    /// Publications and vitals.
    pub published: Arc<Published>,
    /// Source of the current time.
    pub clock: SharedClock,
    /// Start time of this process.
    pub began: DateTime<Utc>,
    /// The lease as this process knows it.
    pub leadership: Leadership,
    /// Times that tests may shorten.
    pub timings: Timings,
    /// Report that the database is not the one of the start.
    pub unfit: UnfitReport,
    /// Budget of requests to Horizon, shared by all clients.
    pub limiter: RateLimiter,
    /// Recorder of the messages between the actors.
    pub recorder: Arc<Recorder>,
    /// Limits on log lines about records from Horizon.
    pub lines: IntakeLogLimits,
    /// Newest ledger of the tail that the backfiller read, for the stream.
    pub newest_page: NewestPage,
    /// nginx in front of the daemon; none without `--nginx`.
    pub nginx: Option<PreparedNginx>,
}

impl Services {
    /// Creates the parts. nginx is none and the identity of the database empty at first.
    #[must_use]
    pub fn new(config: &Config, database: &Database, clock: SharedClock, timings: Timings) -> Self {
        let published = Arc::<Published>::default();
        published.vitals.live_source.store(Arc::new(config.sources.live));
        published.vitals.grace.store(Arc::new(timings.grace));
        Self {
            config: Arc::new(config.clone()),
            database: database.clone(),
            database_id: Arc::default(),
            published,
            leadership: Leadership::new(Arc::clone(&clock)),
            timings,
            unfit: UnfitReport::default(),
            began: clock.now(),
            recorder: if config.trace_messages {
                Recorder::on(Arc::clone(&clock))
            } else {
                Recorder::off(Arc::clone(&clock))
            },
            clock,
            limiter: RateLimiter::new(config.horizon_requests_per_hour),
            lines: IntakeLogLimits::default(),
            newest_page: NewestPage::default(),
            nginx: None,
        }
    }

    /// Creates a Horizon client. A client of awc belongs to the thread that makes it, so this runs on the actor's
    /// thread. The start has shown before that the settings are usable.
    ///
    /// On a small budget, or after a refusal, a request may wait for an hour. The client reports progress meanwhile, so
    /// that its actor is not taken for stalled.
    pub(super) fn horizon(&self, status: &Arc<ChildStatus>) -> HorizonClient {
        let waiting = Arc::clone(status);
        usable(HorizonClient::new(horizon_settings(&self.config), self.limiter.clone()))
            .traced(Arc::clone(status.recorder()), status.name())
            .while_waiting(move || waiting.advance())
    }

    /// Creates a reader of ledger metadata for history; none without a source of it. Like the client, it belongs to
    /// the thread that makes it.
    pub(super) fn history_lake(&self, status: &Arc<ChildStatus>) -> Option<LakeReader> {
        self.lake(history_address(&self.config)?, status)
    }

    /// Creates a reader of ledger metadata for reading held ledgers again; none without a source of it.
    pub(super) fn reread_lake(&self, status: &Arc<ChildStatus>) -> Option<LakeReader> {
        self.lake(reread_address(&self.config)?, status)
    }

    /// Creates a reader of ledger metadata for new trades; none if they come from Horizon.
    pub(super) fn live_lake(&self, status: &Arc<ChildStatus>) -> Option<LakeReader> {
        self.lake(live_address(&self.config)?, status)
    }

    fn lake(&self, address: LakeAddress, status: &Arc<ChildStatus>) -> Option<LakeReader> {
        let mut settings = lake_settings(&self.config, address);
        settings.body_timeout = self.timings.lake.late.saturating_mul(BODY_FACTOR);
        let lake = usable(Lake::new(&settings));
        let clock = Arc::clone(&self.clock);
        let reports = LakeReports::new(lake.shown(), Arc::clone(&self.published), Arc::clone(&clock));
        let (verify, timeouts) = (self.config.sources.lake_verify, self.timings.lake);
        Some(LakeReader::new(lake, self.horizon(status), verify, timeouts, reports, clock))
    }

    /// Creates the check of Horizon's network.
    pub(super) fn network_check(&self) -> NetworkCheck {
        NetworkCheck::new(&self.config.network_passphrase, &self.database)
    }

    /// Creates a writer of trade batches.
    pub(super) fn writer(&self, listeners: Option<Listeners>) -> TradeWriter {
        TradeWriter {
            database: self.database.clone(),
            leadership: self.leadership.clone(),
            listeners,
            clock: Arc::clone(&self.clock),
            published: Arc::clone(&self.published),
            lines: self.lines.clone(),
        }
    }

    /// Returns the age in days beyond which trades are skipped and dropped.
    pub(super) fn retention_days(&self) -> i64 {
        i64::from(self.config.retention_days)
    }

    /// Returns true if validity of an asset depends on its stellar.toml.
    pub(super) fn requires_toml(&self) -> bool {
        requires_toml(&self.config.network_passphrase)
    }

    /// Returns the assets that are worth a US dollar.
    #[must_use]
    pub fn usd_anchors(&self) -> Vec<Asset> {
        self.config.usd_anchors.clone()
    }

    /// Returns the inputs of the views that files and documents of the market API are made of.
    #[must_use]
    pub fn listing_source(&self) -> ListingSource {
        let facts = Arc::clone(&self.published.facts);
        ListingSource::new(&self.config.network_passphrase, self.usd_anchors())
            .with_facts(facts)
            .of_database(Arc::clone(&self.database_id))
    }
}

/// Returns the client settings of the configured Horizon.
#[must_use]
pub fn horizon_settings(config: &Config) -> HorizonSettings {
    HorizonSettings {
        url: config.horizon_url.clone(),
        ca_file: config.ca_file.clone(),
        stream_idle_timeout: config.stream_idle_timeout,
    }
}

/// Returns the settings to read ledger metadata from an address.
#[must_use]
pub fn lake_settings(config: &Config, address: LakeAddress) -> LakeSettings {
    LakeSettings {
        address,
        passphrase: config.network_passphrase.clone(),
        ca_file: config.ca_file.clone(),
        parallel: config.sources.lake_parallel,
        is_verified: config.sources.lake_verify != LakeVerify::Off,
        body_timeout: lake::BODY_TIMEOUT,
    }
}

/// Returns the address of ledger metadata for history. If that comes from Horizon, it is the address of whatever
/// there is.
#[must_use]
pub fn history_address(config: &Config) -> Option<LakeAddress> {
    let [lake, rpc] = addresses(config);
    match config.sources.history {
        LedgerSource::Rpc => rpc,
        LedgerSource::Lake | LedgerSource::Horizon => lake.or(rpc),
    }
}

/// Returns the address of ledger metadata for reading held ledgers again: of two, the one that history does not come
/// from, so that each checks the other.
#[must_use]
pub fn reread_address(config: &Config) -> Option<LakeAddress> {
    let [lake, rpc] = addresses(config);
    match config.sources.history {
        LedgerSource::Lake => rpc.or(lake),
        LedgerSource::Rpc | LedgerSource::Horizon => lake.or(rpc),
    }
}

/// Addresses of the lake and of RPC.
fn addresses(config: &Config) -> [Option<LakeAddress>; 2] {
    let sources = &config.sources;
    [sources.lake_url.clone().map(LakeAddress::Lake), sources.rpc_url.clone().map(LakeAddress::Rpc)]
}

/// Returns true if validity of an asset depends on its stellar.toml: on every network except testnet.
#[must_use]
pub fn requires_toml(network_passphrase: &str) -> bool {
    network_passphrase != TESTNET_PASSPHRASE
}

/// Returns the address of ledger metadata for new trades; none if they come from Horizon.
#[must_use]
pub fn live_address(config: &Config) -> Option<LakeAddress> {
    let sources = &config.sources;
    match sources.live {
        LedgerSource::Horizon => None,
        LedgerSource::Lake => sources.lake_url.clone().map(LakeAddress::Lake),
        LedgerSource::Rpc => sources.rpc_url.clone().map(LakeAddress::Rpc),
    }
}

/// Returns the schedule of a cron expression.
pub(super) fn schedule(spec: &CronSpec) -> Schedule {
    let spec = spec.clone();
    Arc::new(move |time| spec.next_after(time))
}

/// Unwraps a client, or exits: actors are built on their own threads, where no error can be returned to the start.
pub(super) fn usable<T, E: std::fmt::Display>(client: Result<T, E>) -> T {
    client.unwrap_or_else(|error| {
        error!(%error, "client could not be created, exiting");
        std::process::exit(EXIT_CONFIG.into())
    })
}
