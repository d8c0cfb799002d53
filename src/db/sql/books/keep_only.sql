DELETE FROM orderbook_stats WHERE market_id <> ALL ($1)
