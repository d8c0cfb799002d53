SELECT m.id FROM markets m
WHERE NOT EXISTS (SELECT 1 FROM orderbook_stats o WHERE o.market_id = m.id)
ORDER BY m.id
