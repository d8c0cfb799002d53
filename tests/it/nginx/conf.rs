//! What the configuration says, told from its text.

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
fn two_replicas_believe_their_balancer_and_it_tells_who_asks() {
    let (compose, balancer) = (deployed("compose-ha.yml"), deployed("nginx-ha.conf"));
    let (_, nginx) = compose.split_once("\n  nginx:").unwrap();
    let address = nginx.split_once("ipv4_address: ").and_then(|(_, rest)| rest.lines().next()).unwrap();
    let trusted = format!("set_real_ip_from {address};");
    assert!(deployed("trusted-proxies.conf").contains(&trusted), "{trusted}");
    let [passed_on, told] = ["proxy_pass ", "proxy_set_header X-Forwarded-For $remote_addr;"]
        .map(|directive| balancer.matches(directive).count());
    assert_eq!(passed_on, told, "in each place that passes requests on");
    let mounted = "- ./trusted-proxies.conf:/var/lib/ticker/nginx/trusted-proxies.conf:ro";
    assert!(compose.contains(&format!("volumes: &trusted\n      {mounted}")));
    assert!(compose.contains("volumes: *trusted"), "the other replica");
}
