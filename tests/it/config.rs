//! The configuration: four sources, their order, and every fault reported with its source.

mod combinations;
mod healthcheck;
mod surroundings;

use std::path::Path;
use std::time::Duration;

use stellar_ticker::cli::{CliError, Command};
use stellar_ticker::config::{
    Config, FileInterval, Kind, LogFormat, SETTINGS, Setting, Settings, Source, TESTNET_PASSPHRASE,
};
use stellar_ticker::domain::asset::Asset;

use crate::cli::parse;

const USDC: &str = "USDC:GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN";
const EURC: &str = "EURC:GDHU6WRG4IEQXM5NZ4BMPKOXHW76MZM4Y2IEMFDVXBSDP6SJY4ITNPP2";
const YUSDC: &str = "yUSDC:GDGTVWSM4MGS4T7Z6W4RPWOCHE2I6RDFCIFZGS3DOA63LWQTRNZNTTFF";

/// Three different values that are valid beside the defaults. A new setting has to be added here.
fn samples(setting: &Setting) -> [&'static str; 3] {
    match setting.name {
        "database-url" | "database-direct-url" => ["postgres://a/x", "postgres://b/x", "postgres://c/x"],
        "startup-timeout"
        | "stream-idle-timeout"
        | "publish-interval"
        | "file-interval"
        | "stale-after"
        | "audit-interval" => ["3s", "4m", "5h"],
        "ca-file" | "nginx" | "data-dir" | "output-dir" => ["/a", "/b", "/c"],
        "horizon-url" | "toml-gateway" | "rpc-url" => {
            ["http://a.example", "https://b.example", "http://c.example/x"]
        }
        "network" => ["testnet", "Some Network ; 1", "Some Network ; 2"],
        "horizon-requests-per-hour" | "connections-per-address" => ["0", "1", "2"],
        "bind" | "admin-bind" | "nginx-bind" => ["127.0.0.1:1001", "127.0.0.1:1002", "[::1]:1003"],
        "backfill-hours" => ["1", "2", "3"],
        "retention-days" => ["9", "10", "11"],
        "candle-retention-days" => ["30", "40", "50"],
        "assets-schedule" | "orderbooks-schedule" | "clean-schedule" => {
            ["1 * * * *", "2 * * * *", "3 3 * * * *"]
        }
        "usd-anchors" => [USDC, EURC, YUSDC],
        "log-format" => ["text", "json", "text"],
        "log" => ["debug", "warn", "error"],
        "trace-messages" => ["off", "on", "off"],
        "ledger-source" | "live-from" => ["lake", "horizon", "rpc"],
        "lake-url" => ["file:///a", "https://b.example/lake", "http://c.example"],
        "lake-parallel" => ["1", "2", "3"],
        "lake-verify" => ["chain", "off", "anchor"],
        other => panic!("no samples for the setting {other}"),
    }
}

fn settings_of(arguments: &[&str], environment: &[(&str, &str)]) -> Settings {
    let line = [&["config", "show"], arguments].concat();
    match parse(&line, environment) {
        Ok(Command::ConfigShow(settings)) => settings,
        other => panic!("{arguments:?} {environment:?}: {other:?}"),
    }
}

fn config_of(arguments: &[&str], environment: &[(&str, &str)]) -> Config {
    match parse(&[&["serve"], arguments].concat(), environment) {
        Ok(Command::Serve(config)) => config,
        other => panic!("{arguments:?} {environment:?}: {other:?}"),
    }
}

fn error_of(arguments: &[&str], environment: &[(&str, &str)]) -> CliError {
    match parse(&[&["config", "check"], arguments].concat(), environment) {
        Err(error) => error,
        Ok(command) => panic!("{arguments:?} {environment:?}: {command:?}"),
    }
}

fn written(contents: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), contents).unwrap();
    file
}

fn text_of(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn flag_beats_environment_beats_file_beats_default_for_every_setting() {
    for setting in SETTINGS.iter().filter(|setting| setting.is_in_file && setting.kind != Kind::Switch) {
        let [in_file, in_environment, in_flag] = samples(setting);
        let file = written(&format!("{} = {in_file:?}\n", setting.file_key()));
        let config = ["--config", text_of(file.path())];
        let flag = format!("--{}", setting.name);
        let flags = [&config[..], &[&flag, in_flag]].concat();
        let look = |arguments: &[&str], environment: &[(&str, &str)]| {
            // A source that is a lake or RPC needs its URL.
            let urls = ["--lake-url", "file:///lake", "--rpc-url", "http://rpc.example"];
            let more: &[&str] = match setting.name {
                // It is the second address of a database that is given.
                "database-direct-url" => &["--database-url", "postgres://h/db"],
                name if name.ends_with("-url") => &[],
                _ => &urls,
            };
            let settings = settings_of(&[arguments, more].concat(), environment);
            let entry = settings.get(setting.name).unwrap().clone();
            (entry.text, entry.source)
        };

        let (text, source) = look(&[], &[]);
        assert_eq!(source, Source::Default, "{}", setting.name);
        assert!(text.is_none_or(|text| text != in_file), "{}: the sample is the default", setting.name);

        let (text, source) = look(&config, &[]);
        assert_eq!(text.as_deref(), Some(in_file), "{}", setting.name);
        assert_eq!(source, Source::File { path: file.path().to_owned(), key: setting.file_key() });

        for (at, variable) in setting.env.iter().enumerate() {
            let (text, source) = look(&config, &[(variable, in_environment)]);
            assert_eq!(text.as_deref(), Some(in_environment), "{variable}");
            assert_eq!(source, Source::Environment { variable: (*variable).to_owned() });
            let (text, _) = look(&config, &[(variable, "")]);
            assert_eq!(text.as_deref(), Some(in_file), "an empty {variable} is unset");
            if at > 0 {
                let (text, _) = look(&[], &[(variable, in_file), (setting.env[0], in_environment)]);
                assert_eq!(text.as_deref(), Some(in_environment), "{variable} yields to {}", setting.env[0]);
            }
            let (text, source) = look(&flags, &[(variable, in_environment)]);
            assert_eq!(text.as_deref(), Some(in_flag), "{}", setting.name);
            assert_eq!(source, Source::Flag { name: setting.name });
        }
        for alias in setting.aliases {
            let (text, _) = look(&[&format!("--{alias}"), in_flag], &[]);
            assert_eq!(text.as_deref(), Some(in_flag), "--{alias}");
        }
    }
}

#[test]
fn names_are_unique() {
    let mut flags: Vec<&str> =
        SETTINGS.iter().flat_map(|s| s.aliases.iter().chain(std::iter::once(&s.name))).copied().collect();
    let mut variables: Vec<String> = SETTINGS.iter().flat_map(Setting::variables).collect();
    let counts = (flags.len(), variables.len());
    flags.sort_unstable();
    flags.dedup();
    variables.sort_unstable();
    variables.dedup();
    assert_eq!((flags.len(), variables.len()), counts);
}

#[test]
fn defaults_are_those_of_the_interface() {
    let config = config_of(&[], &[]);
    assert_eq!((config.database_url, config.database_direct_url), (None, None));
    assert_eq!(config.startup_timeout, Duration::from_secs(60));
    assert_eq!(config.horizon_url, "https://horizon.stellar.org");
    assert_eq!(config.network_passphrase, "Public Global Stellar Network ; September 2015");
    assert_eq!((config.bind.to_string().as_str(), config.network.as_str()), ("127.0.0.1:8080", "public"));
    assert_eq!(config.admin_bind.to_string(), "127.0.0.1:9090");
    assert_eq!((text_of(&config.data_dir), text_of(&config.output_dir)), ("./data", "./data/www"));
    assert_eq!((config.backfill_hours, config.retention_days, config.candle_retention_days), (168, 8, 365));
    assert_eq!(config.horizon_requests_per_hour, 3_600);
    assert_eq!(config.stream_idle_timeout, Duration::from_secs(90));
    assert_eq!(config.assets_schedule.to_string(), "0 */6 * * *");
    assert_eq!(config.orderbooks_schedule.to_string(), "*/10 * * * *");
    assert_eq!(config.clean_schedule.to_string(), "0 * * * *");
    assert_eq!(
        (config.publish_interval, config.stale_after),
        (Duration::from_secs(1), Duration::from_secs(600))
    );
    assert_eq!((config.file_interval, config.log_format), (FileInterval::Auto, LogFormat::Auto));
    assert_eq!(config.usd_anchors, [USDC, YUSDC].map(asset));
    assert_eq!((config.toml_gateway, config.nginx, config.ca_file), (None, None, None));
    assert_eq!(config.nginx_bind.to_string(), "0.0.0.0:8000");
    assert_eq!(config.log, "info");
}

#[test]
fn testnet_changes_the_default_horizon_from_every_source() {
    let file = written("testnet = true\n");
    let by_file = ["--config", text_of(file.path())];
    for (arguments, environment) in [
        (&["--testnet"] as &[&str], None),
        (&["--network", "testnet"], None),
        (&["--network", TESTNET_PASSPHRASE], None),
        (&["--testnet"], Some(("TICKER_NETWORK", "public"))),
        (&[], Some(("TICKER_NETWORK", "testnet"))),
        (&by_file, None),
    ] {
        let config = config_of(arguments, environment.as_slice());
        assert_eq!(config.horizon_url, "https://horizon-testnet.stellar.org", "{arguments:?}");
        assert_eq!(config.network_passphrase, TESTNET_PASSPHRASE, "{arguments:?}");
    }
    let config = config_of(&by_file, &[("TICKER_NETWORK", "public")]);
    assert_eq!(config.horizon_url, "https://horizon.stellar.org", "the environment beats the file");
    let config = config_of(&["--testnet", "--horizon-url", "http://127.0.0.1:8001/"], &[]);
    assert_eq!(config.horizon_url, "http://127.0.0.1:8001");
}

#[test]
fn all_faults_are_reported_together_with_source_and_allowed_values() {
    let file = written("retention_days = 3\nbnd = '127.0.0.1:1'\nstale_after = 5\n");
    let error = error_of(
        &["--config", text_of(file.path()), "--publish-interval", "5", "--clean-schedule", "0 0 30 2 *"],
        &[("TICKER_BIND", "nowhere"), ("HORIZON_URL", "ftp://example.org")],
    );
    let CliError::Config(config_error) = &error else { panic!("{error:?}") };
    assert_eq!(config_error.faults().len(), 7, "{error}");
    assert_eq!(error.exit_code(), 64, "one of them does not parse on the command line");
    let text = error.to_string();
    let path = text_of(file.path());
    for (line, allowed) in [
        (format!("unknown key \"bnd\" in {path}; did you mean \"bind\"?"), ""),
        ("publish-interval: \"5\" from flag --publish-interval does not parse".to_owned(), "90s"),
        ("clean-schedule: \"0 0 30 2 *\" from flag --clean-schedule is refused".to_owned(), "cron"),
        ("bind: \"nowhere\" from environment TICKER_BIND does not parse".to_owned(), "HOST:PORT"),
        ("horizon-url: \"ftp://example.org\" from environment HORIZON_URL is refused".to_owned(), "http"),
        (format!("retention-days: \"3\" from file {path}, key retention_days is refused"), "from 8"),
        (format!("stale-after: \"5\" from file {path}, key stale_after does not parse"), "10ms"),
    ] {
        let found = text.lines().find(|row| row.contains(&line)).unwrap_or_else(|| panic!("{line}\n{text}"));
        assert!(found.contains(allowed), "{found}");
    }
}

#[test]
fn a_fault_hidden_by_a_higher_source_is_none() {
    let config = config_of(&["--retention-days", "9"], &[("TICKER_RETENTION_DAYS", "nonsense")]);
    assert_eq!(config.retention_days, 9);
}

fn asset(text: &str) -> Asset {
    text.parse().unwrap()
}

#[test]
fn the_file_takes_toml_types_and_the_environment_may_name_it() {
    let file =
        written(&format!("retention_days = 9\nusd_anchors = [{USDC:?}, {EURC:?}]\nfile_interval = '15s'\n"));
    let config = config_of(&[], &[("TICKER_CONFIG", text_of(file.path()))]);
    assert_eq!((config.retention_days, config.usd_anchors), (9, vec![asset(USDC), asset(EURC)]));
    assert_eq!(config.file_interval, FileInterval::Every(Duration::from_secs(15)));
    let dashed = [USDC.replacen(':', "-", 1), format!("{}-1", EURC.replacen(':', "-", 1))].join(",");
    assert_eq!(config_of(&["--usd-anchors", &dashed], &[]).usd_anchors, [asset(USDC), asset(EURC)]);
    let none = written("usd_anchors = []\n");
    assert!(config_of(&["--config", text_of(none.path())], &[]).usd_anchors.is_empty());
}

#[test]
fn unknown_keys_are_refused_with_a_suggestion_where_one_is_near() {
    for (key, suggestion) in [
        ("data-dir", Some("data_dir")),
        ("horizon_ur", Some("horizon_url")),
        ("retention_day", Some("retention_days")),
        ("address", Some("bind")),
        ("db-url", Some("database_url")),
        ("BIND", Some("bind")),
        ("config", None),
        ("zzz", None),
    ] {
        let file = written(&format!("{key} = 'x'\n"));
        let error = error_of(&["--config", text_of(file.path())], &[]);
        assert_eq!(error.exit_code(), 78, "{key}");
        let text = error.to_string();
        assert!(text.contains(&format!("unknown key \"{key}\"")), "{text}");
        match suggestion {
            Some(suggestion) => assert!(text.contains(&format!("did you mean \"{suggestion}\"?")), "{text}"),
            None => assert!(!text.contains("did you mean"), "{text}"),
        }
    }
}

#[test]
fn a_file_that_is_not_toml_is_refused_by_line_without_quoting_it() {
    let file = written("retention_days = 9\ndatabase_url = \"postgres://u:canary@h/db\nbind = 1\n");
    let error = error_of(&["--config", text_of(file.path())], &[]);
    assert_eq!(error.exit_code(), 78);
    let text = format!("{error}{error:?}");
    assert!(text.contains("line 2 is not TOML: invalid basic string"), "{text}");
    assert!(!text.contains("canary"), "{text}");
    let wrong_type = written("[database_url]\npassword = 'canary'\n");
    let error = error_of(&["--config", text_of(wrong_type.path())], &[]);
    assert_eq!(error.exit_code(), 78);
    assert!(!format!("{error}{error:?}").contains("canary"), "{error}");
}

#[test]
fn an_unrelated_file_is_refused_with_a_short_message() {
    let named = |contents: &str| {
        let file = written(contents);
        let error = error_of(&["--config", text_of(file.path())], &[]);
        (error.exit_code(), error.to_string())
    };
    let (code, text) = named("bind = '127.0.0.1:1'\nretention_days = 9\nbind = '127.0.0.1:2'\n");
    assert!(code == 78 && text.contains("line 3 sets a key that is set already"), "{text}");
    let many: String = (0..5_000).map(|number| format!("key{number} = 1\n")).collect();
    let (code, text) = named(&many);
    assert!(code == 78 && text.starts_with("5000 faults") && text.ends_with("and 4900 more"), "{text}");
    assert_eq!(text.lines().count(), 102);
    let (code, text) = named(&format!("{} = 1\nbind = '{}'\n", "k".repeat(500_000), "b".repeat(400_000)));
    assert!(code == 78 && text.len() < 2_000 && text.contains("kkk…"), "{text}");
    for (contents, reason) in [
        ("a = ".to_owned() + &"[".repeat(100_000), "line 1 is not TOML"),
        ("#".repeat(1_100_000), "longer than"),
        ("bind = '\0'".to_owned(), "line 1 is not TOML"),
        ("[bind]\nport = 1\n[serve]\nbind = 'x'\n".to_owned(), "unknown key \"serve\""),
        ("[[bind]]\nport = 1\n".to_owned(), "a TOML array is not of its type"),
        ("retention_days = 9.5".to_owned(), "a TOML float is not of its type"),
        ("log = 2026-01-01".to_owned(), "a TOML datetime is not of its type"),
        ("usd_anchors = [1]".to_owned(), "a TOML array is not of its type"),
        ("data_dir = \"a\\u0000b\"".to_owned(), "a path cannot contain NUL"),
    ] {
        let (code, text) = named(&contents);
        assert!(code == 78 && text.contains(reason), "{reason}: {code} {text}");
    }
    let folder = tempfile::tempdir().unwrap();
    for (path, reason) in [
        (text_of(folder.path()), "directory"),
        ("/dev/zero", "longer than"),
        ("", "the path is empty"),
        ("/nonexistent", "No such file"),
    ] {
        let error = error_of(&["--config", path], &[]);
        assert!(error.exit_code() == 78 && error.to_string().contains(reason), "{path}: {error}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"bind = \"\xff\"").unwrap();
    let error = error_of(&["--config", text_of(file.path())], &[]);
    assert!(error.exit_code() == 78 && error.to_string().contains("UTF-8"), "{error}");
    let bom = written("\u{feff}retention_days = 9\n");
    assert_eq!(config_of(&["--config", text_of(bom.path())], &[]).retention_days, 9);
}

#[test]
fn quoted_values_neither_steer_a_terminal_nor_reveal_a_secret() {
    let hostile = "\u{1b}[2J\u{202e}\u{200b}\u{9b}";
    let file = written(&format!(
        "{:?} = 1\n\"postgres://u:canary@h/db\" = 1\nbind = \"\\u001B[2J\\u202E\"\n",
        "\u{e9}"
    ));
    let path = format!("/nonexistent/{hostile}");
    for (arguments, environment) in [
        (&["--config", text_of(file.path())] as &[&str], None),
        (&["--config", &path], None),
        (&["--bind", hostile], None),
        (&[hostile], None),
        (&["--bnd", hostile], None),
        (&[], Some(("TICKER_BIND", hostile))),
        (&[], Some(("DATABASE_URL_FILE", path.as_str()))),
    ] {
        let text = error_of(arguments, environment.as_slice()).to_string();
        let steers = |character: char| {
            character.is_control() && character != '\n' || ['\u{202e}', '\u{200b}'].contains(&character)
        };
        assert!(!text.contains(steers) && !text.contains("canary"), "{arguments:?}: {text:?}");
    }
}

#[test]
fn a_variable_that_is_not_utf_8_is_refused_and_not_taken_for_another() {
    for variable in ["TICKER_DATA_DIR", "TICKER_NETWORK"] {
        let error = error_of(&[], &[(variable, "/data\u{fffd}")]);
        assert!(error.exit_code() == 78 && error.to_string().contains("it is not UTF-8"), "{error}");
    }
}

#[test]
fn secrets_come_from_files_that_the_environment_names() {
    let file = written("postgres://u:p@h/db\r\n");
    let path = text_of(file.path());
    for variable in ["DATABASE_URL_FILE", "DB_URL_FILE"] {
        let config = config_of(&[], &[(variable, path)]);
        assert_eq!(config.database_url.unwrap().expose(), "postgres://u:p@h/db", "{variable}");
    }
    let config = config_of(&[], &[("DATABASE_URL", "postgres://h/db"), ("DATABASE_DIRECT_URL_FILE", path)]);
    assert_eq!(config.database_direct_url.unwrap().expose(), "postgres://u:p@h/db");

    let missing = error_of(&[], &[("DATABASE_URL_FILE", "/nonexistent/secret")]);
    assert_eq!(missing.exit_code(), 78);
    assert!(
        missing.to_string().contains("/nonexistent/secret named by environment DATABASE_URL_FILE"),
        "{missing}"
    );
    let both = error_of(&[], &[("DATABASE_URL_FILE", path), ("DATABASE_URL", "postgres://u:p@other/db")]);
    assert_eq!(both.exit_code(), 78);
    assert!(both.to_string().contains("DATABASE_URL_FILE is set too"), "{both}");
    let empty = written("\n");
    assert_eq!(error_of(&[], &[("DATABASE_URL_FILE", text_of(empty.path()))]).exit_code(), 78);
}

#[test]
fn both_listeners_may_let_the_system_choose_a_port() {
    let config = config_of(&["--bind", "127.0.0.1:0", "--admin-bind", "localhost:0"], &[]);
    assert_eq!(config.bind, config.admin_bind);
    let config = config_of(&["--bind", "127.0.0.1:9000", "--admin-bind", "127.0.0.2:9000"], &[]);
    assert_ne!(config.bind, config.admin_bind);
}

#[test]
fn schedules_take_five_or_six_fields() {
    let config = config_of(&["--assets-schedule", "30 5 * * *", "--clean-schedule", "15 30 5 * * *"], &[]);
    let midnight = "2026-01-01T00:00:00Z".parse().unwrap();
    let next = |spec: &stellar_ticker::config::CronSpec| spec.next_after(midnight).unwrap().to_rfc3339();
    assert_eq!(next(&config.assets_schedule), "2026-01-01T05:30:00+00:00");
    assert_eq!(next(&config.clean_schedule), "2026-01-01T05:30:15+00:00");
}

#[test]
fn values_out_of_bounds_are_refused_and_malformed_ones_do_not_parse() {
    for (flag, value, code) in [
        ("--publish-interval", "9ms", 78),
        ("--startup-timeout", "366d", 78),
        ("--retention-days", "36501", 78),
        ("--usd-anchors", "USDC:GBAD", 64),
        ("--usd-anchors", "native", 64),
        ("--usd-anchors", "CAS3J7GYLGXMF6TDJBBYYSE3HQ6BBSMLNUQ34T6TZMYMW2EVH34XOWMA", 64),
        ("--horizon-url", "example.org", 64),
        ("--horizon-url", "https://example.org/?key=1", 78),
        ("--horizon-url", "https://u:p@example.org", 78),
        ("--data-dir", "", 64),
        ("--network", "", 64),
        ("--database-url", "postgres://", 78),
        ("--log-format", "xml", 64),
        ("--bind", "127.0.0.1", 64),
    ] {
        let error = error_of(&[flag, value], &[]);
        assert_eq!(error.exit_code(), code, "{flag} {value}: {error}");
        assert!(error.to_string().contains(flag.trim_start_matches('-')), "{error}");
    }
}

#[test]
fn a_value_that_does_not_parse_is_64_on_the_command_line_and_78_elsewhere() {
    let file = written("retention_days = 'eight'\n");
    for (arguments, environment, code) in [
        (&["--retention-days", "eight"] as &[&str], None, 64),
        (&[], Some(("TICKER_RETENTION_DAYS", "eight")), 78),
        (&["--config", text_of(file.path())], None, 78),
        (&["--config", text_of(file.path()), "--bind", "x"], None, 64),
    ] {
        let error = error_of(arguments, environment.as_slice());
        assert_eq!(error.exit_code(), code, "{arguments:?}: {error}");
    }
}
