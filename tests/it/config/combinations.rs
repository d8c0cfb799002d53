//! Settings that contradict others, and those that follow others or the command.

use stellar_ticker::domain::ledger_source::LedgerSource;

use super::*;

#[test]
fn a_direct_url_needs_the_other_one() {
    let error = error_of(&["--database-direct-url", "postgres://h/db"], &[]);
    assert_eq!(error.exit_code(), 78, "{error}");
    assert!(error.to_string().contains("it needs --database-url"), "{error}");
    let demo = ["demo", "--database-direct-url", "postgres://h/db"];
    let error = parse(&demo, &[("DATABASE_URL", "postgres://h/db")]).expect_err("demo ignores the variable");
    assert!(error.to_string().contains("it needs --database-url"), "{error}");
    config_of(&["--database-url", "postgres://p/db", "--database-direct-url", "postgres://h/db"], &[]);
}

#[test]
fn nginx_needs_an_address_of_its_own() {
    for (bind, nginx, flag) in [
        ("--bind", "127.0.0.1:8080", "--bind"),
        ("--admin-bind", "127.0.0.1:8080", "--admin-bind"),
        ("--bind", "0.0.0.0:8080", "--bind"),
        ("--bind", "[::]:8080", "--bind"),
    ] {
        let other = if bind == "--bind" { "--admin-bind" } else { "--bind" };
        let arguments = [bind, "127.0.0.1:8080", other, "127.0.0.1:1", "--nginx-bind", nginx];
        let collides = nginx != "[::]:8080";
        config_of(&arguments, &[]); // no nginx listens there
        let arguments = [&["config", "show", "--nginx", "nginx.conf"], &arguments[..]].concat();
        match parse(&arguments, &[]) {
            Err(error) if collides => {
                assert_eq!(error.exit_code(), 78, "{error}");
                let detail = format!("it is the address of {flag}, 127.0.0.1:8080");
                assert!(error.to_string().contains("nginx-bind: ") && error.to_string().contains(&detail));
            }
            // nginx does not listen on IPv4 there.
            Ok(_) if !collides => {}
            other => panic!("{arguments:?}: {other:?}"),
        }
    }
    let everywhere =
        ["config", "show", "--nginx", "n", "--nginx-bind", "127.0.0.1:8080", "--bind", "[::]:8080"];
    assert_eq!(parse(&everywhere, &[]).unwrap_err().exit_code(), 78, "it listens on IPv4 as well");
}

#[test]
fn a_cleaner_fills_nothing_and_the_default_of_candles_follows_the_retention() {
    let daemon = [("TICKER_BACKFILL_HOURS", "720"), ("TICKER_RETENTION_DAYS", "30")];
    let cleaned = |days| match parse(&["clean", "trades", "-k", days], &daemon) {
        Ok(Command::CleanTrades { config, .. }) => config,
        other => panic!("{days}: {other:?}"),
    };
    assert_eq!(cleaned("8").retention_days, 8);
    let config = cleaned("400");
    assert_eq!((config.retention_days, config.candle_retention_days), (400, 400));
    let config = config_of(&["--retention-days", "400"], &[]);
    assert_eq!((config.retention_days, config.candle_retention_days), (400, 400));
    assert_eq!(config_of(&["--retention-days", "9"], &[]).candle_retention_days, 365);
    let error = error_of(&["--retention-days", "400"], &[("TICKER_CANDLE_RETENTION_DAYS", "365")]);
    assert!(error.to_string().contains("candles outlive their trades"), "{error}");
    let error = error_of(&["--retention-days", "36501"], &[]);
    assert!(error.to_string().starts_with("1 fault "), "{error}");
    assert_eq!(parse(&["serve", "--retention-days", "8"], &daemon).unwrap_err().exit_code(), 78);
}

#[test]
fn a_cleaner_drops_candles_only_where_any_source_gives_their_retention() {
    let drops = |arguments: &[&str], environment: &[(&str, &str)]| match parse(
        &[&["clean", "trades"], arguments].concat(),
        environment,
    ) {
        Ok(Command::CleanTrades { drops_candles, .. }) => drops_candles,
        other => panic!("{arguments:?}: {other:?}"),
    };
    let file = written("candle_retention_days = 400\n");
    assert!(!drops(&["-k", "8"], &[]) && !drops(&["-k", "400"], &[]));
    assert!(drops(&["-k", "8", "--candle-retention-days", "365"], &[]));
    assert!(drops(&["-k", "8"], &[("TICKER_CANDLE_RETENTION_DAYS", "365")]));
    assert!(drops(&["-k", "8", "--config", text_of(file.path())], &[]));
}

#[test]
fn a_demo_takes_the_sources_of_trades_from_flags_only() {
    let file = written("ledger_source = 'rpc'\nrpc_url = 'http://real.example'\n");
    let environment = [
        ("TICKER_LEDGER_SOURCE", "lake"),
        ("TICKER_LIVE_FROM", "lake"),
        ("TICKER_LAKE_URL", "https://real.example/lake"),
        ("TICKER_RPC_URL", "https://real.example/rpc"),
        ("TICKER_CONFIG", text_of(file.path())),
    ];
    let sources = |arguments: &[&str]| match parse(&[&["demo"], arguments].concat(), &environment) {
        Ok(Command::Demo { config, .. }) => config.sources,
        other => panic!("{arguments:?}: {other:?}"),
    };
    let by_default = sources(&[]);
    assert_eq!((by_default.history, by_default.live), (LedgerSource::Horizon, LedgerSource::Horizon));
    assert!(by_default.lake_url.is_none() && by_default.rpc_url.is_none());
    let given = sources(&["--ledger-source", "rpc", "--rpc-url", "http://a.example"]);
    assert_eq!((given.history, given.rpc_url.as_deref()), (LedgerSource::Rpc, Some("http://a.example")));
}
