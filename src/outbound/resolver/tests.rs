//! Lookups in files and at name servers that the tests provide on loopback.

use std::{
    net::{Ipv4Addr, UdpSocket},
    sync::atomic::{AtomicU32, Ordering},
};

use hickory_resolver::config::{NameServerConfig, ProtocolConfig, ResolverConfig, ResolverOpts};

use super::*;

/// Port of a server that answers nothing, and the number of packets that it got.
fn silent_name_server() -> (u16, Arc<AtomicU32>) {
    let asked = Arc::<AtomicU32>::default();
    let count = Arc::clone(&asked);
    let port = name_server(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        None
    });
    (port, asked)
}

/// Name server on loopback. `answer` receives the name and type of each query and returns the addresses. `None` means
/// silence.
fn name_server(answer: impl Fn(&str, u16) -> Option<Vec<Ipv4Addr>> + Send + 'static) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut packet = [0; 1_500];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            let question = &packet[..length];
            let (name, end) = name_at(question, 12);
            let kind = u16::from_be_bytes([question[end], question[end + 1]]);
            let Some(addresses) = answer(&name, kind) else { continue };
            let code = if name.starts_with("none.") { 3 } else { 0 };
            let count = u8::try_from(addresses.len()).unwrap();
            let mut reply = vec![question[0], question[1], 0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0];
            reply.extend_from_slice(&question[12..end + 4]);
            for address in addresses {
                reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4]); // valid for an hour
                reply.extend_from_slice(&address.octets());
            }
            if count == 0 {
                // The authority section: the negative answer is valid for a day.
                reply[9] = 1;
                reply.extend_from_slice(&[0, 0, 6, 0, 1, 0, 1, 0x51, 0x80, 0, 22, 0, 0]);
                reply.extend((0..5).flat_map(|_| 86_400_u32.to_be_bytes()));
            }
            let _ = socket.send_to(&reply, from);
        }
    });
    port
}

/// Name at an offset of a packet, and the offset after it.
fn name_at(packet: &[u8], mut at: usize) -> (String, usize) {
    let mut name = String::new();
    while packet[at] > 0 {
        let length = usize::from(packet[at]);
        name.push_str(std::str::from_utf8(&packet[at + 1..=at + length]).unwrap());
        name.push('.');
        at += length + 1;
    }
    (name.to_lowercase(), at + 1)
}

fn servers(ports: &[u16], resolv_conf: &str) -> Servers {
    servers_over(NameServerConfig::udp, ports, resolv_conf)
}

fn servers_over(config: fn(IpAddr) -> NameServerConfig, ports: &[u16], resolv_conf: &str) -> Servers {
    let (parsed, options): (ResolverConfig, ResolverOpts) =
        parse_resolv_conf(format!("{resolv_conf}\n{DEFAULT_SERVER}")).unwrap();
    let configs = ports.iter().map(|port| {
        let mut server = config(Ipv4Addr::LOCALHOST.into());
        for connection in &mut server.connections {
            assert!(matches!(connection.protocol, ProtocolConfig::Udp | ProtocolConfig::Tcp));
            connection.port = *port;
        }
        server
    });
    let config =
        ResolverConfig::from_parts(parsed.domain().cloned(), parsed.search().to_vec(), configs.collect());
    Servers::new(&config, &options)
}

fn name(text: &str) -> Name {
    Name::from_utf8(text).unwrap()
}

const A: u16 = 1;
const ONE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

#[tokio::test]
async fn the_search_list_applies_only_to_names_that_operators_write() {
    let port = name_server(|name, kind| {
        let known = ["db.inside.example.", "deep.db.inside.example.", "public.example."].contains(&name);
        Some(if known && kind == A { vec![ONE] } else { Vec::new() })
    });
    let servers = servers(&[port], "search nowhere.example inside.example\noptions ndots:2");
    for found in ["db", "deep.db", "public.example", "public.example."] {
        assert_eq!(servers.resolve(&name(found), true).await.unwrap(), [IpAddr::from(ONE)], "{found}");
    }
    for unknown in ["db", "deep.db", "db."] {
        let error = servers.resolve(&name(unknown), false).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{unknown}: {error}");
    }
    assert_eq!(servers.resolve(&name("public.example"), false).await.unwrap(), [IpAddr::from(ONE)]);
}

#[tokio::test]
async fn answers_are_not_cached() {
    const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
    let asked = std::sync::atomic::AtomicUsize::new(0);
    // Name of a container that starts and then moves.
    let port = name_server(move |_, kind| {
        let lookups = asked.fetch_add(usize::from(kind == A), Ordering::SeqCst);
        Some(match (kind, lookups) {
            (A, 0) => Vec::new(),
            (A, 1) => vec![ONE],
            (A, _) => vec![OTHER],
            _ => Vec::new(),
        })
    });
    let servers = servers(&[port], "");
    let one = name("one.example");
    assert_eq!(servers.resolve(&one, false).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(servers.resolve(&one, false).await.unwrap(), [IpAddr::from(ONE)]);
    assert_eq!(servers.resolve(&one, false).await.unwrap(), [IpAddr::from(OTHER)]);
}

#[tokio::test]
async fn a_silent_name_server_is_bypassed_and_then_queried_last() {
    let (silent, asked) = silent_name_server();
    let living = name_server(|_, kind| Some(if kind == A { vec![ONE] } else { Vec::new() }));
    let servers = servers(&[silent, living], "");
    assert_eq!(servers.resolve(&name("one.example"), true).await.unwrap(), [IpAddr::from(ONE)]);
    let before = asked.load(Ordering::SeqCst);
    assert!(before > 0);
    for count in 0..5 {
        let found = servers.resolve(&name(&format!("another{count}.example")), true).await.unwrap();
        assert_eq!(found, [IpAddr::from(ONE)]);
    }
    assert_eq!(asked.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn a_silent_name_server_is_bypassed_also_by_callers_with_little_time() {
    // Nothing answers its queries over TCP either.
    let (silent, asked) = silent_name_server();
    let living = name_server(|_, kind| Some(if kind == A { vec![ONE] } else { Vec::new() }));
    let servers = servers_over(NameServerConfig::udp_and_tcp, &[silent, living], "");
    let one = name("one.example");
    let first = tokio::time::timeout(Duration::from_secs(1), servers.resolve(&one, true)).await;
    assert!(first.is_err(), "the caller waits for the silent server: {first:?}");
    let before = asked.load(Ordering::SeqCst);
    assert!(before > 0);
    assert_eq!(servers.resolve(&one, true).await.unwrap(), [IpAddr::from(ONE)]);
    assert_eq!(asked.load(Ordering::SeqCst), before, "the silent server is not asked first again");
}

#[tokio::test]
async fn dropped_queries_for_one_family_delay_the_other_only_briefly() {
    let port = name_server(|_, kind| (kind == A).then(|| vec![ONE]));
    let found = servers(&[port], "").resolve(&name("one.example"), true).await;
    assert_eq!(found.unwrap(), [IpAddr::from(ONE)]);
}

#[tokio::test]
async fn distinguishes_an_unknown_name_from_silent_servers() {
    let living = name_server(|_, _| Some(Vec::new()));
    let error = servers(&[living], "").resolve(&name("none.example"), true).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
    let silent = name_server(|_, _| None);
    let error = servers(&[silent], "").resolve(&name("one.example"), true).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
}

#[test]
fn unanswered_lookups_use_no_threads_and_end_when_dropped() {
    let silent = name_server(|_, _| None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    let lookups_max = 200;
    runtime.block_on(async {
        let servers = servers(&[silent], "");
        let names: Vec<Name> = (0..lookups_max).map(|number| name(&format!("d{number}.example"))).collect();
        let before = threads();
        let lookups = futures_util::future::join_all(names.iter().map(|name| servers.resolve(name, false)));
        assert!(
            tokio::time::timeout(Duration::from_millis(300), lookups).await.is_err(),
            "no server answers"
        );
        // Other tests of this process may start or end threads meanwhile. One thread per lookup would be 200.
        assert!(threads() < before + lookups_max / 4, "{before} threads before, {} after", threads());
    });
}

#[tokio::test]
async fn the_hosts_file_comes_first_and_changed_files_are_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let (hosts, resolv_conf) = (directory.path().join("hosts"), directory.path().join("resolv.conf"));
    fs::write(&hosts, "192.0.2.1 db Db.Example # the database\n2001:db8::1 db\n").unwrap();
    let names = Resolver::of(hosts.clone(), resolv_conf);
    let of = async |host: &str| {
        names.addresses(host, 7).await.map(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let both: Vec<String> = vec!["[2001:db8::1]:7".into(), "192.0.2.1:7".into()];
    assert_eq!(of("db").await.unwrap(), both);
    assert_eq!(of("DB.example").await.unwrap(), ["192.0.2.1:7"]);
    assert_eq!(of("db.example.").await.unwrap(), ["192.0.2.1:7"]);
    fs::write(&hosts, "192.0.2.77 db\n").unwrap();
    let begun = Instant::now();
    while of("db").await.unwrap() == both {
        assert!(begun.elapsed() < Duration::from_secs(60), "the change was never seen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(of("db").await.unwrap(), ["192.0.2.77:7"]);
}

#[tokio::test]
async fn an_operators_host_may_have_an_underscore_and_a_strangers_not() {
    let directory = tempfile::tempdir().unwrap();
    let (hosts, resolv_conf) = (directory.path().join("hosts"), directory.path().join("resolv.conf"));
    fs::write(&hosts, "192.0.2.1 ticker_db\n").unwrap();
    let names = Resolver::of(hosts, resolv_conf);
    assert_eq!(names.addresses("ticker_db", 7).await.unwrap(), ["192.0.2.1:7".parse().unwrap()]);
    let refused = names.addresses_of_domain("ticker_db", 7).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{refused}");
    let port = name_server(|name, kind| {
        Some(if name == "other_db.inside.example." && kind == A { vec![ONE] } else { Vec::new() })
    });
    let servers = servers(&[port], "search inside.example");
    let other = Name::from_str_relaxed("other_db").unwrap();
    assert_eq!(servers.resolve(&other, true).await.unwrap(), [IpAddr::from(ONE)]);
}

#[tokio::test]
async fn ip_addresses_need_no_lookup() {
    let names = Resolver::of("/nonexistent/hosts".into(), "/nonexistent/resolv.conf".into());
    for (host, address) in [("192.0.2.1", "192.0.2.1:7"), ("[::1]", "[::1]:7"), ("::1", "[::1]:7")] {
        assert_eq!(names.addresses(host, 7).await.unwrap(), [address.parse().unwrap()], "{host}");
    }
    for host in ["", "a b", "a..b", &"x".repeat(300)] {
        let error = names.addresses(host, 7).await.unwrap_err();
        assert_ne!(error.kind(), io::ErrorKind::TimedOut, "{host}: {error}");
    }
}
