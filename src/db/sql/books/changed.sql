SELECT market_id, bid_count, bid_volume, bid_max, ask_count, ask_volume, ask_min, fetched_at, bid_n, bid_d, ask_n, ask_d
FROM orderbook_stats
WHERE version BETWEEN $1 AND $2
