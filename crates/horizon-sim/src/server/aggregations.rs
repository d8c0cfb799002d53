//! `/trade_aggregations`, computed from all trades. Empty for scripted data.
//!
//! Source: Horizon's own handler of the resource. Times are in milliseconds, and 0 stands for a missing one. Horizon
//! also leaves out trades whose rounding cost more than 10 %. Here only those count as such whose price became 0 or
//! infinite. They set no price, and a segment of nothing else is absent, but they are in counts and volumes.

use super::Shared;
use super::query::Params;
use super::reply::{Admission, Problem, bad_request};
use crate::faults::Endpoint;
use crate::model::SimTrade;
use crate::simulation::Simulation;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

const RESOLUTIONS: [i64; 6] = [60_000, 300_000, 900_000, 3_600_000, 86_400_000, 604_800_000];
const HOUR_MS: i64 = 3_600_000;

/// Validated question.
struct Question {
    base: String,
    counter: String,
    resolution: i64,
    offset: i64,
    /// First time as the reader gave it, and rounded up to a segment.
    start: [i64; 2],
    /// Last time as the reader gave it, and rounded down to a segment; it is exclusive.
    end: [i64; 2],
    limit: usize,
    descending: bool,
}

/// Trades of one segment, in the orientation of the question.
struct Segment {
    count: u64,
    base: i128,
    counter: i128,
    /// None if no trade has a price.
    prices: Option<Prices>,
}

/// Numerators and denominators.
struct Prices {
    open: [i64; 2],
    high: [i64; 2],
    low: [i64; 2],
    close: [i64; 2],
}

/// All trades up to a ledger. Generating those of a day takes a tenth of a second, so they are kept.
#[derive(Debug, Default)]
pub(super) struct GeneratedTrades(Mutex<Generated>);

#[derive(Debug, Default)]
struct Generated {
    /// Oldest ledger.
    elder: u32,
    /// Ledger after the newest one.
    next: u32,
    trades: Vec<SimTrade>,
}

impl GeneratedTrades {
    /// Calls a function with the trades of all ledgers that are shown now.
    fn with_all<T>(&self, sim: &Simulation, read: impl FnOnce(&[SimTrade]) -> T) -> T {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let head = sim.head();
        if kept.elder != head.elder {
            *kept = Generated { elder: head.elder, next: head.elder, trades: Vec::new() };
        }
        let new = sim.trades(kept.next..=head.latest);
        kept.trades.extend(new);
        kept.next = kept.next.max(head.latest.saturating_add(1));
        read(&kept.trades)
    }
}

pub(super) async fn trade_aggregations(request: HttpRequest, shared: web::Data<Shared>) -> HttpResponse {
    let admission = match Admission::check(&shared, Endpoint::Trades) {
        Ok(admission) => admission,
        Err(reply) => return *reply,
    };
    let params = Params::of(&request);
    let question = match Question::of(&params) {
        Ok(question) => question,
        Err(problem) => return admission.finish(problem),
    };
    let mut segments = shared.generated.with_all(&shared.sim, |trades| question.segments(trades));
    if question.descending {
        segments.reverse();
    }
    segments.truncate(question.limit);
    let own = format!("{}{}?{}", params.origin, request.path(), request.query_string());
    let next = match segments.last() {
        None => own.clone(),
        Some((at, _)) => question.next(*at, &params),
    };
    let records: Vec<Value> = segments.iter().filter_map(|(at, segment)| segment.record(*at)).collect();
    let links = json!({"self": {"href": own}, "next": {"href": next}, "prev": {"href": ""}});
    admission.hal(json!({"_links": links, "_embedded": {"records": records}}).to_string())
}

impl Question {
    fn of(params: &Params) -> Result<Self, Problem> {
        let number = |name: &str| match params.get(name) {
            None => Ok(0),
            Some(text) => {
                let number = text.parse::<i64>().ok().filter(|number| *number >= 0);
                number.ok_or_else(|| bad_request(name, "unparseable value"))
            }
        };
        let (limit, descending) = (params.limit()?, params.descending()?);
        let (base, counter) = (asset(params, "base")?, asset(params, "counter")?);
        let (resolution, offset) = (number("resolution")?, number("offset")?);
        if !RESOLUTIONS.contains(&resolution) {
            return Err(bad_request("resolution", "illegal or missing resolution"));
        }
        if offset % HOUR_MS != 0 || offset >= 24 * HOUR_MS || offset > resolution {
            return Err(bad_request("offset", "illegal or missing offset"));
        }
        let (start, end) = (number("start_time")?, number("end_time")?);
        let first = match start {
            0 => 0,
            start if start < offset => offset,
            start => (start - offset + resolution - 1) / resolution * resolution + offset,
        };
        let last = match end {
            0 => 0,
            end if end < offset => return Err(bad_request("end_time", "illegal end time")),
            end => (end - offset) / resolution * resolution + offset,
        };
        if end != 0 && last < first {
            return Err(bad_request("end_time", "illegal end time"));
        }
        Ok(Self {
            base,
            counter,
            resolution,
            offset,
            start: [start, first],
            end: [end, last],
            limit,
            descending,
        })
    }

    /// Segments with trades, in the order of time.
    fn segments(&self, trades: &[SimTrade]) -> Vec<(i64, Segment)> {
        let mut segments: BTreeMap<i64, Segment> = BTreeMap::new();
        for trade in trades {
            let sides = (trade.base.asset.as_str(), trade.counter.asset.as_str());
            let (base, counter, price) = if sides == (self.base.as_str(), self.counter.as_str()) {
                (trade.base.amount, trade.counter.amount, [trade.price_n, trade.price_d])
            } else if sides == (self.counter.as_str(), self.base.as_str()) {
                (trade.counter.amount, trade.base.amount, [trade.price_d, trade.price_n])
            } else {
                continue;
            };
            // Horizon filters and groups whole minutes.
            let minute = trade.closed_at.timestamp_millis().div_euclid(60_000) * 60_000;
            if minute < self.start[1] || (self.end[0] != 0 && minute >= self.end[1]) {
                continue;
            }
            let at = (minute - self.offset) / self.resolution * self.resolution + self.offset;
            let empty = Segment { count: 0, base: 0, counter: 0, prices: None };
            segments.entry(at).or_insert(empty).add(base.into(), counter.into(), price);
        }
        segments.into_iter().filter(|(_, segment)| segment.prices.is_some()).collect()
    }

    /// Link of the next page. In ascending order Horizon writes a `start_time` of 0 where the reader gave no end.
    fn next(&self, last: i64, params: &Params) -> String {
        if self.descending {
            return params.with("end_time", last.max(self.start[0]));
        }
        params.with("start_time", (last + self.resolution).min(self.end[0]))
    }
}

impl Segment {
    fn add(&mut self, base: i128, counter: i128, price: [i64; 2]) {
        self.count += 1;
        self.base += base;
        self.counter += counter;
        if price.contains(&0) {
            return;
        }
        let first = Prices { open: price, high: price, low: price, close: price };
        let prices = self.prices.get_or_insert(first);
        if compare(price, prices.high) == Ordering::Greater {
            prices.high = price;
        }
        if compare(price, prices.low) == Ordering::Less {
            prices.low = price;
        }
        prices.close = price;
    }

    /// None if no trade has a price.
    fn record(&self, at: i64) -> Option<Value> {
        let Prices { open, high, low, close } = self.prices.as_ref()?;
        let ratio = |[n, d]: &[i64; 2]| json!({"n": n.to_string(), "d": d.to_string()});
        let price = |[n, d]: &[i64; 2]| seven_places((*n).into(), (*d).into());
        Some(json!({
            "timestamp": at.to_string(),
            "trade_count": self.count.to_string(),
            "base_volume": amount(self.base),
            "counter_volume": amount(self.counter),
            "avg": seven_places(self.counter, self.base),
            "high": price(high), "high_r": ratio(high),
            "low": price(low), "low_r": ratio(low),
            "open": price(open), "open_r": ratio(open),
            "close": price(close), "close_r": ratio(close),
        }))
    }
}

/// Compares two prices by value.
fn compare(one: [i64; 2], other: [i64; 2]) -> Ordering {
    let product = |n: i64, d: i64| i128::from(n) * i128::from(d);
    product(one[0], other[1]).cmp(&product(other[0], one[1]))
}

fn amount(stroops: i128) -> String {
    format!("{}.{:07}", stroops / 10_000_000, stroops % 10_000_000)
}

/// Quotient with seven places, rounded half up; 0 for a division by 0.
fn seven_places(n: i128, d: i128) -> String {
    if d == 0 {
        return amount(0);
    }
    amount((2 * n * 10_000_000 + d) / (2 * d))
}

/// Asset of the question, as `native` or `CODE:ISSUER`.
fn asset(params: &Params, side: &str) -> Result<String, Problem> {
    let get = |name: &str| params.get(&format!("{side}_asset_{name}"));
    let field = if side == "base" { "base_asset" } else { "counter_asset" };
    match (get("type"), get("code"), get("issuer")) {
        (Some("native"), ..) => Ok("native".to_owned()),
        (Some("credit_alphanum4" | "credit_alphanum12"), Some(code), Some(issuer)) => {
            Ok(format!("{code}:{issuer}"))
        }
        _ => Err(bad_request(field, "invalid or missing asset")),
    }
}
