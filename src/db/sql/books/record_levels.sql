-- See record.sql for the order and the condition.
INSERT INTO orderbook_levels AS stored (market_id, bids, asks, fetched_at)
SELECT market_id, bids::jsonb, asks::jsonb, fetched_at
FROM unnest($1::int[], $2::text[], $3::text[], $4::timestamptz[]) AS read (market_id, bids, asks, fetched_at)
ORDER BY market_id
ON CONFLICT (market_id) DO UPDATE SET bids = excluded.bids, asks = excluded.asks, fetched_at = excluded.fetched_at
WHERE stored.fetched_at <= excluded.fetched_at OR stored.fetched_at > $5
