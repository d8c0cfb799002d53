//! Rules of the configuration, checked on its text.

use crate::support::nginx::{conf, deployed};

/// The directives, without comments.
fn directives() -> String {
    let text = conf();
    text.lines()
        .map(|line| line.split(" # ").next().unwrap_or_default().trim())
        .filter(|line| !line.starts_with('#'))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn knows_no_admin_listener_and_no_path_outside_of_its_prefix() {
    let directives = directives();
    assert!(!directives.contains("9090"), "the admin listener");
    let absolute: Vec<_> = directives
        .lines()
        .filter(|line| {
            ["pid", "root", "alias", "include"].iter().any(|name| line.starts_with(&format!("{name} /")))
                || line.contains("_path /")
        })
        .collect();
    assert!(absolute.is_empty(), "{absolute:?}");
}

#[test]
fn leaves_to_the_daemon_what_is_the_daemons() {
    let directives = directives();
    for name in ["daemon ", "user ", "master_process "] {
        assert!(!directives.lines().any(|line| line.starts_with(name)), "{name}");
    }
}

#[test]
fn two_replicas_take_the_readers_address_from_their_balancer() {
    let (compose, balancer) = (deployed("compose-ha.yml"), deployed("nginx-ha.conf"));
    let (_, nginx) = compose.split_once("\n  nginx:").unwrap();
    let address = nginx.split_once("ipv4_address: ").and_then(|(_, rest)| rest.lines().next()).unwrap();
    let trusted = format!("set_real_ip_from {address};");
    assert!(deployed("trusted-proxies.conf").contains(&trusted), "{trusted}");
    let (everywhere, locations) = balancer.split_once("\n    server {").unwrap();
    assert!(everywhere.contains("\n    proxy_set_header X-Forwarded-For $remote_addr;"));
    assert!(!locations.contains("proxy_set_header"), "a header of a location would drop all others");
    let replicas = balancer.lines().filter_map(|line| line.trim().strip_prefix("server 172."));
    for replica in replicas {
        let (address, _) = replica.split_once(":8000").unwrap();
        assert!(compose.contains(&format!("ipv4_address: 172.{address}\n")), "{address}");
    }
    assert!(!everywhere.contains("server ticker"), "a name would keep the balancer from starting");
    let mounted = "- ./trusted-proxies.conf:/var/lib/ticker/nginx/trusted-proxies.conf:ro";
    assert!(compose.contains(&format!("volumes: &trusted\n      {mounted}")));
    assert!(compose.contains("volumes: *trusted"), "the other replica");
}

/// The blocks `map …` of a configuration, without comments and indentation.
fn maps(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let text = lines.collect::<Vec<_>>().join("\n");
    text.split("\nmap ").skip(1).map(|map| map.split("\n}").next().unwrap().to_owned()).collect()
}

#[test]
fn the_balancer_refuses_and_asks_as_the_nginx_of_a_replica_does() {
    let (inner, balancer) = (conf(), deployed("nginx-ha.conf"));
    let known = maps(&inner);
    for map in maps(&balancer) {
        assert!(known.contains(&map), "nginx.conf has another map, or none: {map}");
    }
    for title in ["$status $title {", "$http_host $host_asked {", "$status:$sent_http_retry_after"] {
        assert!(maps(&balancer).iter().any(|map| map.starts_with(title)), "{title}");
    }
    for line in [
        "large_client_header_buffers 2 32k;",
        "client_max_body_size 64k;",
        "client_body_buffer_size 16k;",
        "client_header_timeout 4s;",
        "client_body_timeout 10s;",
        " send_timeout 10s;", // not `proxy_send_timeout`
        "reset_timedout_connection on;",
        "keepalive_timeout 75s;",
        "error_page 494 =431 /-/problem;",
    ] {
        assert!(inner.contains(line) && balancer.contains(line), "{line}");
    }
}

/// The documentation lists each limiting directive as the configuration has it, and the other way round.
#[test]
fn the_limits_are_those_that_are_documented() {
    let directives = directives();
    let documented = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/limits.md")).unwrap();
    let (_, table) = documented.split_once("## nginx").unwrap();
    let named: Vec<&str> = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|line| line.split('|').nth(1).unwrap().split('`').skip(1).step_by(2))
        .collect();
    // `send_timeout` is no part of `proxy_send_timeout`.
    let has = |limit: &str| [' ', '\n'].iter().any(|before| directives.contains(&format!("{before}{limit}")));
    for limit in &named {
        assert!(has(limit), "{limit} is documented and not in nginx.conf");
    }
    let bounds = |line: &&str| {
        ["limit_conn ", "worker_connections", "client_max", "large_client"]
            .iter()
            .any(|name| line.starts_with(name))
            || line.split(' ').next().is_some_and(|name| name.ends_with("_timeout"))
                && !line.starts_with("keepalive_timeout 25s") // towards the daemon
                && !line.starts_with("worker_shutdown_timeout")
                && !line.starts_with("reset_timedout")
            || line.starts_with("proxy_buffer")
            || line.starts_with("proxy_max")
    };
    for line in directives.lines().filter(bounds) {
        assert!(named.iter().any(|named| line.starts_with(named)), "{line} is not documented");
    }
    for value in ["rate=", "burst=", "max_size=", "inactive="] {
        let in_conf = directives.split(value).nth(1).unwrap();
        let setting = format!("{value}{}", in_conf.split([' ', ';']).next().unwrap());
        assert!(named.contains(&setting.as_str()), "{setting} is not documented");
    }
}
