DELETE FROM candles_1h WHERE begins_at >= $1 AND begins_at < $2
