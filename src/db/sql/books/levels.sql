SELECT bids::text, asks::text, fetched_at FROM orderbook_levels WHERE market_id = $1
