//! `audit`: every published figure recomputed from the raw trades and compared with what is served.

mod report;

use std::{
    io::Write,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_rt::System;
use tracing::warn;

use self::report::Report;
use super::{EXIT_FOUND, Failure, store::Store};
use crate::{
    audit::{Comparison, Expected, Unreadable, assets, graphql, markets},
    config::{AuditOptions, Config, ReportFormat},
    db::{
        Database, DbError,
        audit::{Audited, Recomputed},
    },
    domain::listener::reachable,
    horizon::tls,
    http::reader::{ReadError, Reader, Served},
};
use private_postgres::IfRunning;

/// Publications that are tried before it gives up.
const TRIES_MAX: u32 = 200;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the ticker may take to repair what differs: a pass without rests over ten million trades.
const REPAIR_PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks whether it has.
const REPAIR_POLL: Duration = Duration::from_secs(1);

/// An answer of the daemon that is audited. Each is of one publication; which one it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    MarketsFile,
    AssetsFile,
    /// Everything that GraphQL tells, of a window of so many hours.
    Graphql(i64),
}

/// Everything that is audited: both files, and GraphQL by default, at its longest, and by another number of hours.
const SUBJECTS: [Subject; 5] = [
    Subject::MarketsFile,
    Subject::AssetsFile,
    Subject::Graphql(24),
    Subject::Graphql(168),
    Subject::Graphql(7),
];

impl Subject {
    /// What it is called in a report.
    fn name(self) -> String {
        match self {
            Self::MarketsFile => "markets.json".into(),
            Self::AssetsFile => "assets.json".into(),
            Self::Graphql(hours) => format!("GraphQL, {hours} hours"),
        }
    }

    /// What its entries are.
    const fn entries(self) -> &'static str {
        match self {
            Self::MarketsFile => "pairs",
            Self::AssetsFile => "assets",
            Self::Graphql(_) => "rows",
        }
    }

    /// The hours beside the last 7 days that its figures are of.
    const fn hours(self) -> i64 {
        match self {
            Self::MarketsFile | Self::AssetsFile => 24,
            Self::Graphql(hours) => hours,
        }
    }

    async fn read(self, reader: &Reader) -> Result<Option<Served>, ReadError> {
        match self {
            Self::MarketsFile => reader.file("markets.json").await,
            Self::AssetsFile => reader.file("assets.json").await,
            Self::Graphql(hours) => reader.graphql(&graphql::document(hours)).await,
        }
    }

    fn compare(self, served: &Served, expected: &Expected) -> Result<Comparison, Unreadable> {
        match self {
            Self::MarketsFile => {
                markets::compare(&served.body, served.as_of, &markets::pairs(&expected.markets))
            }
            Self::AssetsFile => assets::compare(&served.body, served.as_of, &expected.assets),
            Self::Graphql(hours) => graphql::compare(&served.body, served.as_of, hours, expected),
        }
    }
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
    system.block_on(look(&reader))?;
    let store = system.block_on(Store::open(config, IfRunning::JoinOnly))?;
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
    if bind.port() == 0 {
        let told = "--bind leaves the port to the system: tell where the daemon listens by --url";
        return Err(Failure::Configuration(told.into()));
    }
    Ok(format!("http://{}", reachable(bind)))
}

/// Fails where nothing is served.
async fn look(reader: &Reader) -> Result<(), Failure> {
    let told = |told: &dyn std::fmt::Display| {
        Failure::Unavailable(format!("{told}; an audit needs the running daemon: see --url and --bind"))
    };
    let file = reader.file("markets.json").await.map_err(|error| told(&error))?;
    file.map(drop).ok_or_else(|| told(&"there is no markets.json"))
}

/// Catches, of each subject, an answer whose rows can be told, and compares it.
async fn compare(reader: &Reader, database: &Database, url: String) -> Result<Report, Failure> {
    let mut report = Report::new(url);
    let mut open = SUBJECTS.to_vec();
    let mut missed = "";
    for _ in 0..TRIES_MAX {
        let mut served = Vec::new();
        for subject in &open {
            let read = subject.read(reader).await;
            let answer = read.map_err(|error| Failure::Unavailable(error.to_string()))?;
            match answer {
                Some(answer) => served.push((*subject, answer)),
                None => report.absent(*subject),
            }
        }
        open.clear();
        // One recomputation serves what is of one publication, as the two files mostly are.
        let key = |(subject, served): &(Subject, Served)| (served.seq, served.as_of, subject.hours());
        for group in served.chunk_by(|one, other| key(one) == key(other)) {
            let Some((seq, as_of, hours)) = group.first().map(key) else { continue };
            let read = database.recompute(Audited { seq, as_of }, hours).await;
            match read.map_err(database_failure)? {
                Recomputed::Missed(reason) => {
                    missed = reason;
                    open.extend(group.iter().map(|(subject, _)| *subject));
                }
                Recomputed::Expected(expected) => {
                    for (subject, served) in group {
                        let comparison = subject.compare(served, &expected);
                        let comparison = comparison.map_err(|error| Failure::Found(error.to_string()))?;
                        report.add(*subject, served, comparison);
                    }
                }
            }
        }
        if open.is_empty() {
            return Ok(report);
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

fn database_failure(error: DbError) -> Failure {
    match error {
        // A table or a column is missing.
        DbError::Postgres(_) if !error.is_transient() => {
            Failure::Unavailable(format!("{error}; is it the daemon's own database, and of its version?"))
        }
        other => other.into(),
    }
}
