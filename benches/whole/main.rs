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
mod books;
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
mod idle;
mod ingest;
mod lake;
mod ledger;
mod live;
mod plots;
mod publish;
mod reader;
mod readers;
mod recording;
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

/// Group of figures that one run measures.
pub(crate) struct Subject {
    /// Name on the command line, and of the file of results.
    pub(crate) name: &'static str,
    /// Heading in the docs.
    pub(crate) title: &'static str,
    /// Rest of the sentence "Leaves out …" in the docs, without the last full stop.
    pub(crate) leaves_out: &'static str,
    /// Measures, and returns the rows.
    run: fn(&Bench) -> Vec<Row>,
}

/// All subjects.
const SUBJECTS: [Subject; 17] = [
    Subject {
        name: "publish",
        title: "Publication of a ledger",
        leaves_out: "compression where a row says so, files and HTTP. The windows are filled from old to new",
        run: publish::run,
    },
    Subject {
        name: "ingest",
        title: "Ingest of a backlog",
        leaves_out: "windows and publications. No actor receives the batches (`chain` includes all)",
        run: ingest::run,
    },
    Subject {
        name: "chain",
        title: "History through the whole program",
        leaves_out: "Horizon's own work (its pages are rendered beforehand), issuers' files and books. A publication \
                     is no message; its snapshot costs what that of RankMarkets costs",
        run: chain::run,
    },
    Subject {
        name: "lake",
        title: "History from a lake",
        leaves_out: "the network (the lake is a directory, or served by the same machine), and history beside new \
                     trades",
        run: lake::run,
    },
    Subject {
        name: "start",
        title: "Start with many trades",
        leaves_out: "a cold cache (the rows are in memory), Horizon and readers",
        run: start::run,
    },
    Subject {
        name: "retention",
        title: "Retention",
        leaves_out: "readers, and a database larger than memory",
        run: retention::run,
    },
    Subject {
        name: "http",
        title: "Files and GraphQL",
        leaves_out: "the network: both sides are on this machine. Publications go on, history does not",
        run: http::run,
    },
    Subject {
        name: "documents",
        title: "Documents of the market API",
        leaves_out: "the network: both sides are on this machine. No trades arrive meanwhile",
        run: documents::run,
    },
    Subject {
        name: "ledger",
        title: "A large ledger",
        leaves_out: "a budget of requests, history and readers",
        run: ledger::run,
    },
    Subject {
        name: "freshness",
        title: "Freshness",
        leaves_out: "a budget of requests, history, readers and the way to Horizon",
        run: freshness::run,
    },
    Subject {
        name: "candles",
        title: "Candles",
        leaves_out: "the network, and new trades. Publications go on beside the requests, one a second",
        run: candles::run,
    },
    Subject {
        name: "followers",
        title: "Readers of the stream",
        leaves_out: "the network: both sides are on this machine. Trades are counted from their emission, not from their commit",
        run: followers::run,
    },
    Subject {
        name: "readers",
        title: "A thousand readers",
        leaves_out: "history, and the network: both sides are on this machine",
        run: readers::run,
    },
    Subject {
        name: "books",
        title: "Readers of order books",
        leaves_out: "history, and the network: both sides are on this machine",
        run: books::run,
    },
    Subject {
        name: "steady",
        title: "CPU while trades flow",
        leaves_out: "history and readers",
        run: steady::run,
    },
    Subject {
        name: "recording",
        title: "Recorded messages",
        leaves_out: "history, readers of the figures, and PostgreSQL's own CPU",
        run: recording::run,
    },
    Subject {
        name: "growth",
        title: "Growth of a publication",
        leaves_out: "compression where a row says so, files and HTTP. The windows are filled from old to new",
        run: growth::run,
    },
];

const USAGE: &str = "usage: ./ticker bench [--full] [--write-docs] [SUBJECT...]
  --full        10 million trades instead of 1 million
  --write-docs  write the results in target/bench into docs/performance.md
  BENCH_LAKE_HOURS=N  hours of history of the subject lake, instead of 3 or 24
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
    let all = SUBJECTS.map(|subject| subject.name);
    let is_known = |flag: &&str| ["--full", "--write-docs"].contains(flag);
    if !flags.iter().all(is_known) || !names.iter().all(|name| all.contains(name)) {
        println!("{USAGE}{}", all.join(" "));
        std::process::exit(64);
    }
    let is_wanted = |subject: &&Subject| names.is_empty() || names.contains(&subject.name);
    if !names.is_empty() || !flags.contains(&"--write-docs") {
        let bench = Bench::start(flags.contains(&"--full"));
        report::print_head();
        for Subject { name, run, .. } in SUBJECTS.iter().filter(is_wanted) {
            let rows = run(&bench);
            rows.iter().for_each(report::print);
            report::save(name, &bench, &rows);
        }
    }
    if flags.contains(&"--write-docs") {
        docs::write(&SUBJECTS);
    }
}
