SELECT market_id FROM orderbook_stats WHERE version BETWEEN $1 AND $2
