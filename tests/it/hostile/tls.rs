//! `sslmode=verify-full` against a real server: the right authority and name, and nothing else.

use std::{fs, path::Path, process::Command};

use crate::support::{
    daemon::run, network::block_on, not_tested, postgres::open_tempdir, tls_postgres::TlsPostgres,
};

const PASSWORD: &str = "tls-password";

fn migrate(url: &str, more: &[&str]) -> (i32, String) {
    migrate_within("60s", url, more)
}

/// A refusal waits until its timeout, so that is short.
fn refused(url: &str) -> (i32, String) {
    migrate_within("200ms", url, &[])
}

fn migrate_within(patience: &str, url: &str, more: &[&str]) -> (i32, String) {
    let (code, _, log) = run(&[
        &["migrate", "--startup-timeout", patience, "--log-format", "json", "--database-url", url],
        more,
    ]
    .concat());
    (code, log)
}

#[test]
fn only_the_right_authority_and_name_are_taken() {
    let (server, plain) = block_on(async {
        (TlsPostgres::start(PASSWORD, true).await, TlsPostgres::start(PASSWORD, false).await)
    });
    let (ca, other) = (server.file("ca.pem"), server.file("other-ca.pem"));
    let port = server.port;
    let url = |host: &str, port: u16, query: &str| {
        format!("postgres://ticker:{PASSWORD}@{host}:{port}/ticker?{query}")
    };
    let full = |root: &str| format!("sslmode=verify-full&sslrootcert={root}");
    let words = |host: &str, query: &str| {
        format!("host={host} port={port} user=ticker password={PASSWORD} dbname=ticker {query}")
    };
    for (what, url, more) in [
        ("the right authority", url("localhost", port, &full(&ca)), Vec::new()),
        ("by --ca-file", url("localhost", port, "sslmode=verify-full"), vec!["--ca-file", ca.as_str()]),
        (
            "in the other form",
            words("localhost", &format!("sslmode=verify-full sslrootcert={ca}")),
            Vec::new(),
        ),
        ("verify-ca", url("localhost", port, &format!("sslmode=verify-ca&sslrootcert={ca}")), Vec::new()),
        (
            "require with the right root",
            url("localhost", port, &format!("sslmode=require&sslrootcert={}", ca.replace('/', "%2F"))),
            Vec::new(),
        ),
        ("require takes any certificate", url("127.0.0.1", port, "sslmode=require"), Vec::new()),
        ("a server without TLS, preferred", url("127.0.0.1", plain.port, "sslmode=prefer"), Vec::new()),
    ] {
        let (code, log) = migrate(&url, &more);
        assert_eq!(code, 0, "{what}: {log}");
    }
    for (what, url, expected) in [
        ("another authority", url("localhost", port, &full(&other)), "invalid peer certificate"),
        ("the public authorities", url("localhost", port, "sslmode=verify-full"), "invalid peer certificate"),
        (
            "require with a root that did not sign it",
            url("localhost", port, &format!("sslmode=require&sslrootcert={}", other.replace('/', "%2F"))),
            "invalid peer certificate",
        ),
        (
            "and in the other form",
            words("localhost", &format!("sslmode = 'require' sslrootcert = '{other}'")),
            "invalid peer certificate",
        ),
        ("another name", url("127.0.0.1", port, &full(&ca)), "not valid for name"),
        (
            "verify-ca checks the name too",
            url("127.0.0.1", port, &format!("sslmode=verify-ca&sslrootcert={ca}")),
            "not valid for name",
        ),
        (
            "a server without TLS",
            url("localhost", plain.port, &full(&ca)),
            "server does not support TLS (set `ssl = on`",
        ),
        ("no TLS where it must be", url("localhost", port, "sslmode=disable"), "no encryption"),
    ] {
        let (code, log) = refused(&url);
        assert_eq!(code, 69, "{what}: {log}");
        assert!(log.contains(expected), "{what}: {log}");
        assert!(!log.contains(PASSWORD), "{what}: {log}");
    }
    let (code, log) = refused(&url("localhost", port, "sslmode=verify-full&sslrootcert=/no/such.pem"));
    assert_eq!(code, 78, "{log}");
    assert!(log.contains("/no/such.pem"), "{log}");
    assert!(!plain.log().contains(PASSWORD) && !server.log().contains(PASSWORD));
}

#[test]
fn a_rejected_login_is_final_and_an_absent_server_is_waited_for() {
    let server = block_on(TlsPostgres::start(PASSWORD, true));
    let url = |user: &str, password: &str, port: u16, rest: &str| {
        format!("postgres://{user}:{password}@localhost:{port}/{rest}")
    };
    for (what, url, expected) in [
        ("password", url("ticker", "wrong", server.port, "ticker"), "28P01"),
        ("role", url("nobody", PASSWORD, server.port, "ticker"), "28P01"),
        ("database", url("ticker", PASSWORD, server.port, "nothing"), "3D000"),
        ("pg_hba.conf", url("ticker", PASSWORD, server.port, "ticker?sslmode=disable"), "28000"),
    ] {
        let (code, log) = migrate_within("1h", &url, &[]);
        assert!(code == 69 && log.contains(expected), "{what}: {code} {log}");
        assert!(!log.contains("waiting for the database"), "{what}: {log}");
    }
    let (code, log) = migrate_within("200ms", &url("ticker", PASSWORD, 1, "ticker"), &[]);
    assert!(code == 69 && log.contains("waiting for the database"), "{code} {log}");
}

/// The recipe of PostgreSQL's manual: an authority, and a server's certificate without `subjectAltName`, which OpenSSL
/// makes one of version 1. Returns false if there is no OpenSSL.
fn make_by_the_manual(directory: &Path) -> bool {
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).current_dir(directory);
        command.output().is_ok_and(|output| output.status.success())
    };
    openssl("req -new -x509 -days 10 -nodes -subj /CN=authority -keyout root.key -out root.pem")
        && openssl("req -new -nodes -subj /CN=localhost -keyout server.key -out server.csr")
        && openssl(
            "x509 -req -in server.csr -days 10 -CA root.pem -CAkey root.key -CAcreateserial -out server.pem",
        )
}

#[test]
fn a_certificate_by_the_manual_encrypts_and_is_refused_with_advice_where_it_is_checked() {
    let directory = open_tempdir();
    if !make_by_the_manual(directory.path()) {
        return not_tested("openssl is absent, so no certificate of version 1 was tried");
    }
    let server = block_on(TlsPostgres::start(PASSWORD, true));
    let [certificate, key] =
        ["server.pem", "server.key"].map(|name| fs::read_to_string(directory.path().join(name)).unwrap());
    server.set_certificate(&certificate, &key);
    let url = |query: &str| format!("postgres://ticker:{PASSWORD}@localhost:{}/ticker?{query}", server.port);
    for mode in ["prefer", "require"] {
        let (code, log) = migrate(&url(&format!("sslmode={mode}")), &[]);
        assert_eq!(code, 0, "{mode}: {log}");
    }
    let root = directory.path().join("root.pem");
    let (code, log) = refused(&url(&format!("sslmode=verify-full&sslrootcert={}", root.display())));
    assert!(code == 69 && log.contains("name the host in subjectAltName"), "{code} {log}");
}
