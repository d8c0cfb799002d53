//! Synthetic trades of a week. Each trade is a pure function of the seed and its number.

use std::io::Write as _;

use stellar_ticker::domain::{
    amount::Amount,
    asset::{AccountId, Asset},
    cursor::PagingToken,
    instant::{DAY, UnixSeconds},
    market::Market,
    trade::{PoolId, Side, Trade, TradeRecord},
};

/// Trades per ledger, as on the public network in 2026.
pub(crate) const LEDGER_TRADES: u64 = 115;
/// Number of accounts that trade.
const ACCOUNTS: u64 = 5_000;
/// First ledger of the week.
const FIRST_LEDGER: u32 = 60_000_000;
/// Percentage of trades with a liquidity pool.
const POOL_PERCENT: u64 = 33;
/// Exponent of the distribution of trades over markets: the busiest of 30,000 has about a tenth of all trades, most
/// have a few per week.
const ZIPF_EXPONENT: f64 = 1.02;

/// A network and its history.
pub(crate) struct Synthetic {
    pub(crate) markets: Vec<Market>,
    /// Upper bounds of the markets in the range of a random 64-bit number.
    shares: Vec<u64>,
    accounts: Vec<AccountId>,
    pub(crate) trades: u64,
    newest: UnixSeconds,
    span: i64,
    seed: u64,
}

/// A trade, and the index of its market in [`Synthetic::markets`].
pub(crate) struct Made {
    pub(crate) market: usize,
    pub(crate) record: TradeRecord,
}

impl Made {
    pub(crate) fn trade(&self) -> Trade {
        self.record.normalise().unwrap()
    }
}

impl Synthetic {
    /// Returns a network with these numbers of trades and markets. The trades are spread over the seven days before
    /// `newest`.
    pub(crate) fn week(trades: u64, markets: u64, newest: UnixSeconds) -> Self {
        Self::new(trades, markets, newest, 7 * DAY - 600)
    }

    /// Returns such a network, with trades spread over `span` seconds.
    pub(crate) fn new(trades: u64, markets: u64, newest: UnixSeconds, span: i64) -> Self {
        let assets = markets / 2 + 1;
        let asset = |number: u64| {
            let code = format!("T{number:X}");
            Asset::issued(&code, account(1_000_000 + number % 997).as_str()).unwrap()
        };
        let sides = |market: u64| match market.checked_sub(assets) {
            None => (Asset::Native, asset(market)),
            Some(rest) => (asset(rest), asset(rest + 1)),
        };
        let weight = |rank: u64| ((rank + 1) as f64).powf(-ZIPF_EXPONENT);
        let all: f64 = (0..markets).map(weight).sum();
        let mut upto = 0.0;
        let shares = (0..markets).map(|rank| {
            upto += weight(rank);
            (upto / all * u64::MAX as f64) as u64
        });
        Self {
            shares: shares.collect(),
            markets: (0..markets)
                .map(|market| {
                    let (one, other) = sides(market);
                    Market::of(one, other).unwrap().0
                })
                .collect(),
            accounts: (0..ACCOUNTS).map(account).collect(),
            trades,
            newest,
            span,
            seed: 7,
        }
    }

    fn ledgers(&self) -> u32 {
        u32::try_from(self.trades.div_ceil(LEDGER_TRADES)).unwrap()
    }

    /// Returns the trade with this number; higher numbers are newer.
    pub(crate) fn make(&self, number: u64) -> Made {
        let within = number / LEDGER_TRADES;
        let closed_at = UnixSeconds(
            self.newest.0 - self.span + self.span * (within as i64 + 1) / i64::from(self.ledgers()),
        );
        let toid =
            (i64::from(FIRST_LEDGER) + within as i64) << 32 | ((number % LEDGER_TRADES) as i64 + 1) << 12 | 1;
        let mut random = Random(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let pick = random.next();
        let market = self.shares.partition_point(|share| *share < pick).min(self.markets.len() - 1);
        let is_pool = random.below(100) < POOL_PERCENT;
        let price = (1.0 + (market % 97) as f64) * (0.99 + random.below(2_000) as f64 / 100_000.0);
        let digits = 10 + random.below(30);
        let base = 1_000 + random.below(1 << digits);
        let counter = ((base as f64 * price) as i64).max(1);
        let (price_n, price_d) =
            if is_pool { (counter, base as i64) } else { ((price * 1e5) as i64, 100_000) };
        let base_is_seller = random.below(2) == 0;
        let (one, other) = (self.account(random.below(ACCOUNTS)), self.account(random.below(ACCOUNTS)));
        let side = |asset, stroops, seller: bool| Side {
            asset,
            amount: Amount::from_stroops(stroops).unwrap(),
            account: (!(is_pool && seller)).then_some(if seller { one } else { other }),
            pool: (is_pool && seller).then(|| pool(market as u64)),
        };
        let of = self.markets.get(market).unwrap();
        let record = TradeRecord {
            token: PagingToken { toid, order: 0 },
            closed_at,
            base: side(*of.base(), base as i64, base_is_seller),
            counter: side(*of.counter(), counter, !base_is_seller),
            price_n,
            price_d,
            base_is_seller,
        };
        Made { market, record }
    }

    fn account(&self, number: u64) -> AccountId {
        *self.accounts.get(number as usize).unwrap()
    }
}

/// Renders a record as Horizon does, without white space.
pub(crate) fn render(out: &mut Vec<u8>, record: &TradeRecord, closed_at: &str) {
    let (token, link) = (record.token, "https://horizon.stellar.org");
    let owner = |side: &Side| match (&side.account, &side.pool) {
        (Some(account), _) => format!("{link}/accounts/{}", account.as_str()),
        (None, pool) => {
            format!("{link}/liquidity_pools/{}", pool.map(|pool| pool.as_str().to_owned()).unwrap())
        }
    };
    let kind =
        if record.base.pool.or(record.counter.pool).is_some() { "liquidity_pool" } else { "orderbook" };
    write!(
        out,
        r#"{{"_links":{{"self":{{"href":""}},"base":{{"href":"{}"}},"counter":{{"href":"{}"}},"operation":{{"href":"{link}/operations/{}"}}}},"id":"{token}","paging_token":"{token}","ledger_close_time":"{closed_at}","trade_type":"{kind}""#,
        owner(&record.base), owner(&record.counter), token.toid,
    ).unwrap();
    for (name, side) in [("base", &record.base), ("counter", &record.counter)] {
        match (&side.account, &side.pool) {
            (Some(account), _) => {
                write!(out, r#","{name}_offer_id":"{}","{name}_account":"{}""#, token.toid, account.as_str())
            }
            (None, pool) => write!(out, r#","{name}_liquidity_pool_id":"{}""#, pool.unwrap().as_str()),
        }
        .unwrap();
        write!(out, r#","{name}_amount":"{}","{name}_asset_type":"{}""#, side.amount, side.asset.kind())
            .unwrap();
        if side.asset != Asset::Native {
            let (code, issuer) = (side.asset.code(), side.asset.issuer());
            write!(out, r#","{name}_asset_code":"{code}","{name}_asset_issuer":"{issuer}""#).unwrap();
        }
    }
    write!(
        out,
        r#","base_is_seller":{},"price":{{"n":"{}","d":"{}"}}}}"#,
        record.base_is_seller, record.price_n, record.price_d
    )
    .unwrap();
}

/// Returns a valid address whose secret key is unknown.
fn account(number: u64) -> AccountId {
    let mut key = [7; 32];
    let (front, _) = key.split_at_mut(8);
    front.copy_from_slice(&number.to_be_bytes());
    AccountId::parse(stellar_strkey::ed25519::PublicKey(key).to_string().as_str()).unwrap()
}

fn pool(number: u64) -> PoolId {
    PoolId::parse(&format!("{number:064x}")).unwrap()
}

/// The generator splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
