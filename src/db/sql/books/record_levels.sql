INSERT INTO orderbook_levels (market_id, bids, asks, fetched_at)
SELECT market_id, bids::jsonb, asks::jsonb, fetched_at
FROM unnest($1::int[], $2::text[], $3::text[], $4::timestamptz[]) AS read (market_id, bids, asks, fetched_at)
ON CONFLICT (market_id) DO UPDATE SET bids = excluded.bids, asks = excluded.asks, fetched_at = excluded.fetched_at
