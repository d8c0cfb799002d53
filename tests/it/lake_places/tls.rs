//! A lake behind TLS: read with the right authority and name, and with no others.

use std::{net::TcpListener, path::PathBuf};

use stellar_ticker::sim::SimConfig;

use super::*;
use crate::support::tls_server::serve_tls;

/// Serves the files of a directory over TLS on loopback, with a certificate for `localhost`. Returns the port and the
/// certificate.
fn tls_lake(directory: PathBuf) -> (u16, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let certificate = serve_tls(listener, move |request| {
        let key = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/');
        let (status, body) = match std::fs::read(directory.join(key)) {
            Ok(bytes) => ("200 OK", bytes),
            Err(_) => ("404 Not Found", Vec::new()),
        };
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        [head.into_bytes(), body].concat()
    });
    (port, certificate)
}

#[test]
fn a_lake_behind_tls_is_read_if_its_certificate_is_right() {
    let sim = horizon(SimConfig {
        seed: 85,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 2.0,
        history_hours: 1,
        ledger_seconds: 2.0,
        ..SimConfig::default()
    });
    let directory = tempfile::tempdir().unwrap();
    let head = sim.oracle().head();
    sim.lake().write_to(&directory.path().join("lake"), head.elder, head.latest).unwrap();
    let (port, certificate) = tls_lake(directory.path().join("lake"));
    let trusted = directory.path().join("ca.pem");
    std::fs::write(&trusted, certificate).unwrap();
    let trusted = trusted.to_str().unwrap();
    block_on(async {
        let database = fresh_database().await;
        let (url, lake) = (sim.url(), format!("https://localhost:{port}"));
        let common =
            ["ingest", "trades", "--num-hours", "1", "--database-url", &database, "--ca-file", trusted];
        let network = ["--horizon-url", &url, "--network", PASSPHRASE];
        let source = ["--ledger-source", "lake", "--lake-url", &lake];
        let (code, _, log) = run(&[&common[..], &network, &source].concat());
        assert_eq!(code, 0, "{log}");
        let client = recomputation::connect(&database).await;
        compare_at_least(3_001, &client, sim.oracle()).await;
        for (host, authority) in [("localhost", &[][..]), ("127.0.0.1", &["--ca-file", trusted][..])] {
            let lake = format!("https://{host}:{port}");
            let doctor = ["doctor", "--json", "--database-url", &database, "--lake-url", &lake];
            let (_, report, log) = run(&[&doctor[..], &network, authority].concat());
            let report: serde_json::Value = serde_json::from_str(&report).unwrap_or_else(|_| panic!("{log}"));
            let mut checks = report["checks"].as_array().unwrap().iter();
            let check = checks.find(|check| check["name"] == "lake").unwrap().to_string();
            assert!(check.contains("certificate"), "{host}: {check}");
        }
    });
}
