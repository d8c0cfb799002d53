//! A password goes to PostgreSQL and nowhere else, however it was given and whichever fault occurs.

use std::{
    fs,
    process::{Command, Output},
};

use crate::support::{
    daemon::{Daemon, output_of},
    network::{PASSPHRASE, block_on, network},
    postgres::open_tempdir,
    surroundings::clean,
    tls_postgres::TlsPostgres,
};
use stellar_ticker::sim::FaultPlan;

const BINARY: &str = env!("CARGO_BIN_EXE_stellar-ticker");
/// As it is, and as it must be written in a URL.
const CANARY: &str = "c4n4ry/pa ss@w:rd?x#";
const IN_URL: &str = "c4n4ry%2Fpa%20ss%40w%3Ard%3Fx%23";
/// Parts that no output may hold, since they could only come from the password.
const PARTS: [&str; 3] = ["c4n4ry", "w:rd", "w%3Ard"];

fn assert_silent(what: &str, text: &str) {
    for part in PARTS {
        assert!(!text.contains(part), "{what} prints {part:?}:\n{text}");
    }
}

fn all_of(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Every way to give a connection string, and the output of a command with it.
fn in_every_way(url: &str, arguments: &[&str], what: &str) -> Vec<i32> {
    let directory = open_tempdir();
    let (file, secret) = (directory.path().join("ticker.toml"), directory.path().join("url"));
    fs::write(&file, format!("database_url = {}\n", serde_json::Value::from(url))).unwrap();
    fs::write(&secret, format!("{url}\n")).unwrap();
    let command = || {
        let mut command = Command::new(BINARY);
        command.args(arguments).args([
            "--log-format",
            "json",
            "--log",
            "trace",
            "--startup-timeout",
            "200ms",
        ]);
        command.arg("--data-dir").arg(directory.path().join("data"));
        clean(&mut command).env("RUST_BACKTRACE", "1");
        command
    };
    let mut codes = Vec::new();
    for (way, output) in [
        ("flag", output_of(command().args(["--database-url", url]))),
        ("short flag", output_of(command().args(["-d", url]))),
        ("direct url", output_of(command().args(["--database-url", url, "--database-direct-url", url]))),
        ("environment", output_of(command().env("DATABASE_URL", url))),
        ("other environment", output_of(command().env("DB_URL", url))),
        ("secret file", output_of(command().env("DATABASE_URL_FILE", &secret))),
        ("file", output_of(command().arg("--config").arg(&file))),
        ("argument in the wrong place", output_of(command().arg(url))),
        ("wrong flag", output_of(command().args(["--bind", url]))),
        ("unknown flag", output_of(command().arg(format!("--database={url}")))),
        ("wrong key", {
            fs::write(&file, format!("databse_url = {}\n", serde_json::Value::from(url))).unwrap();
            output_of(command().arg("--config").arg(&file))
        }),
    ] {
        assert_silent(&format!("{what}, {arguments:?}, by {way}"), &all_of(&output));
        codes.push(output.status.code().unwrap());
    }
    codes
}

#[test]
fn no_command_prints_the_password() {
    let server = block_on(TlsPostgres::start(CANARY, false));
    let port = server.port;
    let quoted = CANARY.replace('\'', "\\'");
    let mut runs = 0;
    for (what, url) in [
        ("right", format!("postgres://ticker:{IN_URL}@127.0.0.1:{port}/ticker")),
        ("wrong host", format!("postgres://ticker:{IN_URL}@127.0.0.1:1/ticker")),
        ("unknown host", format!("postgres://ticker:{IN_URL}@no.such.host.invalid/ticker")),
        ("wrong password", format!("postgres://ticker:{IN_URL}wrong@127.0.0.1:{port}/ticker")),
        ("wrong database", format!("postgres://ticker:{IN_URL}@127.0.0.1:{port}/nothing")),
        ("wrong role", format!("postgres://nobody:{IN_URL}@127.0.0.1:{port}/ticker")),
        ("no TLS there", format!("postgres://ticker:{IN_URL}@127.0.0.1:{port}/ticker?sslmode=verify-full")),
        ("wrong mode", format!("postgres://ticker:{IN_URL}@127.0.0.1:{port}/ticker?sslmode=maybe")),
        ("password in the query", format!("postgres://ticker@127.0.0.1:{port}/ticker?password={IN_URL}")),
        ("words", format!("host=127.0.0.1 port={port} user=ticker dbname=ticker password='{quoted}'")),
        (
            "words, wrong database",
            format!("host=127.0.0.1 port={port} user=ticker dbname=no password='{quoted}'"),
        ),
        ("words that end early", format!("host=127.0.0.1 port={port} user=ticker password='{quoted}")),
        ("not escaped", format!("postgres://ticker:{CANARY}@127.0.0.1:{port}/ticker")),
        ("unescaped @", "postgres://ticker:p@c4n4ry@127.0.0.1:1/ticker".to_owned()),
        ("unescaped @ in the query", "postgres://127.0.0.1:1/ticker?user=a@b&password=c4n4ry".to_owned()),
        ("no port", format!("postgres://ticker:{IN_URL}@127.0.0.1:{IN_URL}/ticker")),
    ] {
        // These two read no database and print no settings: a URL that is right and one that is not are enough.
        let more: &[&[&str]] = match what {
            "right" | "wrong mode" => &[&["config", "check"], &["serve", "--help"]],
            _ => &[],
        };
        for &arguments in [&["migrate"][..], &["config", "show"]].iter().chain(more) {
            let codes = in_every_way(&url, arguments, what);
            runs += codes.len();
            if what == "right" && arguments == ["migrate"] {
                assert_eq!(codes[..7], [0; 7], "each way works");
            }
        }
    }
    println!("{runs} runs of the program, none of which printed the password");
    assert_silent("the server's log", &server.log());
}

#[test]
fn the_daemon_never_prints_the_password() {
    let sim = network(521, FaultPlan::none());
    let server = block_on(TlsPostgres::start(CANARY, false));
    let url = format!("postgres://ticker:{IN_URL}@127.0.0.1:{}/ticker", server.port);
    let mut daemon = Daemon::serve(&sim.url(), &url, PASSPHRASE, &["--log", "trace"]);
    daemon.wait_for_publication();
    daemon.provoke("aggregator", "TradesCommitted");
    for path in ["/", "/metrics", "/actors.json", "/quarantine.json"] {
        assert_silent(path, &String::from_utf8_lossy(&daemon.admin(path).body));
    }
    for path in ["/", "/readyz", "/api/v1/status", "/graphql?query={__typename}", "/no"] {
        assert_silent(path, &String::from_utf8_lossy(&daemon.get(path).body));
    }
    drop(server); // and what it says when the database is gone
    crate::support::wait_until("the database is missed", || {
        daemon.get("/readyz").json()["checks"]["database"]["ok"] == false
    });
    assert_silent("/readyz", &String::from_utf8_lossy(&daemon.get("/readyz").body));
    daemon.terminate();
    assert_silent("the log", &daemon.log());
    // Every user of the machine can read the arguments of a process, so there are other ways to pass a password.
}
