//! Answers to readers, with the daemon and without it.

use std::{fs, io::Read, net::TcpListener, path::Path};

use nix::sys::signal::{Signal, kill};
use stellar_ticker::sim::{FaultPlan, SimServer};

use crate::support::{
    daemon::{Answer, Daemon},
    network::{PASSPHRASE, block_on, network},
    nginx::{Nginx, assert_problem, assert_well_formed, conf, conf_with},
    postgres::{fresh_database, open_tempdir},
    wait_until,
    wide::wide_database,
};

/// One publication and no more, so that answers can be compared.
const ONCE: [&str; 2] = ["--publish-interval", "24h"];
const CODINGS: [(&str, Option<&str>); 3] = [("identity", None), ("gzip", Some("gzip")), ("br", Some("br"))];

struct Served {
    daemon: Daemon,
    nginx: Nginx,
    _sim: SimServer,
}

/// A daemon with one publication, also in files, and nginx in front.
fn served(seed: u64) -> Served {
    served_with(seed, &conf_with(&[PATIENT, TIMELESS]))
}

fn served_with(seed: u64, conf: &str) -> Served {
    let sim = network(seed, FaultPlan::none());
    let database = block_on(fresh_database());
    let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &ONCE);
    daemon.wait_for_publication();
    let file = daemon.output("markets.json");
    wait_until("the files are written", || file.exists());
    let nginx = Nginx::start(conf, daemon.public, file.parent().unwrap());
    Served { daemon, nginx, _sim: sim }
}

/// Raises the time that nginx waits for the daemon. A busy machine may need more than two seconds, and nginx would send
/// a file instead.
pub(super) const PATIENT: (&str, &str) = ("proxy_read_timeout 2s", "proxy_read_timeout 1h");

/// Removes the minute from the cache key: a test may begin in one minute and end in the next.
const TIMELESS: (&str, &str) = ("|$minute\"", "\"");

pub(super) fn accept(coding: &str) -> String {
    format!("Accept-Encoding: {coding}\r\n")
}

pub(super) fn unpacked(answer: &Answer) -> Vec<u8> {
    let mut plain = Vec::new();
    match answer.header("Content-Encoding") {
        None => plain.clone_from(&answer.body),
        Some("gzip") => {
            flate2::read::GzDecoder::new(answer.body.as_slice()).read_to_end(&mut plain).unwrap();
        }
        Some("br") => {
            brotli::Decompressor::new(answer.body.as_slice(), 4_096).read_to_end(&mut plain).unwrap();
        }
        Some(other) => panic!("{other}"),
    }
    plain
}

/// A date of HTTP, an hour after another one. Clients may send any date, also one that no answer had.
fn an_hour_after(date: &str) -> String {
    let later = chrono::DateTime::parse_from_rfc2822(date).unwrap() + chrono::TimeDelta::hours(1);
    later.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[test]
fn every_path_of_the_daemon_is_there_and_none_of_the_admin_listener() {
    let Served { daemon, nginx, .. } = served(401);
    let paths = [
        "/",
        "/markets.json",
        "/assets.json",
        "/v1/markets.json",
        "/graphql",
        "/graphiql",
        "/api/v1/status",
        "/livez",
        "/readyz",
        "/m/XLM_USDC",
        "/a/XLM",
        "/docs",
        "/openapi.json",
        "/nothing",
        "/v1/nothing.json",
    ];
    for path in paths {
        let (direct, through) = (daemon.get(path), nginx.get(path));
        assert_eq!(through.status, direct.status, "{path}: {}", through.head);
        assert_eq!(through.header("Content-Type"), direct.header("Content-Type"), "{path}");
        assert_well_formed(path, &through);
    }
    assert_eq!(nginx.get("/").body, daemon.get("/").body);
    let query = r#"{"query": "{ __typename }"}"#;
    let post = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{query}", query.len());
    let answer = nginx.ask("POST", "/graphql", &post);
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert_eq!(answer.body, daemon.get_with("POST", "/graphql", &post).body);
    assert_well_formed("a query", &answer);
    // The cache would give such an answer to everybody.
    let strangers = "X-Forwarded-Host: evil.example\r\nForwarded: host=evil.example\r\n";
    let page = String::from_utf8(nginx.ask("GET", "/a/XLM", strangers).body).unwrap();
    assert!(page.contains("canonical") && !page.contains("evil.example"), "{page}");
    for path in ["/metrics", "/actors.json", "/quarantine.json", "/provoke/nginx/Ping"] {
        assert_eq!(
            daemon.admin(path).status == 200,
            !path.starts_with("/provoke"),
            "{path} is there for operators"
        );
        assert_problem(path, &nginx.get(path), 404);
        assert_problem(path, &nginx.ask("POST", path, "Content-Length: 0\r\n"), 404);
    }
}

#[test]
fn requests_with_conditions_and_codings_are_answered_as_by_the_daemon() {
    let Served { daemon, nginx, .. } = served(402);
    for path in ["/", "/markets.json"] {
        let mut tags = Vec::new();
        for (coding, sent) in CODINGS {
            let (direct, through) =
                (daemon.get_with("GET", path, &accept(coding)), nginx.ask("GET", path, &accept(coding)));
            assert_eq!((through.status, through.header("Content-Encoding")), (200, sent), "{path} {coding}");
            assert_eq!(through.body, direct.body, "{path} {coding}");
            for name in ["ETag", "Vary", "Last-Modified", "Cache-Control"] {
                assert_eq!(through.header(name), direct.header(name), "{path} {coding} {name}");
            }
            assert_eq!(unpacked(&through), daemon.get(path).body, "{path} {coding}");
            let tag = through.header("ETag").unwrap().to_owned();
            let unchanged = nginx.ask("GET", path, &format!("{}If-None-Match: {tag}\r\n", accept(coding)));
            assert_eq!((unchanged.status, unchanged.body.len()), (304, 0), "{path} {coding}");
            assert_eq!(unchanged.header("ETag"), Some(tag.as_str()));
            assert_well_formed("a 304", &unchanged);
            tags.push(tag);
            let head = nginx.ask("HEAD", path, &accept(coding));
            assert_eq!((head.status, head.body.len()), (200, 0), "{path} {coding}");
            assert_eq!(head.header("Content-Length"), Some(through.body.len().to_string().as_str()));
        }
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), 3, "each form has a tag of its own");
        let since = nginx.get(path).header("Last-Modified").unwrap().to_owned();
        for date in [since.clone(), an_hour_after(&since)] {
            assert_eq!(
                nginx.ask("GET", path, &format!("If-Modified-Since: {date}\r\n")).status,
                304,
                "{date}"
            );
        }
        let asked = nginx.ask("OPTIONS", path, "");
        assert_eq!((asked.status, asked.header("Allow")), (204, Some("GET, HEAD, OPTIONS")));
        assert_well_formed("OPTIONS", &asked);
        let refused = nginx.ask("POST", path, "Content-Length: 0\r\n");
        assert_problem("POST", &refused, 405);
        assert_eq!(refused.header("Allow"), Some("GET, HEAD, OPTIONS"));
    }
}

#[test]
fn the_page_has_one_tag_for_all_methods_and_its_headers_in_every_coding() {
    let Served { nginx, daemon: _daemon, .. } = served(407);
    for (coding, sent) in CODINGS {
        let asked = format!("Accept: text/html\r\n{}", accept(coding));
        wait_until("all requests meet the same view", || {
            let page = nginx.ask("GET", "/", &asked);
            let head = nginx.ask("HEAD", "/", &asked);
            let tag = page.header("ETag").unwrap();
            let unchanged = nginx.ask("GET", "/", &format!("{asked}If-None-Match: {tag}\r\n"));
            if head.header("ETag") != Some(tag) || unchanged.status == 200 {
                return false;
            }
            assert_eq!((page.status, page.header("Content-Encoding")), (200, sent), "{coding}");
            assert_eq!(page.header("Content-Type"), Some("text/html; charset=utf-8"), "{coding}");
            assert!(String::from_utf8(unpacked(&page)).unwrap().contains("id=\"board\""), "{coding}");
            assert_eq!((head.status, head.body.len()), (200, 0), "{coding}");
            let length = page.body.len().to_string();
            assert_eq!(head.header("Content-Length"), Some(length.as_str()), "{coding}");
            assert_eq!((unchanged.status, unchanged.body.len()), (304, 0), "{coding}");
            assert_eq!(unchanged.header("ETag"), Some(tag), "{coding}");
            for answer in [&page, &head, &unchanged] {
                assert_eq!(answer.header("Vary"), Some("Accept, Accept-Encoding"), "{}", answer.head);
                let policy = answer.header("Content-Security-Policy").unwrap();
                assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
                assert_well_formed(coding, answer);
            }
            true
        });
    }
}

#[test]
fn what_clients_write_in_many_ways_is_kept_once_and_never_mixed() {
    let Served { daemon, nginx, .. } = served(403);
    for accepted in [
        "gzip, deflate, br",
        "gzip,deflate,br,zstd",
        "br",
        "GZIP, BR",
        "gzip;q=1.0, br;q=0.1",
        "deflate",
        "*",
        "identity;q=0",
        "gzip, deflate",
        "br;q=0, gzip",
        "",
        "x-gzip-not, brr",
        "*;q=0",
    ] {
        let (direct, through) = (
            daemon.get_with("GET", "/markets.json", &accept(accepted)),
            nginx.ask("GET", "/markets.json", &accept(accepted)),
        );
        assert_eq!(through.status, direct.status, "{accepted:?}");
        assert_eq!(through.header("Content-Encoding"), direct.header("Content-Encoding"), "{accepted:?}");
    }
    // A weight can be written in any number of ways: no such answer is cached.
    for weight in ["0.1", "0.2", "0.1"] {
        let weighed = accept(&format!("gzip;q=0.9, x;q={weight}"));
        let answer = nginx.ask("GET", "/markets.json", &weighed);
        assert_eq!((answer.status, answer.header("X-Cache")), (200, Some("BYPASS")), "{}", answer.head);
        assert_eq!(answer.header("Content-Encoding"), Some("gzip"));
    }
    // Clients that accept both are one class, however they write it.
    let cached = |accepted: &str| {
        let answer = nginx.ask("GET", "/assets.json", &accept(accepted));
        answer.header("X-Cache").unwrap().to_owned()
    };
    assert_eq!(cached("gzip, deflate, br, zstd"), "MISS");
    for same in ["br,gzip", "GZIP, BR", "deflate, br, gzip"] {
        assert_ne!(cached(same), "MISS", "{same}");
    }
    // A reader that may prefer the page is answered by the daemon. All others are one class.
    let by = |accept: &str| nginx.ask("GET", "/", &format!("Accept: {accept}\r\n"));
    assert_eq!(by("application/json").header("X-Cache"), Some("MISS"));
    for known in ["x/1", "x/2", "application/json, text/plain, */*", ""] {
        assert_ne!(by(known).header("X-Cache"), Some("MISS"), "{known:?}");
    }
    for (accepted, sent) in [
        ("text/html", "text/html; charset=utf-8"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("text/html;q=0.1, */*", "application/json"),
        ("x/1, TEXT/HTML;q=0.2", "text/html; charset=utf-8"),
        ("application/json", "application/json"),
    ] {
        let answer = by(accepted);
        assert_eq!((answer.status, answer.header("Content-Type")), (200, Some(sent)), "{accepted}");
        assert_eq!(answer.header("Vary"), Some("Accept, Accept-Encoding"), "{accepted}");
    }
    let page = |more: &str| nginx.ask("GET", "/?q=xlm", &format!("Accept: text/html\r\n{more}"));
    assert_eq!(page(&accept("gzip")).header("Content-Encoding"), Some("gzip"));
    assert!(String::from_utf8(page("").body).unwrap().contains("value=\"xlm\""), "the query is passed on");
}

#[test]
fn while_the_daemon_stands_still_readers_get_the_last_answer_or_the_files() {
    // nginx must give up the daemon soon, as deployed.
    let Served { daemon, nginx, .. } = served_with(404, &conf_with(&[TIMELESS]));
    let fresh = nginx.get("/markets.json");
    kill(daemon.pid(), Signal::SIGSTOP).unwrap();
    wait_until("an older answer is given", || {
        let answer = nginx.get("/markets.json");
        assert_eq!((answer.status, &answer.body), (200, &fresh.body));
        assert_well_formed("an older answer", &answer);
        answer.header("X-Cache") == Some("STALE")
    });
    for (coding, sent) in [("gzip", Some("gzip")), ("br", None)] {
        let answer = nginx.ask("GET", "/", &accept(coding));
        assert_eq!((answer.status, answer.header("X-Cache")), (200, Some("FILE")), "{}", answer.head);
        assert_eq!((answer.header("Content-Encoding"), unpacked(&answer)), (sent, fresh.body.clone()));
        assert_well_formed("a file", &answer);
    }
    kill(daemon.pid(), Signal::SIGCONT).unwrap();
    wait_until("the daemon answers again", || {
        let answer = nginx.get("/markets.json");
        answer.status == 200 && matches!(answer.header("X-Cache"), Some("HIT" | "MISS" | "EXPIRED"))
    });
}

#[test]
fn when_the_daemon_is_gone_readers_get_the_last_answer_or_the_files() {
    let Served { mut daemon, nginx, .. } = served(405);
    let fresh = nginx.get("/markets.json");
    daemon.kill();
    wait_until("an older answer is given", || nginx.get("/markets.json").header("X-Cache") == Some("STALE"));
    assert_eq!(nginx.get("/markets.json").body, fresh.body);

    let file = nginx.ask("GET", "/", &accept("gzip"));
    assert_eq!((file.status, file.header("X-Cache")), (200, Some("FILE")));
    assert_eq!(file.header("Cache-Control"), Some("public, max-age=1"));
    let vary: Vec<_> = file.head.lines().filter_map(|line| line.strip_prefix("Vary: ")).collect();
    assert!(vary.contains(&"Accept") && vary.contains(&"Accept-Encoding"), "{}", file.head);
    for (name, header) in [("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified")] {
        let condition = format!("{}{name}: {}\r\n", accept("gzip"), file.header(header).unwrap());
        assert_eq!(nginx.ask("GET", "/", &condition).status, 304, "{condition}");
    }
    let later = an_hour_after(file.header("Last-Modified").unwrap());
    let condition = format!("{}If-Modified-Since: {later}\r\n", accept("gzip"));
    assert_eq!(nginx.ask("GET", "/", &condition).status, 304, "{condition}");
    let head = nginx.ask("HEAD", "/", &accept("gzip"));
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("Content-Length"), file.header("Content-Length"));
    let options = nginx.ask("OPTIONS", "/markets.json", "");
    assert_eq!(options.status, 204);
    assert_well_formed("OPTIONS", &options);

    for path in ["/livez", "/api/v1/status", "/graphql", "/anything"] {
        let answer = nginx.get(path);
        assert_problem(path, &answer, 502);
        assert_eq!(answer.header("Retry-After"), Some("1"));
        assert_well_formed(path, &answer);
    }
}

#[test]
fn without_the_daemon_a_browser_gets_a_page_that_says_so_and_others_the_file() {
    let www = open_tempdir();
    fs::write(www.path().join("markets.json"), "{\"earlier\": true}").unwrap();
    let nginx = alone_with(www.path());
    let ask = |accept: &str| nginx.ask("GET", "/?q=xlm", &format!("Accept: {accept}\r\n"));
    for browser in ["text/html", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"] {
        let page = ask(browser);
        let html = String::from_utf8_lossy(&page.body);
        assert_eq!((page.status, page.header("Content-Type")), (503, Some("text/html; charset=utf-8")));
        assert_eq!(
            (page.header("Retry-After"), page.header("Referrer-Policy")),
            (Some("1"), Some("no-referrer"))
        );
        assert!(
            html.contains("The ticker does not answer") && html.contains("href=\"/markets.json\""),
            "{html}"
        );
    }
    for other in ["text/html;q=0.1, */*", "x/1, text/html", "text/*", "application/json", "*/*"] {
        let file = ask(other);
        assert_eq!((file.status, file.header("X-Cache")), (200, Some("FILE")), "{other}: {}", file.head);
        assert_eq!(file.json()["earlier"], true, "{other}");
    }
}

/// An address where nothing listens.
fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn alone_with(www: &Path) -> Nginx {
    Nginx::start(&conf(), nobody(), www)
}

#[test]
fn without_a_publication_and_without_files_that_is_said() {
    // Of a Horizon that is not there no trade comes, and the first publication waits for one.
    let sim = format!("http://{}", nobody());
    let database = block_on(fresh_database());
    let daemon = Daemon::serve(&sim, &database, PASSPHRASE, &[]);
    let file = daemon.output("markets.json");
    let nginx = Nginx::start(&conf_with(&[PATIENT]), daemon.public, file.parent().unwrap());
    for path in ["/", "/markets.json"] {
        assert_problem("the daemon", &daemon.get(path), 503);
        let answer = nginx.get(path);
        assert_problem(path, &answer, 503);
        assert_eq!(answer.header("Retry-After"), Some("1"));
        assert_well_formed(path, &answer);
    }
    let page = nginx.ask("GET", "/", "Accept: text/html\r\n");
    assert_eq!((page.status, page.header("Content-Type")), (503, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("Retry-After"), Some("5"));
    assert!(String::from_utf8_lossy(&page.body).contains("<progress"), "{}", page.head);
    assert_eq!(nginx.get("/livez").status, 200);
    // The file of an earlier run.
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "{\"earlier\": true}").unwrap();
    assert_eq!(nginx.get("/").json()["earlier"], true);
}

#[test]
fn no_path_leads_out_of_the_directory_of_the_files() {
    let directory = open_tempdir();
    let www = directory.path().join("www");
    fs::create_dir_all(www.join("v1")).unwrap();
    fs::write(directory.path().join("secret.json"), "secret").unwrap();
    fs::write(www.join("private.json"), "secret").unwrap();
    fs::write(www.join("v1/markets.json"), "{}").unwrap();
    let nginx = alone_with(&www);
    assert_eq!(nginx.get("/v1/markets.json").body, b"{}", "files are served at all");
    for path in [
        "/../secret.json",
        "/v1/../../secret.json",
        "/v1/..%2f..%2fsecret.json",
        "/v1/%2e%2e/%2e%2e/secret.json",
        "/v1/..%252f..%252fsecret.json",
        "/v1/..\\..\\secret.json",
        "/v1//../../secret.json",
        "/www/../secret.json",
        "/v1/../private.json",
        "/private.json",
        "/secret.json",
        "/v1/",
        "/v1",
        "/nginx.conf",
        "/upstream.conf",
    ] {
        let answer = nginx.get(path);
        assert!(matches!(answer.status, 400 | 502 | 503), "{path}: {}", answer.head);
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret"), "{path}");
    }
}

/// More bytes than nginx keeps, and than the daemon compresses by brotli at once.
const LARGE_MARKETS: u32 = 3_000;

#[test]
fn a_large_file_is_sent_compressed_on_request_and_not_cached() {
    let database = block_on(wide_database(LARGE_MARKETS));
    // Its files are written late, and so is its brotli form.
    let more = ["--publish-interval", "24h", "--file-interval", "24h"];
    let daemon = Daemon::serve("http://127.0.0.1:9", &database, PASSPHRASE, &more);
    daemon.wait_for_publication();
    let nginx = Nginx::start(&conf_with(&[PATIENT]), daemon.public, daemon.output("").as_path());
    let plain = daemon.get("/markets.json").body;
    assert!(plain.len() > 2_000_000, "{}", plain.len());
    for path in ["/markets.json", "/"] {
        for (accepted, sent) in [
            ("gzip, deflate, br, zstd", &[Some("gzip"), Some("br")][..]),
            ("br, gzip", &[Some("gzip"), Some("br")]),
            ("gzip", &[Some("gzip")]),
            ("br", &[None, Some("br")]),
            ("identity", &[None]),
            ("", &[None]),
        ] {
            for _ in 0..2 {
                let answer = nginx.ask("GET", path, &accept(accepted));
                assert_eq!((answer.status, answer.header("X-Cache")), (200, Some("MISS")), "{accepted}");
                let coding = answer.header("Content-Encoding");
                assert!(sent.contains(&coding), "{path} {accepted}: {coding:?}");
                assert!(coding.is_none() || answer.body.len() < plain.len() / 4, "{accepted}");
                assert!(unpacked(&answer) == plain, "{path} {accepted}");
                assert_well_formed(path, &answer);
            }
        }
    }
    // Brotli is ready later than gzip. Until then the same header gets another form, with another tag.
    let accepted = accept("gzip, deflate, br");
    wait_until("the same form is not sent again", || {
        let tag = nginx.ask("GET", "/markets.json", &accepted).header("ETag").unwrap().to_owned();
        let condition = format!("{accepted}If-None-Match: {tag}\r\n");
        nginx.ask("GET", "/markets.json", &condition).status == 304
    });
}

#[test]
fn an_answer_of_an_earlier_minute_is_not_given_whatever_the_daemon_does() {
    let sim = network(406, FaultPlan::none());
    let database = block_on(fresh_database());
    let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &ONCE);
    daemon.wait_for_publication();
    wait_until("the files are written", || daemon.output("markets.json").exists());
    // A second stands for the minute.
    let conf = conf_with(&[("(?<until_minute>.{16})", "(?<until_minute>.{19})")]);
    let nginx = Nginx::start(&conf, daemon.public, daemon.output("").as_path());
    assert_eq!(nginx.get("/markets.json").status, 200);
    daemon.kill();
    wait_until("there is the file", || nginx.get("/markets.json").header("X-Cache") == Some("FILE"));
}

#[test]
fn nginx_waits_for_a_silent_daemon_as_long_as_the_path_allows() {
    // The kernel takes connections for it; no process reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let www = open_tempdir();
    fs::write(www.path().join("markets.json"), "{\"earlier\": true}").unwrap();
    let start = |elsewhere: &str| {
        let conf = conf_with(&[("proxy_read_timeout 30s", elsewhere)]);
        Nginx::start(&conf, silent.local_addr().unwrap(), www.path())
    };
    // With files nginx waits elsewhere. This wait never ends.
    let file = start("proxy_read_timeout 1h").get("/markets.json");
    assert_eq!((file.status, file.header("X-Cache")), (200, Some("FILE")), "{}", file.head);
    let late = start("proxy_read_timeout 1s").get("/livez");
    assert_problem("elsewhere", &late, 504);
    assert_well_formed("elsewhere", &late);
}
