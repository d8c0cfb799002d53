DELETE FROM :candles WHERE begins_at >= $1 AND begins_at < $2
