DELETE FROM markets m
WHERE m.id = ANY ($1) AND NOT EXISTS (SELECT 1 FROM orderbook_stats o WHERE o.market_id = m.id)
