-- All candles that begin from one time on and before another.
SELECT * FROM :candles WHERE begins_at >= $1 AND begins_at < $2
