DELETE FROM candles_1d WHERE begins_at >= $1 AND begins_at < $2
