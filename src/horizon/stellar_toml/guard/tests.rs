//! Tables of accepted and refused URLs and addresses.

use super::*;
use proptest::prelude::*;

const SPECIAL: &str = "
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1
    127.1.2.3 127.255.255.255 169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.1 172.20.1.1
    172.31.255.255 192.0.0.1 192.0.0.8 192.0.0.170 192.0.0.192 192.0.2.1 192.31.196.1 192.52.193.1
    192.88.99.1 192.168.0.1 192.168.255.255 192.175.48.1 198.18.0.1 198.19.255.255 198.51.100.7
    203.0.113.9 224.0.0.1 233.252.0.1 239.255.255.250 240.0.0.1 250.1.1.1 255.255.255.254
    255.255.255.255 :: ::1 ::2 ::ffff:0:0 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254
    ::127.0.0.1 ::10.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b::a00:1 64:ff9b::c0a8:101
    64:ff9b::6440:1 64:ff9b::e000:1 64:ff9b::1:808:808 64:ff9b:0:0:0:1:808:808 64:ff9c::808:808 ::808:808
    64:ff9b:1::1 64:ff9b:1:fffe:: 100::1 100:0:0:1::1 1::1 2001::1 2001:0:4136:e378:8000:63bf:f5ff:fffe
    2001:0:4136:e378:8000:63bf:3fff:fdd2
    2001:0:a00:1:8000:63bf:3fff:fdd2 2001:0:7f00:1::f7f7:f7f7 2001:0:808:808::ffff:ffff
    2001:1::1 2001:1::2 2001:2::1 2001:3::1 2001:4:112::1 2001:10::1 2001:1f:ffff::1 2001:20::1
    2001:2f::1 2001:30::1 2001:1ff::1 2001:db8::1 2001:db8:ffff::1 2002::1 2002:7f00:1:: 2002:a00:1::1 2002:c0a8:101::
    2002:a9fe:a9fe::1 2620:4f:8000::1 3fff::1 3fff:fff::1 4000::1 5f00::1 8000::1 fc00::1 fd00::1
    fd00:ec2::254 fdff:ffff::1 fe80::1 fe80::a9fe:a9fe febf::1 fec0::1 ff00::1 ff02::1 ff05::1:3
    ffff::1
";
const PUBLIC: &str = "
    1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.0 172.15.0.1 172.32.0.1 192.0.1.1 192.167.1.1 198.17.1.1
    198.20.0.1 223.255.255.255 169.253.1.1 2606:4700::1111 2a00:1450::1 2001:200::1 2001:4860::8888
    2003::1 2620:4e::1 3ffe::1 64:ff9b::808:808 64:ff9b::2d21:6401 ::ffff:8.8.8.8 2002:808:808::1
    2001:0:4136:e378:8000:63bf:f7f7:f7f7
";

#[test]
fn accepts_domain_names_over_https() {
    for (url, host, path) in [
        ("https://example.com/.well-known/stellar.toml", "example.com", "/.well-known/stellar.toml"),
        ("HTTPS://Tea.Example.COM:443/a?b=c#d", "tea.example.com", "/a?b=c"),
        ("https://xn--bcher-kva.ch", "xn--bcher-kva.ch", "/"),
        ("https://1.2.3.4.example.com/x", "1.2.3.4.example.com", "/x"),
        ("https://a.co?x", "a.co", "/?x"),
        ("https://example.com.", "example.com", "/"),
        ("https://b\u{fc}cher.ch", "xn--bcher-kva.ch", "/"),
        ("https://\u{2460}\u{2461}.com", "12.com", "/"),
        ("https://https://example.com/.well-known/stellar.toml", "example.com", "/.well-known/stellar.toml"),
        ("https://example.com//.well-known/stellar.toml", "example.com", "/.well-known/stellar.toml"),
    ] {
        assert_eq!(TomlUrl::parse(url), Ok(TomlUrl { host: host.into(), path: path.into() }), "{url}");
    }
}

#[test]
fn refuses_everything_else() {
    let long = format!("https://{}.com", "a".repeat(64));
    for url in [
        "",
        "https://",
        "http://example.com",
        "ftp://example.com",
        "//example.com",
        "example.com",
        "https:/example.com",
        "https://example.com:80",
        "https://example.com:8443/",
        "https://example.com:",
        "https://user@example.com",
        "https://example.com@evil.net",
        "https://example.com:443@evil.net",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]",
        "https://127.0.0.1",
        "https://127.1",
        "https://2130706433",
        "https://0x7f000001",
        "https://0x7f.1",
        "https://0177.0.0.1",
        "https://127.0.0.1.",
        "https://1.1.1.1/",
        "https://a.0x7f",
        "https://localhost",
        "https://localhost.",
        "https://example",
        "https://example.com..",
        "https://https://127.0.0.1/",
        "https://\u{2460}\u{2461}\u{2466}.\u{24ea}.\u{24ea}.\u{2460}/",
        "https://\u{ff11}\u{ff10}\u{3002}0\u{3002}0\u{3002}1",
        "https://.example.com",
        "https://exa mple.com",
        "https://exam\tple.com",
        "https://ex\u{0}ample.com",
        "https://ex%61mple.com",
        "https://local\u{ad}host",
        "https://example_x.com",
        "https://-a.com",
        "https://a-.com",
        "https://a..com",
        "https://example.com\\@evil.net",
        "https://example.com/\u{e9}",
        "https://example.com/a b",
        "https://example.com/\r\nHost: x",
        &long,
    ] {
        assert!(TomlUrl::parse(url).is_err(), "{url}");
    }
}

#[test]
fn recognises_names_that_are_never_public() {
    for (host, special) in [
        ("metadata.google.internal", true),
        ("printer.local", true),
        ("a.localhost", true),
        ("x.onion", true),
        ("tea.example", true),
        ("1.0.0.127.in-addr.arpa", true),
        ("example.com", false),
        ("local.com", false),
    ] {
        assert_eq!(TomlUrl::parse(&format!("https://{host}/")).unwrap().is_special(), special, "{host}");
    }
}

#[test]
fn no_special_address_is_public() {
    let special: Vec<&str> = SPECIAL.split_whitespace().collect();
    assert!(special.len() >= 80);
    for address in special {
        assert!(!is_public(address.parse().unwrap()), "{address}");
    }
    for address in PUBLIC.split_whitespace() {
        assert!(is_public(address.parse().unwrap()), "{address}");
    }
}

proptest! {
    #[test]
    fn never_panics_and_accepts_only_domain_names(text in "\\PC*", host in "[a-zA-Z0-9.:@\\[\\]%_-]{0,30}") {
        for url in [text, format!("https://{host}/x")] {
            if let Ok(target) = TomlUrl::parse(&url) {
                prop_assert!(target.host.parse::<IpAddr>().is_err() && target.host.contains('.'));
                prop_assert!(target.path.starts_with('/'));
            }
        }
    }
}
