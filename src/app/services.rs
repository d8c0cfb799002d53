//! What the parts of the program share, and how each piece of work is made of it: for the daemon's actors and for the
//! commands that do one of these things alone.

use std::{io::IsTerminal, rc::Rc, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tracing::{error, warn};

use super::{Failure, test_hooks};

use crate::{
    actors::{
        asset_poller::AssetPoll,
        auditor::Audit,
        backfiller::Backfill,
        cleaner::Clean,
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
        trade_writer::{IntakeLines, Listeners, TradeWriter},
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

/// How long Horizon may take to tell its network at start; one that is not there is no reason to wait.
const NETWORK_CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// What the parts share. Cheap to clone, and may go to any thread.
#[derive(Clone)]
pub(super) struct Services {
    pub(super) config: Arc<Config>,
    pub(super) database: Database,
    pub(super) published: Arc<Published>,
    pub(super) clock: SharedClock,
    /// When this process began.
    pub(super) began: DateTime<Utc>,
    pub(super) leadership: Leadership,
    pub(super) limiter: RateLimiter,
    /// Limit of the log lines about records from Horizon.
    lines: IntakeLines,
}

impl Services {
    pub(super) fn new(config: &Config, database: &Database, clock: SharedClock) -> Self {
        Self {
            config: Arc::new(config.clone()),
            database: database.clone(),
            published: Arc::default(),
            leadership: Leadership::new(Arc::clone(&clock)),
            began: clock.now(),
            clock,
            limiter: RateLimiter::new(config.horizon_requests_per_hour),
            lines: IntakeLines::default(),
        }
    }

    /// Refuses another network right away. A Horizon that is not there is asked later, before each stream.
    pub(super) async fn check_network(&self) -> Result<(), Failure> {
        let config = &self.config;
        let client = HorizonClient::new(horizon_settings(config), self.limiter.clone())
            .map_err(|error| Failure::Configuration(error.to_string()))?;
        match tokio::time::timeout(NETWORK_CHECK_TIMEOUT, client.root()).await {
            Ok(Ok(root)) if root.network_passphrase != config.network_passphrase => {
                Err(Failure::Configuration(format!(
                    "{} serves the network {:?}, not {:?}",
                    shown_url(&config.horizon_url),
                    root.network_passphrase,
                    config.network_passphrase
                )))
            }
            Ok(Ok(_)) => Ok(()),
            // The client has logged it.
            Ok(Err(_)) => Ok(()),
            Err(_) => {
                let url = shown_url(&config.horizon_url);
                warn!(
                    url,
                    waited_s = NETWORK_CHECK_TIMEOUT.as_secs(),
                    "Horizon has not reported its network yet"
                );
                Ok(())
            }
        }
    }

    /// awc's clients belong to the thread that makes them, so this and all below run on the actor's own. That the
    /// settings can be used was seen before, when the network was checked.
    fn horizon(&self) -> HorizonClient {
        usable(HorizonClient::new(horizon_settings(&self.config), self.limiter.clone()))
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

    /// Whether a stellar.toml decides on validity.
    fn requires_toml(&self) -> bool {
        self.config.network_passphrase != TESTNET_PASSPHRASE
    }

    /// How the budget of requests stands, for readers.
    pub(super) fn budget_use(&self) -> BudgetUse {
        let report = self.limiter.report();
        let requests = Class::ALL.iter().zip(report.granted).map(|(class, count)| (class.name(), count));
        BudgetUse {
            requests_per_hour: report.per_hour,
            tokens: report.tokens,
            remaining: report.told_remaining,
            blocked_s: report.blocked_for.as_secs_f64(),
            requests: requests.collect(),
        }
    }

    pub(super) fn lease_keeper(&self, status: Arc<ChildStatus>) -> LeaseKeeperDeps {
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
            horizon: self.horizon(),
            writer: self.writer(listeners),
            network_passphrase: self.config.network_passphrase.clone(),
            retention_days: self.retention_days(),
            status,
        }
    }

    pub(super) fn backfill(&self, listeners: Option<Listeners>, status: Arc<ChildStatus>) -> Backfill {
        Backfill {
            horizon: self.horizon(),
            writer: self.writer(listeners),
            network_passphrase: self.config.network_passphrase.clone(),
            hours: i64::from(self.config.backfill_hours),
            retention_days: self.retention_days(),
            is_limited: self.config.horizon_requests_per_hour > 0,
            in_doubt: Rc::default(),
            tells_by_log: !std::io::stderr().is_terminal(),
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
            horizon: self.horizon(),
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
            horizon: self.horizon(),
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
            status,
        }
    }
}

/// How to reach the configured Horizon.
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

fn usable<T, E: std::fmt::Display>(client: Result<T, E>) -> T {
    client.unwrap_or_else(|error| {
        error!(%error, "a client cannot be made");
        std::process::exit(EXIT_CONFIG.into())
    })
}
