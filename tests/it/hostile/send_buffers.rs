//! Bytes of answers that the kernel holds for clients who read nothing.

use std::{io::Write, net::TcpStream, process::Command};

use nix::sys::socket::{setsockopt, sockopt::RcvBuf};

use crate::support::{
    daemon::Daemon, figure, network::PASSPHRASE, network::block_on, not_tested, wait_until,
    wide::wide_database,
};

/// Markets for which `markets.json` takes more than the kernel holds for a connection.
const MARKETS: u32 = 2_000;
/// Connections that get the largest send buffer.
const FEW: usize = 256;
/// Connections beyond them.
const MORE: usize = 60;

/// Bytes that the kernel holds for the daemon's connections, by the client's port; `None` without `ss`.
fn held(daemon: &Daemon) -> Option<Vec<(u16, usize)>> {
    let filter = format!("sport = :{}", daemon.public.port());
    let output = Command::new("ss").args(["-tnmHO", "state", "established", &filter]).output().ok()?;
    let text = String::from_utf8(output.stdout).unwrap();
    let of_line = |line: &str| {
        // Receive queue, send queue, local and peer address, and `skmem:(r0,rb131072,t0,tb46080,f0,w0,o0,bl0,d0)`.
        let peer = line.split_whitespace().nth(3)?.rsplit_once(':')?.1.parse().ok()?;
        let memory = line.split_once("skmem:(")?.1;
        let held = memory.split(',').find_map(|field| field.strip_prefix('w'))?;
        Some((peer, held.parse().ok()?))
    };
    Some(text.lines().filter_map(of_line).collect())
}

#[test]
fn the_kernel_holds_less_for_each_connection_the_more_there_are() {
    let database = block_on(wide_database(MARKETS));
    let more = ["--publish-interval", "24h", "--connections-per-address", "0"];
    let daemon = Daemon::serve("http://127.0.0.1:9", &database, PASSPHRASE, &more);
    daemon.wait_for_publication();
    if held(&daemon).is_none() {
        return not_tested("ss of Debian's package iproute2 is missing");
    }
    wait_until("the daemon has no other connection", || held(&daemon).unwrap().is_empty());
    // The daemon counts each with those before it.
    let clients: Vec<TcpStream> = (0..FEW + MORE)
        .map(|_| {
            let client = TcpStream::connect(daemon.public).unwrap();
            setsockopt(&client, RcvBuf, &4_096).unwrap();
            client
        })
        .collect();
    for mut client in &clients {
        write!(client, "GET /markets.json HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    }
    let ports: Vec<u16> = clients.iter().map(|client| client.local_addr().unwrap().port()).collect();
    let (mut before, mut few, mut beyond) = (Vec::new(), 0, 0);
    wait_until("the kernel holds as much as it takes for each", || {
        let now = held(&daemon).unwrap();
        let of = |ports: &[u16]| -> Vec<usize> {
            let is_of = |(port, _): &&(u16, usize)| ports.contains(port);
            now.iter().filter(is_of).map(|(_, bytes)| *bytes).collect()
        };
        let all = of(&ports);
        let is_full = all.len() == FEW + MORE && all.iter().all(|bytes| *bytes > 0) && all == before;
        before = all;
        let mean = |held: Vec<usize>| held.iter().sum::<usize>() / held.len().max(1);
        (few, beyond) = (mean(of(&ports[..FEW])), mean(of(&ports[FEW..])));
        is_full
    });
    let all: usize = before.iter().sum();
    println!("{few} bytes for each of {FEW} connections, {beyond} for each of {MORE} more, {all} for all");
    assert!(few > 0 && beyond * 2 < few, "{beyond} bytes beyond {FEW} connections, {few} up to them");
    figure!(
        "the kernel holds less for each client the more of them there are",
        "{few} bytes for each of {FEW} that read nothing, {beyond} for each of {MORE} more"
    );
}
