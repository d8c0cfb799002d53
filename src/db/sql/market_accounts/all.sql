SELECT until, counts_from, market_id, takers, makers, largest_pair FROM market_accounts ORDER BY until DESC
