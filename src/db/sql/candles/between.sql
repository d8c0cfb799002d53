-- Candles of some markets that begin from one time on and before another, in the order of time.
SELECT * FROM :candles
WHERE market_id = ANY ($1) AND begins_at >= $2 AND begins_at < $3
ORDER BY begins_at, market_id
