-- Two actors store books. A book never replaces a newer one, unless that lies in the writer's future ($13): another
-- leader's clock was ahead.
-- The order prevents deadlocks, also with keep_only.sql.
WITH recorded AS (
    INSERT INTO orderbook_stats AS stored (market_id, bid_count, bid_volume, bid_max, ask_count, ask_volume, ask_min,
                                           fetched_at, bid_n, bid_d, ask_n, ask_d)
    SELECT * FROM unnest($1::int[], $2::int[], $3::float8[], $4::float8[], $5::int[], $6::float8[], $7::float8[],
                         $8::timestamptz[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[])
    ORDER BY 1
    ON CONFLICT (market_id) DO UPDATE SET
        bid_count = excluded.bid_count, bid_volume = excluded.bid_volume, bid_max = excluded.bid_max,
        ask_count = excluded.ask_count, ask_volume = excluded.ask_volume, ask_min = excluded.ask_min,
        fetched_at = excluded.fetched_at, bid_n = excluded.bid_n, bid_d = excluded.bid_d,
        ask_n = excluded.ask_n, ask_d = excluded.ask_d, version = nextval('book_version')
    WHERE stored.fetched_at <= excluded.fetched_at OR stored.fetched_at > $13
    RETURNING version
)
SELECT min(version), max(version) FROM recorded
