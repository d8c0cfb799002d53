SELECT DISTINCT market_id FROM :partition
