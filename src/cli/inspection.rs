//! Commands that look into the running daemon: `actors`, `trace`, `explain`.

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::parts::{JSON, command, settings};
use super::relevant;

/// Question to the running daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inspection {
    /// Show the tree of actors.
    Actors {
        /// True to show it again every second.
        watches: bool,
    },
    /// Show recorded messages.
    Trace {
        /// Parameters of `/trace.json`, by name.
        question: Vec<(&'static str, String)>,
        /// True to go on with new records.
        follows: bool,
        /// True to print JSON lines.
        prints_json: bool,
    },
    /// Show the trades behind a published figure.
    Explain {
        /// Market, in any spelling.
        market: String,
        /// Name of the figure.
        field: String,
        /// `1h`, `24h` or `7d`.
        window: String,
    },
}

const WATCH: &str = "watch";
const FOLLOW: &str = "follow";
const MARKET: &str = "market";
const FIELD: &str = "field";
const WINDOW: &str = "window";

/// Flags of `trace`: flag, parameter of `/trace.json`, placeholder, help.
const QUESTION: [(&str, &str, &str, &str); 10] = [
    ("trade", "trade", "ID", "Trace one trade, by its paging token, such as 260535876545445889-0"),
    ("ledger", "ledger", "N", "Only batches with trades of this ledger"),
    ("seq", "seq", "N", "Only this batch, or publications that end with it"),
    ("actor", "actor", "ACTOR", "Only messages from or to this actor, and its steps"),
    ("message", "type", "TYPE", "Only messages of this type, or steps of this name"),
    ("trace", "trace", "HEX", "Only this trace"),
    (MARKET, "market", "MARKET", "Only batches with trades of this market, such as XLM_CODE-ISSUER"),
    ("outcome", "outcome", "OUTCOME", "Only done, failed, panicked, timed_out, abandoned or refused ones"),
    (
        "min-ms",
        "min_ms",
        "MS",
        "Only those that took at least this many milliseconds, the wait in the mailbox included",
    ),
    ("limit", "limit", "N", "At most this many of them, the newest: 1 to 20000; 500 if not given"),
];

/// The commands, for the definition.
pub(super) fn commands() -> [Command; 3] {
    [actors(), trace(), explain()]
}

fn actors() -> Command {
    inspecting(
        "actors",
        "Show the actors of the running daemon: state, restarts, mailbox, busy share, slowest messages",
        "stellar-ticker actors\n  stellar-ticker actors --watch\n\n\
         Exit codes: 0 shown; 64 usage; 69 the daemon does not answer; 78 a refused setting",
    )
    .arg(
        Arg::new(WATCH)
            .long(WATCH)
            .action(ArgAction::SetTrue)
            .help("Refresh every second, until interrupted"),
    )
}

fn trace() -> Command {
    let flags = QUESTION.map(|(flag, _, placeholder, help)| {
        Arg::new(flag).long(flag).value_name(placeholder).help(help).allow_negative_numbers(true)
    });
    inspecting(
        "trace",
        "Show recorded messages of the running daemon as trees of causes, with waiting and handling times",
        "stellar-ticker trace --trade 260535876545445889-0\n  \
         stellar-ticker trace --actor aggregator --min-ms 100\n  \
         stellar-ticker trace --message TradesCommitted --follow\n\n\
         Exit codes: 0 shown; 64 usage, or no such market; 69 the daemon does not answer; 78 a refused setting",
    )
    .args(flags)
    .arg(
        Arg::new(FOLLOW)
            .long(FOLLOW)
            .action(ArgAction::SetTrue)
            .conflicts_with("trade")
            .help("Keep printing new records, until interrupted"),
    )
    .arg(Arg::new(JSON).long("json").action(ArgAction::SetTrue).help("Print one JSON object per record"))
}

fn explain() -> Command {
    let positional = |name: &'static str, placeholder, help| {
        Arg::new(name).value_name(placeholder).required(true).help(help)
    };
    inspecting(
        "explain",
        "Show why a published figure has its value: the trades behind it, those left out, and a recomputation",
        "stellar-ticker explain XLM_USDC-GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN high --window 24h\n\n\
         Exit codes: 0 both agree; 1 the recomputation differs; 64 usage, or no such market or field; \
         69 the daemon does not answer; 78 a refused setting",
    )
    .arg(positional(MARKET, "MARKET", "Two assets with _ between them, such as XLM_CODE-ISSUER"))
    .arg(positional(FIELD, "FIELD", "Figure of a window, such as high, close, vwap or base_volume"))
    .arg(
        Arg::new(WINDOW)
            .long(WINDOW)
            .value_name("WINDOW")
            .value_parser(["1h", "24h", "7d"])
            .default_value("24h")
            .help("Window of the figure"),
    )
}

/// A command that asks the daemon. Its help lists only the settings that say where the daemon is.
fn inspecting(name: &'static str, about: &'static str, example: &str) -> Command {
    settings(command(name, about, example), relevant::listeners)
}

/// Reads the question of a command by its name; none for other commands.
pub(super) fn parse(name: &str, matches: &ArgMatches) -> Option<Inspection> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    Some(match name {
        "actors" => Inspection::Actors { watches: matches.get_flag(WATCH) },
        "trace" => Inspection::Trace {
            question: QUESTION.into_iter().filter_map(|(flag, name, ..)| Some((name, text(flag)?))).collect(),
            follows: matches.get_flag(FOLLOW),
            prints_json: matches.get_flag(JSON),
        },
        "explain" => Inspection::Explain {
            market: text(MARKET).unwrap_or_default(),
            field: text(FIELD).unwrap_or_default(),
            window: text(WINDOW).unwrap_or_default(),
        },
        _ => return None,
    })
}
