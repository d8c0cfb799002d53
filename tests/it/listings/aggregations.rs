//! `/trade_aggregations` against the same resource of the simulated Horizon, question by question.

use std::io::{Read, Write};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Questions with an answer. Others are refused, by both.
const ANSWERED: usize = 500;
const HOURS: u32 = 30;
const HOUR_MS: i64 = 3_600_000;

/// A network of which there are thirty hours, with few trades: most segments of small markets are empty.
fn quiet_horizon() -> SimServer {
    let clock = SimClock::Manual(ManualTime::new(chrono::Utc::now()));
    let config = SimConfig {
        network_passphrase: PASSPHRASE.into(),
        clock,
        history_hours: HOURS,
        trades_per_second: 0.2,
        markets: 12,
        seed: 19,
        ..SimConfig::default()
    };
    start(config, "127.0.0.1:0".parse().unwrap()).unwrap()
}

/// Parameters of an asset as Horizon takes them.
fn asset(side: &str, name: &str) -> String {
    let Some((code, issuer)) = name.split_once(':') else { return format!("{side}_asset_type=native") };
    let kind = if code.len() > 4 { "credit_alphanum12" } else { "credit_alphanum4" };
    format!("{side}_asset_type={kind}&{side}_asset_code={code}&{side}_asset_issuer={issuer}")
}

/// Questions that look random, the same in each run: of all markets, in both directions, with times around the history.
struct Questions {
    random: ChaCha8Rng,
    markets: Vec<(String, String)>,
    now: i64,
}

impl Questions {
    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.random.random_range(0..all.len())]
    }

    /// True in one of `parts` cases.
    fn rarely(&mut self, parts: u32) -> bool {
        self.random.random_range(0..parts) == 0
    }

    fn next(&mut self) -> String {
        let market = self.random.random_range(0..self.markets.len());
        let (mut base, mut counter) = self.markets[market].clone();
        if self.rarely(2) {
            std::mem::swap(&mut base, &mut counter);
        }
        let mut parameters = vec![asset("base", &base), asset("counter", &counter)];
        let resolution = self.one_of(&[60_000, 300_000, 900_000, HOUR_MS, 24 * HOUR_MS, 168 * HOUR_MS]);
        match self.random.random_range(0..30) {
            0 => parameters.push("resolution=61000".to_owned()),
            1 => {}
            _ => parameters.push(format!("resolution={resolution}")),
        }
        if self.rarely(3) || (resolution > HOUR_MS && self.rarely(2)) {
            let most = if resolution > HOUR_MS { 25 } else { 2 };
            let offset = self.random.random_range(0..most) * HOUR_MS;
            let odd = if self.rarely(10) { 60_000 } else { 0 };
            parameters.push(format!("offset={}", offset + odd));
        }
        for name in ["start_time", "end_time"] {
            let hour = self.random.random_range(-2..i64::from(HOURS) + 2);
            let within = self.random.random_range(0..HOUR_MS);
            match self.random.random_range(0..10) {
                0 => parameters.push(format!("{name}=0")),
                1 => parameters.push(format!("{name}=noon")),
                2..6 => parameters.push(format!("{name}={}", self.now - hour * HOUR_MS + within)),
                _ => {}
            }
        }
        let limit = self.one_of(&["", "", "", "1", "3", "50", "200", "200", "0", "201", "-1", "many"]);
        let order = self.one_of(&["", "", "asc", "desc", "desc", "desc", "up"]);
        for (name, value) in [("limit", limit), ("order", order)] {
            if !value.is_empty() {
                parameters.push(format!("{name}={value}"));
            }
        }
        parameters.join("&")
    }
}

/// Status and body of Horizon's answer.
fn asked(horizon: &SimServer, path: &str) -> (u16, Value) {
    let mut socket = std::net::TcpStream::connect(horizon.addr()).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
}

/// Replaces the prices as ratios by what is equal whatever their common factor is.
fn reduced(mut record: Value) -> Value {
    for field in ["high_r", "low_r", "open_r", "close_r"] {
        let [n, d] = ["n", "d"].map(|part| text(&record[field], part).parse::<i128>().unwrap());
        let (mut divisor, mut rest) = (n, d);
        while rest != 0 {
            (divisor, rest) = (rest, divisor % rest);
        }
        record[field] = format!("{}/{}", n / divisor, d / divisor).into();
    }
    record
}

/// Parameters of a link by name.
fn parameters(link: &Value) -> BTreeMap<String, String> {
    let (_, query) = text(link, "href").split_once('?').unwrap();
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn five_hundred_random_questions_get_horizons_own_answer() {
    let horizon = quiet_horizon();
    block_on(async {
        // More than there is, so that nothing is left out at the edge.
        let hours = (HOURS + 1).to_string();
        let daemon = daemon_with(&horizon, &["--backfill-hours", &hours]).await;
        let head = horizon.oracle().head();
        let trades = horizon.oracle().trades(head.elder..=head.latest);
        let mut markets: Vec<(String, String)> =
            trades.iter().map(|trade| (trade.base.asset.clone(), trade.counter.asset.clone())).collect();
        markets.sort();
        markets.dedup();
        let now = head.closed_at.timestamp_millis();
        let mut questions = Questions { random: ChaCha8Rng::seed_from_u64(500), markets, now };
        let (mut refused, mut records, mut links) = (0, 0, 0);
        let mut answered = 0;
        while answered < ANSWERED {
            let question = questions.next();
            let path = format!("/trade_aggregations?{question}");
            let ours = daemon.get(&path);
            let (status, theirs) = asked(&horizon, &path);
            assert_eq!(ours.status, status, "{question}: {theirs}");
            if status != 200 {
                refused += 1;
                continue;
            }
            answered += 1;
            let ours = ours.json();
            let list = |answer: &Value| -> Vec<Value> {
                answer["_embedded"]["records"].as_array().unwrap().iter().cloned().map(reduced).collect()
            };
            for (ours, theirs) in list(&ours).iter().zip(&list(&theirs)) {
                assert_eq!(ours, theirs, "{question}");
            }
            assert_eq!(list(&ours).len(), list(&theirs).len(), "{question}");
            records += list(&ours).len();
            let next = [&ours, &theirs].map(|answer| parameters(&answer["_links"]["next"]));
            // Without an end, Horizon's next page in ascending order begins at 0, and so never ends. Ours goes on.
            let is_descending = question.contains("order=desc");
            let has_end = question.contains("end_time=") && !question.contains("end_time=0");
            if !list(&ours).is_empty() && (is_descending || has_end) {
                let moved = if is_descending { "end_time" } else { "start_time" };
                assert_eq!(next[0][moved], next[1][moved], "{question}");
                links += 1;
            }
        }
        println!("{answered} questions answered, {refused} refused, {records} records, {links} links");
        assert!(refused > 100 && records > 1_000 && links > 100);
    });
}
