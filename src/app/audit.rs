//! `audit`: every published figure recomputed from the raw trades and compared with what is served.

mod report;

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use actix_rt::System;
use tracing::warn;

use self::report::Report;
use super::{EXIT_FOUND, Failure, store::Store};
use crate::{
    config::{AuditOptions, Config, ReportFormat},
    db::{
        Database, DbError,
        audit::{Audited, Recomputed},
        private_postgres::IfRunning,
    },
    domain::audit::{assets, markets},
    horizon::tls,
    http::reader::{ReadError, Reader, ServedFile},
};

/// Publications that are tried before it gives up.
const TRIES_MAX: u32 = 200;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the ticker may take to repair what differs: a pass without rests over ten million trades.
const REPAIR_PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks whether it has.
const REPAIR_POLL: Duration = Duration::from_secs(1);

/// What a publication serves.
struct Served {
    markets: ServedFile,
    /// None where the daemon has no such file.
    assets: Option<ServedFile>,
}

/// Audits the running daemon; 1 where anything differs.
pub(super) fn audit(config: &Config, options: &AuditOptions) -> Result<u8, Failure> {
    let url = match &options.url {
        Some(url) => url.clone(),
        None => listener(config.bind)?,
    };
    let tls = tls::client_config(config.ca_file.as_deref())
        .map_err(|error| Failure::Configuration(error.to_string()))?;
    let system = System::new();
    let reader = Reader::new(url.clone(), Arc::clone(&tls));
    // First the daemon: where nothing is served there is nothing to compare, and no database is asked.
    system.block_on(markets_json(&reader))?;
    let store = Store::open(config, IfRunning::JoinOnly)?;
    let compared = system.block_on(async {
        let database = store.untouched(config).await?;
        let first = compare(&reader, &database, url.clone()).await?;
        if !options.repair || first.difference_count() == 0 {
            return Ok(first);
        }
        let admin = options.admin_url.clone().map_or_else(|| listener(config.admin_bind), Ok)?;
        warn!(differences = first.difference_count(), "asking the ticker to repair what differs");
        let admin = Reader::new(admin, tls);
        admin.ask_for_audit().await.map_err(|error| {
            Failure::Unavailable(format!("{error}; a repair needs the admin listener: see --admin-url"))
        })?;
        repaired(&reader, &database, url).await
    });
    store.close();
    let report = compared?;
    let text = match options.format {
        ReportFormat::Text => report.text(),
        ReportFormat::Json => report.json(),
    };
    // Nobody reading is no fault of the figures.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(if report.difference_count() == 0 { 0 } else { EXIT_FOUND })
}

/// The base URL of a listener; one on all addresses is asked on loopback.
fn listener(bind: SocketAddr) -> Result<String, Failure> {
    let ip = match bind.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    if bind.port() == 0 {
        let told = "--bind leaves the port to the system: tell where the daemon listens by --url";
        return Err(Failure::Configuration(told.into()));
    }
    Ok(format!("http://{}", SocketAddr::new(ip, bind.port())))
}

async fn markets_json(reader: &Reader) -> Result<ServedFile, Failure> {
    let told = |told: &dyn std::fmt::Display| {
        Failure::Unavailable(format!("{told}; an audit needs the running daemon: see --url and --bind"))
    };
    let file = reader.file("markets.json").await.map_err(|error| told(&error))?;
    file.ok_or_else(|| told(&"there is no markets.json"))
}

/// One publication's files; none where the next came in between.
async fn serve_whole(reader: &Reader) -> Result<Option<Served>, Failure> {
    let markets = markets_json(reader).await?;
    let unavailable = |error: ReadError| Failure::Unavailable(error.to_string());
    let assets = reader.file("assets.json").await.map_err(unavailable)?;
    let name = |file: &ServedFile| (file.seq, file.as_of);
    let is_whole = assets.as_ref().is_none_or(|assets| name(assets) == name(&markets));
    Ok(is_whole.then_some(Served { markets, assets }))
}

/// Catches a publication whose rows can be told, and compares.
async fn compare(reader: &Reader, database: &Database, url: String) -> Result<Report, Failure> {
    let mut missed = "";
    for _ in 0..TRIES_MAX {
        match serve_whole(reader).await? {
            None => missed = "the next publication came before its files were read",
            Some(served) => {
                let audited = Audited { seq: served.markets.seq, as_of: served.markets.as_of };
                match database.recompute(audited).await.map_err(database_failure)? {
                    Recomputed::Missed(reason) => missed = reason,
                    Recomputed::Expected { pairs, assets } => {
                        return report(url, &served, &pairs, &assets);
                    }
                }
            }
        }
        actix_rt::time::sleep(PAUSE).await;
    }
    Err(Failure::Unavailable(format!(
        "none of {TRIES_MAX} publications could be compared, the last one because {missed}"
    )))
}

/// Compares until nothing differs any more, or the ticker has had the time to repair it.
async fn repaired(reader: &Reader, database: &Database, url: String) -> Result<Report, Failure> {
    let until = Instant::now() + REPAIR_PATIENCE;
    loop {
        actix_rt::time::sleep(REPAIR_POLL).await;
        let report = compare(reader, database, url.clone()).await?;
        if report.difference_count() == 0 || Instant::now() >= until {
            return Ok(report);
        }
    }
}

fn report(
    url: String,
    served: &Served,
    pairs: &[markets::ExpectedPair],
    assets: &[assets::ExpectedAsset],
) -> Result<Report, Failure> {
    let found = |error: crate::domain::audit::Unreadable| Failure::Found(error.to_string());
    let as_of = served.markets.as_of;
    let compare_assets = |file: &ServedFile| assets::compare(&file.body, file.as_of, assets);
    Ok(Report {
        url,
        seq: served.markets.seq,
        as_of: as_of.to_rfc3339(),
        markets: markets::compare(&served.markets.body, as_of, pairs).map_err(found)?,
        assets: served.assets.as_ref().map(compare_assets).transpose().map_err(found)?,
    })
}

fn database_failure(error: DbError) -> Failure {
    match error {
        // A table or a column is missing.
        DbError::Postgres(_) if !error.is_transient() => {
            Failure::Unavailable(format!("{error}; is it the daemon's own database, and of its version?"))
        }
        other => other.into(),
    }
}
