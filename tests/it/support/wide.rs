//! A database with many markets, each of XLM and an asset of its own, for tests of the cost of much data.

use stellar_ticker::domain::asset::AccountId;

use super::{daemon::run, postgres::fresh_database, recomputation};

/// The address of an issuer.
fn issuer(number: u32) -> String {
    let mut key = [7; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    let address = stellar_strkey::ed25519::PublicKey(key).to_string();
    AccountId::parse(address.as_str()).unwrap().as_str().to_owned()
}

/// A database with this many markets, each with two trades of the last hour and a book.
pub(crate) async fn wide_database(markets: u32) -> String {
    let database = fresh_database().await;
    let (code, _, log) = run(&["migrate", "--database-url", &database]);
    assert_eq!(code, 0, "{log}");
    let client = recomputation::connect(&database).await;
    let issuers: Vec<String> = (0..markets).map(issuer).collect();
    let assets = "INSERT INTO assets (id, code, issuer, type, is_valid, meets_rules, name, \"desc\", checked_at, last_valid)
                  SELECT n + 1000, 'T' || upper(to_hex(n)), issuer, 'credit_alphanum12', true, true, 'Token ' || n,
                         repeat('What an issuer says of it. ', 4), now(), now()
                  FROM unnest($1::text[]) WITH ORDINALITY AS listed (issuer, n)";
    client.execute(assets, &[&issuers]).await.unwrap();
    let rest = "
        INSERT INTO issuers (public_key, name, url)
            SELECT issuer, 'Issuer of ' || code, 'https://issuer.example/' || code FROM assets WHERE id > 1000;
        INSERT INTO markets (id, base_asset_id, counter_asset_id)
            SELECT a.id, (SELECT id FROM assets WHERE issuer = 'native'), a.id FROM assets a WHERE a.id > 1000;
        INSERT INTO orderbook_stats (market_id, bid_count, bid_volume, bid_max, ask_count, ask_volume, ask_min, fetched_at)
            SELECT id, 7, 1234.5678901 * id, 0.0123456789 * id, 9, 98765.4321 * id, 0.0234567891 * id, now() FROM markets;
        SELECT ticker_make_day(day) FROM (SELECT DISTINCT (now() AT TIME ZONE 'UTC' - n * interval '50 minutes')::date AS day
            FROM generate_series(0, 1) n) days;
        INSERT INTO trades (toid, trade_order, ledger_close_time, market_id, base_asset_id, counter_asset_id, base_amount,
            counter_amount, price_n, price_d, base_is_seller)
            SELECT (60000000 + n)::bigint << 32 | m.id::bigint << 12, 0, date_trunc('second', now()) - (2 - n) * interval '20 minutes',
                   m.id, base_asset_id, counter_asset_id, 1000000007::bigint * m.id, 1234567891 + m.id, 1000 + m.id, 77777,
                   n = 0
            FROM markets m, generate_series(0, 1) n;
        UPDATE ingest_lease SET seq = 1;
        INSERT INTO ingest_batches (seq, kind, trades, committed_at) VALUES (1, 'backfill', 0, now() - interval '1 hour');
        ANALYZE";
    client.batch_execute(rest).await.unwrap();
    database
}
