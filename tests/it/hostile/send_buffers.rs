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

/// Bytes that the kernel holds for each connection to the daemon, and how many it may hold; `None` without `ss`.
fn held(daemon: &Daemon) -> Option<Vec<(usize, usize)>> {
    let filter = format!("sport = :{}", daemon.public.port());
    let output = Command::new("ss").args(["-tnmHO", "state", "established", &filter]).output().ok()?;
    let text = String::from_utf8(output.stdout).unwrap();
    let of_line = |line: &str| {
        // `skmem:(r0,rb131072,t0,tb46080,f0,w0,o0,bl0,d0)`: of these `w` and `tb`.
        let memory = line.split_once("skmem:(")?.1;
        let field = |name: &str| memory.split(',').find_map(|field| field.strip_prefix(name)?.parse().ok());
        Some((field("w")?, field("tb")?))
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
    // The threads of the daemon may count them in another order than that of the clients.
    let mut before = Vec::new();
    wait_until("the kernel holds as much as it takes for each", || {
        let now = held(&daemon).unwrap();
        let is_full = |(held, most): &(usize, usize)| *held > 0 && 3 * held >= *most;
        let mut sizes: Vec<usize> = now.iter().filter(|size| is_full(size)).map(|(held, _)| *held).collect();
        sizes.sort_unstable();
        sizes.reverse();
        let is_steady = sizes.len() == FEW + MORE && sizes == before;
        before = sizes;
        is_steady
    });
    let mean = |held: &[usize]| held.iter().sum::<usize>() / held.len();
    let (few, beyond) = (mean(&before[..FEW]), mean(&before[FEW..]));
    let all: usize = before.iter().sum();
    println!("{few} bytes for each of {FEW} connections, {beyond} for each of {MORE} more, {all} for all");
    assert!(beyond * 2 < few, "{beyond} bytes beyond {FEW} connections, {few} up to them");
    figure!(
        "the kernel holds less for each client the more of them there are",
        "{few} bytes for each of {FEW} that read nothing, {beyond} for each of {MORE} more"
    );
}
