//! A stellar.toml that has moved to another host. The asset's own link stays its link.
//!
//! The daemon fetches such a file only from public addresses. A network namespace has two of them on its loopback, and
//! nothing leaves it.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    process::Command,
    sync::Arc,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::json;

use super::*;
use crate::support::{
    not_tested,
    postgres::open_tempdir,
    scripted::{LEDGER, address, scripted, tea, trade},
    tls_postgres::issue,
};

/// Host of the asset's link, and the host that has the file.
const HOSTS: [(&str, [u8; 4]); 2] = [("tea.com", [8, 8, 4, 4]), ("www.tea.com", [8, 8, 8, 8])];
const LINK: &str = "https://tea.com/.well-known/stellar.toml";
const INSIDE: &str = "TICKER_TEST_OWN_NETWORK";
/// Loopback with the addresses, their names, and the test in it.
const SCRIPT: &str = "ip link set lo up && ip addr add 8.8.4.4/32 dev lo && ip addr add 8.8.8.8/32 dev lo && \
                      mount --bind \"$1\" /etc/hosts && exec \"$0\" --exact \"$2\" --ignored --nocapture";

#[test]
fn an_asset_whose_file_has_moved_keeps_its_own_link() {
    let unshare = ["--net", "--mount"];
    let probe = Command::new("unshare").args(unshare).args(["sh", "-c", "ip link set lo up"]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        return not_tested("a moved stellar.toml: no network namespace, or `ip` is not installed");
    }
    let directory = open_tempdir();
    let hosts = directory.path().join("hosts");
    let line = |(name, ip): &(&str, [u8; 4])| format!("{} {name}\n", std::net::Ipv4Addr::from(*ip));
    let names: String = HOSTS.iter().map(line).collect();
    std::fs::write(&hosts, format!("127.0.0.1 localhost\n{names}")).unwrap();
    let inside = Command::new("unshare")
        .args(unshare)
        .args(["sh", "-c", SCRIPT])
        .arg(std::env::current_exe().unwrap())
        .arg(&hosts)
        .arg("end_to_end::redirected_file::in_a_network_of_its_own")
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said =
        [inside.stdout, inside.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(inside.status.success() && said.contains("1 passed"), "{said}");
}

/// Serves each request of a host with this answer, over TLS.
fn serve(address: SocketAddr, certificate: &str, key: &str, answer: String) {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind(address).unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                request.push(byte[0]);
            }
            // A client that goes early makes this fail.
            let _ = stream.write_all(answer.as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
}

/// Not a test of its own: the process in the namespace. Without its variable it does nothing.
#[test]
#[ignore = "started by another test in a network namespace"]
fn in_a_network_of_its_own() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let file = format!(
        "[DOCUMENTATION]\nORG_NAME = \"Moved Tea\"\nORG_URL = \"https://tea.com\"\n[[CURRENCIES]]\ncode = \"TEA\"\n\
         issuer = \"{}\"\nname = \"Tea\"\n",
        address(9)
    );
    let moved = "HTTP/1.1 301 Moved Permanently\r\nLocation: https://www.tea.com/.well-known/stellar.toml\r\n\
                 Content-Length: 0\r\nConnection: close\r\n\r\n";
    let found =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{file}", file.len());
    let directory = open_tempdir();
    let ca_file = directory.path().join("ca.pem");
    let mut authorities = String::new();
    for ((name, ip), answer) in HOSTS.into_iter().zip([moved.to_owned(), found]) {
        let (authority, certificate, key) = issue(name);
        authorities.push_str(&authority);
        serve(SocketAddr::from((ip, 443)), &certificate, &key, answer);
    }
    std::fs::write(&ca_file, authorities).unwrap();

    let (sim, source) = scripted();
    source.put_asset(tea("tea.com", "1000.0000000")).unwrap();
    block_on(async {
        let (url, database) = (sim.url(), fresh_database().await);
        // Without a gateway the files are fetched from their hosts.
        let daemon = Daemon::start(&[
            "serve",
            "--horizon-url",
            &url,
            "--horizon-requests-per-hour",
            "0",
            "--database-url",
            &database,
            "--network",
            PASSPHRASE,
            "--ca-file",
            ca_file.to_str().unwrap(),
        ]);
        wait_until("the stream is open", || daemon.get("/readyz").json()["checks"]["stream"]["ok"] == true);
        source.push_trade(trade(LEDGER + 1, 0, chrono::Utc::now())).unwrap();
        wait_for_pairs(&daemon);
        let listed = || daemon.get("/assets.json").json()["assets"][0].clone();
        wait_until("the file of the other host is read", || listed()["issuer_detail"]["name"] == "Moved Tea");
        assert_eq!(listed()["issuer_detail"]["toml_url"], LINK);
        // The organisation is at tea.com, which is the host of the link and not at or below the host of the file.
        assert_eq!(listed()["asset_controlled_by_domain"], true);
        let answer = daemon.graphql("{ issuers { name tomlURL } }");
        let issuers = answer["data"]["issuers"].as_array().unwrap();
        assert!(issuers.contains(&json!({"name": "Moved Tea", "tomlURL": LINK})), "{issuers:?}");
        let client = recomputation::connect(&database).await;
        let kept = format!("SELECT count(*) FROM assets WHERE toml_url = '{LINK}' AND is_valid");
        assert_eq!(number(&client, &kept).await, 1);
    });
}
