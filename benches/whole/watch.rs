//! Watchers that measure when a trade becomes visible, in the file and in GraphQL.

use std::{
    io::Read as _,
    net::SocketAddr,
    time::{Duration, Instant},
};

use flate2::read::MultiGzDecoder;
use serde_json::Value;

use super::{
    bench::{Sorted, pause},
    live::{Emitted, MARK_PAIR, place_of},
    reader::{Connection, exchange, get_if_changed, post},
};

/// Pause between two requests of a watcher.
const POLL: Duration = Duration::from_millis(5);
/// Longest wait for a trade.
const DEADLINE: Duration = Duration::from_secs(60);
/// Bytes at the beginning of the file that contain the first pair.
const FRONT_BYTES: u64 = 4_096;

/// Place that a watcher reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    File,
    GraphQl,
}

/// Watches both places for `span`. Returns the seconds from the emission of each trade in this time until it was
/// visible.
pub(crate) fn ages(address: SocketAddr, emitted: &Emitted, span: Duration) -> [Sorted; 2] {
    let looks = [Place::File, Place::GraphQl].map(|place| {
        let emitted = Emitted::clone(emitted);
        std::thread::spawn(move || look(address, place, &emitted, span))
    });
    looks.map(|look| Sorted::new(look.join().unwrap()))
}

/// Waits until the last emitted ledger is visible.
pub(crate) fn until_seen(address: SocketAddr, emitted: &Emitted) {
    look(address, Place::GraphQl, emitted, Duration::ZERO);
}

fn look(address: SocketAddr, place: Place, emitted: &Emitted, span: Duration) -> Vec<f64> {
    let mut watcher = Watcher { place, connection: Connection::open(address), etag: String::new() };
    let (begun, first) = (Instant::now(), emitted.lock().unwrap().len());
    // A span of zero means waiting for the last mark.
    let mut seen = if span.is_zero() { first.saturating_sub(1) } else { first };
    let mut seconds = Vec::new();
    let mut end = None;
    loop {
        let (newest, at) = watcher.look();
        let moments = emitted.lock().unwrap();
        if begun.elapsed() >= span {
            end.get_or_insert(moments.len());
        }
        let upto = newest.map_or(0, |place| place + 1).min(moments.len());
        for moment in moments.get(seen..upto).unwrap_or_default() {
            seconds.push(at.saturating_duration_since(*moment).as_secs_f64());
        }
        drop(moments);
        seen = seen.max(upto);
        if let Some(end) = end
            && seen >= end
        {
            seconds.truncate(end - first.min(end));
            return seconds;
        }
        assert!(begun.elapsed() < span + DEADLINE, "{place:?}: a trade cannot be seen");
        pause(POLL);
    }
}

struct Watcher {
    place: Place,
    connection: Connection,
    etag: String,
}

impl Watcher {
    /// Returns the newest visible mark and the time of the answer. No mark if the file has not changed.
    fn look(&mut self) -> (Option<usize>, Instant) {
        let request = match self.place {
            Place::File => get_if_changed("/markets.json", &self.etag),
            Place::GraphQl => post(&format!("{{ ticker(pairName: \"{MARK_PAIR}\") {{ close }} }}")),
        };
        let answer = exchange(&mut self.connection, &request);
        let at = Instant::now();
        assert!([200, 304].contains(&answer.status), "{:?}: status {}", self.place, answer.status);
        let close = match self.place {
            _ if answer.status == 304 => None,
            Place::File => {
                self.etag = answer.etag;
                close_in_file(&answer.body)
            }
            Place::GraphQl => {
                let answer: Value = serde_json::from_slice(&answer.body).unwrap();
                answer["data"]["ticker"][0]["close"].as_f64()
            }
        };
        (close.and_then(place_of), at)
    }
}

/// Returns the last price of the first pair.
fn close_in_file(gzip: &[u8]) -> Option<f64> {
    let mut front = Vec::new();
    MultiGzDecoder::new(gzip).take(FRONT_BYTES).read_to_end(&mut front).unwrap();
    let front = String::from_utf8_lossy(&front);
    let (_, pair) = front.split_once(&format!("\"name\": \"{MARK_PAIR}\""))?;
    let (_, close) = pair.split_once("\"close\": ")?;
    close.split(',').next()?.trim().parse().ok()
}
