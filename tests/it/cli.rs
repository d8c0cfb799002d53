//! The command line: commands, help, exit codes, and what never reaches an output.

use std::ffi::OsString;
use std::process::{Command as Process, Output};
use std::time::Duration;

use stellar_ticker::cli::{self, CliError, Command};
use stellar_ticker::config::DEMO_PASSPHRASE;

use crate::support::daemon::output_of;

const CANARY: &str = "canary-7f3a";

/// Parses arguments (without the program's name) in an environment of its own.
pub(crate) fn parse(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Command, CliError> {
    let environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let arguments = std::iter::once("stellar-ticker").chain(arguments.iter().copied()).map(OsString::from);
    cli::parse(arguments, &environment)
}

/// Runs the real program with nothing in its environment but what is given.
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut process = Process::new(env!("CARGO_BIN_EXE_stellar-ticker"));
    process.env_clear().envs(environment.iter().copied()).args(arguments);
    output_of(&mut process)
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Every command and its parents, as arguments.
fn command_lines(command: &clap::Command) -> Vec<Vec<String>> {
    let mut lines = vec![Vec::new()];
    for inner in command.get_subcommands() {
        for mut line in command_lines(inner) {
            line.insert(0, inner.get_name().to_owned());
            lines.push(line);
        }
    }
    lines
}

#[test]
fn help_of_every_command_has_an_example_and_exits_0() {
    let lines = command_lines(&cli::definition());
    assert!(lines.len() >= 10, "{lines:?}");
    for line in lines {
        let mut arguments: Vec<&str> = line.iter().map(String::as_str).collect();
        arguments.push("--help");
        let error = parse(&arguments, &[]).expect_err("help is no command");
        assert_eq!(error.exit_code(), 0, "{arguments:?}");
        assert!(error.to_string().contains("Example:\n  stellar-ticker "), "{arguments:?}: {error}");
    }
}

#[test]
fn version_and_help_go_to_stdout() {
    let version = run(&["--version"], &[]);
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(stdout(&version), concat!("stellar-ticker ", env!("CARGO_PKG_VERSION"), "\n"));
    let help = run(&["serve", "--help"], &[]);
    assert_eq!((help.status.code(), stderr(&help).as_str()), (Some(0), ""));
    assert!(stdout(&help).contains("postgres://ticker:PASSWORD@localhost"), "an example is no secret");
    assert!(stdout(&help).contains("[env: DATABASE_URL, DB_URL, DATABASE_URL_FILE, DB_URL_FILE]"));
}

#[test]
fn unknown_commands_and_flags_exit_64_with_a_suggestion() {
    for (arguments, hint) in [
        (&["serv"] as &[&str], "serve"),
        (&["serve", "--bnd", "127.0.0.1:1"], "--bind"),
        (&["ingst"], "ingest"),
        (&["ingest"], "Usage"),
        (&[], "Usage"),
        (&["config"], "Usage"),
        (&["generate", "market-data"], "--out-file"),
        (&["serve", "--bind"], "--bind"),
    ] {
        let output = run(arguments, &[]);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(stderr(&output).contains(hint), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

#[test]
fn config_check_exits_by_the_kind_of_the_fault() {
    for (arguments, code) in [
        (&[] as &[&str], 0),
        (&["--publish-interval", "5"], 64),
        (&["--retention-days", "eight"], 64),
        (&["--bind", "example.org:80"], 64),
        (&["--database-url", "nonsense"], 64),
        (&["--log", "stellar_ticker=loudly"], 64),
        (&["--horizon-url", "http://h:99999"], 64),
        (&["--lake-url", "http://h:65536/lake"], 64),
        (&["--horizon-url", "http://[::1]:8000/"], 0),
        (&["--publish-interval", "0s"], 78),
        (&["--retention-days", "7"], 78),
        (&["--backfill-hours", "193"], 78),
        (&["--horizon-url", "ftp://example.org"], 78),
        (&["--admin-bind", "127.0.0.1:8080"], 78),
        (&["--admin-bind", "0.0.0.0:8080"], 78),
        (&["--assets-schedule", "0 0 31 2 *"], 78),
        (&["--config", "/nonexistent/ticker.toml"], 78),
        (&["--testnet", "--network", "public"], 78),
        (&["--retention-days", "7", "--publish-interval", "5"], 64),
    ] {
        let line = [&["config", "check"], arguments].concat();
        let output = run(&line, &[]);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stderr(&output).is_empty(), code == 0, "{arguments:?}");
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error() {
    for arguments in [&["config", "show"] as &[&str], &["completions", "bash"], &["--help"], &["--version"]] {
        let mut process = Process::new(env!("CARGO_BIN_EXE_stellar-ticker"));
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = process.env_clear().args(arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(69), "{arguments:?}");
        assert!(stderr(&output).contains("standard output cannot be written"), "{arguments:?}");
    }
}

#[test]
fn a_fault_names_the_flag_that_was_given() {
    for (arguments, named) in [
        (&["config", "check", "--retention-days", "-1"] as &[&str], "retention-days: \"-1\""),
        (&["config", "check", "--publish-interval", "-1"], "publish-interval: \"-1\""),
        (&["clean", "trades", "-k", "7"], "keep-days: \"7\" from flag --keep-days is refused"),
        (&["clean", "trades", "-k", "-7"], "keep-days: \"-7\" from flag --keep-days"),
        (&["ingest", "trades", "--num-hours", "-2"], "num-hours: \"-2\" from flag --num-hours"),
        (&["trace", "--ledger", "-1"], "ledger"),
    ] {
        let output = run(arguments, &[]);
        assert!(matches!(output.status.code(), Some(64 | 78)), "{arguments:?}");
        assert!(stderr(&output).contains(named), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn a_setting_is_not_given_under_two_names() {
    for arguments in [
        &["clean", "trades", "--keep-days", "9", "--retention-days", "8"],
        &["ingest", "trades", "--num-hours", "2", "--backfill-hours", "1"],
    ] {
        let output = run(arguments, &[]);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        let reason = stderr(&output);
        assert!(reason.contains("cannot be used with") && reason.contains(arguments[4]), "{reason}");
    }
}

#[test]
fn no_output_shows_a_password() {
    let good = format!("postgres://user:{CANARY}@host/db");
    let bad = format!("postgres://user:{CANARY}@host:no-port/db");
    let pairs = format!("host=h password={CANARY}");
    let broken_pairs = format!("host=h pass word={CANARY}");
    let upstream = format!("https://user:{CANARY}@example.org");
    let key_in_path = format!("https://example.org/v1/{CANARY}-0123456789");
    let key_in_query = format!("https://example.org/v1?apikey={CANARY}");
    let broken_option = format!("postgres://user@host/db?{CANARY}=x");
    let misspelt = format!("--database-ulr={good}");
    let attached = format!("-x{good}");
    let without_scheme = format!("user:{CANARY}@host");
    let one_slash = format!("http:/user:{CANARY}@host/");
    let escaped = format!("http://user:{CANARY}%40host/");
    let query_only = format!("host/?key={CANARY}");
    for (arguments, environment) in [
        (&["config", "show", "-d", &good] as &[&str], None),
        (&["config", "show", "-d", &pairs], None),
        (&["config", "show"], Some(("DATABASE_DIRECT_URL", &good))),
        (&["config", "check", "-d", &bad], None),
        (&["config", "check", "-d", &broken_pairs], None),
        (&["config", "check"], Some(("DATABASE_URL", &bad))),
        (&["config", "check", "--horizon-url", &upstream], None),
        (&["config", "show", "--horizon-url", &key_in_path], None),
        (&["config", "check", "--horizon-url", &key_in_path, "--bind", "x"], None),
        (&["config", "check", "--horizon-url", &key_in_query], None),
        (&["config", "check", "--toml-gateway", &key_in_query], None),
        (&["config", "check", "--bind", &key_in_path], None),
        (&["config", "check", &key_in_path], None),
        (&["config", "check", "-d", &broken_option], None),
        (&["config", "check", "--bind", &good], None),
        (&["config", "check", &good], None),
        (&["config", "check", &misspelt], None),
        (&["config", "check", "--horizon-url", &without_scheme], None),
        (&["config", "check", "--lake-url", &one_slash], None),
        (&["config", "check"], Some(("HORIZON_URL", &escaped))),
        (&["config", "check", "--rpc-url", &query_only], None),
        (&["config", "check"], Some(("OTEL_EXPORTER_OTLP_ENDPOINT", &without_scheme))),
        (&["validate", &without_scheme], None),
        (&["audit", "--url", &query_only], None),
        (&["config", "check", &attached], None),
        (&["config", "check", &pairs], None),
        (&[&good], None),
    ] {
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let output = run(arguments, &environment);
        let all = format!("{}{}", stdout(&output), stderr(&output));
        assert!(!all.is_empty() && !all.contains(CANARY), "{arguments:?}: {all}");
    }
    let config = parse(&["serve", "-d", &good], &[]).unwrap();
    assert!(!format!("{config:?}").contains(CANARY));
    let show = parse(&["config", "show", "-d", &good], &[]).unwrap();
    assert!(!format!("{show:?}").contains(CANARY));
    let error = parse(&["serve", "-d", &bad], &[]).expect_err("it does not parse");
    assert!(!format!("{error:?}{error}").contains(CANARY));
    let error = parse(&["serve", &good], &[]).expect_err("no such argument");
    assert!(!format!("{error:?}{error}").contains(CANARY));
}

#[test]
fn a_repair_without_a_port_of_the_admin_listener_names_its_flags() {
    let output = run(&["audit", "--repair", "--bind", "127.0.0.1:1", "--admin-bind", "127.0.0.1:0"], &[]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(text.contains("--admin-bind leaves the port") && text.contains("--admin-url"), "{text}");
}

#[test]
fn config_show_lists_name_value_and_source() {
    let output = run(
        &["config", "show", "--bind", "localhost:8081", "-d", "postgres://user:pw@host/db"],
        &[("TICKER_STALE_AFTER", "5m")],
    );
    assert_eq!(output.status.code(), Some(0));
    let shown = stdout(&output);
    let cells = |name: &str| {
        let line = shown.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(cells("NAME"), "VALUE SOURCE");
    assert_eq!(cells("bind"), "localhost:8081 flag --bind");
    assert_eq!(cells("stale-after"), "5m environment TICKER_STALE_AFTER");
    assert_eq!(cells("database-url"), "postgres://user:***@host/db flag --database-url");
    assert_eq!(cells("output-dir"), "./data/www default");
    assert_eq!(cells("horizon-url"), "https://horizon.stellar.org default");
}

#[test]
fn demo_heeds_the_database_and_the_output_directory_only_as_flags() {
    let real = [
        ("DATABASE_URL", "postgres://u:p@real/db"),
        ("DATABASE_DIRECT_URL_FILE", "/nonexistent"),
        ("TICKER_OUTPUT_DIR", "/srv/published"),
        ("TICKER_NETWORK", "public"),
        ("HORIZON_URL", "https://horizon.stellar.org"),
        ("TICKER_DATA_DIR", "/srv/ticker"),
    ];
    let Command::Demo { config, .. } = parse(&["demo"], &real).unwrap() else { panic!("no demo") };
    assert_eq!((&config.database_url, &config.database_direct_url), (&None, &None));
    assert_eq!(config.data_dir.to_str(), Some("/srv/ticker/demo"));
    assert_eq!(config.output_dir.to_str(), Some("/srv/ticker/demo/www"));
    assert_eq!(config.network_passphrase, DEMO_PASSPHRASE);
    assert!(!config.horizon_url.contains("stellar.org"), "{}", config.horizon_url);

    let flags = ["demo", "--database-url", "postgres://u:p@scratch/db", "--output-dir", "/tmp/www"];
    let Command::Demo { config, .. } = parse(&flags, &real).unwrap() else { panic!("no demo") };
    assert_eq!(config.database_url.unwrap().expose(), "postgres://u:p@scratch/db");
    assert_eq!(config.output_dir.to_str(), Some("/tmp/www"));
}

#[test]
fn demo_ignores_the_database_of_the_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "database_url = 'postgres://u:p@real/db'\nretention_days = 9\n").unwrap();
    let line = ["demo", "--config", file.path().to_str().unwrap()];
    let Command::Demo { config, .. } = parse(&line, &[]).unwrap() else { panic!("no demo") };
    assert_eq!((config.database_url, config.retention_days), (None, 9));
}

#[test]
fn demo_logs_its_main_steps_unless_more_is_asked_for() {
    for (environment, log) in
        [(&[] as &[(&str, &str)], "warn,stellar_ticker::app=info"), (&[("RUST_LOG", "info")], "info")]
    {
        let Command::Demo { config, .. } = parse(&["demo"], environment).unwrap() else { panic!("no demo") };
        assert_eq!(config.log, log);
    }
    let Command::Serve(config) = parse(&["serve"], &[]).unwrap() else { panic!("no serve") };
    assert_eq!(config.log, "info");
}

#[test]
fn simulation_options_have_defaults_and_flags() {
    let Command::Demo { simulation, .. } = parse(&["demo"], &[]).unwrap() else { panic!("no demo") };
    assert_eq!((simulation.trades_per_second, simulation.history_hours), (20, 2));
    assert_eq!((simulation.ledger_interval, simulation.faults), (Duration::from_millis(5_800), false));
    let line =
        ["horizon-sim", "--trades-per-second", "3", "--seed", "7", "--ledger-seconds", "0.5", "--faults"];
    let Command::HorizonSim(options) = parse(&line, &[("TICKER_BIND", "127.0.0.1:8080")]).unwrap() else {
        panic!("no horizon-sim")
    };
    assert_eq!(options.bind.to_string(), "127.0.0.1:8001");
    assert_eq!(options.network_passphrase, "Public Global Stellar Network ; September 2015");
    assert_eq!((options.simulation.trades_per_second, options.simulation.seed), (3, 7));
    assert_eq!(options.simulation.ledger_interval, Duration::from_millis(500));
    assert!(options.simulation.faults);
}

#[test]
fn faults_of_the_simulation_and_of_the_settings_are_reported_together() {
    let error = parse(&["demo", "--seed", "x", "--retention-days", "1"], &[]).expect_err("two faults");
    let text = error.to_string();
    assert!(text.contains("seed: \"x\"") && text.contains("retention-days: \"1\""), "{text}");
    let error =
        parse(&["horizon-sim", "--ledger-seconds", "inf", "--bind", "x"], &[]).expect_err("two faults");
    assert!(error.to_string().starts_with("2 faults"), "{error}");
}

#[test]
fn market_data_needs_a_file_by_either_flag() {
    for flag in ["-o", "--out-file"] {
        let command = parse(&["generate", "market-data", flag, "m.json"], &[]).unwrap();
        let Command::GenerateMarketData { out_file, .. } = command else { panic!("no generate") };
        assert_eq!(out_file.to_str(), Some("m.json"));
    }
}

#[test]
fn completions_of_every_shell_name_every_command_and_are_a_script() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell], &[]);
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{shell}");
        let script = stdout(&output);
        for word in ["horizon-sim", "audit", "completions", "horizon-requests-per-hour"] {
            assert!(script.contains(word), "{shell} lacks {word}");
        }
    }
}

/// Completions that bash offers for the last of these words, by the function that the script registers.
fn bash_offers(script: &std::path::Path, words: &[&str]) -> Vec<String> {
    let asked = r#"source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        registered=$(complete -p stellar-ticker); function=${registered##*-F }; function=${function%% *}
        "$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" 2>/dev/null
        printf '%s\n' "${COMPREPLY[@]}""#;
    let output = Process::new("bash").args(["-c", asked, "bash"]).arg(script).args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", stderr(&output));
    stdout(&output).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_files_behind_every_word() {
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), stdout(&run(&["completions", "bash"], &[]))).unwrap();
    let offers = |words: &[&str]| bash_offers(script.path(), words);
    assert_eq!(offers(&["stellar-ticker", "hor"]), ["horizon-sim"]);
    assert_eq!(offers(&["stellar-ticker", "serve", "--publish-i"]), ["--publish-interval"]);
    assert_eq!(offers(&["./stellar-ticker", "demo", "--trades-p"]), ["--trades-per-second"]);
    assert_eq!(offers(&["stellar-ticker", "horizon-sim", "--see"]), ["--seed"]);
    assert_eq!(offers(&["stellar-ticker", "ingest", "o"]), ["orderbooks"]);
    assert_eq!(offers(&["stellar-ticker", "ingest", "trades", "--num"]), ["--num-hours"]);
    assert_eq!(
        offers(&["stellar-ticker", "config", "show", "--bind", "x", "--database-d"]),
        ["--database-direct-url"]
    );
    assert_eq!(offers(&["stellar-ticker", "completions", "f"]), ["fish"]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ticker.toml");
    std::fs::write(&file, "").unwrap();
    let begun = directory.path().join("tick");
    let typed = ["stellar-ticker", "serve", "--config", begun.to_str().unwrap()];
    assert_eq!(offers(&typed), [file.to_str().unwrap()], "the value of a flag that names a file");
    for line in command_lines(&cli::definition()).iter().filter(|line| !line.is_empty()) {
        let words: Vec<&str> =
            ["stellar-ticker"].into_iter().chain(line.iter().map(String::as_str)).chain(["--h"]).collect();
        assert!(offers(&words).iter().any(|offer| offer == "--help"), "{words:?}");
    }
}

#[test]
fn completions_of_an_unknown_shell_are_refused_with_the_list() {
    for arguments in [&["completions", "tcsh"][..], &["completions"]] {
        let output = run(arguments, &[]);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(64), ""), "{arguments:?}");
    }
    let message = stderr(&run(&["completions", "tcsh"], &[]));
    assert!(message.contains("[possible values: bash, elvish, fish, powershell, zsh]"), "{message}");
}
