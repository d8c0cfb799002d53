//! The settings of `healthcheck`.

use stellar_ticker::config::HealthcheckOptions;

use super::*;

fn options_of(arguments: &[&str], environment: &[(&str, &str)]) -> Result<HealthcheckOptions, CliError> {
    match parse(&[&["healthcheck"], arguments].concat(), environment) {
        Ok(Command::Healthcheck(options)) => Ok(options),
        Ok(other) => panic!("{arguments:?}: {other:?}"),
        Err(error) => Err(error),
    }
}

#[test]
fn healthcheck_takes_its_address_by_the_usual_order_and_ignores_all_other_faults() {
    let file = written(
        "bind = '127.0.0.1:3'\nno_such_key = 1\nretention_days = 'x'\nlog = 'stellar_ticker=loudly'\n",
    );
    let file = text_of(file.path()).to_owned();
    let with_file =
        [("TICKER_CONFIG", file.as_str()), ("TICKER_NO_SUCH", "1"), ("DATABASE_URL_FILE", "/none")];
    let with_both = [&with_file[..], &[("TICKER_BIND", "127.0.0.1:2")]].concat();
    for (arguments, environment, port) in [
        (&["--bind", "127.0.0.1:1", "--nginx-bind", "x"] as &[&str], &with_both[..], 1),
        (&[], &with_both[..], 2),
        (&[], &with_file[..], 3),
        (&[], &[], 8080),
    ] {
        let options = options_of(arguments, environment).unwrap();
        assert_eq!((options.bind.port(), options.unread_file), (port, None), "{arguments:?} {environment:?}");
        assert_eq!((options.log.as_str(), options.log_format), ("info", LogFormat::Auto));
    }
}

#[test]
fn healthcheck_without_a_readable_file_takes_the_environment_and_the_default() {
    let broken = written("bind = \"127.0.0.1:3");
    for path in ["/nonexistent/ticker.toml", text_of(broken.path())] {
        let options = options_of(&["--config", path], &[]).unwrap();
        assert_eq!(options.bind.port(), 8080, "{path}");
        assert!(options.unread_file.unwrap().contains(path), "the reason names it");
        let options = options_of(&["--config", path], &[("TICKER_BIND", "127.0.0.1:2")]).unwrap();
        assert_eq!((options.bind.port(), options.unread_file), (2, None), "{path}");
    }
}

#[test]
fn healthcheck_refuses_a_faulty_address() {
    let file = written("bind = 8080\n");
    let by_file = options_of(&["--config", text_of(file.path())], &[]).unwrap_err();
    assert_eq!(by_file.exit_code(), 78, "{by_file}");
    assert_eq!(options_of(&["--bind", "x"], &[]).unwrap_err().exit_code(), 64);
    assert_eq!(options_of(&[], &[("TICKER_BIND", "x")]).unwrap_err().exit_code(), 78);
    let options = options_of(&["--log", "debug", "--log-format", "json"], &[]).unwrap();
    assert_eq!((options.log.as_str(), options.log_format), ("debug", LogFormat::Json));
}
