//! Definition of the commands for clap: flags from the tables of settings, and an example for each command.

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, ValueHint, value_parser};

use clap_complete::Shell;

use super::{
    inspection,
    parts::{JSON, argument, command, demo_argument, settings},
    relevant, validation,
};
use crate::config::{
    AUDIT_SETTINGS, HORIZON_SIM_SETTINGS, InDemo, LEDGER_SETTINGS, SETTINGS, SIMULATION_SETTINGS,
};

pub(super) const OUT_FILE: &str = "out-file";
pub(super) const NUM_HOURS: &str = "num-hours";
pub(super) const STREAM: &str = "stream";
pub(super) const SHELL: &str = "shell";
pub(super) const KEEP_DAYS: &str = "keep-days";
pub(super) const FILE: &str = "file";

const EXIT_CODES: &str = "Exit codes: 0 stopped after all work was saved; 1 stopped by a second signal; 64 usage; \
                          69 PostgreSQL, a port, file descriptors or threads are not available; 70 an actor kept \
                          failing, or the database lost its tables or was replaced; 71 a part hung; 78 bad configuration, or \
                          a database of another network";

const SERVE_EXAMPLE: &str = "stellar-ticker serve --database-url postgres://ticker:PASSWORD@localhost/ticker";

/// Returns all commands and flags, for parsing, for the help and for tests of the documentation.
#[must_use]
pub fn definition() -> Command {
    command("stellar-ticker", "Market data of Stellar's built-in exchange", "stellar-ticker demo")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(settings(
            command(
                "serve",
                "Run the whole daemon. With no database it starts a private PostgreSQL of its own",
                &format!("{SERVE_EXAMPLE}\n\n{EXIT_CODES}"),
            ),
            relevant::all,
        ))
        .subcommand(demo())
        .subcommand(horizon_sim())
        .subcommand(settings(
            command(
                "migrate",
                "Bring the schema of the database up to date",
                "stellar-ticker migrate --database-url postgres://ticker:PASSWORD@localhost/ticker",
            ),
            relevant::database,
        ))
        .subcommand(start_over())
        .subcommand(ingest())
        .subcommand(clean())
        .subcommand(generate())
        .subcommand(audit())
        .subcommand(doctor())
        .subcommands(inspection::commands())
        .subcommand(config())
        .subcommand(ledger())
        .subcommand(validation::definition())
        .subcommand(settings(
            command(
                "healthcheck",
                "Exit 0 if the daemon that listens on --bind reports that it is alive",
                "stellar-ticker healthcheck --bind 127.0.0.1:8080",
            ),
            relevant::healthcheck,
        ))
        .subcommand(
            command(
                "completions",
                "Print a shell completion script",
                "stellar-ticker completions bash > /etc/bash_completion.d/stellar-ticker",
            )
            .arg(
                Arg::new(SHELL)
                    .value_name("SHELL")
                    .required(true)
                    .value_parser(value_parser!(Shell))
                    .help("Name of the shell"),
            ),
        )
}

/// Returns the completions as a script of the shell.
pub(super) fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definition(), "stellar-ticker", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        // clap_complete spells the hyphen of the program's name in two ways. Without this replacement the state after
        // the first word has no branch, and nothing is completed.
        Shell::Bash => script.replace("stellar__subcmd__ticker", "stellar__ticker"),
        _ => script,
    }
}

fn audit() -> Command {
    let audit = settings(
        command(
            "audit",
            "Recompute every published figure from the raw trades, and compare it with what the running daemon \
             serves: markets.json, assets.json and the answers of GraphQL. Changes nothing without --repair",
            "stellar-ticker audit --bind 127.0.0.1:8080\n  \
             env -u DATABASE_URL -u DB_URL -u DATABASE_URL_FILE -u DB_URL_FILE \
             stellar-ticker audit --data-dir data/demo    # audit a demo\n  \
             stellar-ticker audit --repair                # repair differences\n  \
             stellar-ticker audit --url http://ticker.example:8000 --database-url postgres://ticker:PASSWORD@db/ticker\n\n\
             Exit codes: 0 all agree; 1 something differs; 64 usage; 69 the daemon or PostgreSQL does not answer; \
             78 a refused setting",
        ),
        relevant::audit,
    );
    audit.args(AUDIT_SETTINGS.iter().map(argument))
}

fn doctor() -> Command {
    settings(
        command(
            "doctor",
            "Check everything around the daemon, and say what to do: configuration, ports, disks, limits, clocks, \
             Horizon, database, nginx, stellar.toml, and the running daemon if there is one. Changes nothing",
            "stellar-ticker doctor\n  \
             stellar-ticker doctor --json --config /etc/stellar-ticker.toml\n\n\
             Exit codes: 0 nothing to do; 1 warnings only; 2 at least one failure; 64 usage",
        ),
        relevant::all,
    )
    .arg(Arg::new(JSON).long("json").action(ArgAction::SetTrue).help("Print one JSON object"))
}

fn demo() -> Command {
    let demo = command(
        "demo",
        "Run the daemon on a simulated Horizon inside the process: no network needed. Its data is in \
         <data-dir>/demo. Only flags set its database, output directory, request budget and sources of \
         trades",
        "stellar-ticker demo --trades-per-second 50 --history-hours 48",
    );
    let settings = SETTINGS.iter().filter(|setting| setting.in_demo != InDemo::Fixed);
    demo.args(SIMULATION_SETTINGS.iter().chain(settings).map(demo_argument))
}

fn horizon_sim() -> Command {
    let simulated = command(
        "horizon-sim",
        "Run the simulated Horizon alone, with TOML files under /_toml, and its ledgers as a data lake under /lake and as \
         RPC under /rpc",
        "stellar-ticker horizon-sim --network Simulation --bind 127.0.0.1:8001 --seed 7\n  \
         env -u DATABASE_URL -u DB_URL -u DATABASE_URL_FILE -u DB_URL_FILE \
         stellar-ticker serve --network Simulation --data-dir /tmp/simulated-ticker \
         --horizon-url http://127.0.0.1:8001 --toml-gateway http://127.0.0.1:8001/_toml --horizon-requests-per-hour 0\n\n\
         Its trades are invented. The network name, the data directory and env -u keep them out of a real database",
    );
    simulated.args(HORIZON_SIM_SETTINGS.iter().chain(SIMULATION_SETTINGS).map(argument))
}

fn start_over() -> Command {
    let start_over = settings(
        command(
            "start-over",
            "Move all tables to a schema named after the time (ticker_20261127_051200), and start with empty ones. Use it \
             after a reset of the network, as on testnet each quarter. Refused while a daemon leads",
            "stellar-ticker start-over --yes --database-url postgres://ticker:PASSWORD@localhost/ticker",
        ),
        relevant::database,
    );
    start_over.arg(
        Arg::new("yes")
            .long("yes")
            .required(true)
            .action(ArgAction::SetTrue)
            .help("Confirm that the daemon starts with empty tables"),
    )
}

fn ingest() -> Command {
    let trades = settings(
        command(
            "trades",
            "Fill history once, the newest first; with --stream continue with new trades",
            "stellar-ticker ingest trades --num-hours 24",
        ),
        relevant::trades,
    )
    .arg(
        Arg::new(NUM_HOURS)
            .long(NUM_HOURS)
            .conflicts_with("backfill-hours")
            .value_name("HOURS")
            .allow_negative_numbers(true)
            .help("Hours of history to fill [default: --backfill-hours]"),
    )
    .arg(
        Arg::new(STREAM)
            .long(STREAM)
            .action(ArgAction::SetTrue)
            .help("Continue with new trades afterwards, until stopped"),
    );
    command("ingest", "Do one task of the daemon once, then exit", "stellar-ticker ingest assets")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(settings(
            command(
                "assets",
                "Look up all assets and the files of their issuers once",
                "stellar-ticker ingest assets",
            ),
            relevant::assets,
        ))
        .subcommand(trades)
        .subcommand(settings(
            command(
                "orderbooks",
                "Read the order book of every market once",
                "stellar-ticker ingest orderbooks",
            ),
            relevant::orderbooks,
        ))
}

fn clean() -> Command {
    let trades = settings(
        command(
            "trades",
            "Drop the daily partitions of trades that are older than --keep-days. With --candle-retention-days, also drop \
             older candles",
            "stellar-ticker clean trades --keep-days 8",
        ),
        relevant::cleaning,
    )
    .mut_arg("candle-retention-days", |days| {
        days.help(
            "Drop candles that are older than this, and minute candles older than 30 days \
             [env: TICKER_CANDLE_RETENTION_DAYS] [default: keep all candles]",
        )
    });
    let keep_days = Arg::new(KEEP_DAYS)
        .long(KEEP_DAYS)
        .short('k')
        .conflicts_with("retention-days")
        .value_name("DAYS")
        .allow_negative_numbers(true)
        .help("Days to keep, 8 or more [default: --retention-days]");
    command("clean", "Do one pass of the cleaner, then exit", "stellar-ticker clean trades -k 8")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(trades.arg(keep_days))
}

fn generate() -> Command {
    let out_file = Arg::new(OUT_FILE)
        .long(OUT_FILE)
        .short('o')
        .value_name("FILE")
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .help("File to write, - for standard output; an existing file is replaced once the new one is whole");
    let one = |name, about, example| {
        settings(command(name, about, example), relevant::stored_data).arg(out_file.clone())
    };
    command("generate", "Write one file, then exit", "stellar-ticker generate market-data -o markets.json")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(one(
            "market-data",
            "Write markets.json once from the database",
            "stellar-ticker generate market-data -o markets.json",
        ))
        .subcommand(one(
            "asset-data",
            "Write assets.json once from the database",
            "stellar-ticker generate asset-data -o assets.json",
        ))
}

fn config() -> Command {
    let check = command(
        "check",
        "Validate the configuration, check the files, directories and addresses that it names, and report all faults",
        "stellar-ticker config check --config ticker.toml",
    );
    let show = command(
        "show",
        "Show each setting and its source, without secrets",
        "stellar-ticker config show --config ticker.toml",
    );
    command(
        "config",
        "Validate or show the configuration",
        "stellar-ticker config check --config ticker.toml",
    )
    .subcommand_required(true)
    .arg_required_else_help(true)
    .subcommand(settings(check, relevant::all))
    .subcommand(settings(show, relevant::all))
}

fn ledger() -> Command {
    let trades = command(
        "trades",
        "Print the trades of a file of ledger metadata as NDJSON, one trade per line, amounts in stroops. The file is \
         an object of a data lake (SEP-54), one LedgerCloseMeta, or a stream of them, plain or compressed with zstd. \
         Prints nothing for a ledger with a wrong hash, and exits with 1",
        "stellar-ticker ledger trades FFFF0687--63864.xdr.zst\n  \
         stellar-ticker ledger trades --network testnet ledgers.xdr",
    )
    .arg(
        Arg::new(FILE)
            .value_name("FILE")
            .required(true)
            .value_parser(value_parser!(PathBuf))
            .value_hint(ValueHint::FilePath)
            .help("File to read"),
    );
    command("ledger", "Inspect ledger metadata", "stellar-ticker ledger trades FILE")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(trades.args(LEDGER_SETTINGS.iter().map(argument)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The help of a command such as `ingest assets`.
    fn help(path: &str) -> String {
        let mut command = definition();
        for name in path.split(' ') {
            command = command.find_subcommand(name).unwrap().clone();
        }
        command.render_long_help().to_string()
    }

    #[test]
    fn clap_finds_no_contradiction() {
        definition().debug_assert();
    }

    #[test]
    fn the_help_of_a_command_lists_only_the_settings_that_matter_to_it() {
        for (path, listed, left_out) in [
            (
                "ingest assets",
                "data-dir horizon-url toml-gateway network",
                "publish-interval usd-anchors lake-url output-dir",
            ),
            ("ingest orderbooks", "horizon-requests-per-hour", "toml-gateway stale-after trace-messages"),
            (
                "ingest trades",
                "lake-url backfill-hours live-from",
                "publish-interval output-dir toml-gateway",
            ),
            (
                "generate asset-data",
                "database-url network ca-file",
                "horizon-url lake-url toml-gateway backfill-hours",
            ),
            ("healthcheck", "bind config", "nginx connections-per-address trace-messages admin-bind"),
            ("migrate", "database-direct-url data-dir", "retention-days output-dir network"),
            ("clean trades", "retention-days horizon-url", "output-dir backfill-hours"),
            ("audit", "bind admin-bind database-url", "nginx backfill-hours"),
            ("actors", "admin-bind", "nginx data-dir"),
            ("validate", "ca-file", "bind database-url"),
            ("serve", "usd-anchors nginx lake-url", "none"),
        ] {
            let help = help(path);
            let lists = |name: &str| help.contains(&format!("--{name} <"));
            for name in listed.split(' ') {
                assert!(lists(name), "{path} lacks --{name}: {help}");
            }
            for name in left_out.split(' ') {
                assert!(!lists(name), "{path} lists --{name}");
            }
        }
    }

    #[test]
    fn a_setting_that_the_help_leaves_out_is_accepted() {
        for command in ["migrate", "healthcheck"] {
            let arguments = ["stellar-ticker", command, "--nginx", "x", "--lake-url", "file:///x"];
            definition().try_get_matches_from(arguments).unwrap();
        }
    }
}
