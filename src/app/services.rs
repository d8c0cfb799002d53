//! Shared parts of the program, and constructors for the dependencies of each actor. The daemon uses them for its
//! actors, and the single-task commands use them directly.

use std::{io::IsTerminal, rc::Rc, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tracing::{error, warn};

use super::{CommandError, test_hooks};

use crate::{
    actors::{
        asset_poller::AssetPoll,
        auditor::Audit,
        backfiller::Backfill,
        cleaner::{Clean, Symbols},
        leadership::Leadership,
        lease_keeper::LeaseKeeperDeps,
        messages::{AssetsCommitted, AssetsLookedUp, RebuildMarkets, ReloadDirectory, RereadLedgers},
        orderbook_poller::OrderbookPoll,
        port::Port,
        ranking::Ranking,
        stream_ingester::StreamIngest,
        supervision::status::ChildStatus,
        timetable::Schedule,
        toml_checker::TomlCheck,
        trace::recorder::Recorder,
        trade_writer::{IntakeLogLimits, Listeners, TradeWriter},
    },
    clock::SharedClock,
    config::{Config, CronSpec, EXIT_CONFIG, TESTNET_PASSPHRASE},
    db::Database,
    domain::shown_url::shown_url,
    horizon::{
        HorizonClient,
        budget::Class,
        client::HorizonSettings,
        rate_limiter::RateLimiter,
        stellar_toml::{TomlClient, TomlSettings},
    },
    published::{BudgetUse, Published},
};

/// Time limit for Horizon's root at start. An unreachable Horizon must not delay the start for long.
const NETWORK_CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// Parts shared by all actors. Cheap to clone; may be sent to any thread.
#[derive(Clone)]
pub(super) struct Services {
    pub(super) config: Arc<Config>,
    pub(super) database: Database,
    pub(super) published: Arc<Published>,
    pub(super) clock: SharedClock,
    /// Start time of this process.
    pub(super) began: DateTime<Utc>,
    /// The lease as this process knows it.
    pub(super) leadership: Leadership,
    /// Budget of requests to Horizon, shared by all clients.
    pub(super) limiter: RateLimiter,
    /// Recorder of the messages between the actors.
    pub(super) recorder: Arc<Recorder>,
    /// Limits on log lines about records from Horizon.
    lines: IntakeLogLimits,
}

impl Services {
    pub(super) fn new(config: &Config, database: &Database, clock: SharedClock) -> Self {
        Self {
            config: Arc::new(config.clone()),
            database: database.clone(),
            published: Arc::default(),
            leadership: Leadership::new(Arc::clone(&clock)),
            began: clock.now(),
            recorder: if config.trace_messages {
                Recorder::on(Arc::clone(&clock))
            } else {
                Recorder::off(Arc::clone(&clock))
            },
            clock,
            limiter: RateLimiter::new(config.horizon_requests_per_hour),
            lines: IntakeLogLimits::default(),
        }
    }

    /// Checks that Horizon serves the configured network. An unreachable Horizon passes: the network is checked again
    /// before each stream.
    pub(super) async fn check_network(&self) -> Result<(), CommandError> {
        let config = &self.config;
        let client = HorizonClient::new(horizon_settings(config), self.limiter.clone())
            .map_err(|error| CommandError::Configuration(error.to_string()))?;
        match tokio::time::timeout(NETWORK_CHECK_TIMEOUT, client.root()).await {
            Ok(Ok(root)) if root.network_passphrase != config.network_passphrase => {
                Err(CommandError::Configuration(format!(
                    "{} serves the network {:?}, not {:?}",
                    shown_url(&config.horizon_url),
                    root.network_passphrase,
                    config.network_passphrase
                )))
            }
            Ok(Ok(_)) => Ok(()),
            // The client has logged the error.
            Ok(Err(_)) => Ok(()),
            Err(_) => {
                let url = shown_url(&config.horizon_url);
                warn!(
                    url,
                    waited_s = NETWORK_CHECK_TIMEOUT.as_secs(),
                    "Horizon did not report its network in time, it is checked again before trades are stored"
                );
                Ok(())
            }
        }
    }

    /// Creates a Horizon client. Clients of awc belong to the thread that makes them, so this and the constructors
    /// below run on the actor's thread. [`Self::check_network`] has shown before that the settings are usable.
    fn horizon(&self, status: &ChildStatus) -> HorizonClient {
        usable(HorizonClient::new(horizon_settings(&self.config), self.limiter.clone()))
            .traced(Arc::clone(status.recorder()), status.name())
    }

    fn writer(&self, listeners: Option<Listeners>) -> TradeWriter {
        TradeWriter {
            database: self.database.clone(),
            leadership: self.leadership.clone(),
            listeners,
            clock: Arc::clone(&self.clock),
            published: Arc::clone(&self.published),
            lines: self.lines.clone(),
        }
    }

    fn retention_days(&self) -> i64 {
        i64::from(self.config.retention_days)
    }

    /// Returns true if validity of an asset depends on its stellar.toml: on every network except testnet.
    fn requires_toml(&self) -> bool {
        self.config.network_passphrase != TESTNET_PASSPHRASE
    }

    /// Reports the use of the request budget for metrics and `/api/v1/status`.
    pub(super) fn budget_use(&self) -> BudgetUse {
        let report = self.limiter.report();
        let requests = Class::ALL.iter().zip(report.granted).map(|(class, count)| (class.name(), count));
        BudgetUse {
            requests_per_hour: report.per_hour,
            tokens: report.tokens,
            remaining: report.reported_remaining,
            blocked_s: report.blocked_for.as_secs_f64(),
            requests: requests.collect(),
        }
    }

    pub(super) fn lease_keeper(&self, status: Arc<ChildStatus>) -> LeaseKeeperDeps {
        // A new id at each start, so that the lease of an earlier run never looks like this one's.
        let replica_id = format!("{:016x}", rand::random::<u64>());
        self.published.vitals.replica_id.store(Some(Arc::new(replica_id.clone())));
        LeaseKeeperDeps {
            database: self.database.clone(),
            leadership: self.leadership.clone(),
            terms: test_hooks::lease_terms(),
            replica_id,
            clock: Arc::clone(&self.clock),
            published: Arc::clone(&self.published),
            status,
        }
    }

    pub(super) fn stream_ingest(
        &self,
        listeners: Option<Listeners>,
        status: Arc<ChildStatus>,
    ) -> StreamIngest {
        StreamIngest {
            horizon: self.horizon(&status),
            writer: self.writer(listeners),
            network_passphrase: self.config.network_passphrase.clone(),
            retention_days: self.retention_days(),
            status,
        }
    }

    pub(super) fn backfill(&self, listeners: Option<Listeners>, status: Arc<ChildStatus>) -> Backfill {
        Backfill {
            horizon: self.horizon(&status),
            writer: self.writer(listeners),
            network_passphrase: self.config.network_passphrase.clone(),
            hours: i64::from(self.config.backfill_hours),
            retention_days: self.retention_days(),
            is_limited: self.config.horizon_requests_per_hour > 0,
            in_doubt: Rc::default(),
            logs_progress: !std::io::stderr().is_terminal(),
            status,
        }
    }

    pub(super) fn audit(
        &self,
        aggregator: Port<RebuildMarkets>,
        reloader: Port<ReloadDirectory>,
        rereader: Port<RereadLedgers>,
        status: Arc<ChildStatus>,
    ) -> Audit {
        Audit {
            database: self.database.clone(),
            published: Arc::clone(&self.published),
            aggregator,
            reloader,
            rereader,
            clock: Arc::clone(&self.clock),
            interval: self.config.audit_interval,
            is_hurried: Rc::default(),
            status,
        }
    }

    pub(super) fn asset_poll(
        &self,
        ranking: Ranking,
        toml_checker: Option<Port<AssetsLookedUp>>,
        status: Arc<ChildStatus>,
    ) -> AssetPoll {
        AssetPoll {
            horizon: self.horizon(&status),
            database: self.database.clone(),
            leadership: self.leadership.clone(),
            ranking,
            toml_checker,
            clock: Arc::clone(&self.clock),
            schedule: schedule(&self.config.assets_schedule),
            requires_toml: self.requires_toml(),
            status,
        }
    }

    pub(super) fn toml_check(
        &self,
        ranking: Ranking,
        aggregator: Option<Port<AssetsCommitted>>,
        status: Arc<ChildStatus>,
    ) -> TomlCheck {
        let settings =
            TomlSettings { gateway: self.config.toml_gateway.clone(), ca_file: self.config.ca_file.clone() };
        TomlCheck {
            files: usable(TomlClient::new(settings)),
            database: self.database.clone(),
            leadership: self.leadership.clone(),
            ranking,
            aggregator,
            clock: Arc::clone(&self.clock),
            requires_toml: self.requires_toml(),
            looked_up: Rc::default(),
            status,
        }
    }

    pub(super) fn orderbook_poll(&self, ranking: Ranking, status: Arc<ChildStatus>) -> OrderbookPoll {
        OrderbookPoll {
            horizon: self.horizon(&status),
            database: self.database.clone(),
            leadership: self.leadership.clone(),
            ranking,
            clock: Arc::clone(&self.clock),
            schedule: schedule(&self.config.orderbooks_schedule),
            status,
        }
    }

    pub(super) fn clean(&self, status: Arc<ChildStatus>) -> Clean {
        Clean {
            database: self.database.clone(),
            leadership: self.leadership.clone(),
            clock: Arc::clone(&self.clock),
            schedule: schedule(&self.config.clean_schedule),
            retention_days: self.retention_days(),
            symbols: Symbols {
                published: Arc::clone(&self.published),
                anchors: self.config.usd_anchors.iter().filter_map(|anchor| anchor.parse().ok()).collect(),
            },
            status,
        }
    }
}

/// Returns the client settings of the configured Horizon.
pub(super) fn horizon_settings(config: &Config) -> HorizonSettings {
    HorizonSettings {
        url: config.horizon_url.clone(),
        ca_file: config.ca_file.clone(),
        stream_idle_timeout: config.stream_idle_timeout,
    }
}

fn schedule(spec: &CronSpec) -> Schedule {
    let spec = spec.clone();
    Arc::new(move |time| spec.next_after(time))
}

/// Unwraps a client, or exits: actors are built on their own threads, where no error can be returned to the start.
fn usable<T, E: std::fmt::Display>(client: Result<T, E>) -> T {
    client.unwrap_or_else(|error| {
        error!(%error, "client could not be created, exiting");
        std::process::exit(EXIT_CONFIG.into())
    })
}
