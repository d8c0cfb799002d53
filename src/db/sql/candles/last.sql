-- The newest $5 candles of a market that begin from one time on and before another.
SELECT c.* FROM candle_markets m JOIN :candles c ON c.market_id = m.id
WHERE m.base = $1 AND m.counter = $2 AND c.begins_at >= $3 AND c.begins_at < $4
ORDER BY c.begins_at DESC LIMIT $5
