//! Raw binary `COPY`: the baseline of writing, and the way to fill databases for subjects that only read.

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use stellar_ticker::domain::{instant::DAY, trade::Trade};
use tokio_postgres::Client;

use super::{
    bench::{Store, timed},
    synthetic::Synthetic,
};

/// Bytes sent at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Seconds from 1970 to 2000, where the timestamps of PostgreSQL begin.
const EPOCH_2000: i64 = 946_684_800;
const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Encodes the trades with these numbers for `COPY`, with the ids of [`seed_markets`].
pub(crate) fn encode(
    synthetic: &Synthetic,
    numbers: impl Iterator<Item = u64>,
) -> impl Iterator<Item = Bytes> {
    let mut numbers = numbers.peekable();
    let mut buffer = BytesMut::from(HEAD);
    let mut is_over = false;
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        while buffer.len() < CHUNK_BYTES {
            let Some(number) = numbers.next() else {
                buffer.put_i16(-1);
                is_over = true;
                break;
            };
            let made = synthetic.make(number);
            put_row(&mut buffer, made.market, &made.trade(), synthetic);
        }
        Some(buffer.split().freeze())
    })
}

fn put_row(buffer: &mut BytesMut, market: usize, trade: &Trade, synthetic: &Synthetic) {
    let of = synthetic.markets.get(market).unwrap();
    let big = |buffer: &mut BytesMut, number: i64| {
        buffer.put_i32(8);
        buffer.put_i64(number);
    };
    let small = |buffer: &mut BytesMut, number: i32| {
        buffer.put_i32(4);
        buffer.put_i32(number);
    };
    buffer.put_i16(14);
    big(buffer, trade.token.toid);
    small(buffer, trade.token.order);
    big(buffer, (trade.closed_at.0 - EPOCH_2000) * 1_000_000);
    small(buffer, market as i32 + 1);
    small(buffer, asset_id(of.base()));
    small(buffer, asset_id(of.counter()));
    for figure in [trade.base_amount.stroops(), trade.counter_amount.stroops(), trade.price_n, trade.price_d]
    {
        big(buffer, figure);
    }
    buffer.put_i32(1);
    buffer.put_u8(trade.base_is_seller.into());
    let parties = [
        trade.base_account.as_ref().map(|account| account.as_str()),
        trade.counter_account.as_ref().map(|account| account.as_str()),
        trade.liquidity_pool.as_ref().map(|pool| pool.as_str()),
    ];
    for party in parties {
        match party {
            None => buffer.put_i32(-1),
            Some(text) => {
                buffer.put_i32(i32::try_from(text.len()).unwrap());
                buffer.put_slice(text.as_bytes());
            }
        }
    }
}

/// Sends rows into a table, in one transaction.
pub(crate) async fn send(client: &Client, table: &str, rows: impl Iterator<Item = Bytes>) {
    let sink = client.copy_in(&format!("COPY {table} FROM STDIN BINARY")).await.unwrap();
    let mut sink = std::pin::pin!(sink);
    for chunk in rows {
        sink.send(chunk).await.unwrap();
    }
    sink.finish().await.unwrap();
}

/// Copies the same rows into a table with the same columns, partitions and index. Returns rows per second.
pub(crate) async fn raw(store: &Store, synthetic: &Synthetic) -> f64 {
    let make = "CREATE TABLE copied (LIKE trades INCLUDING ALL) PARTITION BY RANGE (ledger_close_time)";
    store.client.batch_execute(make).await.unwrap();
    make_days(&store.client, "copied", synthetic).await;
    let rows: Vec<Bytes> = encode(synthetic, 0..synthetic.trades).collect();
    let (seconds, ()) = timed(send(&store.client, "copied", rows.into_iter())).await;
    store.client.batch_execute("DROP TABLE copied").await.unwrap();
    synthetic.trades as f64 / seconds
}

/// Returns the id of an asset, from its code. A migration stores XLM as 1.
fn asset_id(asset: &stellar_ticker::domain::asset::Asset) -> i32 {
    asset.code().strip_prefix('T').map_or(1, |number| i32::from_str_radix(number, 16).unwrap() + 2)
}

/// Stores all markets and their assets, which are valid and looked up.
pub(crate) async fn seed_markets(client: &Client, synthetic: &Synthetic) {
    let mut assets: Vec<_> =
        synthetic.markets.iter().flat_map(|market| [*market.base(), *market.counter()]).collect();
    assets.sort_unstable();
    assets.dedup();
    assets.retain(|asset| asset.code() != "XLM");
    let ids: Vec<i32> = assets.iter().map(asset_id).collect();
    let codes: Vec<&str> = assets.iter().map(|asset| asset.code()).collect();
    let issuers: Vec<&str> = assets.iter().map(|asset| asset.issuer()).collect();
    let kinds: Vec<&str> = assets.iter().map(|asset| asset.kind()).collect();
    client
        .execute(
            "INSERT INTO assets (id, code, issuer, type, is_valid, checked_at, last_valid)
             SELECT id, code, issuer, type, true, now(), now()
             FROM unnest($1::int[], $2::text[], $3::text[], $4::text[]) AS seeded (id, code, issuer, type)",
            &[&ids, &codes, &issuers, &kinds],
        )
        .await
        .unwrap();
    let bases: Vec<i32> = synthetic.markets.iter().map(|market| asset_id(market.base())).collect();
    let counters: Vec<i32> = synthetic.markets.iter().map(|market| asset_id(market.counter())).collect();
    client
        .execute(
            "INSERT INTO markets (id, base_asset_id, counter_asset_id)
             SELECT place, base, counter FROM unnest($1::int[], $2::int[]) WITH ORDINALITY AS seeded (base, counter, place)",
            &[&bases, &counters],
        )
        .await
        .unwrap();
    // The cleaner removes markets without trades. If they trade again, they get new numbers.
    for table in ["assets", "markets"] {
        let next = format!("SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}");
        client.batch_execute(&next).await.unwrap();
    }
}

/// Creates the partitions of a table for all days of the trades.
pub(crate) async fn make_days(client: &Client, table: &str, synthetic: &Synthetic) {
    let day = |number| synthetic.make(number).record.closed_at.day();
    for day in day(0)..=day(synthetic.trades - 1) {
        let from = stellar_ticker::domain::instant::UnixSeconds(day * DAY).to_utc().date_naive();
        let to = from.succ_opt().unwrap();
        let name = format!("{table}_p{}", from.format("%Y%m%d"));
        let make = format!(
            "CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ('{from} 00:00:00+00') TO ('{to} 00:00:00+00')"
        );
        client.batch_execute(&make).await.unwrap();
    }
}
