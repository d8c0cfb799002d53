//! Benches of the whole program. Each subject measures something and its baseline in one run, on a PostgreSQL with
//! default settings, and returns rows for the table in `docs/performance.md`.
//!
//! A new subject is a file here and a line in `SUBJECTS`.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench that cannot measure must end with an error"
)]
#![expect(clippy::print_stdout, reason = "prints the table")]
#![expect(clippy::as_conversions, reason = "figures are doubles")]

mod bench;
mod candles;
mod chain;
mod copy;
mod docs;
mod documents;
mod followers;
mod freshness;
mod growth;
mod horizon;
mod http;
mod ingest;
mod lake;
mod ledger;
mod live;
mod plots;
mod publish;
mod reader;
mod readers;
mod report;
mod retention;
mod start;
mod steady;
mod synthetic;
mod watch;

use bench::Bench;
use report::Row;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures a subject and returns its rows.
type Subject = fn(&Bench) -> Vec<Row>;

/// All subjects, each with a note about what its figures leave out.
const SUBJECTS: [(&str, Subject, &str); 15] = [
    (
        "publish",
        publish::run,
        "compression where it says so, files, HTTP; the windows are filled from old to new",
    ),
    ("ingest", ingest::run, "windows and publications: no actor receives the batches (`chain` includes all)"),
    ("chain", chain::run, "Horizon's own work: its pages are rendered beforehand; issuers' files and books"),
    ("lake", lake::run, "the network: the lake is a directory; history beside new trades"),
    ("start", start::run, "a cold cache: the rows are in memory; no Horizon, no readers"),
    ("retention", retention::run, "readers, and a database larger than memory"),
    ("http", http::run, "the network: both sides are on this machine; publications go on, history does not"),
    ("documents", documents::run, "the network: both sides are on this machine; no trades arrive meanwhile"),
    ("ledger", ledger::run, "a budget of requests, history and readers"),
    ("freshness", freshness::run, "a budget of requests, history and readers; the way to Horizon"),
    ("candles", candles::run, "the network; publications beside the requests: Horizon is silent"),
    (
        "followers",
        followers::run,
        "the network: both sides are on this machine; trades are counted from their emission, not from their commit",
    ),
    ("readers", readers::run, "the network: both sides are on this machine; history"),
    ("steady", steady::run, "history and readers"),
    (
        "growth",
        growth::run,
        "compression where it says so, files, HTTP; the windows are filled from old to new",
    ),
];

const USAGE: &str = "usage: ./ticker bench [--full] [--write-docs] [SUBJECT...]
  --full        10 million trades instead of 1 million
  --write-docs  write the results in target/bench into docs/performance.md
subjects (default: all): ";

fn main() {
    // cargo adds --bench.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [first, url] = arguments.as_slice()
        && first == start::LOAD
    {
        return start::load(url);
    }
    if let [first, trades, markets] = arguments.as_slice()
        && first == publish::ALONE
    {
        return publish::alone(trades, markets);
    }
    let (flags, names): (Vec<&str>, Vec<&str>) =
        arguments.iter().map(String::as_str).partition(|argument| argument.starts_with("--"));
    let all = SUBJECTS.map(|(name, ..)| name);
    let is_known = |flag: &&str| ["--full", "--write-docs"].contains(flag);
    if !flags.iter().all(is_known) || !names.iter().all(|name| all.contains(name)) {
        println!("{USAGE}{}", all.join(" "));
        std::process::exit(64);
    }
    let wanted = |subject: &&str| names.is_empty() || names.contains(subject);
    if !names.is_empty() || !flags.contains(&"--write-docs") {
        let bench = Bench::start(flags.contains(&"--full"));
        report::print_head();
        for (name, run, without) in SUBJECTS.iter().filter(|(name, ..)| wanted(name)) {
            let rows: Vec<Row> = run(&bench).into_iter().map(|row| row.leaving_out(without)).collect();
            rows.iter().for_each(report::print);
            report::save(name, &bench, &rows);
        }
    }
    if flags.contains(&"--write-docs") {
        docs::write(&all);
    }
}
