SELECT market_id, fetched_at FROM orderbook_stats
