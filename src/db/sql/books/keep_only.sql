-- Locks the rows in the order of record.sql, which prevents deadlocks.
WITH dead AS (
    SELECT o.market_id FROM orderbook_stats o
    WHERE NOT EXISTS (SELECT 1 FROM unnest($1::int[]) AS alive (id) WHERE alive.id = o.market_id)
    ORDER BY o.market_id
    FOR UPDATE
)
DELETE FROM orderbook_stats WHERE market_id IN (SELECT market_id FROM dead)
