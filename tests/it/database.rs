//! Promises of the database layer, on a real PostgreSQL.

mod assets;
mod audit;
mod batches;
mod books;
mod candle_retention;
pub(crate) mod candles;
mod connecting;
mod deadlocks;
mod far_behind;
mod held;
mod isolation;
mod lost_rows;
mod market_accounts;
mod missed;
mod plans;
mod reading;
mod refused;
mod retention;
mod retire;
mod rewound;
mod self_audit;
mod unconfirmed;
mod volumes;
mod words;

use std::time::Duration;

use bytes::Bytes;
use stellar_ticker::{
    db::{
        Database, DatabaseSettings,
        clean::Cleaned,
        market_assets::MarketAssets,
        trades::{BatchKind, CursorMove, IncomingTrade, TradeBatch},
    },
    domain::{
        amount::Amount,
        asset::{AccountId, Asset},
        coverage::LedgerRange,
        cursor::PagingToken,
        instant::UnixSeconds,
        trade::{Side, Trade, TradeRecord},
    },
};
use tokio::runtime::Handle;
use tokio_postgres::Client;

use crate::support::{postgres::fresh_database, recomputation::connect};

const NOW: i64 = 1_795_457_237;
const TTL: Duration = Duration::from_secs(60);

/// A migrated database, its lease, and a client beside the pool.
struct Scene {
    url: String,
    database: Database,
    epoch: i64,
    client: Client,
}

impl Scene {
    async fn new() -> Self {
        let url = fresh_database().await;
        let database = open(&url);
        database.migrate().await.unwrap();
        let epoch = database.take_lease("me", TTL).await.unwrap().unwrap();
        Self { client: connect(&url).await, url, database, epoch }
    }

    /// Derives all candles, since days are not dropped before, then cleans.
    async fn clean(&self, keep_days: i64, now: chrono::DateTime<chrono::Utc>) -> Cleaned {
        candles::derive(&self.database, self.epoch, now.timestamp()).await;
        self.database.clean(self.epoch, keep_days, now, || {}).await.unwrap()
    }

    /// The stored markets with these ids, in the same order.
    async fn markets(&self, ids: &[i32]) -> Vec<MarketAssets> {
        let mut found = self.database.market_assets(ids).await.unwrap();
        found.sort_by_key(|found| ids.iter().position(|id| *id == found.market));
        found
    }

    async fn count(&self, table: &str) -> i64 {
        self.client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
    }

    /// Everything that a write may change.
    async fn counts(&self) -> Vec<i64> {
        let mut counts = Vec::new();
        for table in ["trades", "markets", "assets", "coverage", "quarantine", "ingest_batches"] {
            counts.push(self.count(table).await);
        }
        counts
    }
}

pub(crate) fn open(url: &str) -> Database {
    let settings = DatabaseSettings { url: url.into(), ca_file: None, max_connections: 8 };
    Database::new(&settings, Handle::current()).unwrap()
}

fn address(byte: u8) -> String {
    stellar_strkey::ed25519::PublicKey([byte; 32]).to_string().as_str().to_owned()
}

fn token(ledger: u32, order: i32) -> PagingToken {
    PagingToken { toid: (i64::from(ledger) << 32) + 4_097, order }
}

/// Side of a trade that belongs to an account.
fn side(asset: Asset, stroops: i64) -> Side {
    Side {
        asset,
        amount: Amount::from_stroops(stroops).unwrap(),
        account: Some(AccountId::parse(&address(7)).unwrap()),
        pool: None,
    }
}

/// XLM against `TEA` of some issuer.
pub(crate) fn trade(ledger: u32, order: i32, issuer: u8, stroops: i64) -> Trade {
    TradeRecord {
        token: token(ledger, order),
        closed_at: UnixSeconds(NOW + i64::from(ledger)),
        base: side(Asset::Native, stroops),
        counter: side(Asset::issued("TEA", &address(issuer)).unwrap(), 2 * stroops),
        price_n: 2,
        price_d: 1,
        base_is_seller: true,
    }
    .normalise()
    .unwrap()
}

pub(crate) fn incoming(trade: Trade) -> IncomingTrade {
    IncomingTrade { trade, raw: Bytes::from_static(b"{\"raw\": \"\\u0000 and \0\"}") }
}

/// A batch of the live cursor.
fn batch(expected: Option<PagingToken>, trades: Vec<Trade>) -> TradeBatch {
    let to = trades.iter().map(|trade| trade.token).max().unwrap();
    let ledger = to.ledger();
    TradeBatch {
        kind: BatchKind::Live,
        cursor: Some(CursorMove { name: "live".into(), expected, to }),
        trades: trades.into_iter().map(incoming).collect(),
        quarantine: Vec::new(),
        covered: Some(LedgerRange {
            from: ledger,
            to: ledger,
            from_time: UnixSeconds(NOW),
            to_time: UnixSeconds(NOW),
        }),
    }
}
