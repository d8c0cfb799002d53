DELETE FROM :candles c USING unnest($1::int[], $2::timestamptz[]) AS gone (market_id, begins_at)
WHERE c.market_id = gone.market_id AND c.begins_at = gone.begins_at AND c.begins_at >= $3 AND c.begins_at < $4
