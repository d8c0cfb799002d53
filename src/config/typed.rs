//! The typed configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::fault::{Fault, FaultKind, ValueError};
use super::ledger_source::{self, LedgerSources};
use super::otlp::OtlpExport;
use super::parse::{self, FileInterval};
use super::schedule::CronSpec;
use super::secret::Secret;
use super::settings::{Profile, Settings};
use super::source::Source;
use crate::{
    domain::{asset::Asset, conversions::SaturatingFrom, ledger_source::LedgerSource},
    telemetry::LogFormat,
};

/// Shortest retention. The 7-day window needs one more day, because days are dropped as a whole.
const RETENTION_DAYS_MIN: u32 = 8;
/// Longest retention, a century. With more, times could exceed the range of dates.
pub(super) const RETENTION_DAYS_MAX: u32 = 36_500;
const HOURS_A_DAY: u32 = 24;

/// All settings of the daemon, validated.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Connection string of PostgreSQL; `None` for a private one under `data_dir`.
    pub database_url: Option<Secret>,
    /// Connection string of the same database without a pooler, for migrations; `None` for `database_url`.
    pub database_direct_url: Option<Secret>,
    /// Variable that gives `database_url` although a flag gives `data_dir`, which then chooses no database.
    pub overriding_variable: Option<String>,
    /// Longest wait at start for the database and the ports.
    pub startup_timeout: Duration,
    /// PEM file of additional certificate authorities. It may not exist.
    pub ca_file: Option<PathBuf>,
    /// Base URL of Horizon, http or https, without a trailing slash. For `demo` an address where nothing listens, which
    /// the caller replaces by that of the simulated Horizon.
    pub horizon_url: String,
    /// Passphrase of the network.
    pub network_passphrase: String,
    /// Network as given: `public`, `testnet` or a passphrase.
    pub network: String,
    /// Address of the public listener; with port 0 the system chooses one.
    pub bind: SocketAddr,
    /// Address of the admin listener; with port 0 the system chooses one.
    pub admin_bind: SocketAddr,
    /// Directory of all data; for `demo` its own subdirectory.
    pub data_dir: PathBuf,
    /// Directory of the published files.
    pub output_dir: PathBuf,
    /// Hours of history that are fetched, at most the retention.
    pub backfill_hours: u32,
    /// Days for which trades are kept, 8 or more.
    pub retention_days: u32,
    /// Days for which candles of hours and days are kept, at least the retention of trades.
    pub candle_retention_days: u32,
    /// Largest number of requests to Horizon per hour; 0 for no limit.
    pub horizon_requests_per_hour: u32,
    /// Time without a byte after which the stream is reconnected.
    pub stream_idle_timeout: Duration,
    /// Schedule of the sweep of all assets.
    pub assets_schedule: CronSpec,
    /// Schedule of reading the order books.
    pub orderbooks_schedule: CronSpec,
    /// Schedule of deleting old trades.
    pub clean_schedule: CronSpec,
    /// Time between publications, 10 ms or more.
    pub publish_interval: Duration,
    /// Frequency of writing the files.
    pub file_interval: FileInterval,
    /// Time without new data after which data count as stale.
    pub stale_after: Duration,
    /// Time between the starts of two passes of the self-audit, 10 ms or more.
    pub audit_interval: Duration,
    /// Assets that count as a US dollar.
    pub usd_anchors: Vec<Asset>,
    /// Sources of trades.
    pub sources: LedgerSources,
    /// Base URL for every stellar.toml, without a trailing slash.
    pub toml_gateway: Option<String>,
    /// Path of nginx.conf; `None` for no nginx.
    pub nginx: Option<PathBuf>,
    /// Address of that nginx. Never port 0, because nginx does not report the port that it got.
    pub nginx_bind: SocketAddr,
    /// Largest number of connections to the public listener per client address; `None` for no limit.
    pub connections_per_address: Option<usize>,
    /// Format of the log.
    pub log_format: LogFormat,
    /// Filter of the log, which is valid.
    pub log: String,
    /// True if messages between the actors are recorded.
    pub trace_messages: bool,
    /// Export of traces; none without an endpoint.
    pub otlp: Option<OtlpExport>,
}

/// Parser of settings that collects faults, so that one fault does not hide the next.
pub(super) struct SettingReader<'a> {
    settings: &'a Settings,
    faults: &'a mut Vec<Fault>,
}

impl<'a> SettingReader<'a> {
    pub(super) const fn new(settings: &'a Settings, faults: &'a mut Vec<Fault>) -> Self {
        Self { settings, faults }
    }

    /// Returns the value of a setting, or `None` after recording a fault.
    pub(super) fn read<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, ValueError>) -> Option<T> {
        let entry = self.settings.get(name)?;
        match parse(entry.text.as_deref().unwrap_or_default()) {
            Ok(value) => Some(value),
            Err(error) => {
                self.faults.push(entry.fault(error.kind, error.detail));
                None
            }
        }
    }

    /// Returns the value of an optional setting. The outer `None` means that a fault was recorded.
    pub(super) fn read_optional<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, ValueError>,
    ) -> Option<Option<T>> {
        if self.settings.text(name).is_some() { self.read(name, parse).map(Some) } else { Some(None) }
    }

    /// Records that a value, valid in itself, contradicts another.
    fn refuse(&mut self, name: &str, detail: String) {
        if let Some(entry) = self.settings.get(name) {
            self.faults.push(entry.fault(FaultKind::Refused, Some(detail)));
        }
    }
}

/// Builds the configuration, or returns `None` if there is a fault.
pub(super) fn build(settings: &Settings, profile: Profile, faults: &mut Vec<Fault>) -> Option<Config> {
    let mut reader = SettingReader::new(settings, faults);
    let r = &mut reader;
    // Read all settings before any `?`, so that every fault is reported.
    let database = read_database(r);
    let startup_timeout = r.read("startup-timeout", parse::duration);
    let ca_file = r.read_optional("ca-file", parse::path);
    let horizon_url = r.read("horizon-url", parse::http_base);
    let network_passphrase = r.read("network", parse::network_passphrase);
    let testnet = r.read_optional("testnet", parse::switch);
    let requests = r.read("horizon-requests-per-hour", parse::count(0..=u32::MAX));
    let stream_idle_timeout = r.read("stream-idle-timeout", parse::interval);
    let sources = read_sources(r);
    let toml_gateway = r.read_optional("toml-gateway", parse::http_base);
    let listeners = read_listeners(r);
    let connections_per_address = r.read("connections-per-address", parse::count(0..=u32::MAX));
    let data_dir = r.read("data-dir", parse::path);
    let output_dir = r.read_optional("output-dir", parse::path);
    let history = read_history(r, profile);
    let assets_schedule = r.read("assets-schedule", CronSpec::parse);
    let orderbooks_schedule = r.read("orderbooks-schedule", CronSpec::parse);
    let clean_schedule = r.read("clean-schedule", CronSpec::parse);
    let publish_interval = r.read("publish-interval", parse::interval);
    let file_interval = r.read("file-interval", parse::file_interval);
    let stale_after = r.read("stale-after", parse::interval);
    let audit_interval = r.read("audit-interval", parse::interval);
    let usd_anchors = r.read("usd-anchors", parse::assets);
    let log_format = r.read("log-format", parse::log_format);
    let log = r.read("log", parse::log_filter);
    let trace_messages = r.read("trace-messages", parse::on_or_off);
    let (database_url, database_direct_url) = database?;
    let Listeners { bind, admin_bind, nginx, nginx_bind } = listeners?;
    let (backfill_hours, retention_days, candle_retention_days) = history?;
    testnet?;
    Some(Config {
        database_url,
        database_direct_url,
        overriding_variable: overriding_variable(settings),
        startup_timeout: startup_timeout?,
        ca_file: ca_file?,
        horizon_url: horizon_url?,
        network_passphrase: network_passphrase?,
        network: settings.text("network")?.to_owned(),
        bind,
        admin_bind,
        data_dir: data_dir?,
        output_dir: output_dir??,
        backfill_hours,
        retention_days,
        candle_retention_days,
        horizon_requests_per_hour: requests?,
        stream_idle_timeout: stream_idle_timeout?,
        assets_schedule: assets_schedule?,
        orderbooks_schedule: orderbooks_schedule?,
        clean_schedule: clean_schedule?,
        publish_interval: publish_interval?,
        audit_interval: audit_interval?,
        file_interval: file_interval?,
        stale_after: stale_after?,
        usd_anchors: usd_anchors?,
        sources: sources?,
        toml_gateway: toml_gateway?,
        nginx,
        nginx_bind,
        connections_per_address: none_for_0(connections_per_address?),
        log_format: log_format?,
        log: log?,
        trace_messages: trace_messages?,
        otlp: None,
    })
}

/// Reads the sources of trades. A source that is a lake needs its URL.
fn read_sources(reader: &mut SettingReader<'_>) -> Option<LedgerSources> {
    let history = reader.read("ledger-source", ledger_source::source);
    let live = reader.read("live-from", ledger_source::source);
    let lake_url = reader.read_optional("lake-url", ledger_source::lake_url);
    let rpc_url = reader.read_optional("rpc-url", parse::http_base);
    let lake_parallel = reader.read("lake-parallel", parse::count(1..=ledger_source::PARALLEL_MAX));
    let lake_verify = reader.read("lake-verify", ledger_source::verify);
    let (history, live, lake_url, rpc_url) = (history?, live?, lake_url?, rpc_url?);
    for (name, source) in [("ledger-source", history), ("live-from", live)] {
        if source == LedgerSource::Lake && lake_url.is_none() {
            reader.refuse(name, "it needs --lake-url".to_owned());
        }
        if source == LedgerSource::Rpc && rpc_url.is_none() {
            reader.refuse(name, "it needs --rpc-url".to_owned());
        }
    }
    Some(LedgerSources {
        history,
        live,
        lake_url,
        rpc_url,
        lake_parallel: usize::saturating_from(lake_parallel?),
        lake_verify: lake_verify?,
    })
}

/// Returns none for 0, which stands for no limit.
fn none_for_0(count: u32) -> Option<usize> {
    (count > 0).then(|| usize::saturating_from(count))
}

/// Reads both connection strings. The direct one is the second address of a database that is given.
fn read_database(reader: &mut SettingReader<'_>) -> Option<(Option<Secret>, Option<Secret>)> {
    let url = reader.read_optional("database-url", parse::postgres);
    let direct_url = reader.read_optional("database-direct-url", parse::postgres);
    let (url, direct_url) = (url?, direct_url?);
    // A fault may be the reason why the first address is missing.
    if url.is_none() && direct_url.is_some() && reader.faults.is_empty() {
        reader.refuse("database-direct-url", "it needs --database-url".to_owned());
    }
    Some((url, direct_url))
}

/// Returns the variable that gives the database although a flag gives the data directory.
fn overriding_variable(settings: &Settings) -> Option<String> {
    let source = |name| settings.get(name).map(|entry| &entry.source);
    match (source("data-dir"), source("database-url")) {
        (
            Some(Source::Flag { .. }),
            Some(Source::Environment { variable } | Source::SecretFile { variable }),
        ) => Some(variable.clone()),
        _ => None,
    }
}

/// Addresses to listen on.
struct Listeners {
    bind: SocketAddr,
    admin_bind: SocketAddr,
    nginx: Option<PathBuf>,
    nginx_bind: SocketAddr,
}

/// Reads all addresses. They may share a port only if their hosts differ. Port 0 is a new port for each of them.
fn read_listeners(reader: &mut SettingReader<'_>) -> Option<Listeners> {
    let bind = reader.read("bind", parse::address);
    let admin_bind = reader.read("admin-bind", parse::address);
    let nginx = reader.read_optional("nginx", parse::path);
    let nginx_bind = reader.read("nginx-bind", parse::fixed_address);
    let (bind, admin_bind, nginx, nginx_bind) = (bind?, admin_bind?, nginx?, nginx_bind?);
    let everywhere = bind.ip().is_unspecified() || admin_bind.ip().is_unspecified();
    if bind.port() != 0 && bind.port() == admin_bind.port() && (everywhere || bind.ip() == admin_bind.ip()) {
        reader.refuse("admin-bind", format!("it is the address of --bind, {bind}"));
    }
    if nginx.is_some() {
        for (flag, other) in [("--bind", bind), ("--admin-bind", admin_bind)] {
            if is_taken_from_nginx(nginx_bind, other) {
                reader.refuse("nginx-bind", format!("it is the address of {flag}, {other}"));
            }
        }
    }
    Some(Listeners { bind, admin_bind, nginx, nginx_bind })
}

/// Returns true if nginx cannot listen beside `other`. The daemon's `[::]` takes IPv4 as well, that of nginx does not.
fn is_taken_from_nginx(nginx: SocketAddr, other: SocketAddr) -> bool {
    let is_same_family = nginx.is_ipv4() == other.is_ipv4();
    let overlaps = nginx.ip() == other.ip()
        || nginx.ip().is_unspecified() && is_same_family
        || other.ip().is_unspecified() && (is_same_family || other.is_ipv6());
    nginx.port() == other.port() && overlaps
}

/// Reads backfill hours and the retention of trades and candles. Fetching trades that the next cleaning deletes would
/// waste requests. A cleaner fetches none, so it may keep less than the daemon's backfill.
fn read_history(reader: &mut SettingReader<'_>, profile: Profile) -> Option<(u32, u32, u32)> {
    let backfill_hours = reader.read("backfill-hours", parse::count(0..=u32::MAX));
    let retention_days = reader.read("retention-days", parse::count(RETENTION_DAYS_MIN..=RETENTION_DAYS_MAX));
    let candle_days = reader.read("candle-retention-days", parse::count(1..=RETENTION_DAYS_MAX));
    let (backfill_hours, retention_days, candle_days) = (backfill_hours?, retention_days?, candle_days?);
    let kept_hours = retention_days.saturating_mul(HOURS_A_DAY);
    let backfill_hours =
        if profile == Profile::Cleaner { backfill_hours.min(kept_hours) } else { backfill_hours };
    if backfill_hours > kept_hours {
        let detail =
            format!("it is longer than --retention-days {retention_days}, which is {kept_hours} hours");
        reader.refuse("backfill-hours", detail);
    }
    if candle_days < retention_days {
        let detail =
            format!("candles outlive their trades: it is less than --retention-days {retention_days}");
        reader.refuse("candle-retention-days", detail);
    }
    Some((backfill_hours, retention_days, candle_days))
}
