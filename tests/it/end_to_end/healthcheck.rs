//! `healthcheck` beside a daemon whose configuration was changed after its start.

use super::*;
use crate::support::{daemon::run_in, postgres::open_tempdir};

/// A platform ends every replica whose health check fails, so a typing error in a shared file must not let it fail.
#[test]
fn a_fault_in_another_setting_does_not_make_a_running_daemon_look_dead() {
    let sim = network(86, FaultPlan::none());
    block_on(async {
        let directory = open_tempdir();
        let path = |name| directory.path().join(name).to_str().unwrap().to_owned();
        let (config, secret, url) = (path("ticker.toml"), path("database-url"), sim.url());
        std::fs::write(&config, "retention_days = 9\n").unwrap();
        std::fs::write(&secret, fresh_database().await).unwrap();
        let environment = [("DATABASE_URL_FILE", secret.as_str())];
        let serve = ["serve", "--config", &config, "--horizon-url", &url, "--network", PASSPHRASE];
        let mut daemon = Daemon::start_in(&serve, &environment);
        let bind = daemon.public.to_string();
        let by_flag = ["healthcheck", "--config", &config, "--bind", &bind];
        let assert_code = |expected: i32, arguments: &[&str], environment: &[(&str, &str)], changed: &str| {
            let (code, _, log) = run_in(arguments, environment);
            assert_eq!(code, expected, "{changed}: {log}");
        };
        assert_code(0, &by_flag, &environment, "nothing");
        for text in [
            "no_such_key = 1\n",
            "retention_days = 3\nlog = 'stellar_ticker=loudly'\nlog_format = 'x'\n",
            "no TOML",
        ] {
            std::fs::write(&config, text).unwrap();
            assert_code(0, &by_flag, &environment, text);
        }
        let with_bind = format!("bind = '{bind}'\nno_such_key = 1\n");
        std::fs::write(&config, &with_bind).unwrap();
        assert_code(0, &["healthcheck", "--config", &config], &environment, &with_bind);
        std::fs::remove_file(&config).unwrap();
        assert_code(0, &by_flag, &environment, "no file");
        for text in ["", "postgres://ticker:p@ss@db/ticker"] {
            std::fs::write(&secret, text).unwrap();
            assert_code(0, &by_flag, &environment, text);
        }
        let unknown = [("TICKER_NO_SUCH_SETTING", "1"), ("TICKER_BIND", &bind)];
        assert_code(0, &["healthcheck"], &unknown, "an unknown variable");
        assert!(daemon.terminate().success());
        assert_code(1, &by_flag, &environment, "stopped");
    });
}
