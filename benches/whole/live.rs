//! A live network: the simulated Horizon emits ledgers of synthetic trades at known times.
//!
//! The last trade of each ledger is a mark. It belongs to the first pair of the file, and its price is the number of
//! the ledger. So the published price shows which ledgers are published.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use chrono::Utc;
use serde_json::Value;
use stellar_ticker::{
    domain::{
        amount::Amount,
        cursor::PagingToken,
        instant::UnixSeconds,
        trade::{Side, TradeRecord},
    },
    sim::{self, Endpoint, Fault, FaultPlan, FixedSource, SimConfig, SimServer},
};

use super::{
    bench::pause,
    horizon::PASSPHRASE,
    start::MARKETS,
    synthetic::{self, Synthetic},
};

/// Market of the marks. Its pair is the first in the file.
const MARK_MARKET: usize = MARKETS as usize / 2 + 1;
/// Name of the pair of the marks.
pub(crate) const MARK_PAIR: &str = "T0_T1";
/// Price of the first mark, higher than all other prices.
const FIRST_MARK: i64 = 1_000_000;
/// Pause between two checks of a stream for a new ledger. The real Horizon checks every 5 s.
const STREAM_POLL: Duration = Duration::from_millis(5);
/// Number of requests for assets that fail. Horizon does not know the synthetic assets, which are only in the database.
const NO_ASSETS: usize = 10_000;
/// Records per connection of a stream.
const CONNECTION_RECORDS: usize = 200;

/// Times at which the marks were emitted, by their numbers from 0.
pub(crate) type Emitted = Arc<Mutex<Vec<Instant>>>;

/// A network that emits ledgers on demand.
pub(crate) struct Live {
    server: SimServer,
    source: FixedSource,
    synthetic: Synthetic,
    /// Number of the next trade.
    next: u64,
    ledger: u32,
    /// Token of the last emitted trade.
    pub(crate) last: PagingToken,
    pub(crate) emitted: Emitted,
}

impl Live {
    /// Starts a network that continues after a week with this number of trades; see [`super::start::filled`].
    pub(crate) fn after(trades: u64, has_books: bool) -> Self {
        let synthetic = Synthetic::week(trades, MARKETS, UnixSeconds::from(Utc::now()));
        // At first Horizon has only one ledger, without trades, after that week.
        let ledger = synthetic.make(trades - 1).record.token.ledger() + 1;
        let (source, faults) = (FixedSource::new(ledger, ledger, Utc::now()), FaultPlan::none());
        for _ in 0..NO_ASSETS {
            faults.push(Endpoint::Assets, Fault::Status(503));
            if !has_books {
                faults.push(Endpoint::OrderBook, Fault::Status(503));
            }
        }
        let config = SimConfig {
            network_passphrase: PASSPHRASE.to_owned(),
            stream_poll: STREAM_POLL,
            faults,
            fixed: Some(source.clone()),
            ..SimConfig::default()
        };
        let server = sim::start(config, ([127, 0, 0, 1], 0).into()).unwrap();
        let last = PagingToken::before_ledger(ledger + 1);
        Self { server, source, synthetic, next: trades, ledger, last, emitted: Emitted::default() }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// Name of the market of the marks in the API.
    pub(crate) fn mark_market(&self) -> String {
        self.synthetic.markets.get(MARK_MARKET).unwrap().name()
    }

    /// Makes Horizon forget all ledgers that were emitted so far.
    pub(crate) fn forget(&mut self) {
        self.emit(1);
        self.source.set_elder(self.ledger);
    }

    /// Emits a ledger with this number of trades. Returns the time before the emission.
    pub(crate) fn emit(&mut self, trades: u64) -> Instant {
        self.ledger += 1;
        let closed_at = UnixSeconds::from(Utc::now());
        let text = closed_at.to_rfc3339();
        let value = |record: &TradeRecord| -> Value {
            let mut bytes = Vec::new();
            synthetic::render(&mut bytes, record, &text);
            serde_json::from_slice(&bytes).unwrap()
        };
        let token = |place: u64| PagingToken {
            toid: i64::from(self.ledger) << 32 | (place as i64 + 1) << 12 | 1,
            order: 0,
        };
        let ordinary = (0..trades - 1).map(|place| {
            let record = self.synthetic.make(self.next + place).record;
            value(&TradeRecord { token: token(place), closed_at, ..record })
        });
        let mut values: Vec<Value> = ordinary.collect();
        let price = FIRST_MARK + self.emitted.lock().unwrap().len() as i64;
        values.push(value(&self.mark(token(trades - 1), closed_at, price)));
        (self.next, self.last) = (self.next + trades, token(trades - 1));
        let moment = Instant::now();
        self.emitted.lock().unwrap().push(moment);
        self.source.push_trades(values).unwrap();
        moment
    }

    fn mark(&self, token: PagingToken, closed_at: UnixSeconds, price: i64) -> TradeRecord {
        const ONE: i64 = 10_000_000;
        let market = self.synthetic.markets.get(MARK_MARKET).unwrap();
        let of = self.synthetic.make(0).record;
        let account = of.base.account.or(of.counter.account);
        let side = |asset, stroops| Side {
            asset,
            amount: Amount::from_stroops(stroops).unwrap(),
            account,
            pool: None,
        };
        TradeRecord {
            token,
            closed_at,
            base: side(*market.base(), ONE),
            counter: side(*market.counter(), price * ONE),
            price_n: price,
            price_d: 1,
            base_is_seller: true,
        }
    }

    /// Emits a ledger with this number of trades each `period`, until the result is dropped.
    pub(crate) fn go_on(mut self, trades: u64, period: Duration) -> Going {
        let (stop, emitted) = (Arc::new(AtomicBool::new(false)), Arc::clone(&self.emitted));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut due = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                self.emit(trades);
                due += period;
                pause(due.saturating_duration_since(Instant::now()));
            }
        });
        Going { stop, thread: Some(thread), emitted }
    }
}

/// A network that emits ledgers by itself. Dropping it stops the network.
pub(crate) struct Going {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    pub(crate) emitted: Emitted,
}

impl Drop for Going {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

/// Returns the number of the mark with this price, or none for an ordinary price. Published prices are inverted, as in
/// the old program.
pub(crate) fn place_of(close: f64) -> Option<usize> {
    usize::try_from(close.recip().round() as i64 - FIRST_MARK).ok()
}

/// Reads this number of trades from the stream after `after`. Returns the number of connections that it needed.
pub(crate) fn take_stream(url: &str, after: PagingToken, trades: usize) -> usize {
    let (mut last, mut taken, mut connections) = (after.to_string(), 0, 0);
    while taken < trades {
        connections += 1;
        let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
        let head = "Host: bench\r\nAccept: text/event-stream\r\nConnection: close";
        let target = format!("/trades?order=asc&limit={CONNECTION_RECORDS}&cursor={last}");
        stream.write_all(format!("GET {target} HTTP/1.1\r\n{head}\r\n\r\n").as_bytes()).unwrap();
        for line in BufReader::with_capacity(64 * 1024, stream).lines() {
            let line = line.unwrap();
            if let Some(token) = line.strip_prefix("id: ") {
                taken += 1;
                token.clone_into(&mut last);
            }
            if taken == trades {
                break;
            }
        }
    }
    connections
}
