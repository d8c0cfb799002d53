//! The lines for TLS that are comments in the configuration.

use std::{fs, net::TcpListener};

use stellar_ticker::sim::FaultPlan;

use crate::support::{
    daemon::{Daemon, run},
    network::{PASSPHRASE, block_on, network},
    nginx::{Nginx, conf_with},
    postgres::{fresh_database, open_tempdir},
    progress::wait_for_pairs,
    tls_postgres::issue,
};

/// A commented directive, and the same directive uncommented.
fn uncommented(directive: &str) -> (String, String) {
    (format!("# {directive}"), directive.to_owned())
}

#[test]
fn uncommented_they_serve_https_beside_http() {
    let files = open_tempdir();
    let (ca, certificate, key) = issue("localhost");
    for (name, text) in [("ca.pem", ca), ("fullchain.pem", certificate), ("privkey.pem", key)] {
        fs::write(files.path().join(name), text).unwrap();
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut lines: Vec<(String, String)> = [
        "listen 8443 ssl http2;",
        "ssl_certificate /etc/ticker/tls/fullchain.pem;",
        "ssl_certificate_key /etc/ticker/tls/privkey.pem;",
        "ssl_protocols TLSv1.2 TLSv1.3;",
        "ssl_session_cache shared:tls:4m;",
    ]
    .map(uncommented)
    .into();
    lines.push(("listen 8443".to_owned(), format!("listen 127.0.0.1:{port}")));
    for name in ["fullchain.pem", "privkey.pem"] {
        lines.push((format!("/etc/ticker/tls/{name}"), files.path().join(name).display().to_string()));
    }
    let lines: Vec<(&str, &str)> = lines.iter().map(|(old, new)| (old.as_str(), new.as_str())).collect();
    let conf = conf_with(&lines);

    let sim = network(405, FaultPlan::none());
    let database = block_on(fresh_database());
    let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
    wait_for_pairs(&daemon);
    let nginx = Nginx::start(&conf, daemon.public, daemon.output("markets.json").parent().unwrap());
    assert_eq!(nginx.get("/markets.json").status, 200);
    // Our own client reads both files and GraphQL by HTTPS, and every figure is right.
    let (url, ca) = (format!("https://localhost:{port}"), files.path().join("ca.pem"));
    let audit = ["audit", "--url", &url, "--database-url", &database];
    let (code, report, log) = run(&[&audit[..], &["--ca-file", ca.to_str().unwrap()]].concat());
    assert_eq!(code, 0, "{report}{log}");
    assert!(report.contains("markets.json: ") && report.contains("GraphQL, 168 hours: "), "{report}");
    let (code, _, log) = run(&audit);
    assert!(code == 69 && log.contains("certificate"), "the authority is unknown: {log}");
}
