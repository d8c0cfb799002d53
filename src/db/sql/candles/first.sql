-- The oldest $5 candles of a market that begin from one time on and before another, with $6 those with a price.
SELECT c.* FROM candle_markets m JOIN :candles c ON c.market_id = m.id
WHERE m.base = $1 AND m.counter = $2 AND c.begins_at >= $3 AND c.begins_at < $4
  AND (NOT $6 OR c.open_n IS NOT NULL)
ORDER BY c.begins_at LIMIT $5
