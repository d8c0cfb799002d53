DELETE FROM orderbook_stats o
WHERE NOT EXISTS (SELECT 1 FROM unnest($1::int[]) AS alive (id) WHERE alive.id = o.market_id)
