DELETE FROM candles_1m WHERE begins_at >= $1 AND begins_at < $2
