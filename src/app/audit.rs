//! The command `audit`: recomputes every published figure from the raw trades and compares it with what is served.

mod report;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_rt::System;
use tracing::warn;

use self::report::Report;
use super::{CommandError, EXIT_FOUND, output, store::Store};
use crate::{
    audit::{Comparison, Expected, UnreadableError, assets, graphql, markets},
    config::{AuditOptions, Config, ReportFormat},
    db::{
        Database, DbError,
        recomputation::{Audited, Recomputed},
    },
    domain::listener::reachable,
    http::served_client::{ReadError, Reader, Served},
    outbound::tls,
};
use private_postgres::IfRunning;

/// Publications that are tried before the audit gives up.
const TRIES_MAX: u32 = 200;
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Time that the daemon has to repair all differences: enough for a pass without rests over ten million trades.
const REPAIR_PATIENCE: Duration = Duration::from_secs(180);
/// Interval between two comparisons during a repair.
const REPAIR_POLL: Duration = Duration::from_secs(1);

/// An answer of the daemon that is audited. Its headers name the publication it was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    MarketsFile,
    AssetsFile,
    /// All that GraphQL returns for a window of this many hours.
    Graphql(i64),
}

/// All audited answers: both files, and GraphQL with its default, its longest and another window.
const SUBJECTS: [Subject; 5] = [
    Subject::MarketsFile,
    Subject::AssetsFile,
    Subject::Graphql(24),
    Subject::Graphql(168),
    Subject::Graphql(7),
];

impl Subject {
    /// Name in a report.
    fn name(self) -> String {
        match self {
            Self::MarketsFile => "markets.json".into(),
            Self::AssetsFile => "assets.json".into(),
            Self::Graphql(hours) => format!("GraphQL, {hours} hours"),
        }
    }

    /// Noun for its entries in a report.
    const fn entries(self) -> &'static str {
        match self {
            Self::MarketsFile => "pairs",
            Self::AssetsFile => "assets",
            Self::Graphql(_) => "rows",
        }
    }

    /// Hours of the window that is compared besides the 7 days.
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

    fn compare(self, served: &Served, expected: &Expected) -> Result<Comparison, UnreadableError> {
        match self {
            Self::MarketsFile => {
                markets::compare(&served.body, served.as_of, &markets::pairs(&expected.markets))
            }
            Self::AssetsFile => assets::compare(&served.body, served.as_of, &expected.assets),
            Self::Graphql(hours) => graphql::compare(&served.body, served.as_of, hours, expected),
        }
    }
}

/// Audits the running daemon. Returns exit code 1 if anything differs.
pub(super) fn audit(config: &Config, options: &AuditOptions) -> Result<u8, CommandError> {
    let url = match &options.url {
        Some(url) => url.clone(),
        None => listener(config.bind, "--bind", "--url")?,
    };
    let admin = match &options.admin_url {
        Some(url) => Some(url.clone()),
        None if options.repair => Some(listener(config.admin_bind, "--admin-bind", "--admin-url")?),
        None => None,
    };
    let tls = tls::client_config(config.ca_file.as_deref())
        .map_err(|error| CommandError::Configuration(error.to_string()))?;
    let system = System::new();
    let reader = Reader::new(url.clone(), Arc::clone(&tls));
    // Ask the daemon first. If it serves nothing, there is nothing to compare and no reason to open the database.
    system.block_on(check_that_daemon_serves(&reader))?;
    let store = system.block_on(Store::open(config, IfRunning::JoinOnly))?;
    let compared = system.block_on(async {
        let database = store.untouched(config).await?;
        let first = compare(&reader, &database, url.clone()).await?;
        let Some(admin) = admin.filter(|_| options.repair && first.difference_count() > 0) else {
            return Ok(first);
        };
        warn!(differences = first.difference_count(), "asking the daemon to repair the differences");
        let admin = Reader::new(admin, tls);
        admin.ask_for_audit().await.map_err(|error| {
            CommandError::Unavailable(format!("{error}; a repair needs the admin listener: see --admin-url"))
        })?;
        repaired(&reader, &database, url).await
    });
    store.close();
    let report = compared?;
    let text = match options.format {
        ReportFormat::Text => report.text(),
        ReportFormat::Json => report.json(),
    };
    output::print(&text)?;
    Ok(if report.difference_count() == 0 { 0 } else { EXIT_FOUND })
}

/// Returns the base URL of a listener. A listener on all addresses is reached on loopback.
///
/// With port 0 the URL is unknown. The error names the flag of the address, and the flag that gives the URL instead.
fn listener(bind: SocketAddr, flag: &str, url_flag: &str) -> Result<String, CommandError> {
    if bind.port() == 0 {
        let problem = format!("{flag} leaves the port to the system: give the daemon's URL with {url_flag}");
        return Err(CommandError::Configuration(problem));
    }
    Ok(format!("http://{}", reachable(bind)))
}

/// Checks that the daemon serves `markets.json`.
async fn check_that_daemon_serves(reader: &Reader) -> Result<(), CommandError> {
    let unavailable = |problem: &dyn std::fmt::Display| {
        CommandError::Unavailable(format!(
            "{problem}; an audit needs the running daemon: see --url and --bind"
        ))
    };
    let file = reader.file("markets.json").await.map_err(|error| unavailable(&error))?;
    file.map(drop).ok_or_else(|| unavailable(&"there is no markets.json"))
}

/// Compares all subjects. A publication whose rows are gone by the time they are read is missed; its subjects are read
/// again from a newer one.
async fn compare(reader: &Reader, database: &Database, url: String) -> Result<Report, CommandError> {
    let mut report = Report::new(url);
    let mut open = SUBJECTS.to_vec();
    let mut missed = "";
    for _ in 0..TRIES_MAX {
        let mut served = Vec::new();
        for subject in &open {
            let read = subject.read(reader).await;
            let answer = read.map_err(|error| CommandError::Unavailable(error.to_string()))?;
            match answer {
                Some(answer) => served.push((*subject, answer)),
                None => report.absent(*subject),
            }
        }
        open.clear();
        // The two files mostly come from one publication, so that one recomputation serves both.
        let key = |(subject, served): &(Subject, Served)| (served.seq, served.as_of, subject.hours());
        for group in served.chunk_by(|one, other| key(one) == key(other)) {
            let Some((seq, as_of, hours)) = group.first().map(key) else { continue };
            let read = database.recompute(Audited { seq, as_of }, hours).await;
            match read.map_err(database_error)? {
                Recomputed::Missed(reason) => {
                    missed = reason;
                    open.extend(group.iter().map(|(subject, _)| *subject));
                }
                Recomputed::Expected(expected) => {
                    for (subject, served) in group {
                        let comparison = subject.compare(served, &expected);
                        let comparison =
                            comparison.map_err(|error| CommandError::Found(error.to_string()))?;
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
    Err(CommandError::Unavailable(format!(
        "none of {TRIES_MAX} publications could be compared; the last one failed because {missed}"
    )))
}

/// Compares until nothing differs any more or [`REPAIR_PATIENCE`] is over. Returns the last report.
async fn repaired(reader: &Reader, database: &Database, url: String) -> Result<Report, CommandError> {
    let until = Instant::now() + REPAIR_PATIENCE;
    loop {
        actix_rt::time::sleep(REPAIR_POLL).await;
        let report = compare(reader, database, url.clone()).await?;
        if report.difference_count() == 0 || Instant::now() >= until {
            return Ok(report);
        }
    }
}

fn database_error(error: DbError) -> CommandError {
    match error {
        // For example, a missing table or column.
        DbError::Postgres(_) if !error.is_transient() => CommandError::Unavailable(format!(
            "{error}; is this the daemon's own database, and of its version?"
        )),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::graphql::{ASSET_FIELDS, BOOK_FIELDS, FIGURE_FIELDS, ISSUER_FIELDS, MARKET_FIELDS};
    use crate::http::schema_fields;

    #[test]
    fn the_audit_asks_for_every_field_of_the_old_schema() {
        let schema = schema_fields();
        let figures = [&FIGURE_FIELDS[..], &["orderbookStats"]].concat();
        for (name, fields) in [
            ("Market", [&MARKET_FIELDS[..], &figures].concat()),
            ("AggregatedMarket", figures.clone()),
            ("OrderbookStats", BOOK_FIELDS.to_vec()),
            ("Asset", ASSET_FIELDS.to_vec()),
            ("Issuer", ISSUER_FIELDS.to_vec()),
        ] {
            let (_, of_schema) = schema.iter().find(|(of, _)| of == name).unwrap();
            let of_schema: BTreeSet<&str> = of_schema.iter().map(String::as_str).collect();
            assert_eq!(fields.into_iter().collect::<BTreeSet<_>>(), of_schema, "{name}: the audit (left)");
        }
    }
}
